//! Compilers, linkers, interpreters and build tools with their digests; files that run with other rights than their caller's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::inventory::Item;

use super::{Facts, Root};

/// Folders of programs, relative to the root.
const FOLDERS: &[&str] =
    &["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "bin", "sbin", "opt/bin"];
/// Folders of programs in a home.
const OF_HOME: &[&str] = &[".cargo/bin", ".local/bin", "go/bin", "bin", ".dotnet", ".npm-global/bin"];

/// What makes programs from sources, by the name without a target before it and a version behind it.
const TOOLS: &[&str] = &[
    "addr2line",
    "ant",
    "ar",
    "as",
    "autoconf",
    "automake",
    "bazel",
    "bison",
    "buck2",
    "bundle",
    "cabal",
    "cargo",
    "cc",
    "cl",
    "clang",
    "clang++",
    "cmake",
    "composer",
    "conan",
    "conda",
    "cpp",
    "csc",
    "dart",
    "dmd",
    "docker",
    "dotnet",
    "elixir",
    "erlc",
    "flex",
    "g++",
    "gcc",
    "gfortran",
    "ghc",
    "go",
    "gold",
    "gradle",
    "gem",
    "jar",
    "java",
    "javac",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "llc",
    "link",
    "lua",
    "m4",
    "make",
    "meson",
    "mold",
    "msbuild",
    "mvn",
    "nasm",
    "ninja",
    "node",
    "npm",
    "nuget",
    "objcopy",
    "objdump",
    "opam",
    "perl",
    "php",
    "pip",
    "pip3",
    "pnpm",
    "podman",
    "poetry",
    "python",
    "python2",
    "python3",
    "ranlib",
    "rebar3",
    "ruby",
    "rustc",
    "rustdoc",
    "rustup",
    "sbt",
    "scons",
    "stack",
    "strip",
    "swift",
    "swiftc",
    "tcc",
    "uv",
    "vcpkg",
    "yarn",
    "yasm",
    "zig",
];

pub(super) fn toolchains(root: &Root, facts: &mut Facts) {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    for home in root.homes(facts) {
        folders.extend(OF_HOME.iter().map(|folder| home.join(folder)));
        for toolchain in root.list(home.join(".rustup/toolchains"), facts) {
            folders.push(toolchain.join("bin"));
        }
        for version in root.list(home.join(".pyenv/versions"), facts) {
            folders.push(version.join("bin"));
        }
    }
    for machine in root.list("usr/lib/jvm", facts) {
        folders.push(machine.join("bin"));
    }
    folders.push("usr/local/go/bin".into());
    let mut seen = std::collections::BTreeMap::new();
    for folder in folders {
        for path in root.list(&folder, facts) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(tool) = tool(&name) else { continue };
            let Some(target) = root.resolve(&path).filter(|path| path.is_file()) else { continue };
            let inside = root.inside(&target);
            // Links of many names lead to one program: it is hashed once.
            let digest = *seen
                .entry(inside.clone())
                .or_insert_with(|| root.digest(Path::new(&inside.to_string()), facts));
            let mut item = Item::named(tool).at(evidence::BytePath::new(path.as_os_str().as_encoded_bytes()));
            item.digest = digest;
            if Some(&inside) != item.path.as_ref() {
                item = item.with("leads-to", inside.to_string());
            }
            facts.items.push(item);
        }
    }
}

/// Finds the tool that a file's name means: `x86_64-linux-gnu-gcc-12` is `gcc`.
fn tool(name: &str) -> Option<&'static str> {
    let known = |name: &str| TOOLS.iter().find(|tool| **tool == name).copied();
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    let of_target = |name: &str| {
        name.rsplit_once('-').filter(|(before, _)| before.contains('-')).and_then(|(_, last)| known(last))
    };
    known(name).or_else(|| known(plain)).or_else(|| of_target(name)).or_else(|| of_target(plain))
}

/// Folders in which programs with rights lie, with all below them.
const PRIVILEGED_IN: &[&str] =
    &["usr/bin", "usr/sbin", "usr/lib", "usr/libexec", "usr/local", "bin", "sbin", "opt"];
/// Folders that are looked through.
const FOLDERS_MAX: usize = 200_000;

/// Set-user-ID and set-group-ID files, and those with capabilities (`capabilities(7)`).
pub(super) fn privileged(root: &Root, facts: &mut Facts) {
    let mut waiting: Vec<PathBuf> = PRIVILEGED_IN
        .iter()
        .filter_map(|folder| Some(root.path().join(folder)).filter(|path| !path.is_symlink()))
        .collect();
    let mut count = 0;
    while let Some(folder) = waiting.pop() {
        count += 1;
        if count > FOLDERS_MAX {
            facts.gaps.push("too many folders to look for privileged files in".into());
            return;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                facts.gaps.push(format!("{}: {error}", root.inside(&folder)));
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(known) = entry.metadata() else { continue };
            if known.is_dir() {
                waiting.push(entry.path());
            } else if known.is_file() && known.mode() & 0o111 != 0 {
                privileged_file(root, &entry.path(), &known, facts);
            }
        }
    }
}

fn privileged_file(root: &Root, path: &Path, known: &fs::Metadata, facts: &mut Facts) {
    let mut rights = Vec::new();
    if known.mode() & 0o4000 != 0 {
        rights.push(format!("set-user-id {}", known.uid()));
    }
    if known.mode() & 0o2000 != 0 {
        rights.push(format!("set-group-id {}", known.gid()));
    }
    let mut value = [0_u8; 64];
    if let Ok(length) = rustix::fs::lgetxattr(path, c"security.capability", &mut value) {
        let hex: String = value.iter().take(length).map(|byte| format!("{byte:02x}")).collect();
        rights.push(format!("capabilities {hex}"));
    }
    if rights.is_empty() {
        return;
    }
    let inside = root.inside(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut item = Item::named(name).at(inside.clone()).with("rights", rights.join(", "));
    item.digest = root.digest(Path::new(&inside.to_string()), facts);
    facts.items.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_known_with_target_and_version() {
        for (name, expected) in [
            ("gcc", Some("gcc")),
            ("gcc-12", Some("gcc")),
            ("x86_64-linux-gnu-gcc-12", Some("gcc")),
            ("python3.11", Some("python")),
            ("python3", Some("python3")),
            ("ld.bfd", Some("ld.bfd")),
            ("git", None),
            ("not-make", None),
        ] {
            assert_eq!(tool(name), expected, "{name}");
        }
    }
}
