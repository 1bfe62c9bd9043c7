//! Signatures in files of their own, beside what they sign: OpenPGP (`.asc`, `.sig`, `.gpg`) and minisign (`.minisig`).
//!
//! Whose they are is read from them. Whether they verify is told only if a key is given: the right one is nowhere else.

mod openpgp;

use std::io::{self, Read};

use evidence::tree::CodeSignature;

/// Larger files are no detached signatures.
pub const SIGNATURE_MAX_BYTES: u64 = 64 << 10;
/// Larger files of keys are not read.
pub const KEYS_MAX_BYTES: u64 = 4 << 20;
/// Endings, behind the name of the file that is signed.
pub const ENDINGS: [&str; 4] = [".asc", ".sig", ".gpg", ".minisig"];
/// Old minisign signatures are over the content itself, which is held for them.
const OLD_MAX_BYTES: u64 = 32 << 20;

/// A detached signature.
pub struct Detached(Kind);

enum Kind {
    OpenPgp(openpgp::Signature),
    Minisign { signature: Box<minisign_verify::Signature>, key: String, is_old: bool },
}

/// Keys that somebody trusts.
#[derive(Default)]
pub struct Keys {
    openpgp: Vec<openpgp::Key>,
    minisign: Vec<minisign_verify::PublicKey>,
}

impl Keys {
    /// Adds the keys of a file; says how many there were.
    pub fn add(&mut self, file: &[u8]) -> usize {
        // With its comment, or alone.
        let minisign = std::str::from_utf8(file).ok().and_then(|text| {
            minisign_verify::PublicKey::decode(text)
                .or_else(|_| minisign_verify::PublicKey::from_base64(text.trim()))
                .ok()
        });
        let openpgp = openpgp::keys(file);
        let count = openpgp.len() + usize::from(minisign.is_some());
        self.minisign.extend(minisign);
        self.openpgp.extend(openpgp);
        count
    }
}

impl Detached {
    /// Reads a signature; `None` if it is none of a known form.
    pub fn read(file: &[u8]) -> Option<Self> {
        if let Some(text) =
            std::str::from_utf8(file).ok().filter(|text| text.starts_with("untrusted comment:"))
        {
            let signature = minisign_verify::Signature::decode(text).ok()?;
            // Two letters of the algorithm, then the number of the key.
            let bytes = crate::base64::decode(text.lines().nth(1)?.as_bytes())?;
            let key = bytes.get(2..10)?.iter().rev().map(|byte| format!("{byte:02X}")).collect();
            let is_old = bytes.starts_with(b"Ed");
            return Some(Self(Kind::Minisign { signature: Box::new(signature), key, is_old }));
        }
        openpgp::Signature::read(file).map(Kind::OpenPgp).map(Self)
    }

    /// Verifies it over a content, if the key is among those given: `signature_valid` says so, and is absent otherwise.
    ///
    /// # Errors
    /// If the content cannot be read.
    pub fn facts(&self, keys: &Keys, content: &mut dyn Read) -> io::Result<CodeSignature> {
        let (kind, signer, at, valid) = match &self.0 {
            Kind::OpenPgp(signature) => {
                let valid = signature.verify(&keys.openpgp, content)?;
                ("openpgp", signature.issuer(), signature.created(), valid)
            }
            Kind::Minisign { signature, key, is_old } => {
                ("minisign", key.clone(), None, minisign(signature, *is_old, &keys.minisign, content)?)
            }
        };
        Ok(CodeSignature {
            kind: kind.to_owned(),
            signer: Some(signer),
            signed_at: at,
            signature_valid: valid,
            ..CodeSignature::default()
        })
    }
}

fn minisign(
    signature: &minisign_verify::Signature,
    is_old: bool,
    keys: &[minisign_verify::PublicKey],
    content: &mut dyn Read,
) -> io::Result<Option<bool>> {
    if is_old {
        let mut bytes = Vec::new();
        content.take(OLD_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > OLD_MAX_BYTES {
            return Ok(None);
        }
        let judged: Vec<_> = keys.iter().map(|key| key.verify(&bytes, signature, true)).collect();
        return Ok(told(judged.into_iter()));
    }
    let mut verifiers: Vec<_> = keys.iter().filter_map(|key| key.verify_stream(signature).ok()).collect();
    let mut buffer = vec![0; 64 << 10];
    while !verifiers.is_empty() {
        match content.read(&mut buffer)? {
            0 => break,
            read => verifiers.iter_mut().for_each(|verifier| verifier.update(&buffer[..read])),
        }
    }
    Ok(told(verifiers.iter_mut().map(minisign_verify::StreamVerifier::finalize)))
}

/// With another key it cannot be told.
fn told(judged: impl Iterator<Item = Result<(), minisign_verify::Error>>) -> Option<bool> {
    judged.fold(None, |told, one| match (told, one) {
        (Some(true), _) | (_, Ok(())) => Some(true),
        (told, Err(minisign_verify::Error::UnexpectedKeyId)) => told,
        (_, Err(_)) => Some(false),
    })
}
