//! DSSE envelopes (secure-systems-lab/dsse v1) around in-toto statements, with exactly one signature.

use evidence::statement::{PAYLOAD_TYPE, Statement};
use evidence::{Digest, wire};

use crate::key::{KeyError, PublicKey, Signer};
use crate::leaf::{Credential, Leaf};
use crate::x509::Certificate;

/// A signed statement: the payload's exact bytes, the signature over their pre-authentication encoding, and the
/// key that made it. Holding one says nothing about its validity; see [`Envelope::open`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The payload: the statement in canonical JSON.
    pub payload: Vec<u8>,
    /// The signature, ASN.1 DER.
    pub signature: Vec<u8>,
    /// Whose it is.
    pub credential: Credential,
}

/// An envelope that does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The signature does not verify.
    #[error("the signature over the statement is not valid")]
    Signature,
    /// Bytes that are not a pre-authentication encoding of an in-toto statement.
    #[error("not a signed in-toto statement")]
    Form,
    /// A certificate for another key.
    #[error("the certificate is for another key than the one that has signed")]
    Certificate,
}

impl Envelope {
    /// Signs a statement.
    pub fn sign(statement: &Statement, signer: &dyn Signer) -> Result<Self, KeyError> {
        let payload = wire::canonical(statement);
        let signature = signer.sign(&pae(&payload))?;
        Ok(Self { payload, signature, credential: Credential::Key(signer.public_key().clone()) })
    }

    /// Names the signatory by a certificate for the key that has signed; one for another key is refused.
    pub fn certified(self, certificate: Certificate) -> Result<Self, EnvelopeError> {
        if certificate.key() != self.key() {
            return Err(EnvelopeError::Certificate);
        }
        Ok(Self { credential: Credential::Certificate(certificate), ..self })
    }

    /// Returns the key that made the signature.
    pub fn key(&self) -> &PublicKey {
        self.credential.key()
    }

    /// Returns the bytes that are signed. They are also what the vault keeps: the log entry names them by
    /// digest and holds the signature, so log and vault together give every envelope back.
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(&self.payload)
    }

    /// Returns the digest of the signed bytes: the name of this statement in the vault and in the log.
    pub fn id(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Returns the log entry for this signature.
    pub fn leaf(&self) -> Leaf {
        Leaf { statement: self.id(), signature: self.signature.clone(), credential: self.credential.clone() }
    }

    /// Puts an envelope together again from its log entry and the signed bytes from the vault.
    pub fn reunite(leaf: &Leaf, signed_bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let payload = payload_of(signed_bytes).ok_or(EnvelopeError::Form)?.to_vec();
        Ok(Self { payload, signature: leaf.signature.clone(), credential: leaf.credential.clone() })
    }

    /// Checks the signature with the key in the envelope and reads the statement. Whether that key is trusted,
    /// and for what, is a second question.
    pub fn open(&self) -> Result<Statement, EnvelopeError> {
        if !self.key().verifies(&self.signed_bytes(), &self.signature) {
            return Err(EnvelopeError::Signature);
        }
        Statement::parse(&self.payload).map_err(|_| EnvelopeError::Form)
    }
}

/// Writes DSSE's pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {} {} ", PAYLOAD_TYPE.len(), PAYLOAD_TYPE, payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// Takes the payload out of a pre-authentication encoding of an in-toto statement.
pub fn payload_of(signed_bytes: &[u8]) -> Option<&[u8]> {
    let prefix = format!("DSSEv1 {} {} ", PAYLOAD_TYPE.len(), PAYLOAD_TYPE);
    let rest = signed_bytes.strip_prefix(prefix.as_bytes())?;
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let payload = rest.get(space + 1..)?;
    (pae(payload) == signed_bytes).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_specification_s() {
        // protocol.md of DSSE gives PAE("http://example.com/HelloWorld", "hello world") in this shape.
        let text = String::from_utf8(pae(b"hello world")).unwrap();
        assert_eq!(text, "DSSEv1 28 application/vnd.in-toto+json 11 hello world");
        assert_eq!(payload_of(text.as_bytes()), Some(b"hello world".as_slice()));
        for bad in [
            "DSSEv1 28 application/vnd.in-toto+json 10 hello world",
            "DSSEv1 28 application/vnd.in-toto+json 011 hello world",
            "",
        ] {
            assert_eq!(payload_of(bad.as_bytes()), None);
        }
    }
}
