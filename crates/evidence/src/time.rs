//! Moments in UTC, written as RFC 3339. There is no clock here: `now` is always an argument.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// A text that is not a moment in UTC.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as 2026-11-23T10:00:00Z or a date such as 2026-11-23")]
pub struct TimeError(String);

impl Timestamp {
    /// The earliest and latest second that RFC 3339 can write.
    const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

    /// Takes seconds since the Unix epoch, clamped to the years 1 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(*Self::RANGE.start(), *Self::RANGE.end()))
    }

    /// Returns seconds since the Unix epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Returns this moment plus a number of days.
    pub fn plus_days(self, days: u32) -> Self {
        Self::from_unix(self.0.saturating_add(i64::from(days) * 86_400))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(moment) => write!(f, "{moment}"),
            // jiff's range ends a few hours before ours; the raw count is still exact.
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError(text.chars().take(40).collect());
        if text.len() == 10 {
            let date: jiff::civil::Date = text.parse().map_err(|_| bad())?;
            let moment = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?.timestamp();
            return Ok(Self(moment.as_second()));
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        Ok(Self(moment.as_second()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_utc_seconds() {
        let moment: Timestamp = "2026-11-23T12:00:00+02:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-23T10:00:00Z");
        assert_eq!("2026-11-23".parse::<Timestamp>().unwrap().to_string(), "2026-11-23T00:00:00Z");
        assert!("tomorrow".parse::<Timestamp>().is_err());
        assert!("2026-13-01".parse::<Timestamp>().is_err());
    }
}
