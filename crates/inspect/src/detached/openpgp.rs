//! OpenPGP (RFC 9580 and RFC 4880): signatures of version 4 over files, and the keys that verify them: RSA and Ed25519. No trust in a
//! name and no web of trust: a key that was given is the one that counts.

use std::io::{self, Read};

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, UnparsedPublicKey,
};

const TAG_SIGNATURE: u8 = 2;
const TAG_KEY: u8 = 6;
const TAG_SUBKEY: u8 = 14;
const RSA: [u8; 2] = [1, 3];
const EDDSA: u8 = 22;
const ED25519_NATIVE: u8 = 27;
/// The identifier of the curve of EdDSA keys (1.3.6.1.4.1.11591.15.1).
const CURVE: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";
/// Files of keys have a few hundred packets.
const PACKETS_MAX: usize = 10_000;

/// A signature over a file.
pub(super) struct Signature {
    /// What is hashed behind the content.
    hashed: Vec<u8>,
    kind: u8,
    algorithm: u8,
    hash: u8,
    created: Option<u32>,
    /// Fingerprint or number of the key.
    issuer: Vec<u8>,
    values: Vec<u8>,
}

/// A public key, or a part of one that signs.
pub(super) struct Key {
    fingerprint: Vec<u8>,
    algorithm: u8,
    values: Vec<u8>,
}

impl Signature {
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let bytes = dearmored(file)?;
        let body = packets(&bytes).into_iter().find(|(tag, _)| *tag == TAG_SIGNATURE)?.1;
        let (head, rest) = body.split_at_checked(6)?;
        if head[0] != 4 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let (covered, rest) = rest.split_at_checked(length)?;
        let (length, rest) = rest.split_at_checked(2)?;
        let (free, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        // The left 16 bits of the digest are of no use here.
        let values = rest.get(2..)?.to_vec();
        let mut hashed = [head, covered].concat();
        let count = u32::try_from(hashed.len()).ok()?;
        hashed.extend([4, 0xff]);
        hashed.extend(count.to_be_bytes());
        let covered = subpackets(covered);
        let find = |list: &[(u8, &[u8])], kind: u8| {
            list.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.to_vec())
        };
        let free = subpackets(free);
        // The whole fingerprint behind its version, or only its end.
        let whole = |list: &[(u8, &[u8])]| find(list, 33).and_then(|value| Some(value.get(1..)?.to_vec()));
        let issuer = whole(&covered)
            .or_else(|| whole(&free))
            .or_else(|| find(&covered, 16))
            .or_else(|| find(&free, 16))?;
        let created = find(&covered, 2).and_then(|time| Some(u32::from_be_bytes(time.try_into().ok()?)));
        Some(Self { hashed, kind: head[1], algorithm: head[2], hash: head[3], created, issuer, values })
    }

    pub(super) fn issuer(&self) -> String {
        self.issuer.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// When it says it was made.
    pub(super) fn created(&self) -> Option<String> {
        let time = evidence::time::Timestamp::from_unix(i64::from(self.created?));
        Some(time.to_string())
    }

    /// Verifies it over a content by the key that made it; `None` if that is not there, or an algorithm is not known.
    pub(super) fn verify(&self, keys: &[Key], content: &mut dyn Read) -> io::Result<Option<bool>> {
        let algorithm = match self.hash {
            8 => &SHA256,
            9 => &SHA384,
            10 => &SHA512,
            _ => return Ok(None),
        };
        let key = keys.iter().find(|key| {
            key.algorithm == self.algorithm
                && !self.issuer.is_empty()
                && key.fingerprint.ends_with(&self.issuer)
        });
        // Texts are signed with other ends of lines.
        let Some(key) = key.filter(|_| self.kind == 0) else { return Ok(None) };
        let mut context = Context::new(algorithm);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                read => context.update(&buffer[..read]),
            }
        }
        context.update(&self.hashed);
        Ok(self.check(key, algorithm, context))
    }

    fn check(&self, key: &Key, algorithm: &'static Algorithm, context: Context) -> Option<bool> {
        let hashed = context.finish();
        if RSA.contains(&self.algorithm) {
            let mut rest = key.values.as_slice();
            let (modulus, exponent) = (number(&mut rest)?, number(&mut rest)?);
            let signature = number(&mut &*self.values)?;
            let mut padded = vec![0; modulus.len().checked_sub(signature.len())?];
            padded.extend_from_slice(signature);
            let parameters: &'static RsaParameters = match algorithm {
                known if known == &SHA256 => &RSA_PKCS1_2048_8192_SHA256,
                known if known == &SHA384 => &RSA_PKCS1_2048_8192_SHA384,
                _ => &RSA_PKCS1_2048_8192_SHA512,
            };
            let key = sequence(modulus, exponent);
            return Some(UnparsedPublicKey::new(parameters, key).verify_digest(&hashed, &padded).is_ok());
        }
        let (public, signature) = match self.algorithm {
            EDDSA => {
                let (length, rest) = key.values.split_first()?;
                let (curve, mut rest) = rest.split_at_checked(usize::from(*length))?;
                let point = number(&mut rest).filter(|_| curve == CURVE)?;
                let mut values = self.values.as_slice();
                let mut signature = [0; 64];
                for half in signature.chunks_mut(32) {
                    let value = number(&mut values)?;
                    half.get_mut(32_usize.checked_sub(value.len())?..)?.copy_from_slice(value);
                }
                (point.strip_prefix(b"\x40")?.to_vec(), signature.to_vec())
            }
            ED25519_NATIVE => (key.values.get(..32)?.to_vec(), self.values.get(..64)?.to_vec()),
            _ => return None,
        };
        Some(UnparsedPublicKey::new(&ED25519, public).verify(hashed.as_ref(), &signature).is_ok())
    }
}

/// Reads the keys of version 4 of a file.
pub(super) fn keys(file: &[u8]) -> Vec<Key> {
    let Some(bytes) = dearmored(file) else { return Vec::new() };
    let keys = packets(&bytes).into_iter().filter(|(tag, _)| matches!(*tag, TAG_KEY | TAG_SUBKEY));
    keys.filter_map(|(_, body)| key(body)).collect()
}

fn key(body: &[u8]) -> Option<Key> {
    let (head, values) = body.split_at_checked(6)?;
    if head[0] != 4 {
        return None;
    }
    // A key of version 4 is named by SHA-1, whatever signs with it.
    let length = u16::try_from(body.len()).ok()?.to_be_bytes();
    let named = [&[0x99, length[0], length[1]], body].concat();
    let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &named).as_ref().to_vec();
    // Native Ed25519 keys have no length in front.
    Some(Key { fingerprint, algorithm: head[5], values: values.to_vec() })
}

/// Takes the armour off (RFC 9580, section 6.2), if there is one.
fn dearmored(file: &[u8]) -> Option<Vec<u8>> {
    if file.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Some(file.to_vec());
    }
    let text = std::str::from_utf8(file).ok()?.replace('\r', "");
    let from = text.find("-----BEGIN PGP ")?;
    let body = text.get(from..)?.split_once("\n\n")?.1;
    let lines = body.lines().take_while(|line| !line.starts_with('=') && !line.starts_with("-----"));
    crate::base64::decode(lines.collect::<String>().as_bytes())
}

/// Splits packets (RFC 9580, section 4.2), up to the first that is cut off.
fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Some((tag, body, rest)) = packet(bytes)
        && found.len() < PACKETS_MAX
    {
        found.push((tag, body));
        bytes = rest;
    }
    found
}

fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let first = *bytes.first()?;
    let (tag, start, length) = if first & 0xc0 == 0xc0 {
        let (start, length) = length(bytes, 1)?;
        (first & 0x3f, start, length)
    } else if first & 0x80 != 0 {
        let count = [1, 2, 4].get(usize::from(first & 3))?;
        let field = bytes.get(1..1 + count)?;
        (first >> 2 & 0xf, 1 + count, field.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    } else {
        return None;
    };
    let end = start.checked_add(length)?;
    Some((tag, bytes.get(start..end)?, bytes.get(end..)?))
}

/// Reads a length at `at` (RFC 9580, section 4.2.1), and says where it ends. Lengths in parts are of data, not of signatures.
fn length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    Some(match *bytes.get(at)? {
        short @ 0..=191 => (at + 1, usize::from(short)),
        high @ 192..=223 => {
            (at + 2, ((usize::from(high) - 192) << 8) + usize::from(*bytes.get(at + 1)?) + 192)
        }
        255 => (at + 5, u32::from_be_bytes(bytes.get(at + 1..at + 5)?.try_into().ok()?) as usize),
        _ => return None,
    })
}

/// Splits subpackets (RFC 9580, section 5.2.3.7): kinds without the critical bit, and values.
fn subpackets(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some((start, size)) = length(bytes, at)
        && let Some(body) = bytes.get(start..start.saturating_add(size))
        && let Some((kind, value)) = body.split_first()
    {
        found.push((kind & 0x7f, value));
        at = start + size;
    }
    found
}

/// Reads a number with its length in bits (RFC 9580, section 3.2).
fn number<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (bits, rest) = bytes.split_at_checked(2)?;
    let count = usize::from(u16::from_be_bytes([bits[0], bits[1]])).div_ceil(8);
    let (value, rest) = rest.split_at_checked(count)?;
    *bytes = rest;
    Some(value)
}

/// Writes an RSA key in DER (RFC 8017, A.1.1).
fn sequence(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = content.len();
        let mut out = vec![tag];
        match length {
            0..=127 => out.push(length as u8),
            _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend_from_slice(content);
        out
    };
    let integer = |value: &[u8]| {
        let sign: &[u8] = if value.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
        element(2, &[sign, value].concat())
    };
    element(0x30, &[integer(modulus), integer(exponent)].concat())
}
