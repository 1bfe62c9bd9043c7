//! How one logs in over the network (`sshd_config(5)`): the first value of a word holds; what a `Match` block allows
//! somebody, it allows.

use std::path::PathBuf;

use evidence::posture::{Fact, Value};

use super::{entries, exists, fact, text};
use crate::inventory::Root;

const SETTINGS: &str = "etc/ssh/sshd_config";
/// How deep files include files.
const DEPTH_MAX: usize = 8;

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    let settings = read(root);
    let with = |found: &dyn Fn(&Settings) -> Value| match &settings {
        Ok(settings) => Ok(found(settings)),
        Err(why) => Err(why.clone()),
    };
    let read = ["/etc/ssh/sshd_config"];
    vec![
        fact("ssh-root-login", with(&Settings::root_login), &read),
        fact("ssh-password-login", with(&Settings::password_login), &read),
        fact("ssh-empty-passwords", with(&Settings::empty_passwords), &read),
    ]
}

/// Words and values in order, and whether a condition stands before.
#[derive(Default)]
struct Settings {
    installed: bool,
    lines: Vec<(String, String, bool)>,
}

fn read(root: &Root) -> Result<Settings, String> {
    let installed =
        ["usr/sbin/sshd", "usr/bin/sshd", "usr/local/sbin/sshd"].iter().any(|path| exists(root, path));
    let mut settings = Settings { installed, lines: Vec::new() };
    if installed {
        settings.take(root, SETTINGS.into(), &mut false, DEPTH_MAX)?;
    }
    Ok(settings)
}

impl Settings {
    fn take(
        &mut self,
        root: &Root,
        path: PathBuf,
        conditional: &mut bool,
        depth: usize,
    ) -> Result<(), String> {
        let Some(content) = text(root, &path)? else { return Ok(()) };
        for line in content.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let (word, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
            let value = value.trim().trim_start_matches('=').trim().trim_matches('"');
            match word.to_ascii_lowercase().as_str() {
                "" => {}
                "match" => *conditional = !value.eq_ignore_ascii_case("all"),
                "include" if depth == 0 => {
                    return Err("files of sshd's settings include each other".to_owned());
                }
                "include" => {
                    for pattern in value.split_whitespace() {
                        // An included file's conditions end with it.
                        for path in included(root, pattern)? {
                            self.take(root, path, &mut conditional.clone(), depth - 1)?;
                        }
                    }
                }
                word => self.lines.push((word.to_owned(), value.to_ascii_lowercase(), *conditional)),
            }
        }
        Ok(())
    }

    /// The first value without a condition, else the default; and all values with one.
    fn values<'a>(&'a self, words: &[&str], default: &'a str) -> Vec<&'a str> {
        let of = |wanted: bool| {
            let lines = self.lines.iter().filter(move |(_, _, conditional)| *conditional == wanted);
            lines.filter(|(word, _, _)| words.contains(&word.as_str())).map(|(_, value, _)| value.as_str())
        };
        [of(false).next().unwrap_or(default)].into_iter().chain(of(true)).collect()
    }

    fn allows(&self, words: &[&str], default: &str) -> bool {
        self.installed && self.values(words, default).contains(&"yes")
    }

    fn root_login(&self) -> Value {
        if !self.installed {
            return Value::Word("not-installed".to_owned());
        }
        let values = self.values(&["permitrootlogin"], "prohibit-password");
        let worst = values.iter().find(|value| **value == "yes").or(values.first());
        Value::Word(worst.map_or_else(String::new, |value| (*value).to_owned()))
    }

    fn password_login(&self) -> Value {
        let asked = self.allows(&["kbdinteractiveauthentication", "challengeresponseauthentication"], "yes");
        Value::Flag(
            self.allows(&["passwordauthentication"], "yes") || (asked && self.allows(&["usepam"], "no")),
        )
    }

    fn empty_passwords(&self) -> Value {
        Value::Flag(self.allows(&["permitemptypasswords"], "no"))
    }
}

/// The files of a pattern: relative ones lie in `/etc/ssh`, and only the last part may have a star.
fn included(root: &Root, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let whole = if pattern.starts_with('/') {
        PathBuf::from(pattern)
    } else {
        PathBuf::from("/etc/ssh").join(pattern)
    };
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else { return Ok(vec![whole]) };
    let folder = whole.parent().unwrap_or(&whole).to_path_buf();
    if after.contains('*') || folder.to_string_lossy().contains('*') {
        return Err(format!("`Include {pattern}` is not understood"));
    }
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
    };
    Ok(entries(root, folder)?.into_iter().filter(fits).collect())
}
