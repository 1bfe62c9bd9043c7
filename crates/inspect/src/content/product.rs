//! What a manifest says which product this is, and which release of it: for files whose names do not say it.

use evidence::BytePath;
use evidence::tree::Product;
use serde::Deserialize;

use super::{base, short};
use crate::catalog::{Fields, Text, dictionaries, property, specified};

/// Larger manifests are no manifests.
const MANIFEST_MAX_BYTES: usize = 1 << 20;

/// What manifests of npm, of extensions of browsers and of Rust have alike.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: Text,
    version: Text,
}

#[derive(Deserialize)]
struct Cargo {
    package: Named,
}

/// Reads the name and the version out of a manifest, if the member is one that is known.
pub(super) fn read(name: &BytePath, bytes: &[u8]) -> Option<Product> {
    if bytes.len() > MANIFEST_MAX_BYTES {
        return None;
    }
    let (name, version) = stated(name, bytes)?;
    let (name, version) = (short(name.trim()), short(version.trim()));
    (!name.is_empty() && !version.is_empty()).then_some(Product { name, version })
}

fn stated(name: &BytePath, bytes: &[u8]) -> Option<(String, String)> {
    let path = name.as_bytes();
    let text = || String::from_utf8_lossy(bytes);
    match base(name) {
        // "package.json" of npm, and the manifest of an extension of a browser.
        b"package.json" | b"manifest.json" => {
            serde_json::from_slice(bytes).ok().map(|Named { name, version }| (name.take(), version.take()))
        }
        // "Core metadata specifications" of Python.
        b"METADATA" | b"PKG-INFO" => of_fields(&text(), &["Name"], &["Version"]),
        // Debian Policy, chapter 5.
        b"control" if matches!(path, b"control" | b"./control") => {
            of_fields(&text(), &["Package"], &["Version"])
        }
        // JAR File Specification, and OSGi Core: what stands behind the name are directives.
        b"MANIFEST.MF" => {
            let (names, versions) = (
                ["Implementation-Title", "Bundle-SymbolicName"],
                ["Implementation-Version", "Bundle-Version"],
            );
            let (name, version) = of_fields(&text(), &names, &versions)?;
            Some((name.split(';').next().unwrap_or_default().to_owned(), version))
        }
        b"pom.properties" => {
            let text = text();
            Some((property(&text, "artifactId")?.to_owned(), property(&text, "version")?.to_owned()))
        }
        // The table of an installer database: a name and a value in a row.
        b"Property" if path.ends_with(b"#table/Property") => {
            let text = text();
            let rows = text.lines().filter_map(|line| line.split_once('\t'));
            let value =
                |name| rows.clone().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
            Some((value("ProductName")?, value("ProductVersion")?))
        }
        b"Cargo.toml" => {
            let manifest: Cargo = toml::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
            Some((manifest.package.name.take(), manifest.package.version.take()))
        }
        b"Info.plist" => {
            let mut bundle = dictionaries(bytes).ok()?.into_iter().next()?;
            Some((bundle.remove("CFBundleIdentifier")?, bundle.remove("CFBundleShortVersionString")?))
        }
        base if base.ends_with(b".nuspec") => {
            let stated = specified(bytes);
            Some((stated.name, stated.version))
        }
        _ => None,
    }
}

/// Reads the first of several fields for the name, and for the version.
fn of_fields(text: &str, names: &[&'static str], versions: &[&'static str]) -> Option<(String, String)> {
    let fields = Fields::read(text);
    let first = |keys: &[&'static str]| keys.iter().find_map(|key| fields.one(key)).map(str::to_owned);
    Some((first(names)?, first(versions)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manifest_says_which_release_it_is() {
        for (name, text) in [
            ("package/package.json", r#"{"name": "a", "version": "1.2"}"#),
            ("a-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: a\nVersion: 1.2\n\nName: b\n"),
            ("./control", "Package: a\nSource: b\nVersion: 1.2\n"),
            (
                "META-INF/MANIFEST.MF",
                "Manifest-Version: 1.0\r\nImplementation-Title: a\r\nBundle-Version: 1.2\r\n",
            ),
            ("META-INF/maven/x/a/pom.properties", "#x\ngroupId=x\nartifactId=a\nversion=1.2\n"),
            ("#table/Property", "Property*:s72\tValue:l0\nProductName\ta\nProductVersion\t1.2\n"),
            (
                "a-1.2/Cargo.toml",
                "[package]\nname = \"a\"\nversion = \"1.2\"\n[dependencies.c]\nversion = \"3\"\n",
            ),
            (
                "A.app/Contents/Info.plist",
                "<dict><key>CFBundleIdentifier</key>\n<string>a</string><key>CFBundleShortVersionString</key><string>1.2</string></dict>",
            ),
            ("a.nuspec", "<package><metadata><id>a</id><version>1.2</version></metadata></package>"),
        ] {
            let expected = Product { name: "a".into(), version: "1.2".into() };
            assert_eq!(read(&name.into(), text.as_bytes()), Some(expected), "{name}");
            assert_eq!(read(&name.into(), b""), None, "{name}");
            assert_eq!(read(&name.into(), &text.as_bytes()[..text.len() / 3]), None, "{name}");
        }
        assert_eq!(read(&"usr/share/control".into(), b"Package: a\nVersion: 1.2\n"), None);
        assert_eq!(read(&"a/x.json".into(), br#"{"name": "a", "version": "1.2"}"#), None);
    }
}
