//! Rules as people write them, over bytes as enemies write them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod hostile;
mod loading;
mod matching;

use std::path::Path;

use yara::{Limits, Looked, Rules};

/// Writes files into a folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn load(path: &Path) -> Rules {
    Rules::load(path, Limits::default()).unwrap()
}

fn refused(path: &Path) -> String {
    Rules::load(path, Limits::default()).unwrap_err().to_string()
}

/// Puts one file of rules to some bytes.
fn look(rules: &str, bytes: &[u8]) -> Looked {
    let folder = folder(&[("a.yar", rules)]);
    load(&folder.path().join("a.yar")).look("setup.msi!app/tool.exe", "app/tool.exe", bytes)
}

fn names(looked: &Looked) -> Vec<&str> {
    looked.matches.iter().map(|rule| rule.rule.as_str()).collect()
}
