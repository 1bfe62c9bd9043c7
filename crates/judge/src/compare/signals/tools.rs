//! Rules about who made an executable, and when.

use std::collections::BTreeSet;

use evidence::tree::Executable;

use super::{Around, Findings};
use crate::codes;

/// Seconds since 1970 that a linker of our time writes: 1996 to 2100. Others are fixed values or digests.
const TIMES: std::ops::RangeInclusive<u32> = 820_454_400..=4_102_444_800;
/// Machines of one vendor disagree by less.
const CLOCKS_APART_SECONDS: i64 = 86_400;

/// What the names begin with that compilers leave (ELF `.comment`, producers of WebAssembly), in lower case.
const COMPILERS: &[(&str, &str)] = &[
    ("gcc", "GCC"),
    ("gnu c", "GCC"),
    ("clang", "Clang"),
    ("apple clang", "Clang"),
    ("debian clang", "Clang"),
    ("ubuntu clang", "Clang"),
    ("android", "Clang"),
    ("rustc", "Rust"),
    ("go ", "Go"),
    ("tinygo", "Go"),
    ("ghc", "Haskell"),
    ("ldc", "D"),
    ("dmd", "D"),
    ("zig", "Zig"),
    ("fpc", "Pascal"),
    ("free pascal", "Pascal"),
    ("nim", "Nim"),
    ("intel(r)", "Intel compiler"),
];

/// Sections that only one compiler makes.
const SECTIONS: &[(&str, &str)] = &[
    (".gopclntab", "Go"),
    ("__gopclntab", "Go"),
    (".go.buildinfo", "Go"),
    ("__go_buildinfo", "Go"),
    (".rustc", "Rust"),
    ("__swift5_types", "Swift"),
    ("swift5_type_metadata", "Swift"),
];

pub(super) fn judge(before: &Executable, after: &Executable, around: &Around, findings: &mut Findings) {
    let (known, now) = (compilers(before), compilers(after));
    let new: Vec<&str> = now.difference(&known).copied().collect();
    // One that says nothing of its compiler may have been stripped of it.
    if !known.is_empty() && !new.is_empty() {
        let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
        findings.add(&codes::COMPILER_ADDED, vec![format!("{} → {}", list(&known), list(&now))]);
    }
    times(before, after, around, findings);
}

/// Judges an executable that was not there before.
pub(super) fn added(image: &Executable, around: &Around, findings: &mut Findings) {
    let new: Vec<&str> = compilers(image).difference(&around.compilers).copied().collect();
    if !around.compilers.is_empty() && !new.is_empty() {
        let because = format!("{}; no executable of the old release was made so", new.join(", "));
        findings.add(&codes::COMPILER_ADDED, vec![because]);
    }
}

/// Names the compilers of an image, as far as it tells.
pub(super) fn compilers(image: &Executable) -> BTreeSet<&'static str> {
    let named = image.compilers.iter().filter_map(|text| {
        let text = text.to_ascii_lowercase();
        COMPILERS.iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, name)| *name)
    });
    let shown = image.sections.iter().filter_map(|section| {
        let name = section.name.trim_end_matches('\0');
        SECTIONS
            .iter()
            .find(|(known, _)| name == *known || name.ends_with(&format!(",{known}")))
            .map(|(_, n)| *n)
    });
    let managed = image.managed.is_some().then_some(".NET");
    let linked = image.rich_digest.is_some().then_some("Microsoft linker");
    named.chain(shown).chain(managed).chain(linked).collect()
}

fn time(image: &Executable) -> Option<i64> {
    let seconds = image.timestamp.filter(|seconds| !image.timestamp_is_digest && TIMES.contains(seconds))?;
    Some(i64::from(seconds))
}

fn times(before: &Executable, after: &Executable, around: &Around, findings: &mut Findings) {
    let Some(now) = time(after) else { return };
    if let Some(until) = around.built_until
        && now > until + CLOCKS_APART_SECONDS
    {
        findings.add(
            &codes::TIMESTAMP_IMPLAUSIBLE,
            vec![format!("linked at @{now}, after the build ended at @{until}")],
        );
    } else if let Some(then) = time(before)
        && now < then - CLOCKS_APART_SECONDS
    {
        let because = format!("linked at @{now}, before the version that it replaces (@{then})");
        findings.add(&codes::TIMESTAMP_IMPLAUSIBLE, vec![because]);
    }
}
