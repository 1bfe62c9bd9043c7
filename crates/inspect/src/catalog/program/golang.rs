//! Go's build information (`debug/buildinfo`): the version of Go and the modules that are linked in.

use std::io;

use evidence::bom::{Kind, State};

use super::super::found::Found;
use super::super::golang::package;
use super::{Content, Section, whole};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The strings follow the header, as all versions since Go 1.18 write them.
const INLINE: u8 = 2;
const HEADER_BYTES: usize = 32;
const SECTION_MAX_BYTES: u64 = 4 << 20;

pub(super) fn read(content: &dyn Content, sections: &[Section], found: &mut Found) -> io::Result<()> {
    let named = |name: &str| sections.iter().find(|section| section.name == name);
    let own = named(".go.buildinfo").or_else(|| named("__go_buildinfo"));
    // Windows images have it in their data.
    let Some(section) = own.or_else(|| named(".data").filter(|_| named(".rdata").is_some())) else {
        return Ok(());
    };
    let bytes = whole(content, section, SECTION_MAX_BYTES)?;
    let Some(at) = memchr::memmem::find(&bytes, MAGIC) else { return Ok(()) };
    let rest = &bytes[at..];
    match rest.get(15) {
        Some(flags) if flags & INLINE != 0 => {}
        Some(_) => {
            found.problem("unsupported-go-build-information", "written by a version of Go before 1.18");
            return Ok(());
        }
        None => return Ok(()),
    }
    let strings = rest.get(HEADER_BYTES..).unwrap_or_default();
    let Some((version, rest)) = string(strings) else {
        found.problem("malformed-go-build-information", "the version lies outside");
        return Ok(());
    };
    let version = String::from_utf8_lossy(version).into_owned();
    let number = version.split(' ').next().unwrap_or_default().trim_start_matches("go").to_owned();
    found.take(package("stdlib", &number, State::Embedded).kind(Kind::Platform));
    let Some((modules, _)) = string(rest) else { return Ok(()) };
    // Marks of 16 bytes stand around the list.
    if let Some(inner) = modules.len().checked_sub(16).and_then(|end| modules.get(16..end)) {
        list(&String::from_utf8_lossy(inner), found);
    }
    Ok(())
}

/// Reads a length as a variable-length integer, and the bytes behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_u64, 0);
    for (at, byte) in bytes.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let rest = bytes.get(at + 1..)?;
            return rest.split_at_checked(usize::try_from(length).ok()?);
        }
        shift += 7;
    }
    None
}

/// Reads lines of words separated by tabs: `path`, `mod`, `dep`, `=>`, `build`.
fn list(text: &str, found: &mut Found) {
    let mut last: Option<(String, String, bool)> = None;
    let mut take = |last: Option<(String, String, bool)>| {
        if let Some((path, version, main)) = last {
            // The main module's version is not known to a compiler that builds a folder.
            let version = if version == "(devel)" { String::new() } else { version };
            let mut stated = package(&path, &version, State::Embedded);
            if main {
                stated = stated.kind(Kind::Application);
            }
            found.take(stated);
        }
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        match words.as_slice() {
            [kind @ ("mod" | "dep"), path, version, ..] => {
                take(last.replace(((*path).to_owned(), (*version).to_owned(), *kind == "mod")));
            }
            ["=>", path, version, ..] => {
                let main = last.as_ref().is_some_and(|last| last.2);
                last = Some(((*path).to_owned(), (*version).to_owned(), main));
            }
            _ => {}
        }
    }
    take(last);
}
