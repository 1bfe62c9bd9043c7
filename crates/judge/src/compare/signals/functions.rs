//! The rules about functions that were made to end at once, or to be others, in a finished image.

use evidence::tree::Executable;

use super::Findings;
use crate::codes;

/// Says what no compiler and no linker makes.
pub(super) fn judge(before: Option<&Executable>, after: &Executable, findings: &mut Findings) {
    let mut because = cut(before, after, findings.node.format == "macho");
    because.extend(bound_elsewhere(before, after));
    if !because.is_empty() {
        findings.add(&codes::FUNCTION_PATCHED, because);
    }
}

/// Functions whose code nothing reaches. An image that had some before says nothing: assembly by hand has them, and so has an image of
/// macOS whose list of functions leaves some out (PyArrow), so that a new one alone says nothing either.
fn cut(before: Option<&Executable>, after: &Executable, is_macho: bool) -> Vec<String> {
    let is_told = before.map_or(!is_macho, |image| image.cut_functions == 0);
    if !is_told || after.cut_functions == 0 {
        return Vec::new();
    }
    let mut because: Vec<String> =
        after.cut_places.iter().map(|(place, how)| format!("function `{place}` {how}")).collect();
    if after.cut_functions > because.len() as u64 {
        because.push(format!("{} functions do so", after.cut_functions));
    }
    because
}

/// A function of a library that has two slots: through one of them another function was called.
fn bound_elsewhere(before: Option<&Executable>, after: &Executable) -> Vec<String> {
    let known = |name: &String| before.is_some_and(|image| image.doubled_slots.contains(name));
    let new = after.doubled_slots.iter().filter(|name| !known(name));
    new.map(|name| format!("two slots lead to `{name}`: calls of another function are bound to it")).collect()
}
