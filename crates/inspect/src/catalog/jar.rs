//! Java archives: `pom.properties` of what is packed in, the manifest where there are none, and archives inside archives.

use std::collections::VecDeque;

use evidence::bom::{Algorithm, State};

use super::found::Found;
use super::java::package;
use super::lines::{Fields, property};
use super::{Cataloger, Input, Pattern};
use crate::unpack::zip;

pub(super) const CATALOGERS: &[Cataloger] = &[Cataloger {
    name: "java-archive",
    wants: &[
        Pattern::Extension("jar"),
        Pattern::Extension("war"),
        Pattern::Extension("ear"),
        Pattern::Extension("par"),
        Pattern::Extension("sar"),
        Pattern::Extension("nar"),
        Pattern::Extension("hpi"),
        Pattern::Extension("jpi"),
        Pattern::Extension("kar"),
        Pattern::Extension("lpkg"),
    ],
    read,
}];

/// Archives in archives in archives.
const DEPTH_MAX: u32 = 5;
/// Archives inside one.
const ARCHIVES_MAX: usize = 20_000;
/// Unpacked bytes of one archive with all inside it.
const ROOM_BYTES: u64 = 1 << 30;

/// An archive that waits to be read.
struct Waiting {
    /// How it is reached from the outermost one; empty for that.
    inside: String,
    name: String,
    bytes: Vec<u8>,
    depth: u32,
}

fn read(input: &Input, found: &mut Found) {
    let mut room = ROOM_BYTES;
    let mut waiting = VecDeque::from([Waiting {
        inside: String::new(),
        name: input.name().to_owned(),
        bytes: input.bytes.to_vec(),
        depth: 0,
    }]);
    let mut count = 0;
    while let Some(archive) = waiting.pop_front() {
        let Some(members) = zip::select(&archive.bytes, &is_wanted, &mut room) else {
            found.problem("malformed-zip", format!("{}{}", archive.inside, archive.name));
            continue;
        };
        state(&archive, &members, found);
        for (name, bytes) in members {
            let name = name.to_string();
            if !is_archive(&name) {
                continue;
            }
            count += 1;
            if archive.depth >= DEPTH_MAX || count > ARCHIVES_MAX {
                found.problem("budget-exhausted", "archives are nested too deep, or too many");
                return;
            }
            waiting.push_back(Waiting {
                inside: format!("{}{}!", archive.inside, archive.name),
                name,
                bytes,
                depth: archive.depth + 1,
            });
        }
    }
    if room == 0 {
        found.problem("budget-exhausted", "too many bytes in the archive");
    }
}

fn is_wanted(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    name == "META-INF/MANIFEST.MF"
        || (name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties"))
        || is_archive(name)
}

fn is_archive(name: &str) -> bool {
    [".jar", ".war", ".ear", ".rar"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// States what one archive is, and what is packed into it.
fn state(archive: &Waiting, members: &[(evidence::BytePath, Vec<u8>)], found: &mut Found) {
    let file = archive.name.rsplit('/').next().unwrap_or(&archive.name);
    let (stem, file_version) = stem_and_version(file);
    let place =
        if archive.inside.is_empty() { String::new() } else { format!("{}{}", archive.inside, archive.name) };
    let sha1 = sha1_hex(&archive.bytes);
    let mut named = false;
    for (name, bytes) in members {
        if !name.as_bytes().ends_with(b"/pom.properties") {
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        let field = |wanted| property(&text, wanted);
        let (Some(group), Some(artifact)) = (field("groupId"), field("artifactId")) else {
            found.problem("malformed-pom-properties", name);
            continue;
        };
        let version = field("version").unwrap_or_default();
        // The archive's own description has its name; others were packed in.
        let own = stem == artifact
            || members.iter().filter(|(name, _)| name.as_bytes().ends_with(b"/pom.properties")).count() == 1;
        let state = if own && archive.inside.is_empty() { State::Installed } else { State::Embedded };
        let mut stated = package(group, artifact, version, state).with("inside", place.as_str());
        if own {
            stated.hash(Algorithm::Sha1, &sha1);
            named = true;
        }
        found.take(stated);
    }
    if named {
        return;
    }
    let manifest = members.iter().find(|(name, _)| name.as_bytes() == b"META-INF/MANIFEST.MF");
    let text = manifest.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let fields = Fields::read(&text);
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| fields.one(name)).filter(|text| !text.is_empty())
    };
    let symbolic =
        fields.one("Bundle-SymbolicName").map(|text| text.split(';').next().unwrap_or(text).trim());
    let version = first(&["Implementation-Version", "Bundle-Version", "Specification-Version"])
        .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(' '));
    let version = match (file_version, version) {
        ("", Some(version)) => version,
        (version, _) => version,
    };
    if stem.is_empty() || (manifest.is_none() && version.is_empty()) {
        return;
    }
    let group = first(&["Implementation-Vendor-Id"])
        .filter(|text| text.contains('.') && !text.contains(' '))
        .or_else(|| symbolic.and_then(|name| Some(name.rsplit_once('.')?.0)))
        // The group is not known; purls of Maven need one, and scanners agree on the name.
        .unwrap_or(stem);
    let state = if archive.inside.is_empty() { State::Installed } else { State::Embedded };
    let mut stated = package(group, stem, version, state).with("inside", place);
    stated.supplier = first(&["Implementation-Vendor", "Bundle-Vendor"]).map(str::to_owned);
    stated.licence(fields.one("Bundle-License").filter(|text| text.len() < 60).unwrap_or_default());
    stated.hash(Algorithm::Sha1, &sha1);
    found.take(stated);
}

/// Splits `name-1.2.3.jar`: the version begins at the first hyphen before a digit.
fn stem_and_version(file: &str) -> (&str, &str) {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let split = stem
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    split.map_or((stem, ""), |at| (&stem[..at], &stem[at + 1..]))
}

/// Maven Central finds an archive by its SHA-1.
fn sha1_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    super::found::hex(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, scan};
    use forge::zip_stored;

    #[test]
    fn archives_are_named_by_their_description_their_manifest_or_their_file() {
        let described = zip_stored(&[
            ("META-INF/MANIFEST.MF", &b"Manifest-Version: 1.0\n"[..]),
            ("META-INF/maven/org.t/lib/pom.properties", b"version=1.2\ngroupId=org.t\nartifactId=lib\n"),
        ])
        .unwrap();
        let manifest = zip_stored(&[(
            "META-INF/MANIFEST.MF",
            &b"Manifest-Version: 1.0\r\nBundle-SymbolicName: org.b.bundle;singleton:=true\r\nBundle-Version: 3.1.0\r\n"[..],
        )])
        .unwrap();
        let outer = zip_stored(&[
            ("WEB-INF/lib/lib-1.2.jar", described.as_slice()),
            ("BOOT-INF/lib/plain-2.0.jar", &zip_stored(&[("a", b"1")]).unwrap()),
            ("META-INF/MANIFEST.MF", b"Implementation-Version: 9\n"),
        ])
        .unwrap();
        let catalog = scan(&[("lib-1.2.jar", &described), ("bundle.jar", &manifest), ("app-9.war", &outer)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:maven/app/app@9",
                "pkg:maven/org.b/bundle@3.1.0",
                "pkg:maven/org.t/lib@1.2",
                "pkg:maven/plain/plain@2.0"
            ]
        );
        assert_eq!(catalog.bom.packages[2].evidence.len(), 2);
        assert_eq!(scan(&[("x.jar", b"no zip at all")]).problems[0].kind, "malformed-zip");
    }
}
