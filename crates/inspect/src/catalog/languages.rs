//! R, Lua, Perl, Haskell, OCaml, Julia; Conda's environments.

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::{Fields, unquoted, yaml};
use super::loose::{List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "renv-lock", wants: &[Pattern::Name("renv.lock")], read: renv },
    Cataloger { name: "r-installed", wants: &[Pattern::Name("DESCRIPTION")], read: r_description },
    Cataloger { name: "conda-installed", wants: &[Pattern::Folder("conda-meta")], read: conda },
    Cataloger {
        name: "luarocks",
        wants: &[Pattern::Extension("rockspec"), Pattern::Name("luarocks.lock")],
        read: rockspec,
    },
    Cataloger { name: "cpan-snapshot", wants: &[Pattern::Name("cpanfile.snapshot")], read: cpan },
    Cataloger { name: "cabal-freeze", wants: &[Pattern::Name("cabal.project.freeze")], read: cabal },
    Cataloger {
        name: "stack-lock",
        wants: &[Pattern::Name("stack.yaml.lock"), Pattern::Name("stack.yaml")],
        read: stack,
    },
    Cataloger {
        name: "opam",
        wants: &[Pattern::Around("", ".opam.locked"), Pattern::Name("opam")],
        read: opam,
    },
    Cataloger { name: "julia-manifest", wants: &[Pattern::Name("Manifest.toml")], read: julia },
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Renv {
    #[serde(rename = "Packages")]
    packages: Table<Locked>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Locked {
    #[serde(rename = "Package")]
    package: Text,
    #[serde(rename = "Version")]
    version: Text,
}

fn renv(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Renv>(input.bytes) else { return };
    for entry in lock.packages.0.into_values() {
        found.take(Stated::new("cran", entry.package.take(), entry.version.take(), State::Locked));
    }
}

/// `DESCRIPTION` of an installed R package: one that says when it was built.
fn r_description(input: &Input, found: &mut Found) {
    let text = input.text();
    let fields = Fields::read(&text);
    if let (Some(name), Some(version), Some(_)) =
        (fields.one("Package"), fields.one("Version"), fields.one("Built"))
    {
        let mut stated = Stated::new("cran", name, version, State::Installed);
        stated.supplier = fields.one("Maintainer").map(str::to_owned);
        stated.licence(fields.one("License").unwrap_or_default());
        found.take(stated);
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CondaMeta {
    name: Text,
    version: Text,
    build: Text,
    channel: Text,
    subdir: Text,
    license: Text,
    sha256: Text,
    md5: Text,
    depends: List<Text>,
}

/// One document for each package of an environment.
fn conda(input: &Input, found: &mut Found) {
    if !input.name().ends_with(".json") {
        return;
    }
    let Some(meta) = found.json::<CondaMeta>(input.bytes) else { return };
    let mut stated = Stated::new("conda", meta.name.take(), meta.version.take(), State::Installed)
        .qualified("build", meta.build.take())
        .qualified("channel", meta.channel.take())
        .qualified("subdir", meta.subdir.take());
    stated.licence(meta.license.as_str());
    stated.hash(Algorithm::Sha256, meta.sha256.as_str());
    stated.hash(Algorithm::Md5, meta.md5.as_str());
    let Some(place) = found.take(stated) else { return };
    let names = meta.depends.0.iter().filter_map(|text| text.as_str().split(' ').next());
    found.needs.extend(names.map(|name| (place, name.to_owned())));
}

/// `package = "x"`, `version = "1.0-1"` of a rock's specification; `["x"] = "1.0-1"` in a lock.
fn rockspec(input: &Input, found: &mut Found) {
    let text = input.text();
    if input.name() == "luarocks.lock" {
        for line in text.lines() {
            let mut quoted = line.split('"').skip(1).step_by(2);
            match (quoted.next(), quoted.next()) {
                (Some(name), Some(version)) => {
                    _ = found.take(Stated::new("luarocks", name, version, State::Locked))
                }
                // `name = "1.0-1"`
                (Some(version), None) if line.contains('=') => {
                    let name = line.split('=').next().unwrap_or_default().trim();
                    if version.contains('-') && name != "hash" {
                        found.take(Stated::new("luarocks", name, version, State::Locked));
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| unquoted(value.trim().trim_end_matches(',')).to_owned())
        })
    };
    // A specification in the tree of installed rocks; one among sources speaks of a package to be made.
    if !input.path.contains("/rocks") {
        return;
    }
    if let (Some(name), Some(version)) = (field("package"), field("version")) {
        let mut stated = Stated::new("luarocks", name, version, State::Installed);
        stated.licence(&field("license").unwrap_or_default());
        found.take(stated);
    }
}

/// Carton's snapshot: distributions at two columns, their fields at four.
fn cpan(input: &Input, found: &mut Found) {
    for line in input.text().lines() {
        let content = line.trim_start_matches(' ');
        if line.len() - content.len() != 2 || content.contains(": ") {
            continue;
        }
        let Some((name, version)) = content.rsplit_once('-') else { continue };
        if version.starts_with(|c: char| c.is_ascii_digit() || c == 'v') {
            found.take(Stated::new("cpan", name, version, State::Locked));
        }
    }
}

/// `any.base ==4.18.0.0,`
fn cabal(input: &Input, found: &mut Found) {
    for word in input.text().split(',') {
        // A field's name, or lines of other fields, may stand before.
        let word = word.lines().last().unwrap_or_default().trim().trim_start_matches("constraints:").trim();
        if let Some((name, version)) = word.strip_prefix("any.").unwrap_or(word).split_once("==") {
            found.take(Stated::new("hackage", name.trim(), version.trim(), State::Locked));
        }
    }
}

/// `hackage: name-1.0@sha256:…,123`, or a list of `name-1.0@sha256:…` under `extra-deps`.
fn stack(input: &Input, found: &mut Found) {
    let text = input.text();
    for line in yaml(&text) {
        let text = if line.key == "hackage" { line.value } else { line.key };
        let Some((full, rest)) = text.split_once("@sha256:") else { continue };
        let Some((name, version)) = full.rsplit_once('-') else { continue };
        let mut stated = Stated::new("hackage", name, version, State::Locked);
        // The digest is of the package's description.
        stated = stated.with("cabal-sha256", rest.split(',').next().unwrap_or_default());
        found.take(stated);
    }
}

/// `"name" {= "1.0"}` in a locked file; `name`, `version` of an installed package.
fn opam(input: &Input, found: &mut Found) {
    let text = input.text();
    if input.name() != "opam" {
        for line in text.lines() {
            let mut quoted = line.split('"').skip(1).step_by(2);
            if let (Some(name), Some(version), true) = (quoted.next(), quoted.next(), line.contains("{= \""))
            {
                found.take(Stated::new("opam", name, version, State::Locked));
            }
        }
        return;
    }
    // `.opam-switch/packages/name.1.0/opam`
    let mut parents = input.path.rsplit('/').skip(1);
    if let (Some(folder), Some("packages")) = (parents.next(), parents.next())
        && let Some((name, version)) = folder.split_once('.')
    {
        let mut stated = Stated::new("opam", name, version, State::Installed);
        let licence = text.lines().find_map(|line| line.strip_prefix("license:")).map(unquoted);
        stated.licence(licence.unwrap_or_default());
        found.take(stated);
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Julia {
    deps: Table<List<JuliaPackage>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JuliaPackage {
    uuid: Text,
    version: Text,
    #[serde(rename = "git-tree-sha1")]
    tree: Text,
}

fn julia(input: &Input, found: &mut Found) {
    let Some(manifest) = found.toml::<Julia>(input.bytes) else { return };
    for (name, list) in manifest.deps.0 {
        for entry in list.0 {
            found.take(
                Stated::new("julia", name.as_str(), entry.version.take(), State::Locked)
                    .qualified("uuid", entry.uuid.take())
                    .with("git-tree-sha1", entry.tree.take()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn r_is_read() {
        let lock = br#"{"R":{"Version":"4.3.1"},"Packages":{"R6":{"Package":"R6","Version":"2.5.1","Source":"Repository","Hash":"x"}}}"#;
        assert_eq!(purls(&scan(&[("renv.lock", lock)])), ["pkg:cran/R6@2.5.1"]);
        let installed =
            b"Package: R6\nVersion: 2.5.1\nLicense: MIT + file LICENSE\nBuilt: R 4.3.1; ; 2023; unix\n";
        let catalog = scan(&[
            ("lib/R/library/R6/DESCRIPTION", installed),
            ("src/DESCRIPTION", b"Package: x\nVersion: 1\n"),
        ]);
        assert_eq!(purls(&catalog), ["pkg:cran/R6@2.5.1"]);
    }

    #[test]
    fn conda_is_read() {
        let numpy = br#"{"name":"numpy","version":"1.26.0","build":"py311_0","channel":"https://x/conda-forge/linux-64","subdir":"linux-64","license":"BSD-3-Clause","depends":["python >=3.11"],"md5":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        let python = br#"{"name":"python","version":"3.11.0","build":"0"}"#;
        let catalog = scan(&[
            ("env/conda-meta/numpy.json", numpy),
            ("env/conda-meta/python.json", python),
            ("env/conda-meta/history", b"#"),
        ]);
        assert_eq!(purls(&catalog).len(), 2);
        assert_eq!(relations(&catalog), [("numpy", "python")]);
    }

    #[test]
    fn lua_perl_haskell_ocaml_and_julia_are_read() {
        for (path, text, expected) in [
            (
                "usr/lib/luarocks/rocks-5.4/x/1.0-1/x-1.0-1.rockspec",
                "package = \"x\"\nversion = \"1.0-1\"\n",
                "pkg:luarocks/x@1.0-1",
            ),
            (
                "luarocks.lock",
                "return {\n   dependencies = {\n      inspect = \"3.1.3-0\",\n   }\n}\n",
                "pkg:luarocks/inspect@3.1.3-0",
            ),
            (
                "cpanfile.snapshot",
                "# carton snapshot format: version 1.0\nDISTRIBUTIONS\n  Mojolicious-9.33\n    pathname: S/SR/x.tar.gz\n",
                "pkg:cpan/Mojolicious@9.33",
            ),
            (
                "cabal.project.freeze",
                "active-repositories: hackage.haskell.org:merge\nconstraints: any.base ==4.18.0.0,\n",
                "pkg:hackage/base@4.18.0.0",
            ),
            (
                "stack.yaml.lock",
                "packages:\n- completed:\n    hackage: aeson-2.1.0@sha256:aa,12\n",
                "pkg:hackage/aeson@2.1.0",
            ),
            ("x.opam.locked", "depends: [\n  \"base\" {= \"v0.16.0\"}\n]\n", "pkg:opam/base@v0.16.0"),
            ("s/.opam-switch/packages/base.v0.16.0/opam", "license: \"MIT\"\n", "pkg:opam/base@v0.16.0"),
            (
                "Manifest.toml",
                "[[deps.JSON]]\nuuid = \"u\"\nversion = \"0.21.4\"\n",
                "pkg:julia/JSON@0.21.4?uuid=u",
            ),
        ] {
            assert_eq!(purls(&scan(&[(path, text.as_bytes())])), [expected], "{path}");
        }
    }
}
