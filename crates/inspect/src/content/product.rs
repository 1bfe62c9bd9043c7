//! What a manifest says which product this is, and which release of it: for files whose names do not say it.

use evidence::BytePath;
use evidence::tree::Product;

use super::{base, short};

/// Larger manifests are no manifests.
const MANIFEST_MAX_BYTES: usize = 1 << 20;

/// Reads the name and the version out of a manifest, if the member is one that is known.
pub(super) fn read(name: &BytePath, bytes: &[u8]) -> Option<Product> {
    let path = name.as_bytes();
    let text =
        || String::from_utf8_lossy(bytes.get(..bytes.len().min(MANIFEST_MAX_BYTES)).unwrap_or_default());
    let (name, version) = match base(name) {
        // "package.json" of npm, and the manifest of an extension of a browser.
        b"package.json" | b"manifest.json" if bytes.len() <= MANIFEST_MAX_BYTES => {
            let manifest: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            let of = |key: &str| manifest.get(key)?.as_str().map(str::to_owned);
            (of("name")?, of("version")?)
        }
        // "Core metadata specifications" of Python.
        b"METADATA" | b"PKG-INFO" => (field(&text(), "Name:")?, field(&text(), "Version:")?),
        // Debian Policy, chapter 5.
        b"control" if matches!(path, b"control" | b"./control") => {
            (field(&text(), "Package:")?, field(&text(), "Version:")?)
        }
        // JAR File Specification, and OSGi Core.
        b"MANIFEST.MF" => {
            let text = text();
            let first = |keys: [&str; 2]| keys.iter().find_map(|key| field(&text, key));
            let name = first(["Implementation-Title:", "Bundle-SymbolicName:"])?;
            (name, first(["Implementation-Version:", "Bundle-Version:"])?)
        }
        b"pom.properties" => (field(&text(), "artifactId=")?, field(&text(), "version=")?),
        // The table of an installer database: a name and a value in a row.
        b"Property" if path.ends_with(b"#table/Property") => {
            (field(&text(), "ProductName\t")?, field(&text(), "ProductVersion\t")?)
        }
        b"Cargo.toml" => {
            let text = text();
            let package = text.split_once("[package]")?.1;
            let package = package.split("\n[").next().unwrap_or_default();
            let of = |key: &str| {
                let mut pairs = package.lines().filter_map(|line| line.split_once('='));
                pairs
                    .find(|(found, _)| found.trim() == key)
                    .map(|(_, value)| value.trim().trim_matches('"').to_owned())
            };
            (of("name")?, of("version")?)
        }
        b"Info.plist" => {
            let text = text();
            (plist(&text, "CFBundleIdentifier")?, plist(&text, "CFBundleShortVersionString")?)
        }
        base if base.ends_with(b".nuspec") => {
            let text = text();
            (between(&text, "<id>", "<")?, between(&text, "<version>", "<")?)
        }
        _ => return None,
    };
    let (name, version) = (short(name.trim()), short(version.trim()));
    (!name.is_empty() && !version.is_empty()).then_some(Product { name, version })
}

/// What stands behind a word with which a line begins, before the first empty line.
fn field(text: &str, word: &str) -> Option<String> {
    let mut header = text.lines().take_while(|line| !line.trim().is_empty());
    header.find_map(|line| line.strip_prefix(word)).map(|value| value.trim().to_owned())
}

fn between(text: &str, begin: &str, end: &str) -> Option<String> {
    let rest = text.split_once(begin)?.1;
    rest.split(end).next().map(str::to_owned)
}

/// A text of a property list in XML.
fn plist(text: &str, key: &str) -> Option<String> {
    let rest = text.split_once(&format!("<key>{key}</key>"))?.1.trim_start();
    between(rest.strip_prefix("<string>").map(|_| rest)?, "<string>", "<")
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
