//! The rule about functions that were made to end at once in a finished image.

use evidence::tree::Executable;

use super::Findings;
use crate::codes;

/// Says what no compiler makes: a function whose code nothing reaches. Assembly by hand may have some, in each release as many.
pub(super) fn judge(before: Option<&Executable>, after: &Executable, findings: &mut Findings) {
    let earlier = before.map_or(0, |image| image.cut_functions);
    if after.cut_functions <= earlier {
        return;
    }
    let known = |place: &String| before.is_some_and(|image| image.cut_places.contains_key(place));
    let new = after.cut_places.iter().filter(|(place, _)| !known(place));
    let mut because: Vec<String> = new.map(|(place, how)| format!("function `{place}` {how}")).collect();
    if earlier > 0 {
        because.push(format!("{} functions do so, there were {earlier}", after.cut_functions));
    }
    findings.add(&codes::FUNCTION_PATCHED, because);
}
