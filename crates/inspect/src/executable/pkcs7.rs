//! Signed data (RFC 2315 and RFC 5652): signers, certificates, and whether the signatures check.
//!
//! What is verified is that the signer's key signed these attributes and that the attributes name this content.
//! Whether the key is to be trusted is asked elsewhere.

mod loose;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};

use super::der::{self, Element};
use super::text;
use time::time;

pub(super) const SHA256: &str = "2.16.840.1.101.3.4.2.1";
/// `id-kp-timeStamping` in `extKeyUsage` (RFC 3161, section 2.3).
const EXTENDED_USAGE: &str = "2.5.29.37";
const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
const COMMON_NAME: &str = "2.5.4.3";
const ORGANISATION: &str = "2.5.4.10";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
pub(super) const COUNTERSIGNATURE: &str = "1.2.840.113549.1.9.6";
pub(super) const TIMESTAMP: &str = "1.3.6.1.4.1.311.3.3.1";
pub(super) const NESTED: &str = "1.3.6.1.4.1.311.2.4.1";

/// No honest signature has more signers, certificates in a chain, or candidates for an issuer.
const SIGNERS_MAX: usize = 8;
const CHAIN_MAX: usize = 16;
const CANDIDATES_MAX: usize = 4;
/// So many certificates are asked for an issuer that no signer leads to.
const ISSUED_MAX: usize = 16;

/// A `SignedData` structure.
pub(super) struct Signed<'a> {
    /// What the content is.
    pub(super) content_type: Option<String>,
    /// The content, without tag and length.
    pub(super) content: Option<Element<'a>>,
    pub(super) certificates: Vec<Certificate<'a>>,
    /// What stands among the certificates and is none: attribute certificates of old timestamps, or hidden data.
    pub(super) others: Vec<Element<'a>>,
    pub(super) signers: Vec<Signer<'a>>,
    /// What stands in the structure at a place where nothing is: the signature does not cover it, and no verifier reads it.
    pub(super) loose: Vec<Element<'a>>,
}

/// A certificate (RFC 5280, section 4.1).
#[derive(Clone, Copy)]
pub(super) struct Certificate<'a> {
    pub(super) whole: Element<'a>,
    body: Element<'a>,
    algorithm: Element<'a>,
    signature: Element<'a>,
    serial: &'a [u8],
    issuer: &'a [u8],
    validity: Element<'a>,
    subject: Element<'a>,
    key: Element<'a>,
}

/// Whom somebody trusts.
#[derive(Clone, Default)]
pub(crate) struct Trusted {
    /// To sign.
    pub(crate) signers: Roots,
    /// To say when something was signed.
    pub(crate) timestamps: Roots,
}

impl Trusted {
    /// Tells whether signatures are followed to somebody.
    pub(crate) fn is_asked(&self) -> bool {
        !self.signers.0.is_empty() || !self.timestamps.0.is_empty()
    }
}

/// Certificates that somebody trusts, in DER.
#[derive(Clone, Default)]
pub(crate) struct Roots(pub(crate) Arc<Vec<Vec<u8>>>);

impl Roots {
    /// Tells whether a chain leads to one of them; `None` if there are none, or a link's algorithm is not known.
    fn reached_by(&self, certificate: &Certificate) -> Option<bool> {
        let mut judged = Some(false);
        for der in self.0.iter() {
            let Some(root) = der::next(&mut der.as_slice()).and_then(Certificate::read) else { continue };
            if root.whole.whole == certificate.whole.whole {
                return Some(true);
            }
            if root.subject.whole == certificate.issuer {
                match certificate.is_signed_by(&root) {
                    Some(true) => return Some(true),
                    None => judged = None,
                    Some(false) => {}
                }
            }
        }
        judged
    }

    pub(super) fn reached(&self, chain: &[Certificate]) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let judged: Vec<_> = chain.iter().map(|certificate| self.reached_by(certificate)).collect();
        if judged.contains(&Some(true)) {
            return Some(true);
        }
        judged.iter().all(|one| *one == Some(false)).then_some(false)
    }
}

/// Tells whether bytes are a certificate.
pub(crate) fn is_certificate(bytes: &[u8]) -> bool {
    der::next(&mut &*bytes).and_then(Certificate::read).is_some()
}

/// One `SignerInfo`.
pub(super) struct Signer<'a> {
    issuer: &'a [u8],
    serial: &'a [u8],
    key_identifier: bool,
    digest_algorithm: String,
    attributes: Option<Element<'a>>,
    signature_algorithm: Element<'a>,
    signature: Element<'a>,
    /// Unsigned attributes: type and values.
    pub(super) unsigned: Vec<(String, Element<'a>)>,
}

impl<'a> Signed<'a> {
    /// Reads a `ContentInfo` that holds signed data.
    pub(super) fn read(structure: Element<'a>) -> Option<Self> {
        let data = structure.children().nth(1)?.children().next()?;
        let fields: Vec<Element> = data.children().take(loose::FIELDS_MAX).collect();
        let (mut certificates, mut others) = (Vec::new(), Vec::new());
        for element in fields.iter().filter(|field| field.tag == 0xa0).flat_map(|field| field.children()) {
            match Certificate::read(element) {
                Some(certificate) => certificates.push(certificate),
                None => others.push(element),
            }
        }
        let signers = *fields.iter().skip(3).rfind(|field| field.tag == 0x31)?;
        Some(Self {
            loose: loose::of(structure, &fields, signers, &certificates),
            content_type: fields.get(2)?.children().next().and_then(Element::oid),
            content: fields.get(2)?.children().nth(1).and_then(|explicit| explicit.children().next()),
            certificates,
            others,
            signers: signers.children().take(SIGNERS_MAX).filter_map(Signer::read).collect(),
        })
    }

    /// Finds a signer's certificate by issuer and serial number.
    pub(super) fn certificate(&self, signer: &Signer) -> Option<Certificate<'a>> {
        self.certificates
            .iter()
            .find(|one| one.serial == signer.serial && (signer.key_identifier || one.issuer == signer.issuer))
            .copied()
    }

    /// Follows the issuers inside the structure. Says also whether each link is signed (`None` for an unknown
    /// algorithm) and whether the end is self-issued.
    pub(super) fn chain(&self, leaf: Certificate<'a>) -> (Vec<Certificate<'a>>, Option<bool>, bool) {
        let mut chain = vec![leaf];
        let mut valid = Some(true);
        let mut at = leaf;
        while at.issuer != at.subject.whole && chain.len() < CHAIN_MAX {
            let candidates = self.certificates.iter().filter(|one| one.subject.whole == at.issuer);
            let judged: Vec<_> =
                candidates.take(CANDIDATES_MAX).map(|one| (*one, at.is_signed_by(one))).collect();
            let best = judged
                .iter()
                .find(|(_, signed)| *signed == Some(true))
                .or_else(|| judged.iter().find(|(_, signed)| signed.is_none()))
                .or(judged.first());
            let Some((issuer, signed)) = best else { break };
            valid = match (valid, signed) {
                (Some(true), other) => *other,
                (earlier, _) => earlier,
            };
            chain.push(*issuer);
            at = *issuer;
        }
        (chain, valid, at.issuer == at.subject.whole)
    }

    /// Returns the certificates that no signer here leads to, and that no certificate of a chain has signed. `countersigners` are signers within attributes.
    pub(super) fn stray(&self, countersigners: &[Signer<'a>]) -> Vec<Certificate<'a>> {
        let mut by_subject: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (index, certificate) in self.certificates.iter().enumerate() {
            by_subject.entry(certificate.subject.whole).or_default().push(index);
        }
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        let mut waiting: Vec<usize> = Vec::new();
        for signer in self.signers.iter().chain(countersigners) {
            let own = self.certificates.iter().position(|one| {
                one.serial == signer.serial && (signer.key_identifier || one.issuer == signer.issuer)
            });
            waiting.extend(own);
        }
        while let Some(index) = waiting.pop() {
            if !reached.insert(index) {
                continue;
            }
            let issuers = by_subject.remove(self.certificates[index].issuer).unwrap_or_default();
            waiting.extend(issuers);
        }
        // Old signers left another certificate of the same timestamping authority in: nobody else can have made it.
        let is_issued = |certificate: &Certificate| {
            let issuers = reached.iter().map(|index| &self.certificates[*index]);
            let named = issuers.filter(|issuer| issuer.subject.whole == certificate.issuer);
            named.take(CANDIDATES_MAX).any(|issuer| certificate.is_signed_by(issuer) == Some(true))
        };
        let stray = self.certificates.iter().enumerate().filter(|(index, _)| !reached.contains(index));
        let (first, rest): (Vec<_>, Vec<_>) = stray.enumerate().partition(|(place, _)| *place < ISSUED_MAX);
        let first = first.into_iter().filter(|(_, (_, certificate))| !is_issued(certificate));
        first.chain(rest).map(|(_, (_, certificate))| *certificate).collect()
    }

    /// Verifies a signer over this structure's content, or over content kept elsewhere.
    pub(super) fn verify(&self, signer: &Signer, detached: Option<&[u8]>) -> Option<bool> {
        let certificate = self.certificate(signer)?;
        let octets;
        let content = match (detached, self.content) {
            (Some(detached), _) => detached,
            // RFC 5652, section 5.4: without tag and length.
            (None, Some(content)) if content.tag & !0x20 == 0x04 => {
                octets = content.octets();
                &octets
            }
            (None, Some(content)) => content.content,
            (None, None) => return None,
        };
        signer.verify(&certificate, content)
    }
}

impl<'a> Certificate<'a> {
    pub(super) fn read(whole: Element<'a>) -> Option<Self> {
        if whole.tag != 0x30 {
            return None;
        }
        let mut parts = whole.children();
        let (body, algorithm, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let fields: Vec<Element> = body.children().skip_while(|field| field.tag == 0xa0).take(6).collect();
        Some(Self {
            whole,
            body,
            algorithm,
            signature,
            serial: fields.first()?.content,
            issuer: fields.get(2)?.whole,
            validity: *fields.get(3)?,
            subject: *fields.get(4)?,
            key: *fields.get(5)?,
        })
    }

    /// `subjectPublicKeyInfo`.
    pub(super) fn key(&self) -> Element<'a> {
        self.key
    }

    pub(super) fn is_signed_by(&self, issuer: &Self) -> Option<bool> {
        let signature = self.signature.content.get(1..)?;
        verify(issuer.key, self.algorithm, None, self.body.whole, signature)
    }

    /// Tells whether it was valid at a time, which is written as RFC 3339 in UTC.
    pub(super) fn is_valid_at(&self, at: &str) -> Option<bool> {
        let mut bounds = self.validity.children();
        let (begin, end) = (time(bounds.next()?)?, time(bounds.next()?)?);
        Some(begin.as_str() <= at && at <= end.as_str())
    }

    /// Tells whether its extended usage (RFC 5280, section 4.2.1.12) has timestamps in it.
    fn is_for_timestamps(&self) -> bool {
        let extensions = self.body.children().filter(|field| field.tag == 0xa3);
        extensions.flat_map(Element::children).flat_map(Element::children).any(|extension| {
            let is_usage =
                extension.children().next().and_then(Element::oid).is_some_and(|kind| kind == EXTENDED_USAGE);
            let value = extension.children().find(|part| part.tag == 0x04);
            let usages = value.and_then(|value| der::next(&mut &*value.content));
            is_usage
                && usages.is_some_and(|usages| {
                    usages.children().any(|one| one.oid().is_some_and(|usage| usage == TIME_STAMPING))
                })
        })
    }

    fn name(&self, wanted: &str) -> Option<String> {
        self.subject.children().flat_map(Element::children).find_map(|attribute| {
            let mut pair = attribute.children();
            (pair.next()?.oid()? == wanted).then(|| pair.next().map(|value| text(value.content)))?
        })
    }

    pub(super) fn common_name(&self) -> Option<String> {
        self.name(COMMON_NAME)
    }

    pub(super) fn organisation(&self) -> Option<String> {
        self.name(ORGANISATION)
    }

    /// Names it for people: by its common name, else its organisation.
    pub(super) fn shown(&self) -> String {
        self.common_name().or_else(|| self.organisation()).unwrap_or_else(|| "unnamed".to_owned())
    }
}

impl<'a> Signer<'a> {
    pub(super) fn read(info: Element<'a>) -> Option<Self> {
        let fields: Vec<Element> = info.children().take(8).collect();
        let identifier = fields.get(1)?;
        // `[0]` is a key identifier, which no certificate states in its body: then the serial cannot be compared.
        let (issuer, serial, key_identifier) = match identifier.tag {
            0x30 => {
                let mut parts = identifier.children();
                (parts.next()?.whole, parts.next()?.content, false)
            }
            _ => (identifier.content, identifier.content, true),
        };
        let attributes = fields.get(3).filter(|field| field.tag == 0xa0).copied();
        let after = if attributes.is_some() { 4 } else { 3 };
        let unsigned = fields
            .iter()
            .filter(|field| field.tag == 0xa1)
            .flat_map(|field| field.children())
            .filter_map(|attribute| Some((attribute.children().next()?.oid()?, attribute)))
            .collect();
        Some(Self {
            issuer,
            serial,
            key_identifier,
            digest_algorithm: fields.get(2)?.children().next()?.oid()?,
            attributes,
            signature_algorithm: *fields.get(after)?,
            signature: *fields.get(after + 1)?,
            unsigned,
        })
    }

    /// The signature itself: what a timestamp is for.
    pub(super) fn signature(&self) -> &'a [u8] {
        self.signature.content
    }

    fn attribute(&self, wanted: &str) -> Option<Element<'a>> {
        let mut attributes = self.attributes?.children();
        let found = attributes
            .find(|one| one.children().next().and_then(Element::oid).is_some_and(|kind| kind == wanted))?;
        found.children().nth(1)?.children().next()
    }

    /// Time of a countersignature (PKCS#9, `signingTime`).
    pub(super) fn signing_time(&self) -> Option<String> {
        self.attribute(SIGNING_TIME).and_then(time)
    }

    pub(super) fn verify(&self, certificate: &Certificate, content: &[u8]) -> Option<bool> {
        if self.attributes.is_some() {
            let stated = self.attribute(MESSAGE_DIGEST)?;
            if hash(&self.digest_algorithm, &[content])? != stated.content {
                return Some(false);
            }
            return self.verify_attributes(certificate);
        }
        self.verify_message(certificate, content)
    }

    /// Verifies the signature over the attributes, whatever content they are of.
    pub(super) fn verify_attributes(&self, certificate: &Certificate) -> Option<bool> {
        // They are signed as a SET, whatever tag they stand under (RFC 5652, section 5.4).
        let mut set = self.attributes?.whole.to_vec();
        *set.first_mut()? = 0x31;
        self.verify_message(certificate, &set)
    }

    fn verify_message(&self, certificate: &Certificate, message: &[u8]) -> Option<bool> {
        let digest = Some(self.digest_algorithm.as_str());
        verify(certificate.key, self.signature_algorithm, digest, message, self.signature.content)
    }
}

/// Hashes parts with an algorithm given by its identifier.
pub(super) fn hash(algorithm: &str, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let algorithm = match algorithm {
        "1.3.14.3.2.26" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SHA256 => &digest::SHA256,
        "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
        _ => return None,
    };
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    Some(context.finish().as_ref().to_vec())
}

/// Verifies a signature. `None`: the algorithm is not known here, so nothing can be said.
fn verify(
    key: Element,
    algorithm: Element,
    digest: Option<&str>,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let mut parts = key.children();
    let mut kind = parts.next()?.children();
    let bits = parts.next()?.content.get(1..)?;
    let (kind, curve) = (kind.next()?.oid()?, kind.next().and_then(Element::oid));
    let mut stated = algorithm.children();
    let (name, parameters) = (stated.next()?.oid()?, stated.next());
    let known: &'static dyn VerificationAlgorithm = match kind.as_str() {
        "1.2.840.113549.1.1.1" => {
            // Keys below 1024 bits are refused by the library: nothing can be said about their signatures.
            if bits.len() < 128 {
                return None;
            }
            rsa(&name, digest, parameters)?
        }
        "1.2.840.10045.2.1" => ecdsa(curve.as_deref()?, &name, digest)?,
        _ => return None,
    };
    Some(UnparsedPublicKey::new(known, bits).verify(message, signature).is_ok())
}

fn rsa(
    name: &str,
    digest: Option<&str>,
    parameters: Option<Element>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let by_digest = |digest: &str| -> Option<&'static dyn VerificationAlgorithm> {
        Some(match digest {
            "1.3.14.3.2.26" => &algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            SHA256 => &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            "2.16.840.1.101.3.4.2.2" => &algorithms::RSA_PKCS1_2048_8192_SHA384,
            "2.16.840.1.101.3.4.2.3" => &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            _ => return None,
        })
    };
    match name {
        "1.2.840.113549.1.1.1" => by_digest(digest?),
        "1.2.840.113549.1.1.5" => by_digest("1.3.14.3.2.26"),
        "1.2.840.113549.1.1.11" => by_digest(SHA256),
        "1.2.840.113549.1.1.12" => by_digest("2.16.840.1.101.3.4.2.2"),
        "1.2.840.113549.1.1.13" => by_digest("2.16.840.1.101.3.4.2.3"),
        // RSASSA-PSS (RFC 4055, section 3.1): the hash is the first parameter.
        "1.2.840.113549.1.1.10" => {
            let hash = parameters?.children().find(|one| one.tag == 0xa0)?.children().next()?;
            Some(match hash.children().next()?.oid()?.as_str() {
                SHA256 => &algorithms::RSA_PSS_2048_8192_SHA256,
                "2.16.840.1.101.3.4.2.2" => &algorithms::RSA_PSS_2048_8192_SHA384,
                "2.16.840.1.101.3.4.2.3" => &algorithms::RSA_PSS_2048_8192_SHA512,
                _ => return None,
            })
        }
        _ => None,
    }
}

fn ecdsa(curve: &str, name: &str, digest: Option<&str>) -> Option<&'static dyn VerificationAlgorithm> {
    let digest = match name {
        "1.2.840.10045.4.3.2" => 256,
        "1.2.840.10045.4.3.3" => 384,
        "1.2.840.10045.4.3.4" => 512,
        // `ecPublicKey` in place of a signature algorithm: the digest is said beside it.
        "1.2.840.10045.2.1" => match digest? {
            SHA256 => 256,
            "2.16.840.1.101.3.4.2.2" => 384,
            "2.16.840.1.101.3.4.2.3" => 512,
            _ => return None,
        },
        _ => return None,
    };
    Some(match (curve, digest) {
        ("1.2.840.10045.3.1.7", 256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        ("1.2.840.10045.3.1.7", 384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        ("1.3.132.0.34", 256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        ("1.3.132.0.34", 384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        ("1.3.132.0.35", 512) => &algorithms::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// What a timestamp says, and whether it may say so.
#[derive(Default)]
pub(super) struct Stamp {
    /// The time that it states, RFC 3339.
    pub(super) at: Option<String>,
    /// Whether it is for this signature, verifies, and the links of its chain are signed.
    pub(super) valid: Option<bool>,
    /// Who made it.
    pub(super) signer: Option<String>,
    /// Whether its chain leads to a given root, and its certificate is one for timestamps.
    pub(super) leads_to_root: Option<bool>,
}

impl Stamp {
    /// Reads an RFC 3161 token over a signature; `None` if it is none.
    pub(super) fn token(token: Element, signature: &[u8], roots: &Roots) -> Option<Self> {
        let signed = Signed::read(token)?;
        let octets = signed.content?.octets();
        let info = der::next(&mut octets.as_slice())?;
        let fields: Vec<Element> = info.children().take(5).collect();
        let imprint: Vec<Element> = fields.get(2)?.children().collect();
        let algorithm = imprint.first()?.children().next()?.oid()?;
        let stated = imprint.get(1)?.content;
        let is_for_it = hash(&algorithm, &[signature]).map(|hash| hash == stated);
        let signer = signed.signers.first()?;
        let verifies = signed.verify(signer, None);
        let at = time(*fields.get(4)?);
        Some(Self::judged(&signed, signer, at, [is_for_it, verifies], roots))
    }

    /// Reads a countersignature (PKCS#9) over a signature by a signer whose certificate is in `signed`.
    pub(super) fn countersignature(
        signed: &Signed,
        info: Element,
        signature: &[u8],
        roots: &Roots,
    ) -> Option<Self> {
        let signer = Signer::read(info)?;
        let verifies =
            signed.certificate(&signer).and_then(|certificate| signer.verify(&certificate, signature));
        Some(Self::judged(signed, &signer, signer.signing_time(), [verifies, Some(true)], roots))
    }

    fn judged(
        signed: &Signed,
        signer: &Signer,
        at: Option<String>,
        verified: [Option<bool>; 2],
        roots: &Roots,
    ) -> Self {
        let Some(certificate) = signed.certificate(signer) else {
            let valid = verified.contains(&Some(false)).then_some(false);
            return Self { at: at.filter(|_| valid != Some(false)), valid, ..Self::default() };
        };
        let (chain, links, _) = signed.chain(certificate);
        let valid = [verified[0], verified[1], links].into_iter().reduce(both).flatten();
        let leads_to_root = roots.reached(&chain).map(|reached| reached && certificate.is_for_timestamps());
        Self {
            at: at.filter(|_| valid != Some(false)),
            valid,
            signer: Some(certificate.shown()),
            leads_to_root,
        }
    }
}

/// One that is false makes it so, then one that is not known.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code signer's certificate says nothing about time, whoever it leads to.
    #[test]
    fn the_usage_of_a_certificate_is_read() {
        let signed = forge::TestSigner::new("x").sign(&forge::PeImage::default().bytes());
        // Revision and type of the entry, then the structure.
        let table = signed.windows(4).rposition(|bytes| bytes == [0, 2, 2, 0]).unwrap();
        let structure = der::next(&mut &signed[table + 4..]).unwrap();
        let certificate = Signed::read(structure).unwrap().certificates[0];
        assert!(!certificate.is_for_timestamps());
        // The last arc of the usage: 3 is for code, 8 for timestamps.
        let usage = [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3];
        let mut other = certificate.whole.whole.to_vec();
        let place = other.windows(usage.len()).position(|bytes| bytes == usage).unwrap();
        other[place + usage.len() - 1] = 8;
        let other = Certificate::read(der::next(&mut other.as_slice()).unwrap()).unwrap();
        assert!(other.is_for_timestamps());
    }
}
