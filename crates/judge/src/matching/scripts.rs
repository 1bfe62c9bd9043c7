//! Scripts of packages that ran while the package was installed: npm's and Composer's hooks, `setup.py`, extensions of gems, build
//! scripts of crates.
//!
//! What a package manager runs for the project itself (`npm run build`) is none: only what runs below an installation, out of a file
//! of a package.

use std::collections::{BTreeMap, HashMap};

use evidence::record::{Process, Program};
use evidence::{Digest, Record};

use super::grade::{base, command, is_interpreter, running};

/// A script that ran.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Script {
    /// The package's purl; without version where the record does not tell it.
    pub package: String,
    /// What ran.
    pub command: String,
    /// The package manager that ran it.
    pub installer: String,
    /// The bytes of the script.
    pub digest: Option<Digest>,
}

/// Package managers, and the words by which they install. An empty word: they install if no word is given.
const INSTALLERS: &[(&str, &[&str])] = &[
    ("npm", &["install", "i", "ci", "add", "update", "up", "rebuild", "install-test", "it", "isntall"]),
    ("pnpm", &["install", "i", "add", "update", "up", "rebuild"]),
    ("yarn", &["install", "add", "upgrade", "up", "rebuild", ""]),
    ("bun", &["install", "i", "add", "update"]),
    ("pip", &["install", "wheel", "download"]),
    ("uv", &["install", "sync", "add", "run"]),
    ("poetry", &["install", "add", "update"]),
    ("gem", &["install", "update"]),
    ("bundle", &["install", "update", ""]),
    ("composer", &["install", "update", "require"]),
];

/// Ancestors are followed so far.
const DEPTH_MAX: usize = 64;

/// Finds the scripts of packages that ran while they were installed, each package and command once.
pub fn install_scripts(record: &Record) -> Vec<Script> {
    let processes: HashMap<u32, &Process> =
        record.processes.iter().map(|process| (process.index, process)).collect();
    let mut found: BTreeMap<(String, String), Script> = BTreeMap::new();
    let mut take = |script: Script| {
        found.entry((script.package.clone(), script.command.clone())).or_insert(script);
    };
    for file in &record.files {
        let Some(package) = file.package.as_deref() else { continue };
        let path = file.path.to_string();
        for reader in &file.readers {
            let Some(process) = processes.get(&reader.process) else { continue };
            let Some(program) = running(process, reader.at_ns) else { continue };
            let given = program.arguments.iter().skip(1).any(|one| base(&one.to_string()) == base(&path));
            let ran = program.path == file.path || (is_interpreter(program) && given);
            if !ran || installs(program).is_some() {
                continue;
            }
            if let Some(installer) = installer(process, &processes) {
                let (command, digest) = (command(program), file.content());
                take(Script { package: package.to_owned(), command, installer, digest });
            }
        }
    }
    for program in record.processes.iter().flat_map(|process| &process.programs) {
        if let Some(name) = build_script(&program.path.to_string()) {
            let of_name = format!("pkg:cargo/{name}@");
            let mut versions = record.components.iter().filter(|one| one.purl.starts_with(&of_name));
            // The folder tells no version: one only if there is but one.
            let package = match (versions.next(), versions.next()) {
                (Some(only), None) => only.purl.clone(),
                _ => format!("pkg:cargo/{name}"),
            };
            take(Script {
                package,
                command: "build-script-build".to_owned(),
                installer: "cargo".to_owned(),
                digest: program.digest,
            });
        }
    }
    found.into_values().collect()
}

/// Cargo runs `target/debug/build/NAME-HASH/build-script-build`.
fn build_script(path: &str) -> Option<&str> {
    let folder =
        path.strip_suffix("/build-script-build").or_else(|| path.strip_suffix("/build-script-main"))?;
    let (before, folder) = folder.rsplit_once('/')?;
    let (name, hash) = folder.rsplit_once('-')?;
    (before.ends_with("/build") && hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then_some(name)
}

/// Finds the installation above a process.
fn installer(process: &Process, processes: &HashMap<u32, &Process>) -> Option<String> {
    let mut at = process.parent;
    for _ in 0..DEPTH_MAX {
        let process = processes.get(&at?)?;
        if let Some(found) = process.programs.iter().find(|program| installs(program).is_some()) {
            return Some(command(found));
        }
        at = process.parent;
    }
    None
}

/// Tells whether a program is a package manager that installs.
fn installs(program: &Program) -> Option<()> {
    let words: Vec<String> = program.arguments.iter().map(ToString::to_string).collect();
    // `npm ci`, `node /usr/bin/npm ci`, `python3 -m pip install`.
    let of = |text: &str| {
        let name = base(text);
        let name = name.trim_end_matches(".js").trim_end_matches(".cjs").trim_end_matches("-cli");
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        INSTALLERS.iter().find(|(known, _)| *known == bare)
    };
    let own = of(&program.path.to_string()).map(|found| (found, 1));
    let named = words.iter().enumerate().take(4).find_map(|(place, word)| Some((of(word)?, place + 1)));
    let ((_, subcommands), from) = named.or(own)?;
    let mut given = words.iter().skip(from).filter(|word| !word.starts_with('-'));
    let word = given.next().map_or("", String::as_str);
    subcommands.contains(&word).then_some(())
}

#[cfg(test)]
mod tests {
    use evidence::BytePath;
    use evidence::record::Role;

    use super::*;
    use crate::lineage::tests::Sketch;

    fn record(manager: &[&str], script: &[&str]) -> Record {
        let mut record = Sketch::new()
            .process(0, None, 0, "/usr/bin/node")
            .process(1, Some(0), 10, "/bin/sh")
            .process(2, Some(1), 20, "/usr/bin/node")
            .file("/w/node_modules/a/install.js", Role::Dependency, "x", &[(2, 21)], &[])
            .file("/w/node_modules/a/other.js", Role::Dependency, "y", &[(2, 22)], &[])
            .0;
        let words = |list: &[&str]| list.iter().map(|word| BytePath::from(*word)).collect();
        record.processes[0].programs[0].arguments = words(manager);
        record.processes[2].programs[0].arguments = words(script);
        for file in &mut record.files {
            file.package = Some("pkg:npm/a@1.0.0".to_owned());
        }
        record
    }

    #[test]
    fn what_runs_below_an_installation_is_an_install_script() {
        let packages = |manager: &[&str]| {
            let scripts = install_scripts(&record(manager, &["node", "install.js"]));
            scripts.into_iter().map(|script| (script.package, script.command)).collect::<Vec<_>>()
        };
        let ran = [("pkg:npm/a@1.0.0".to_owned(), "node install.js".to_owned())];
        for manager in [
            &["npm", "install"][..],
            &["node", "/usr/bin/npm", "ci", "--offline"],
            &["node", "/usr/lib/npm-cli.js", "--quiet", "i"],
            &["node", "/usr/bin/yarn"],
        ] {
            assert_eq!(packages(manager), ran, "{manager:?}");
        }
        for manager in [&["npm", "run", "build"][..], &["npm", "test"], &["node", "server.js"]] {
            assert_eq!(packages(manager), [], "{manager:?}");
        }
    }

    #[test]
    fn build_scripts_of_crates_are_told_by_their_place() {
        assert_eq!(
            build_script("/w/target/debug/build/ring-0123456789abcdef/build-script-build"),
            Some("ring")
        );
        assert_eq!(build_script("/w/build/x/build-script-build"), None);
    }
}
