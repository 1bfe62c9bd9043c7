//! Written forms: canonical JSON for everything that is signed or named by digest, and the documents of other
//! standards that we write.

pub mod bill;
pub mod cyclonedx;
pub mod ocsf;
pub mod percent;
mod sorted;
pub mod spdx;
pub mod spdx3;
pub mod syslog;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Schema name of the JSON document that a command prints.
pub fn schema(name: &str) -> String {
    format!("urn:countersign:{name}:v1")
}

/// Writes a value as canonical JSON: keys sorted by their bytes, no white space, integers only (a subset of
/// RFC 8785, which for such values has the same bytes).
pub fn canonical(value: &impl Serialize) -> Vec<u8> {
    sorted::write(value).expect("evidence has string keys and finite numbers")
}

/// Bytes that are not the document they should be.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON of the expected form.
    #[error("malformed document")]
    Json(#[source] serde_json::Error),
    /// Well-formed, but not written as we write it: one value must have one spelling.
    #[error("document is not in canonical form")]
    NotCanonical,
}

/// Parses a document that must be in canonical form to the last byte.
pub fn from_canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, ParseError> {
    let value: T = serde_json::from_slice(bytes).map_err(ParseError::Json)?;
    if canonical(&value) == bytes { Ok(value) } else { Err(ParseError::NotCanonical) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn keys_are_sorted_and_spelling_is_unique() {
        let value: Value =
            serde_json::from_str(r#"{"b": [1, {"z":null,"a":"\u00e9\n"}], "a": true}"#).unwrap();
        let bytes = canonical(&value);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "{\"a\":true,\"b\":[1,{\"a\":\"é\\n\",\"z\":null}]}"
        );
        assert!(from_canonical::<Value>(&bytes).is_ok());
        assert!(matches!(from_canonical::<Value>(b"{ }"), Err(ParseError::NotCanonical)));
        assert!(matches!(from_canonical::<Value>(b"{"), Err(ParseError::Json(_))));
    }
}
