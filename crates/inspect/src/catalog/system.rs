//! Package databases of Debian and Alpine and their relatives, and what system it is.

use evidence::bom::{Algorithm, Kind, State};

use super::found::{Found, Stated, System};
use super::lines::{Fields, base64, paragraphs, unquoted};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "os-release",
        wants: &[Pattern::End("etc/os-release"), Pattern::End("usr/lib/os-release")],
        read: os_release,
    },
    Cataloger {
        name: "dpkg",
        wants: &[Pattern::End("var/lib/dpkg/status"), Pattern::Folder("var/lib/dpkg/status.d")],
        read: dpkg,
    },
    Cataloger {
        name: "apk",
        wants: &[Pattern::End("lib/apk/db/installed"), Pattern::End("usr/lib/apk/db/installed")],
        read: apk,
    },
];

/// `os-release(5)`.
fn os_release(input: &Input, found: &mut Found) {
    let text = input.text();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(unquoted)?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let Some(id) = field("ID") else { return };
    let version = field("VERSION_ID").unwrap_or_default();
    let mut system =
        Stated::new("", id.clone(), version.clone(), State::Installed).kind(Kind::OperatingSystem);
    system.cpes.extend(field("CPE_NAME").filter(|name| name.starts_with("cpe:2.3:")));
    system = system.with("title", field("PRETTY_NAME").unwrap_or_default());
    found.take(system);
    found.system = Some(System { id, version });
}

/// dpkg's status file (`deb-control(5)`), or one paragraph of a `status.d`, where every package is installed.
fn dpkg(input: &Input, found: &mut Found) {
    // `status.d/NAME.md5sums` lists files.
    if input.name().ends_with(".md5sums") {
        return;
    }
    let one_each = input.path.contains("/status.d/") || input.path.starts_with("status.d/");
    for paragraph in paragraphs(&input.text()) {
        let fields = Fields::read(paragraph);
        let (Some(name), Some(version)) = (fields.one("Package"), fields.one("Version")) else {
            found.problem("malformed-dpkg-status", "a paragraph without package or version");
            continue;
        };
        match fields.one("Status") {
            Some(status) if status.ends_with(" installed") => {}
            None if one_each => {}
            _ => continue,
        }
        let Some(place) = found.take(deb(name, version, &fields, State::Installed)) else { continue };
        for list in ["Depends", "Pre-Depends"] {
            let list = fields.one(list).unwrap_or_default();
            found.needs.extend(names(list).map(|name| (place, name)));
        }
    }
}

/// Makes a package of the fields of its control paragraph (`deb-control(5)`).
pub(super) fn deb(name: &str, version: &str, fields: &Fields, state: State) -> Stated {
    let mut package = Stated::new("deb", name, version, state)
        .qualified("arch", fields.one("Architecture").unwrap_or_default());
    package.supplier = fields.one("Maintainer").map(str::to_owned);
    package = package
        .with("installed-kib", fields.one("Installed-Size").unwrap_or_default())
        .with("essential", fields.one("Essential").filter(|said| *said == "yes").unwrap_or_default());
    package.provides = names(fields.one("Provides").unwrap_or_default()).collect();
    // `Source: name (version)`: advisories speak of source packages.
    if let Some(source) = fields.one("Source") {
        let (name, version) = source.split_once(" (").unwrap_or((source, ""));
        package = package.with("source", name).with("source-version", version.trim_end_matches(')'));
    }
    package
}

/// The names in a list of dependencies: of alternatives, all.
pub(super) fn names(list: &str) -> impl Iterator<Item = String> {
    list.split([',', '|']).filter_map(|entry| {
        let name = entry.trim().split([' ', '(', ':', '[']).next()?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// Alpine's list of what is installed (`apk-db(5)`): one letter, a colon, a value.
fn apk(input: &Input, found: &mut Found) {
    for paragraph in paragraphs(&input.text()) {
        let field =
            |letter: &str| paragraph.lines().find_map(|line| line.strip_prefix(letter)?.strip_prefix(':'));
        let (Some(name), Some(version)) = (field("P"), field("V")) else {
            found.problem("malformed-apk-database", "a paragraph without package or version");
            continue;
        };
        let mut package = Stated::new("apk", name, version, State::Installed)
            .qualified("arch", field("A").unwrap_or_default())
            .with("source", field("o").unwrap_or_default())
            .with("commit", field("c").unwrap_or_default());
        package.supplier = field("m").map(str::to_owned);
        package.licence(field("L").unwrap_or_default());
        // `Q1` and the SHA-1 of the control segment.
        if let Some(digest) = field("C").and_then(|text| base64(text.strip_prefix("Q1")?)) {
            package.hash(Algorithm::Sha1, &super::found::hex(&digest));
        }
        let plain = |word: &str| word.split(['=', '<', '>', '~']).next().unwrap_or(word).to_owned();
        package.provides = field("p").unwrap_or_default().split_whitespace().map(plain).collect();
        let Some(place) = found.take(package) else { continue };
        let needs = field("D").unwrap_or_default().split_whitespace();
        found.needs.extend(needs.filter(|word| !word.starts_with('!')).map(|word| (place, plain(word))));
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    const STATUS: &[u8] = b"Package: libc6\nStatus: install ok installed\nMaintainer: GNU <g@x.invalid>\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u4\n\nPackage: bash\nStatus: install ok installed\nArchitecture: amd64\nPre-Depends: libc6 (>= 2.36), libtinfo6 (>= 6)\nVersion: 5.2.15-2+b2\nDescription: shell\n text\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n";

    #[test]
    fn debian_is_read_with_its_release_and_relations() {
        let os = b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian\"\n";
        let catalog = scan(&[("etc/os-release", os), ("var/lib/dpkg/status", STATUS)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12",
                "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
            ]
        );
        assert_eq!(relations(&catalog), [("bash", "libc6")]);
        assert_eq!(catalog.problems, []);
    }

    #[test]
    fn distroless_images_have_a_paragraph_a_file() {
        let one = b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n";
        let catalog = scan(&[
            ("x.tar!var/lib/dpkg/status.d/base", one),
            ("x.tar!var/lib/dpkg/status.d/base.md5sums", b"00  etc/x\n"),
        ]);
        assert_eq!(purls(&catalog), ["pkg:deb/debian/base-files@12.4?arch=amd64"]);
    }

    #[test]
    fn alpine_is_read() {
        let database = b"C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\nm:T <t@x.invalid>\np:so:libc.musl-x86_64.so.1=1\n\nP:busybox\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\nD:so:libc.musl-x86_64.so.1\nF:bin\nR:busybox\n";
        let catalog = scan(&[
            ("lib/apk/db/installed", database),
            ("etc/os-release", b"ID=alpine\nVERSION_ID=3.20.3\n"),
        ]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:apk/alpine/busybox@1.36.1-r29?arch=x86_64&distro=alpine-3.20.3",
                "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.3",
            ]
        );
        assert_eq!(relations(&catalog), [("busybox", "musl")]);
        assert_eq!(catalog.bom.packages[1].hashes.len() + catalog.bom.packages[2].hashes.len(), 1);
    }
}
