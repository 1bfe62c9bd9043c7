//! When something was signed, as certificates and attributes write it.

use crate::executable::der::Element;

/// Writes `UTCTime` or `GeneralizedTime` (X.680) as RFC 3339.
pub(super) fn time(element: Element) -> Option<String> {
    let digits = std::str::from_utf8(element.content).ok()?;
    let full = match element.tag {
        0x17 => format!("{}{digits}", if digits.get(..2)? < "50" { "20" } else { "19" }),
        0x18 => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| {
        full.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    ))
}
