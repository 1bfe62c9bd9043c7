//! What a package asks for from elsewhere than its registry: a repository, an address, a file of another host. The
//! registry then knows neither the bytes nor who may change them.

use evidence::tree::{Content, Place};
use serde_json::Value;

/// Where lock files of a package may point without anybody wondering.
const REGISTRIES: &[&str] = &["registry.npmjs.org", "registry.yarnpkg.com"];
/// Lists of dependencies in `package.json` that are installed for whoever uses the package.
const LISTS: &[&str] = &["dependencies", "optionalDependencies", "peerDependencies"];

/// Dependencies of an npm package that are no versions ("package.json", dependencies: URLs, Git URLs, GitHub).
pub(super) fn npm(manifest: &Value, content: &mut Content) {
    for list in LISTS {
        for (name, wanted) in manifest.get(list).and_then(Value::as_object).into_iter().flatten() {
            if *list != "peerDependencies" {
                content.requirements.insert(super::short(name));
            }
            if let Some(wanted) = wanted.as_str().filter(|wanted| is_elsewhere(wanted)) {
                super::hooks::add(&mut content.hooks, Place::Source, &format!("{name} {wanted}"));
            }
            // Another package under the name of one that is asked for.
            let alias = wanted.as_str().and_then(|wanted| wanted.strip_prefix("npm:"));
            if let Some(alias) = alias {
                let end = alias.rfind('@').filter(|at| *at > 0).unwrap_or(alias.len());
                super::hooks::add(&mut content.hooks, Place::Alias, &format!("{name} is {}", &alias[..end]));
            }
        }
    }
}

/// A URL, a path of a forge, or a tag of one: `git+https://…`, `https://…`, `owner/name`, `github:owner/name`.
fn is_elsewhere(wanted: &str) -> bool {
    let alias = wanted.starts_with("npm:") || wanted.starts_with("workspace:") || wanted.starts_with("file:");
    let forge =
        ["git", "github:", "gitlab:", "bitbucket:", "gist:"].iter().any(|begin| wanted.starts_with(begin));
    let path = wanted.split_once('/').is_some_and(|(owner, rest)| {
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.#".contains(&byte))
        };
        plain(owner) && plain(rest) && owner.starts_with(|c: char| c.is_ascii_alphanumeric())
    });
    !alias && (forge || wanted.contains("://") || path)
}

/// A lock file that is published with a package decides what its users get ("npm-shrinkwrap.json").
pub(super) fn shrinkwrap(lock: &Value, content: &mut Content) {
    let packages = ["packages", "dependencies"].iter().filter_map(|list| lock.get(list)?.as_object());
    for (name, package) in packages.flatten() {
        let host = package.get("resolved").and_then(Value::as_str).and_then(|url| url.split_once("://"));
        let host = host.map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default());
        if let Some(host) = host.filter(|host| !REGISTRIES.contains(host)) {
            super::hooks::add(&mut content.hooks, Place::Source, &format!("{name} of {host}"));
        }
    }
}

/// `Requires-Dist: name @ URL` ("Core metadata specifications", PEP 508), in the header of the metadata.
pub(super) fn python(metadata: &str, content: &mut Content) {
    let header = metadata.lines().take_while(|line| !line.trim().is_empty()).take(4096);
    for wanted in header.filter_map(|line| line.strip_prefix("Requires-Dist:")) {
        let name = wanted.trim().split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next();
        if let Some(name) = name.filter(|_| !wanted.contains("extra ==")) {
            content.requirements.insert(super::short(&name.to_ascii_lowercase().replace(['_', '.'], "-")));
        }
        if wanted.split_once('@').is_some_and(|(_, address)| address.contains("://")) {
            super::hooks::add(&mut content.hooks, Place::Source, wanted.trim());
        }
    }
}

/// Dependencies of a crate from a repository, and a build script at another place ("The Manifest Format").
pub(super) fn cargo(manifest: &str, content: &mut Content) {
    let mut table = "";
    for line in manifest.lines().map(str::trim).take(65_536) {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
        }
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        let of_dependency = table.contains("dependencies");
        // Published manifests have a table for each ("[dependencies.name]").
        let name = ["dependencies.", "build-dependencies."].iter().find_map(|list| table.strip_prefix(list));
        if let Some(name) = name {
            content.requirements.insert(super::short(name));
        }
        // Another crate under the name of one that is asked for.
        if let Some(name) = name.filter(|_| key == "package") {
            super::hooks::add(
                &mut content.hooks,
                Place::Alias,
                &format!("{name} is {}", value.trim_matches('"')),
            );
        }
        if table == "lib" && key == "proc-macro" && value == "true" {
            super::hooks::add(&mut content.hooks, Place::CargoMacro, "runs inside the compiler");
        }
        if of_dependency && (key == "git" || value.contains("git = ") || value.contains("git=")) {
            super::hooks::add(&mut content.hooks, Place::Source, &format!("{table}: {line}"));
        }
        if table == "package" && key == "build" && value.contains(".rs") {
            let script = value.trim_matches('"').trim_start_matches("./");
            // Another file than the usual one: it may have been a part of the library before.
            let place = if script == "build.rs" { Place::CargoBuild } else { Place::CargoScript };
            super::hooks::add(&mut content.hooks, place, script);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(read: impl Fn(&mut Content)) -> Vec<String> {
        let mut found = Content::default();
        read(&mut found);
        found
            .hooks
            .iter()
            .map(ToString::to_string)
            .chain(found.requirements.iter().map(|name| format!("wants {name}")))
            .collect()
    }

    #[test]
    fn addresses_and_repositories_are_told_from_versions() {
        for elsewhere in [
            "git+https://x.invalid/y.git",
            "https://x.invalid/y.tgz",
            "owner/name#main",
            "github:owner/name",
            "git@x.invalid:y.git",
        ] {
            let manifest = serde_json::json!({"optionalDependencies": {"a": elsewhere}});
            assert_eq!(
                of(|found| npm(&manifest, found)),
                [format!("source: a {elsewhere}"), "wants a".to_owned()]
            );
        }
        let manifest =
            serde_json::json!({"dependencies": {"a": "npm:@b/c@^1.2"}, "devDependencies": {"d": "npm:e@1"}});
        assert_eq!(of(|found| npm(&manifest, found)), ["alias: a is @b/c", "wants a"]);
        for version in ["^1.2.3", "~4", ">=1 <2", "1.x || 2.x", "latest", "*", "file:../b", "workspace:*"] {
            let manifest = serde_json::json!({"dependencies": {"a": version}});
            assert_eq!(of(|found| npm(&manifest, found)), ["wants a"], "{version}");
        }
        let development = serde_json::json!({"devDependencies": {"a": "owner/name"}});
        assert_eq!(of(|found| npm(&development, found)), [""; 0]);
    }

    #[test]
    fn lock_files_metadata_and_manifests() {
        let lock = |url: &str| serde_json::json!({"packages": {"node_modules/a": {"resolved": url}}});
        assert_eq!(
            of(|found| shrinkwrap(&lock("https://x.invalid/a.tgz"), found)),
            ["source: node_modules/a of x.invalid"]
        );
        let usual = lock("https://registry.npmjs.org/a/-/a-1.0.0.tgz");
        assert_eq!(of(|found| shrinkwrap(&usual, found)), [""; 0]);
        let metadata = "Name: a\nRequires-Dist: B_x>=1\nRequires-Dist: e; extra == 't'\nRequires-Dist: c @ https://x.invalid/c.whl\n\nRequires-Dist: d @ https://e\n";
        assert_eq!(
            of(|found| python(metadata, found)),
            ["source: c @ https://x.invalid/c.whl", "wants b-x", "wants c"]
        );
        let manifest = "[package]\nbuild = \"build.rs\"\n[dependencies.a]\nversion = \"1\"\n[dependencies]\nb = { git = \"https://x.invalid/b\" }\n";
        assert_eq!(
            of(|found| cargo(manifest, found)),
            [
                "cargo-build: build.rs",
                "source: dependencies: b = { git = \"https://x.invalid/b\" }",
                "wants a"
            ]
        );
        assert_eq!(
            of(|found| cargo(
                "[lib]\nproc-macro = true\n[build-dependencies.cc]\nversion = \"1\"\n[dev-dependencies.d]\n",
                found
            )),
            ["cargo-macro: runs inside the compiler", "wants cc"]
        );
        let renamed = "[package]\nname = \"x\"\n[dependencies.a]\nversion = \"1\"\npackage = \"b\"\n";
        assert_eq!(of(|found| cargo(renamed, found)), ["alias: a is b", "wants a"]);
        assert_eq!(of(|found| cargo("[package]\nbuild = \"src/x.rs\"\n", found)), ["cargo-script: src/x.rs"]);
    }
}
