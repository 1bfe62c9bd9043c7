//! The write API of Rekor v2 (rekor-tiles, `HashedRekordRequestV002`): what a client sends to have a signature logged.
//!
//! Only P-256 with SHA-256 is taken, by a bare key or a certificate: that is what Countersign and its peers sign with. The signature is
//! verified before anything is logged.

use evidence::Digest;
use serde::Deserialize;

use crate::Base64;
use crate::leaf::{Leaf, Verifier};

/// A request that is not logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// Not a request of the known form.
    #[error("not a hashedRekordRequestV002 by a P-256 key or certificate")]
    Form,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "hashedRekordRequestV002")]
    hashed_rekord: HashedRekord,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord {
    digest: Base64,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: Base64,
    verifier: Verifier,
}

/// Reads a request and verifies its signature; what comes out may be logged.
pub fn read(body: &[u8]) -> Result<Leaf, RequestError> {
    let request: Request = serde_json::from_slice(body).map_err(|_| RequestError::Form)?;
    let HashedRekord { digest, signature } = request.hashed_rekord;
    let digest: [u8; 32] = digest.0.try_into().map_err(|_| RequestError::Form)?;
    let leaf = Leaf {
        statement: Digest::from_bytes(digest),
        signature: signature.content.0,
        credential: signature.verifier.credential().map_err(|_| RequestError::Form)?,
    };
    if leaf.credential.key().verifies_digest(&leaf.statement, &leaf.signature) {
        Ok(leaf)
    } else {
        Err(RequestError::Signature)
    }
}

/// Writes the request for a signature.
pub fn write(leaf: &Leaf) -> Vec<u8> {
    let request = serde_json::json!({"hashedRekordRequestV002": {
        "digest": Base64(leaf.statement.as_bytes().to_vec()),
        "signature": {
            "content": Base64(leaf.signature.clone()),
            "verifier": Verifier::from(&leaf.credential),
        },
    }});
    request.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Cost, EncryptedKey, Signer};
    use crate::leaf::Credential;

    #[test]
    fn only_what_verifies_is_logged() {
        let (_, pair) = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap();
        let leaf = Leaf {
            statement: Digest::of(b"s"),
            signature: pair.sign(b"s").unwrap(),
            credential: Credential::Key(pair.public_key().clone()),
        };
        let body = write(&leaf);
        assert_eq!(read(&body).unwrap(), leaf);
        let other = Leaf { statement: Digest::of(b"t"), ..leaf };
        assert_eq!(read(&write(&other)), Err(RequestError::Signature));
        for position in 0..body.len() {
            let mut flipped = body.clone();
            flipped[position] ^= 1;
            assert!(read(&flipped).is_err(), "{position}: {}", String::from_utf8_lossy(&flipped));
        }
    }
}
