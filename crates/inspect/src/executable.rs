//! Executable images: what they load, call, offer, and how they are signed.

mod apk;
mod authenticode;
mod catalog;
mod cut;
mod der;
mod elf;
mod macho;
mod pe;
mod pkcs7;
mod wasm;

use evidence::tree::{Executable, Section};
use evidence::{BytePath, Digest, Node};
use object::{Architecture, ObjectSymbol};

use crate::budget::Budget;
use crate::entropy::entropy_millibits;
use crate::format::Format;
use crate::open::Inspection;

pub(crate) use apk::Block as ApkBlock;
pub(crate) use authenticode::{detached, leaves_out, of_cabinet, of_database};
pub(crate) use catalog::{CATALOG_MAX_BYTES, Catalog, Catalogs, ImageDigests, is_catalog};
pub(crate) use pe::version_strings;
pub(crate) use pkcs7::{Roots, Trusted, is_certificate};

/// Reads the facts of an image into a node. Returns what of it could not be read.
pub(crate) fn read(
    node: &mut Node,
    format: Format,
    bytes: &[u8],
    trusted: &Trusted,
    budget: &mut Budget,
) -> Vec<String> {
    let mut malformed = Malformed::default();
    let read = match format {
        Format::Pe => pe::read(bytes, trusted, budget, &mut malformed).map(|image| vec![image]),
        Format::Elf => elf::read(bytes, budget, &mut malformed).map(|image| vec![image]),
        Format::Wasm => wasm::read(bytes, budget, &mut malformed).map(|image| vec![image]),
        _ => macho::read(bytes, budget, &mut malformed),
    };
    let mut problems: Vec<String> = malformed.0.iter().map(ToString::to_string).collect();
    match read {
        Ok(images) => node.executables = images,
        Err(error) => problems.push(error.to_string()),
    }
    problems
}

/// Looks for an image without a signature of its own in the catalogs that were given, and remembers what those beside it may list it by.
pub(crate) fn listed(inspection: &mut Inspection, name: &BytePath, bytes: &[u8], images: &mut [Executable]) {
    let [image] = images else { return };
    let wanted = !inspection.catalogs.is_empty() || inspection.siblings.expects_catalogs();
    if image.signature.is_some() || !wanted {
        return;
    }
    let Some(digests) = pe::image_digests(bytes) else { return };
    image.signature = inspection.catalogs.of_image(&digests);
    inspection.siblings.image(name.clone(), digests);
}

/// Why an image was not read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{0}")]
    Object(#[from] object::Error),
    #[error("{0}")]
    Other(&'static str),
}

impl From<crate::budget::Exhausted> for Unreadable {
    fn from(exhausted: crate::budget::Exhausted) -> Self {
        Self::Other(exhausted.0)
    }
}

/// Parts of an image that could not be read while the rest could: each becomes a problem.
#[derive(Default)]
struct Malformed(Vec<Unreadable>);

impl Malformed {
    fn note(&mut self, part: Result<(), Unreadable>) {
        self.0.extend(part.err());
    }
}

/// How many bytes of overlapping parts may still be hashed: an enemy's table may name the whole file in each row.
struct Room(usize);

impl Room {
    /// Honest parts overlap little: twice the file suffices.
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.len().saturating_mul(2))
    }

    fn take(&mut self, part: &[u8]) -> Result<(), Unreadable> {
        self.0 = self.0.checked_sub(part.len()).ok_or(Unreadable::Other("parts overlap over and over"))?;
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    // Nearly all names are plain; images have tens of thousands of them.
    if bytes.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'\\')
        && let Ok(plain) = std::str::from_utf8(bytes)
    {
        return plain.to_owned();
    }
    BytePath::from(bytes).to_string()
}

/// Text for people to read: no control characters, and no more than a line of it.
fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(300).collect()
}

fn machine(architecture: Architecture) -> String {
    match architecture {
        Architecture::X86_64 => "x86_64".into(),
        Architecture::I386 => "i386".into(),
        Architecture::Aarch64 => "aarch64".into(),
        other => format!("{other:?}").to_ascii_lowercase(),
    }
}

fn section(name: &[u8], data: &[u8], writable: bool, executable: bool) -> Section {
    Section {
        name: text(name),
        size: data.len() as u64,
        digest: Digest::of(data),
        entropy_millibits: entropy_millibits(data),
        writable,
        executable,
        slack_nonzero_bytes: 0,
    }
}

/// Counts bytes before `end` that lie in none of the parts, and are neither zero nor filling.
fn unaccounted(bytes: &[u8], parts: Vec<(u64, u64)>, end: u64) -> u64 {
    gaps(bytes, parts, end).map(|(_, gap)| loose(gap)).sum()
}

/// Returns what lies before `end` in none of the parts, each with its offset.
fn gaps(bytes: &[u8], mut parts: Vec<(u64, u64)>, end: u64) -> impl Iterator<Item = (u64, &[u8])> {
    parts.sort_unstable();
    let end = end.min(bytes.len() as u64);
    parts.push((end, end));
    let mut at = 0;
    parts.into_iter().filter_map(move |(start, stop)| {
        let from = at;
        at = at.max(stop);
        let gap = usize::try_from(from).ok()?..usize::try_from(start.min(end)).ok()?;
        bytes.get(gap).filter(|gap| !gap.is_empty()).map(|gap| (from, gap))
    })
}

/// From so many equal bytes on it is filling: tools that move parts of an image leave `X` or `Z` where these were.
const FILLING_MIN: usize = 16;

/// Counts bytes that say something: no zeros, and no filling.
fn loose(bytes: &[u8]) -> u64 {
    let runs = bytes.chunk_by(|one, next| one == next);
    let told = runs.filter(|run| run.first() != Some(&0) && run.len() < FILLING_MIN);
    told.map(|run| run.len() as u64).sum()
}

/// Takes names into a set, as far as the budget goes.
fn names<'a>(
    names: impl Iterator<Item = &'a [u8]>,
    into: &mut std::collections::BTreeSet<String>,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    for name in names {
        budget.symbol()?;
        budget.facts(name.len() as u64)?;
        into.insert(text(name));
    }
    Ok(())
}

/// Sorts the global symbols of an image into those that it needs and those that it offers.
fn symbols<'a>(
    symbols: impl Iterator<Item = impl ObjectSymbol<'a>>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    for symbol in symbols {
        budget.symbol()?;
        let Ok(name) = symbol.name_bytes() else { continue };
        if name.is_empty() || !symbol.is_global() {
            continue;
        }
        budget.facts(name.len() as u64)?;
        let list = if symbol.is_undefined() { &mut image.imports } else { &mut image.exports };
        list.insert(text(name));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn empty(architecture: Architecture, kind: &str) -> Executable {
    Executable { machine: machine(architecture), kind: kind.to_owned(), ..Executable::default() }
}
