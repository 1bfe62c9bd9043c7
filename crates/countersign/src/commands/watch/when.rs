//! Spans and moments as people type them.

use anyhow::Result;
use engine::evidence::Timestamp;

use crate::context::{Context, UsageError};

/// Reads `90s`, `15m`, `2h` or `7d` as seconds.
pub(super) fn span(text: &str) -> Result<u64> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    text.chars()
        .last()
        .and_then(unit)
        .and_then(|unit: u64| text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit))
        .ok_or_else(|| {
            UsageError(format!("`{text}` is not a span of time such as 90s, 15m, 2h or 7d")).into()
        })
}

/// Reads a date, a moment, or a span back from now.
pub(super) fn moment(text: &str) -> Result<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let back = span(text).map_err(|_| {
        UsageError(format!("`{text}` is not a date (2026-12-31), a moment (…T12:00:00Z) or a span back (7d)"))
    })?;
    let back = i64::try_from(back).unwrap_or(i64::MAX);
    Ok(Timestamp::from_unix(Context::now().unix().saturating_sub(back)))
}

/// Turns seconds of local time, counted as if it were UTC, into seconds since 1970.
pub(super) fn to_utc(local: i64) -> i64 {
    let civil = jiff::Timestamp::from_second(local).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    let there = civil.and_then(|civil| jiff::tz::TimeZone::system().to_timestamp(civil));
    there.map_or(local, |at| at.as_second())
}
