//! Executable images: what they load, call, offer, and how they are signed.

mod authenticode;
mod der;
mod elf;
mod macho;
mod pe;

use evidence::tree::{Executable, Section};
use evidence::{BytePath, Digest, Node};
use object::{Architecture, ObjectSymbol};

use crate::budget::Budget;
use crate::format::Format;
use crate::open::Inspection;

/// Reads the facts of an image into a node.
pub(crate) fn read(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    bytes: &[u8],
) {
    let read = match format {
        Format::Pe => pe::read(bytes, inspection.budget).map(|image| vec![image]),
        Format::Elf => elf::read(bytes, inspection.budget).map(|image| vec![image]),
        _ => macho::read(bytes, inspection.budget),
    };
    match read {
        Ok(images) => node.executables = images,
        Err(error) => inspection.problem(path, &format!("malformed-{}", format.word()), error),
    }
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

fn text(bytes: &[u8]) -> String {
    BytePath::from(bytes).to_string()
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
    }
}

/// Shannon entropy of bytes, in thousandths of a bit per byte: 0 to 8000.
fn entropy_millibits(data: &[u8]) -> u32 {
    if data.is_empty() {
        return 0;
    }
    let mut counts = [0_u64; 256];
    for byte in data {
        counts[usize::from(*byte)] += 1;
    }
    let total = data.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = *count as f64 / total;
            -share * share.log2()
        })
        .sum();
    (bits * 1000.0).round() as u32
}

/// Takes names into a set, as far as the budget goes.
fn names<'a>(
    names: impl Iterator<Item = &'a [u8]>,
    into: &mut std::collections::BTreeSet<String>,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    for name in names {
        budget.symbol()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_has_its_bounds() {
        assert_eq!(entropy_millibits(b""), 0);
        assert_eq!(entropy_millibits(&[7; 100]), 0);
        assert_eq!(entropy_millibits(&(0..=255).collect::<Vec<u8>>()), 8000);
        assert_eq!(entropy_millibits(b"abab"), 1000);
    }
}
