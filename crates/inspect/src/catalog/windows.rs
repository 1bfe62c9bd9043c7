//! Windows from its files: what the registry says is installed, for all users and for each, and which Windows it is.

use evidence::bom::{Kind, State};

use super::found::{Found, Stated};
use super::hive::{Hive, Key};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[Cataloger {
    name: "windows-registry",
    wants: &[
        // Windows does not tell capitals from small letters; these are written.
        Pattern::End("System32/config/SOFTWARE"),
        Pattern::End("system32/config/SOFTWARE"),
        Pattern::End("System32/config/software"),
        Pattern::End("system32/config/software"),
        Pattern::Name("NTUSER.DAT"),
        Pattern::Name("ntuser.dat"),
    ],
    read,
}];

/// Where programs say how they are removed ("Uninstall Registry Key"); for all users, of 32 bits, and of a user.
const UNINSTALL: &[&str] = &[
    "Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "Software\\Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
];

fn read(input: &Input, found: &mut Found) {
    let Some(hive) = Hive::of(input.bytes) else {
        return found.problem("malformed-registry", "not a hive");
    };
    let Some(root) = hive.root() else {
        return found.problem("malformed-registry", "the root is not a key");
    };
    if let Some(key) = root.at("Microsoft\\Windows NT\\CurrentVersion") {
        system(&key, found);
    }
    let mut seen = std::collections::BTreeSet::new();
    for path in UNINSTALL {
        if !seen.insert(path.to_lowercase()) {
            continue;
        }
        let Some(list) = root.at(path) else { continue };
        for key in list.keys() {
            program(&key, path.contains("6432"), found);
        }
    }
    if hive.is_exhausted() {
        found.problem("budget-exhausted", "its lists name too many keys and values");
    }
}

fn program(key: &Key, is_32_bit: bool, found: &mut Found) {
    let text = |name: &str| key.value(name).unwrap_or_default().trim().to_owned();
    let name = text("DisplayName");
    // A key without a name is shown to nobody; one with a parent is an update of another.
    if name.is_empty() || !text("ParentKeyName").is_empty() {
        return;
    }
    let mut stated = Stated::new("generic", name, text("DisplayVersion"), State::Installed)
        .kind(Kind::Application)
        .with("installed", text("InstallDate"))
        .with("install-location", text("InstallLocation"))
        .with("registry-key", key.name().unwrap_or_default())
        .with("bits", if is_32_bit { "32" } else { "" });
    stated.supplier = Some(text("Publisher")).filter(|text| !text.is_empty());
    found.take(stated);
}

fn system(key: &Key, found: &mut Found) {
    let text = |name: &str| key.value(name).unwrap_or_default();
    let name = text("ProductName");
    if name.is_empty() {
        return;
    }
    // 10.0.22631.3007: the last number counts updates.
    let number = |name: &str, old: &str| {
        Some(text(name)).filter(|text| !text.is_empty()).unwrap_or_else(|| old.to_owned())
    };
    let version = format!(
        "{}.{}.{}.{}",
        number("CurrentMajorVersionNumber", "6"),
        number("CurrentMinorVersionNumber", "1"),
        number("CurrentBuildNumber", "0"),
        number("UBR", "0")
    );
    found.take(
        Stated::new("", name, version, State::Installed)
            .kind(Kind::OperatingSystem)
            .with("release", text("DisplayVersion"))
            .with("edition", text("EditionID")),
    );
}

#[cfg(test)]
mod tests {
    use super::super::hive::tests::{Made, hive};
    use crate::catalog::tests::{purls, scan};

    fn nested<'a>(path: &'a str, last: Made<'a>) -> Made<'a> {
        path.rsplit('\\').fold(last, |inner, name| Made(name, &[], vec![inner]))
    }

    #[test]
    fn programs_and_the_system_are_read() {
        let programs = Made(
            "Uninstall",
            &[],
            vec![
                Made(
                    "{1}",
                    &[("DisplayName", "7-Zip"), ("DisplayVersion", "23.01"), ("Publisher", "Igor Pavlov")],
                    Vec::new(),
                ),
                Made("{2}", &[("DisplayName", "Update"), ("ParentKeyName", "{1}")], Vec::new()),
                Made("{3}", &[("SystemComponent", "#1")], Vec::new()),
            ],
        );
        let version = Made(
            "CurrentVersion",
            &[
                ("ProductName", "Windows 10 Pro"),
                ("CurrentMajorVersionNumber", "#10"),
                ("CurrentMinorVersionNumber", "#0"),
                ("CurrentBuildNumber", "22631"),
                ("UBR", "#3007"),
            ],
            Vec::new(),
        );
        let root = Made(
            "ROOT",
            &[],
            vec![Made(
                "Microsoft",
                &[],
                vec![nested("Windows\\CurrentVersion", programs), nested("Windows NT", version)],
            )],
        );
        let catalog = scan(&[("Windows/System32/config/SOFTWARE", &hive(&root))]);
        assert_eq!(purls(&catalog), ["pkg:generic/7-Zip@23.01"]);
        let system = catalog.bom.packages.iter().find(|package| package.purl.is_none()).unwrap();
        assert_eq!((system.name.as_ref(), system.version.as_ref()), ("Windows 10 Pro", "10.0.22631.3007"));
        let own = Made("Uninstall", &[], vec![Made("x", &[("DisplayName", "Own")], Vec::new())]);
        let user = Made("ROOT", &[], vec![nested("Software\\Microsoft\\Windows\\CurrentVersion", own)]);
        assert_eq!(purls(&scan(&[("Users/u/NTUSER.DAT", &hive(&user))])), ["pkg:generic/Own"]);
        assert_eq!(scan(&[("Users/u/NTUSER.DAT", b"regf")]).problems[0].kind, "malformed-registry");
    }
}
