//! macOS from its files: applications, frameworks and kernel extensions by their `Info.plist`, and the receipts of installers.

use evidence::bom::{Kind, State};

use super::found::{Found, Stated};
use super::plist::{Dictionary, dictionaries};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "apple-bundle", wants: &[Pattern::Name("Info.plist")], read: bundle },
    Cataloger {
        name: "apple-receipt",
        wants: &[Pattern::Folder("var/db/receipts"), Pattern::Folder("Library/Receipts/db")],
        read: receipt,
    },
    Cataloger {
        name: "apple-install-history",
        wants: &[Pattern::End("Library/Receipts/InstallHistory.plist")],
        read: history,
    },
    Cataloger {
        name: "apple-system",
        wants: &[Pattern::End("System/Library/CoreServices/SystemVersion.plist")],
        read: system,
    },
];

fn read(input: &Input, found: &mut Found) -> Vec<Dictionary> {
    match dictionaries(input.bytes) {
        Ok(dictionaries) => dictionaries,
        Err(detail) => {
            found.problem("malformed-property-list", detail);
            Vec::new()
        }
    }
}

fn text<'a>(dictionary: &'a Dictionary, keys: &[&str]) -> &'a str {
    let values = keys.iter().filter_map(|key| dictionary.get(*key)).map(|value| value.trim());
    values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
}

/// The bundle in whose description a path is: its folder's name without the ending, and what sort it is.
fn bundle_of(path: &str) -> Option<(&str, Kind)> {
    const SORTS: [(&str, Kind); 4] = [
        (".app", Kind::Application),
        (".kext", Kind::DeviceDriver),
        (".framework", Kind::Framework),
        (".prefPane", Kind::Application),
    ];
    // `X.app/Contents`, `X.framework/Resources`, `X.framework/Versions/A/Resources`, and `X.app` on a telephone.
    let folders = path.rsplit('/').skip(1).take(5);
    for (number, folder) in folders.enumerate() {
        let sort = SORTS.iter().find_map(|(end, kind)| Some((folder.strip_suffix(end)?, *kind)));
        if let Some((name, kind)) = sort {
            return Some((name, kind)).filter(|(name, _)| !name.is_empty());
        }
        let is_version = folder.len() == 1 && folder.bytes().all(|byte| byte.is_ascii_uppercase());
        if number > 3 || !matches!(folder, "Contents" | "Resources" | "Versions") && !is_version {
            return None;
        }
    }
    None
}

fn bundle(input: &Input, found: &mut Found) {
    let Some((folder, kind)) = bundle_of(input.path) else {
        // The packages of old installers: `Library/Receipts/X.pkg/Contents/Info.plist`.
        if let Some(name) = old_receipt(input.path) {
            for dictionary in read(input, found) {
                installed(&dictionary, name, found);
            }
        }
        return;
    };
    for dictionary in read(input, found) {
        let version = text(&dictionary, &["CFBundleShortVersionString", "CFBundleVersion"]);
        // A variable of a project that was never built.
        if version.contains("$(") || version.contains("${") {
            continue;
        }
        // The folder is what people call it; the description often has the name of the program in it.
        found.take(
            Stated::new("generic", folder, version, State::Installed)
                .kind(kind)
                .with("bundle-identifier", text(&dictionary, &["CFBundleIdentifier"]))
                .with("bundle-version", text(&dictionary, &["CFBundleVersion"]))
                .with("minimum-system", text(&dictionary, &["LSMinimumSystemVersion"])),
        );
    }
}

fn old_receipt(path: &str) -> Option<&str> {
    let package = path.strip_suffix("/Contents/Info.plist")?;
    let (folder, package) = package.rsplit_once('/')?;
    folder.ends_with("Library/Receipts").then(|| package.strip_suffix(".pkg"))?
}

/// A receipt: which package an installer has laid down (`pkgutil`).
fn receipt(input: &Input, found: &mut Found) {
    // Beside each lies a list of its files, `.bom`.
    let Some(name) = input.name().strip_suffix(".plist") else { return };
    for dictionary in read(input, found) {
        installed(&dictionary, name, found);
    }
}

fn installed(dictionary: &Dictionary, name: &str, found: &mut Found) {
    let identifier = text(dictionary, &["PackageIdentifier", "CFBundleIdentifier"]);
    let identifier = if identifier.is_empty() { name } else { identifier };
    let version = text(dictionary, &["PackageVersion", "CFBundleShortVersionString", "CFBundleVersion"]);
    found.take(
        Stated::new("generic", identifier, version, State::Installed)
            .kind(Kind::Application)
            .with("installed", text(dictionary, &["InstallDate"]))
            .with("installed-by", text(dictionary, &["InstallProcessName"]))
            .with("package-file", text(dictionary, &["PackageFileName"])),
    );
}

/// The log of all installations and updates. What was installed twice is there in its last version only.
fn history(input: &Input, found: &mut Found) {
    let mut last: std::collections::BTreeMap<String, Dictionary> = std::collections::BTreeMap::new();
    for dictionary in read(input, found) {
        let name = text(&dictionary, &["displayName"]).to_owned();
        let is_newer = |known: &Dictionary| text(known, &["date"]) <= text(&dictionary, &["date"]);
        if !name.is_empty() && last.get(&name).is_none_or(is_newer) {
            last.insert(name, dictionary);
        }
    }
    for (name, dictionary) in last {
        found.take(
            Stated::new("generic", name, text(&dictionary, &["displayVersion"]), State::Installed)
                .kind(Kind::Application)
                .with("installed", text(&dictionary, &["date"]))
                .with("installed-by", text(&dictionary, &["processName"])),
        );
    }
}

fn system(input: &Input, found: &mut Found) {
    for dictionary in read(input, found) {
        let name = text(&dictionary, &["ProductName"]);
        let version = text(&dictionary, &["ProductUserVisibleVersion", "ProductVersion"]);
        found.take(
            Stated::new("", name, version, State::Installed)
                .kind(Kind::OperatingSystem)
                .with("build", text(&dictionary, &["ProductBuildVersion"])),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::plist::tests::binary;
    use crate::catalog::tests::{purls, scan};

    fn xml(entries: &[(&str, &str)]) -> Vec<u8> {
        let body: String =
            entries.iter().map(|(key, value)| format!("<key>{key}</key><string>{value}</string>")).collect();
        format!("<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{body}</dict></plist>").into_bytes()
    }

    #[test]
    fn applications_frameworks_and_extensions_are_told_by_their_folder() {
        for (path, expected) in [
            ("Applications/Safari.app/Contents/Info.plist", Some(("Safari", Kind::Application))),
            ("Safari.app/Info.plist", Some(("Safari", Kind::Application))),
            ("A.framework/Versions/A/Resources/Info.plist", Some(("A", Kind::Framework))),
            ("A.framework/Resources/Info.plist", Some(("A", Kind::Framework))),
            ("System/Library/Extensions/B.kext/Contents/Info.plist", Some(("B", Kind::DeviceDriver))),
            ("A.app/Contents/Resources/x/y/Info.plist", None),
            ("Info.plist", None),
            (".app/Contents/Info.plist", None),
        ] {
            assert_eq!(bundle_of(path), expected, "{path}");
        }
    }

    #[test]
    fn bundles_are_read_in_both_forms() {
        let entries = [
            ("CFBundleIdentifier", "com.example.app"),
            ("CFBundleShortVersionString", "2.1"),
            ("CFBundleVersion", "21A"),
        ];
        for bytes in [xml(&entries), binary(&entries)] {
            let catalog = scan(&[("Applications/My App.app/Contents/Info.plist", &bytes)]);
            assert_eq!(purls(&catalog), ["pkg:generic/My%20App@2.1"]);
            assert_eq!(catalog.bom.packages[0].kind, Kind::Application);
        }
        let unbuilt = xml(&[("CFBundleShortVersionString", "$(MARKETING_VERSION)")]);
        assert!(scan(&[("src/A.app/Contents/Info.plist", &unbuilt)]).bom.packages.is_empty());
        let wrong = scan(&[("A.app/Contents/Info.plist", b"nothing")]);
        assert_eq!(wrong.problems[0].kind, "malformed-property-list");
    }

    #[test]
    fn receipts_and_history_are_read() {
        let receipt = [
            ("InstallDate", "x"),
            ("PackageIdentifier", "org.nodejs.node.pkg"),
            ("PackageVersion", "20.1.0"),
        ];
        let catalog = scan(&[("private/var/db/receipts/org.nodejs.node.pkg.plist", &binary(&receipt))]);
        assert_eq!(purls(&catalog), ["pkg:generic/org.nodejs.node.pkg@20.1.0"]);
        let old = xml(&[("CFBundleIdentifier", "com.x.old"), ("CFBundleShortVersionString", "1.0")]);
        let catalog = scan(&[("Library/Receipts/Old.pkg/Contents/Info.plist", &old)]);
        assert_eq!(purls(&catalog), ["pkg:generic/com.x.old@1.0"]);
        let history = b"<plist><array><dict><key>date</key><date>2024-02-01T00:00:00Z</date><key>displayName</key><string>Tools</string><key>displayVersion</key><string>15.2</string></dict><dict><key>date</key><date>2023-02-01T00:00:00Z</date><key>displayName</key><string>Tools</string><key>displayVersion</key><string>15.1</string></dict></array></plist>";
        let catalog = scan(&[("Library/Receipts/InstallHistory.plist", history)]);
        assert_eq!(purls(&catalog), ["pkg:generic/Tools@15.2"]);
        let system =
            xml(&[("ProductName", "macOS"), ("ProductVersion", "14.4"), ("ProductBuildVersion", "23E")]);
        let catalog = scan(&[("System/Library/CoreServices/SystemVersion.plist", &system)]);
        assert_eq!(
            (catalog.bom.packages[0].name.as_ref(), catalog.bom.packages[0].version.as_ref()),
            ("macOS", "14.4")
        );
    }
}
