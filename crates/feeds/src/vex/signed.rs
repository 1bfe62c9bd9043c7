//! Signed statements: a DSSE envelope, bare or in a Sigstore bundle. Whose key signs for whom is not known here: whoever imports
//! says whether a signature holds.

use serde_json::Value;

/// What an envelope holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The signed document.
    pub payload: Vec<u8>,
    /// What DSSE signs: its pre-authentication encoding of type and payload.
    pub signed: Vec<u8>,
    /// The signatures.
    pub signatures: Vec<Vec<u8>>,
}

/// So many signatures are looked at.
const SIGNATURES_MAX: usize = 16;

/// Takes a DSSE envelope apart; none if the document is none.
pub fn envelope(document: &Value) -> Option<Envelope> {
    let document = document.get("dsseEnvelope").unwrap_or(document);
    let field = |key: &str| document.get(key).and_then(Value::as_str);
    let (kind, payload) = (field("payloadType")?, inspect::catalog::base64(field("payload")?)?);
    let signatures = document.get("signatures").and_then(Value::as_array)?;
    let signatures = signatures
        .iter()
        .take(SIGNATURES_MAX)
        .filter_map(|one| inspect::catalog::base64(one.get("sig").and_then(Value::as_str)?));
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    Some(Envelope { signatures: signatures.collect(), payload, signed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_is_taken_apart() {
        // The example of DSSE's protocol.md.
        let document = json!({"payloadType": "http://example.com/HelloWorld", "payload": "aGVsbG8gd29ybGQ=",
            "signatures": [{"sig": "AAEC"}, {"keyid": "x"}]});
        let taken = envelope(&document).unwrap();
        assert_eq!(taken.signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!((taken.payload.as_slice(), taken.signatures), (&b"hello world"[..], vec![vec![0, 1, 2]]));
        assert_eq!(envelope(&json!({"dsseEnvelope": document})).unwrap().payload, b"hello world");
        assert_eq!(envelope(&json!({"payload": 1})), None);
    }
}
