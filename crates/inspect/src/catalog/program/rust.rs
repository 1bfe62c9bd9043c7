//! The dependency list of `cargo auditable`: JSON, compressed by zlib, in a section `.dep-v0`.

use std::io::{self, Read};

use evidence::bom::{Kind, State};
use serde::Deserialize;

use super::super::found::{Found, Stated};
use super::super::loose::{Flag, List, Text};
use super::{Content, Section, whole};

const PACKED_MAX_BYTES: u64 = 8 << 20;
const LIST_MAX_BYTES: u64 = 16 << 20;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Audit {
    packages: List<Package>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Package {
    name: Text,
    version: Text,
    source: Text,
    kind: Text,
    dependencies: List<u32>,
    root: Flag,
}

pub(super) fn read(content: &dyn Content, sections: &[Section], found: &mut Found) -> io::Result<()> {
    let Some(section) =
        sections.iter().find(|section| section.name == ".dep-v0" || section.name == "rust-deps-v0")
    else {
        return Ok(());
    };
    let packed = whole(content, section, PACKED_MAX_BYTES)?;
    let mut list = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(packed.as_slice()).take(LIST_MAX_BYTES + 1);
    if let Err(error) = decoder.read_to_end(&mut list) {
        found.problem("malformed-dependency-list", error);
        return Ok(());
    }
    if list.len() as u64 > LIST_MAX_BYTES {
        found.problem("budget-exhausted", "the dependency list is too large");
        return Ok(());
    }
    let Some(audit) = found.json::<Audit>(&list) else { return Ok(()) };
    for package in &audit.packages.0 {
        let mut stated =
            Stated::new("cargo", package.name.as_str(), package.version.as_str(), State::Embedded)
                .with("dependency-kind", package.kind.as_str());
        if package.root.0 {
            stated = stated.kind(Kind::Application);
        }
        if !matches!(package.source.as_str(), "" | "crates.io") {
            stated = stated.with("source", package.source.as_str());
        }
        found.take(stated);
    }
    // Places are those of the list, as long as every package was taken.
    if found.packages.len() == audit.packages.0.len() {
        for (from, package) in audit.packages.0.iter().enumerate() {
            let from = u32::try_from(from).unwrap_or(u32::MAX);
            found.relations.extend(package.dependencies.0.iter().map(|to| (from, *to)));
        }
    }
    Ok(())
}
