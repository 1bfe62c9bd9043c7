//! Signatures of Android packages: APK Signature Scheme v2, v3 and v3.1 (<https://source.android.com/docs/security/features/apksigning/v2>
//! and `/v3`). A block in front of the central directory of the zip has them; they are over all other bytes of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use aws_lc_rs::digest::{self, Algorithm, Context};
use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use evidence::Digest;
use evidence::tree::{CodeSignature, Uncovered};

use super::der::{self, Element};
use super::hex;
use super::pkcs7::{Certificate, Trusted};
use crate::bytes::{le32, le64};
use crate::entropy::entropy_millibits;
use crate::source::Source;

const MAGIC: &[u8] = b"APK Sig Block 42";
/// Size and magic at the end, and the size in front.
const FRAME_BYTES: u64 = 32;
/// Blocks of real packages have a few kilobytes; with the padding to a page of 16 KiB, and an icon of a channel.
const BLOCK_MAX_BYTES: u64 = 4 << 20;
const CHUNK_BYTES: u64 = 1 << 20;
const SCHEMES: [(u32, &str); 3] = [(0x7109_871a, "v2"), (0xf053_68c0, "v3"), (0x1b93_ad61, "v3.1")];
/// Zeros that fill the block up.
const PADDING: u32 = 0x4272_6577;
/// What stores put into the block: who stamped it, what it depends on, how it came. Each is short.
const STORES: [(u32, &str); 4] = [
    (0x2b09_189e, "source stamp"),
    (0x6dff_800d, "source stamp"),
    (0x504b_4453, "dependency information"),
    (0x2146_444e, "Google Play"),
];
const STORE_MAX_BYTES: usize = 16 << 10;
/// An attribute of v2 that says which later scheme there is as well.
const STRIPPING: u32 = 0xbeef_f00d;
const SIGNERS_MAX: usize = 10;
const LIST_MAX: usize = 64;

/// The signing block of a package.
pub(crate) struct Block<'a> {
    /// Where it begins, and where the directory does.
    pub(crate) range: (u64, u64),
    bytes: Vec<u8>,
    source: Source<'a>,
    /// Where the end record is.
    end: u64,
}

impl<'a> Block<'a> {
    /// Finds the block in front of the directory of an archive.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn find(source: &Source<'a>, directory: u64, end: u64) -> io::Result<Option<Self>> {
        let Some(tail) = directory.checked_sub(24) else { return Ok(None) };
        let foot = source.some(tail, 24)?;
        let size = le64(&foot, 0).filter(|size| *size <= BLOCK_MAX_BYTES && foot.get(8..) == Some(MAGIC));
        // The size that stands in front is not in the size.
        let start = size.and_then(|size| directory.checked_sub(size)?.checked_sub(8));
        let (Some(size), Some(start)) = (size, start) else { return Ok(None) };
        let bytes = source.some(start, usize::try_from(size + 8).unwrap_or(0))?;
        if size + 8 < FRAME_BYTES || le64(&bytes, 0) != Some(size) {
            return Ok(None);
        }
        Ok(Some(Self { range: (start, directory), bytes: bytes.into_owned(), source: source.clone(), end }))
    }

    /// Reads the signatures and verifies them over the file. `None` if the block has none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn facts(&self, trusted: &Trusted) -> io::Result<Option<CodeSignature>> {
        let mut facts = CodeSignature {
            kind: "apk".into(),
            table_offset: self.range.0,
            table_bytes: self.bytes.len() as u64,
            ..CodeSignature::default()
        };
        let mut signers = Vec::new();
        let is_whole = self.pairs(&mut facts, &mut signers);
        if facts.flags.is_empty() {
            return Ok(None);
        }
        facts.entries = u32::try_from(signers.len()).unwrap_or(u32::MAX);
        let wanted: BTreeSet<Hash> =
            signers.iter().flat_map(|signer| &signer.digests).map(|(hash, _)| *hash).collect();
        let mut computed = BTreeMap::new();
        for hash in wanted {
            computed.insert(hash, self.digest(hash)?);
        }
        facts.image_digest =
            computed.iter().next_back().map(|(hash, digest)| format!("{}:{}", hash.word(), hex(digest)));
        // Every signer must have signed, and each digest that it names must be that of the file.
        let mut valid = Some(is_whole && !signers.is_empty());
        let mut matching = Some(!signers.is_empty());
        for signer in &signers {
            valid = worse(valid, signer.verifies());
            let judged =
                signer.digests.iter().map(|(hash, stated)| computed.get(hash).map(|found| found == stated));
            matching = worse(matching, judged.reduce(worse).flatten());
            if let Some(scheme) = &signer.later
                && !facts.flags.contains(scheme)
            {
                facts.missing_schemes.insert(scheme.clone());
            }
        }
        (facts.signature_valid, facts.digest_matches) = (valid, matching);
        if let Some(signer) = signers.iter().max_by_key(|signer| signer.scheme) {
            signer.describe(trusted, &mut facts);
        }
        Ok(Some(facts))
    }

    /// Goes through the pairs of the block: a length, a number, a value. What is no signature is not covered by one.
    fn pairs<'b>(&'b self, facts: &mut CodeSignature, signers: &mut Vec<Signer<'b>>) -> bool {
        let end = self.bytes.len().saturating_sub(24);
        let mut is_whole = true;
        let mut at = 8;
        while at < end {
            let length = le64(&self.bytes, at).and_then(|length| usize::try_from(length).ok());
            let value =
                length.and_then(|length| self.bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?));
            let Some((id, value)) = value
                .and_then(|value| Some((le32(value, 0)?, value.get(4..)?)))
                .filter(|(_, value)| at + 12 + value.len() <= end)
            else {
                self.uncovered(facts, "a broken pair of the signing block", at, end, None);
                return false;
            };
            let next = at + 12 + value.len();
            if let Some((_, scheme)) = SCHEMES.iter().find(|(known, _)| *known == id) {
                facts.flags.insert((*scheme).to_owned());
                facts.signature_bytes += value.len() as u64;
                let (found, rest) = signers_of(scheme, value);
                // A signer that cannot be read is one that did not sign.
                is_whole &= rest && !found.is_empty() && found.len() + signers.len() <= SIGNERS_MAX;
                signers.extend(found.into_iter().take(SIGNERS_MAX));
                signers.truncate(SIGNERS_MAX);
            } else if id != PADDING || value.iter().any(|byte| *byte != 0) {
                let store = STORES.iter().find(|(known, _)| *known == id && value.len() <= STORE_MAX_BYTES);
                let place = format!("pair {id:#010x} of the signing block");
                self.uncovered(facts, &place, at + 12, next, store.map(|(_, word)| *word));
            }
            at = next;
        }
        is_whole && at == end
    }

    fn uncovered(&self, facts: &mut CodeSignature, place: &str, from: usize, to: usize, tag: Option<&str>) {
        let Some(data) = self.bytes.get(from..to).filter(|_| facts.uncovered.len() < LIST_MAX) else {
            return;
        };
        facts.uncovered.push(Uncovered {
            place: place.to_owned(),
            offset: self.range.0 + from as u64,
            size: data.len() as u64,
            entropy_millibits: entropy_millibits(data),
            tag: tag.map(str::to_owned),
        });
    }

    /// The digest over three parts: what is in front of the block, the directory, and the end record as if there were no block. Each
    /// is cut into chunks of a mebibyte.
    fn digest(&self, hash: Hash) -> io::Result<Vec<u8>> {
        let length = self.source.length().ok_or_else(|| io::Error::other("its end is not known"))?;
        let mut end = self
            .source
            .some(self.end, usize::try_from(length.saturating_sub(self.end)).unwrap_or(0))?
            .into_owned();
        // Offsets of packages have 32 bits.
        if let (Some(field), Ok(start)) = (end.get_mut(16..20), u32::try_from(self.range.0)) {
            field.copy_from_slice(&start.to_le_bytes());
        }
        let (mut chunks, mut count) = (Vec::new(), 0_u32);
        let parts = [
            self.source.part(0, self.range.0),
            self.source.part(self.range.1, self.end.saturating_sub(self.range.1)),
        ];
        for part in parts {
            let mut reader = part.ok_or_else(|| io::Error::other("it is cut off"))?.reader();
            loop {
                let mut chunk = Vec::new();
                if reader.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk)? == 0 {
                    break;
                }
                chunks.extend(hash.of_chunk(&chunk));
                count += 1;
            }
        }
        for chunk in end.chunks(CHUNK_BYTES as usize) {
            chunks.extend(hash.of_chunk(chunk));
            count += 1;
        }
        let mut context = Context::new(hash.algorithm());
        context.update(&[0x5a]);
        context.update(&count.to_le_bytes());
        context.update(&chunks);
        Ok(context.finish().as_ref().to_vec())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn of_chunk(self, chunk: &[u8]) -> Vec<u8> {
        let mut context = Context::new(self.algorithm());
        context.update(&[0xa5]);
        context.update(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes());
        context.update(chunk);
        context.finish().as_ref().to_vec()
    }

    /// The hash over the content that an algorithm implies; the digests for `fs-verity` (0x0421 and on) are others.
    fn of(algorithm: u32) -> Option<Self> {
        match algorithm {
            0x0101 | 0x0103 | 0x0201 | 0x0301 => Some(Self::Sha256),
            0x0102 | 0x0104 | 0x0202 => Some(Self::Sha512),
            _ => None,
        }
    }
}

fn worse(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// One signer of a scheme.
struct Signer<'a> {
    scheme: &'static str,
    /// What is signed.
    data: &'a [u8],
    digests: Vec<(Hash, Vec<u8>)>,
    /// Algorithms of the digests, in order: those of the signatures have to be the same.
    algorithms: Vec<u32>,
    certificates: Vec<&'a [u8]>,
    signatures: Vec<(u32, &'a [u8])>,
    key: &'a [u8],
    /// A later scheme that the signer says there is.
    later: Option<String>,
}

/// Takes a part with its length in front.
fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = le32(bytes, 0)? as usize;
    let found = bytes.get(4..4_usize.checked_add(length)?)?;
    *bytes = bytes.get(4 + length..)?;
    Some(found)
}

/// Takes parts up to the end, or up to the first that is broken; `false` then.
fn parts(mut bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        match part(&mut bytes).filter(|_| found.len() < LIST_MAX) {
            Some(one) => found.push(one),
            None => return (found, false),
        }
    }
    (found, true)
}

/// Reads the signers of a scheme; says whether nothing is left over.
fn signers_of<'a>(scheme: &'static str, mut value: &'a [u8]) -> (Vec<Signer<'a>>, bool) {
    let Some(list) = part(&mut value) else { return (Vec::new(), false) };
    let (list, is_whole) = parts(list);
    let signers: Vec<_> = list.iter().filter_map(|bytes| Signer::read(scheme, bytes)).collect();
    let is_whole = is_whole && value.is_empty() && signers.len() == list.len();
    (signers, is_whole)
}

impl<'a> Signer<'a> {
    fn read(scheme: &'static str, mut bytes: &'a [u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let data = part(bytes)?;
        let mut levels = (0, 0);
        if scheme != "v2" {
            levels = (le32(bytes, 0)?, le32(bytes, 4)?);
            *bytes = bytes.get(8..)?;
        }
        let (signatures, key) = (part(bytes)?, part(bytes)?);
        let mut rest = data;
        let (digests, certificates) = (part(&mut rest)?, part(&mut rest)?);
        if scheme != "v2" {
            // They are signed as well: another version of Android must not be told.
            if (le32(rest, 0)?, le32(rest, 4)?) != levels {
                return None;
            }
            rest = rest.get(8..)?;
        }
        let pair = |bytes: &&'a [u8]| {
            let mut rest = bytes.get(4..)?;
            Some((le32(bytes, 0)?, part(&mut rest)?))
        };
        let (digests, whole_digests) = parts(digests);
        let (signatures, whole_signatures) = parts(signatures);
        let (certificates, whole_certificates) = parts(certificates);
        let digests: Vec<(u32, &[u8])> = digests.iter().map(pair).collect::<Option<_>>()?;
        let later = part(&mut rest).map(parts).unwrap_or_default().0.into_iter().find_map(|attribute| {
            let number = (le32(attribute, 0)? == STRIPPING).then(|| le32(attribute, 4))?;
            Some(format!("v{}", number?))
        });
        (bytes.is_empty() && whole_digests && whole_signatures && whole_certificates).then_some(())?;
        Some(Self {
            scheme,
            data,
            algorithms: digests.iter().map(|(algorithm, _)| *algorithm).collect(),
            digests: digests
                .iter()
                .filter_map(|(algorithm, stated)| Some((Hash::of(*algorithm)?, stated.to_vec())))
                .collect(),
            certificates,
            signatures: signatures.iter().map(pair).collect::<Option<_>>()?,
            key,
            later: later.filter(|_| scheme == "v2"),
        })
    }

    fn certificate(&self) -> Option<Certificate<'a>> {
        Certificate::read(der::next(&mut &**self.certificates.first()?)?)
    }

    /// Whether every signature of a known algorithm verifies, the algorithms are those of the digests, and the key is that of the first
    /// certificate.
    fn verifies(&self) -> Option<bool> {
        let Some(certificate) = self.certificate() else { return Some(false) };
        let algorithms: Vec<u32> = self.signatures.iter().map(|(algorithm, _)| *algorithm).collect();
        if self.key != certificate.key().whole || algorithms != self.algorithms || algorithms.is_empty() {
            return Some(false);
        }
        let judged = self.signatures.iter().map(|(algorithm, signature)| {
            let (known, bits) = key(certificate.key(), *algorithm)?;
            Some(UnparsedPublicKey::new(known, bits).verify(self.data, signature).is_ok())
        });
        judged.fold(None, |all, one| match (all, one) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), _) | (_, Some(true)) => Some(true),
            _ => None,
        })
    }

    fn describe(&self, trusted: &Trusted, facts: &mut CodeSignature) {
        let Some(first) = self.certificate() else { return };
        facts.signer = first.common_name();
        facts.organisation = first.organisation();
        // On Android the certificate itself is who signed.
        facts.identifier = Some(Digest::of(first.whole.whole).to_string());
        let rest =
            self.certificates.iter().skip(1).filter_map(|der| Certificate::read(der::next(&mut &**der)?));
        let mut chain = vec![first];
        let mut valid = Some(true);
        for certificate in rest {
            let last = chain.last().unwrap_or(&first);
            valid = worse(valid, last.is_signed_by(&certificate));
            chain.push(certificate);
        }
        facts.chain = chain.iter().map(Certificate::shown).collect();
        facts.chain_valid = valid;
        facts.leads_to_root = trusted.signers.reached(&chain);
        let largest = self.certificates.iter().map(|der| der.len() as u64).max();
        facts.largest_certificate_bytes = largest.unwrap_or(0);
    }
}

/// What a signature algorithm of the scheme is, and the bits of the key; `None` if it is not known here.
fn key<'a>(key: Element<'a>, algorithm: u32) -> Option<(&'static dyn VerificationAlgorithm, &'a [u8])> {
    let mut parts = key.children();
    let mut kind = parts.next()?.children();
    let bits = parts.next()?.content.get(1..)?;
    let (_, curve) = (kind.next()?, kind.next().and_then(Element::oid));
    let known: &'static dyn VerificationAlgorithm = match (algorithm, curve.as_deref()) {
        (0x0101, _) => &algorithms::RSA_PSS_2048_8192_SHA256,
        (0x0102, _) => &algorithms::RSA_PSS_2048_8192_SHA512,
        (0x0103 | 0x0421, _) => &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (0x0104, _) => &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (0x0201 | 0x0423, Some("1.2.840.10045.3.1.7")) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (0x0201 | 0x0423, Some("1.3.132.0.34")) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (0x0202, Some("1.2.840.10045.3.1.7")) => &algorithms::ECDSA_P256_SHA512_ASN1,
        (0x0202, Some("1.3.132.0.34")) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (0x0202, Some("1.3.132.0.35")) => &algorithms::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    };
    Some((known, bits))
}
