//! Written forms: canonical JSON for everything that is signed or named by digest, and the documents of other
//! standards that we write.

pub mod bill;
pub mod cyclonedx;
pub mod ocsf;
pub mod spdx;
pub mod spdx3;
pub mod syslog;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Schema name of the JSON document that a command prints.
pub fn schema(name: &str) -> String {
    format!("urn:countersign:{name}:v1")
}

/// Writes a value as canonical JSON: keys sorted by their bytes, no white space, integers only (a subset of
/// RFC 8785, which for such values has the same bytes).
pub fn canonical(value: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("evidence has string keys and finite numbers");
    let mut out = Vec::new();
    write_canonical(&value, &mut out);
    out
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

// Recursion is bounded: a `Value` made from our own types is as deep as the types, and one parsed from JSON at
// most serde_json's limit of 128.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push(b'{');
            for (position, (key, value)) in entries.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_scalar(key, out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_scalar(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing a scalar to memory cannot fail");
}

#[cfg(test)]
mod tests {
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
