//! The rules about functions that were made to end at once, or to be others, in a finished image.

use evidence::tree::Executable;

use super::Findings;
use crate::codes;

/// Says what no compiler and no linker makes.
pub(super) fn judge(before: Option<&Executable>, after: &Executable, findings: &mut Findings) {
    let mut because = cut(before, after);
    because.extend(bound_elsewhere(before, after));
    if !because.is_empty() {
        findings.add(&codes::FUNCTION_PATCHED, because);
    }
}

/// Functions whose code nothing reaches. Assembly by hand may have some, in each release as many.
fn cut(before: Option<&Executable>, after: &Executable) -> Vec<String> {
    let earlier = before.map_or(0, |image| image.cut_functions);
    if after.cut_functions <= earlier {
        return Vec::new();
    }
    let known = |place: &String| before.is_some_and(|image| image.cut_places.contains_key(place));
    let new = after.cut_places.iter().filter(|(place, _)| !known(place));
    let mut because: Vec<String> = new.map(|(place, how)| format!("function `{place}` {how}")).collect();
    if earlier > 0 || because.is_empty() {
        because.push(format!("{} functions do so, there were {earlier}", after.cut_functions));
    }
    because
}

/// A function of a library that has two slots: through one of them another function was called.
fn bound_elsewhere(before: Option<&Executable>, after: &Executable) -> Vec<String> {
    let known = |name: &String| before.is_some_and(|image| image.doubled_slots.contains(name));
    let new = after.doubled_slots.iter().filter(|name| !known(name));
    new.map(|name| format!("two slots lead to `{name}`: calls of another function are bound to it")).collect()
}
