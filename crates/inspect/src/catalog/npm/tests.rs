//! npm's and pnpm's lock files of all versions, and installed packages.

use crate::catalog::tests::{direct, purls, relations, scan};

#[test]
fn a_lock_file_of_version_3_is_read() {
    let lock = br#"{"name":"app","lockfileVersion":3,"packages":{
        "":{"name":"app","version":"1.0.0","dependencies":{"a":"^1"},"devDependencies":{"@s/b":"*"}},
        "node_modules/a":{"version":"1.2.0","resolved":"https://r.test/a-1.2.0.tgz","integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==","license":"MIT","dependencies":{"c":"1"}},
        "node_modules/@s/b":{"version":"2.0.0","dev":true,"dependencies":{"c":"2"}},
        "node_modules/@s/b/node_modules/c":{"version":"2.0.0","dev":true},
        "node_modules/c":{"version":"1.0.0","engines":["x"],"license":{"type":"ISC"}},
        "node_modules/w":{"resolved":"packages/w","link":true},
        "packages/w":{"version":"0.0.0","dependencies":{"c":"1"}}}}"#;
    let catalog = scan(&[("package-lock.json", lock)]);
    assert_eq!(
        purls(&catalog),
        ["pkg:npm/%40s/b@2.0.0", "pkg:npm/a@1.2.0", "pkg:npm/c@1.0.0", "pkg:npm/c@2.0.0"]
    );
    let edges: Vec<_> = catalog.bom.relations.clone();
    assert_eq!(edges, [(0, 3), (1, 2)]);
    assert_eq!(direct(&catalog), ["b", "a", "c"]);
    assert_eq!(catalog.bom.packages[1].hashes[0].algorithm.cyclonedx(), "SHA-512");
    assert_eq!(catalog.bom.packages[1].licences, ["MIT".into()]);
    assert_eq!(catalog.problems, []);
}

#[test]
fn a_lock_file_of_version_1_is_read() {
    let lock = br#"{"lockfileVersion":1,"dependencies":{
        "a":{"version":"1.0.0","integrity":"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=","requires":{"b":"^2"},"dependencies":{"b":{"version":"2.0.0"}}},
        "b":{"version":"1.0.0","dev":true},
        "alias":{"version":"npm:@s/real@3.0.0"}}}"#;
    let catalog = scan(&[("npm-shrinkwrap.json", lock)]);
    assert_eq!(
        purls(&catalog),
        ["pkg:npm/%40s/real@3.0.0", "pkg:npm/a@1.0.0", "pkg:npm/b@1.0.0", "pkg:npm/b@2.0.0"]
    );
    assert_eq!(catalog.bom.relations, [(1, 3)]);
}

#[test]
fn pnpm_lock_files_of_all_versions_are_read() {
    let nine = "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      '@babel/core':\n        specifier: ^7.0.0\n        version: 7.26.0(x@1.0.0)\n\npackages:\n\n  '@babel/core@7.26.0':\n    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}\n    engines: {node: '>=6.9.0'}\n\n  ms@2.1.3:\n    resolution: {integrity: sha512-x}\n\nsnapshots:\n\n  '@babel/core@7.26.0(x@1.0.0)':\n    dependencies:\n      ms: 2.1.3\n\n  ms@2.1.3: {}\n";
    let six = "lockfileVersion: '6.0'\n\ndependencies:\n  '@babel/core':\n    specifier: ^7.0.0\n    version: 7.26.0\n\npackages:\n\n  /@babel/core@7.26.0:\n    resolution: {integrity: sha512-x}\n    dependencies:\n      ms: 2.1.3\n    dev: false\n\n  /ms@2.1.3:\n    resolution: {integrity: sha512-x}\n    dev: false\n";
    let five = "lockfileVersion: 5.4\n\nspecifiers:\n  '@babel/core': ^7.0.0\n\ndependencies:\n  '@babel/core': 7.26.0_x@1\n\npackages:\n\n  /@babel/core/7.26.0_x@1:\n    resolution: {integrity: sha512-x}\n    dependencies:\n      ms: 2.1.3\n    dev: false\n\n  /ms/2.1.3:\n    resolution: {integrity: sha512-x}\n";
    for text in [nine, six, five] {
        let catalog = scan(&[("pnpm-lock.yaml", text.as_bytes())]);
        assert_eq!(purls(&catalog), ["pkg:npm/%40babel/core@7.26.0", "pkg:npm/ms@2.1.3"], "{text}");
        assert_eq!(relations(&catalog), [("core", "ms")], "{text}");
        assert_eq!(direct(&catalog), ["core"], "{text}");
    }
}

#[test]
fn installed_packages_are_those_directly_in_node_modules() {
    let catalog = scan(&[
        (
            "node_modules/a/package.json",
            br#"{"name":"a","version":"1.0.0","license":{"type":"MIT"},"author":{"name":"A"},"dependencies":{"@s/b":"1"}}"#,
        ),
        ("node_modules/@s/b/package.json", br#"{"name":"@s/b","version":"1.0.0","licenses":[{"type":"ISC"}]}"#),
        ("node_modules/a/esm/package.json", br#"{"type":"module","name":"x","version":"1"}"#),
        ("package.json", br#"{"name":"app","version":"1"}"#),
        ("node_modules/c/package.json", b"{"),
        ("usr/share/nodejs/d/package.json", br#"{"name":"d","version":"2.0.0"}"#),
        ("usr/share/nodejs/d/lib/package.json", br#"{"name":"no","version":"2.0.0"}"#),
    ]);
    assert_eq!(purls(&catalog), ["pkg:npm/%40s/b@1.0.0", "pkg:npm/a@1.0.0", "pkg:npm/d@2.0.0"]);
    assert_eq!(catalog.bom.packages[1].supplier.as_deref(), Some("A"));
    assert_eq!(catalog.problems.len(), 1);
}
