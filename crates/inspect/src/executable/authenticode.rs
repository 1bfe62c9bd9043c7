//! Authenticode: what the certificate table of a PE image holds ("Windows Authenticode Portable Executable Signature
//! Format", 2008), and every place in it that the signature does not cover. Facts only: the signature is verified,
//! whom to trust is not judged.

mod pages;

use std::collections::BTreeSet;

use evidence::Hasher;
use evidence::tree::{CodeSignature, Uncovered};

use super::der::{self, Element};
use super::pkcs7::{self, COUNTERSIGNATURE, NESTED, SHA256, Signed, Signer, Stamp, TIMESTAMP, Trusted};
use super::{Unreadable, hex};
use crate::entropy::entropy_millibits;

/// Unsigned attributes of honest signers: timestamps and nested signatures.
const USUAL_ATTRIBUTES: &[&str] = &[COUNTERSIGNATURE, TIMESTAMP, NESTED];
/// `WIN_CERT_REVISION_2_0` and `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
const USUAL_ENTRY: (u16, u16) = (0x0200, 0x0002);
/// Signatures within signatures are followed so far.
const NESTED_MAX: u32 = 8;
/// Timestamps of 2013 hold an attribute certificate of 890 bytes.
const ATTRIBUTE_CERTIFICATE_MAX: usize = 2048;
/// Honest signatures have one timestamp.
const STAMPS_MAX: usize = 8;
/// So many places are listed; none of them is honest.
const PLACES_MAX: usize = 64;
/// Padding to the next multiple of eight.
const PADDING_MAX: usize = 7;

/// Reads the table at `start`; `checksum` and `entry` are the fields that the digest leaves out.
pub(super) fn read(
    bytes: &[u8],
    checksum: u64,
    entry: u64,
    start: u32,
    size: u32,
    trusted: &Trusted,
) -> Result<CodeSignature, Unreadable> {
    let (from, to) = (start as usize, start as usize + size as usize);
    let table =
        bytes.get(from..to).ok_or(Unreadable::Other("the certificate table lies outside the file"))?;
    if start as u64 <= entry {
        return Err(Unreadable::Other("the certificate table overlaps the headers"));
    }
    let mut facts = CodeSignature {
        kind: "authenticode".into(),
        table_offset: u64::from(start),
        table_bytes: u64::from(size),
        bytes_after_table: (bytes.len() - to) as u64,
        ..CodeSignature::default()
    };
    let mut places = Places { bytes, found: Vec::new() };
    let signed = entries(table, from, &mut facts, &mut places);
    places.take("behind the table", to, bytes.len());
    let parts = image_parts(bytes, checksum as usize, entry as usize, from, to);
    facts.image_digest = parts.as_deref().map(digest);
    if let Some(structure) = signed {
        let pages = pages::Image { bytes, checksum: checksum as usize, entry: entry as usize };
        signature(structure, parts.as_deref(), Some(&pages), trusted, &mut facts, &mut places);
    }
    places.found.sort_by_key(|place| place.offset);
    facts.uncovered = places.found;
    Ok(facts)
}

/// Reads the signature of an installer database: a stream with the structure, over the other streams.
pub(crate) fn of_database(stream: &[u8], parts: Option<&[&[u8]]>, trusted: &Trusted) -> CodeSignature {
    separate("msi", stream, 0, stream.len(), parts, trusted)
}

/// Reads the signature of a cabinet, which lies at a place of its own, over parts of the rest.
pub(crate) fn of_cabinet(
    bytes: &[u8],
    from: usize,
    to: usize,
    parts: &[&[u8]],
    trusted: &Trusted,
) -> CodeSignature {
    let mut facts = separate("cab", bytes, from, to, Some(parts), trusted);
    facts.table_offset = from as u64;
    facts
}

/// Reads the signature of a catalog, which holds what it signs.
pub(super) fn of_list(bytes: &[u8], trusted: &Trusted) -> CodeSignature {
    let mut facts = separate("catalog", bytes, 0, bytes.len(), None, trusted);
    // Catalogs are as large as what they list.
    facts.table_bytes = 0;
    facts
}

/// Notes stretches of a container that its signature does not cover.
pub(crate) fn leaves_out(facts: &mut CodeSignature, bytes: &[u8], stretches: &[(&str, usize, usize)]) {
    let mut places = Places { bytes, found: std::mem::take(&mut facts.uncovered) };
    for (place, from, to) in stretches {
        places.take(place, *from, *to);
    }
    places.found.sort_by_key(|place| place.offset);
    facts.uncovered = places.found;
}

/// Reads a structure that stands in a stretch of some bytes by itself, up to padding.
fn separate(
    kind: &str,
    bytes: &[u8],
    from: usize,
    to: usize,
    parts: Option<&[&[u8]]>,
    trusted: &Trusted,
) -> CodeSignature {
    let stream = bytes.get(from..to).unwrap_or_default();
    let mut facts = CodeSignature {
        kind: kind.into(),
        table_bytes: stream.len() as u64,
        entries: 1,
        image_digest: parts.map(digest),
        ..CodeSignature::default()
    };
    let mut places = Places { bytes, found: Vec::new() };
    let mut rest = stream;
    if let Some(structure) = der::next(&mut rest) {
        facts.signature_bytes = structure.whole.len() as u64;
        signature(structure, parts, None, trusted, &mut facts, &mut places);
    }
    if kind == "msi" {
        places.take("behind the PKCS#7", to - rest.len(), to);
    } else {
        beyond_padding(&mut places, "behind the PKCS#7", to - rest.len(), to);
    }
    places.found.sort_by_key(|place| place.offset);
    facts.uncovered = places.found;
    facts
}

/// Reads a signature over content that is kept elsewhere.
pub(crate) fn detached(structure: &[u8], content: &[u8], trusted: &Trusted) -> Option<CodeSignature> {
    let mut rest = structure;
    let element = der::next(&mut rest)?;
    let signed = Signed::read(element)?;
    let mut facts = CodeSignature { signature_bytes: element.whole.len() as u64, ..CodeSignature::default() };
    outer(&signed, trusted, &mut facts);
    facts.signature_valid = signed.verify(signed.signers.first()?, Some(content));
    Some(facts)
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish().to_string()
}

/// Collects stretches that are not covered.
struct Places<'a> {
    bytes: &'a [u8],
    found: Vec<Uncovered>,
}

impl Places<'_> {
    fn take(&mut self, place: &str, from: usize, to: usize) {
        let Some(data) = self.bytes.get(from..to).filter(|data| !data.is_empty()) else { return };
        if self.found.len() < PLACES_MAX {
            self.found.push(Uncovered {
                place: place.to_owned(),
                offset: from as u64,
                size: data.len() as u64,
                entropy_millibits: entropy_millibits(data),
                tag: tag(data).map(str::to_owned),
            });
        }
    }

    /// Notes an element by where it lies in the file.
    fn element(&mut self, place: &str, element: Element) {
        let offset = (element.whole.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize);
        if let Some(from) = offset.filter(|from| *from < self.bytes.len()) {
            self.take(place, from, from + element.whole.len());
        }
    }
}

/// Goes through the entries of the table (PE Format, "The Attribute Certificate Table") and returns the first
/// structure.
fn entries<'a>(
    table: &'a [u8],
    from: usize,
    facts: &mut CodeSignature,
    places: &mut Places,
) -> Option<Element<'a>> {
    let mut trailing = Vec::new();
    let mut at = 0;
    let mut signed = None;
    while let Some([a, b, c, d, revision @ .., _, _]) = table.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let rest = &table[at..];
        if length < 8 || length > rest.len() {
            break;
        }
        facts.entries += 1;
        let kind = (u16::from_le_bytes(*revision), u16::from_le_bytes([rest[6], rest[7]]));
        let usual = kind == USUAL_ENTRY;
        facts.unknown_entries += u32::from(!usual);
        let mut content = &rest[8..length];
        let structure = if usual { der::next(&mut content) } else { None };
        if let Some(structure) = structure {
            facts.signature_bytes += structure.whole.len() as u64;
        }
        // Entries begin at multiples of eight bytes.
        let next = length.next_multiple_of(8).min(rest.len());
        match structure.filter(|_| signed.is_none()) {
            Some(structure) => {
                signed = Some(structure);
                trailing.extend_from_slice(content);
                trailing.extend_from_slice(&rest[length..next]);
                beyond_padding(
                    places,
                    "behind the PKCS#7",
                    from + at + length - content.len(),
                    from + at + next,
                );
            }
            None => {
                places.take(&format!("entry {} of the table", facts.entries), from + at, from + at + next)
            }
        }
        at += next;
    }
    trailing.extend_from_slice(&table[at..]);
    beyond_padding(places, "behind the entries of the table", from + at, from + table.len());
    facts.trailing_bytes = trailing.len() as u64;
    facts.trailing_nonzero = trailing.iter().any(|byte| *byte != 0);
    facts.trailing_entropy_millibits = entropy_millibits(&trailing);
    signed
}

fn beyond_padding(places: &mut Places, place: &str, from: usize, to: usize) {
    let padding = places
        .bytes
        .get(from..to)
        .is_some_and(|data| data.len() <= PADDING_MAX && data.iter().all(|byte| *byte == 0));
    if !padding {
        places.take(place, from, to);
    }
}

/// What vendors put beside their signatures to tell downloads apart, known by its content: a mark, then short text.
fn tag(data: &[u8]) -> Option<&'static str> {
    const TAG_MAX: usize = 2048;
    /// Mark, name, and bytes of a length field behind the mark.
    const TAGS: &[(&[u8], &str, usize)] =
        &[(b"Gact2.0Omaha", "Omaha", 2), (b"__MOZCUSTOM__:", "Mozilla", 0), (b"META:", "Dropbox", 0)];
    let (mark, name, skip) = TAGS.iter().find_map(|known| {
        // The mark stands first, behind at most a header of an element and zeros.
        let window = data.get(..data.len().min(64 + known.0.len()))?;
        let at = window.windows(known.0.len()).position(|window| window == known.0)?;
        Some((at + known.0.len(), known.1, known.2))
    })?;
    let rest = data.get(mark + skip..)?;
    let text = rest.iter().take_while(|byte| matches!(byte, b' '..=b'~')).count();
    let harmless = text <= TAG_MAX && rest[text..].iter().all(|byte| *byte == 0);
    harmless.then_some(name)
}

/// The image without checksum, table entry and table.
fn image_parts(bytes: &[u8], checksum: usize, entry: usize, from: usize, to: usize) -> Option<Vec<&[u8]>> {
    [(0, checksum), (checksum + 4, entry), (entry + 8, from), (to, bytes.len())]
        .iter()
        .map(|(start, end)| bytes.get(*start..*end))
        .collect()
}

/// Reads a PKCS#7 `SignedData` (RFC 2315, section 9.1) and the signatures nested in it.
fn signature(
    structure: Element,
    image: Option<&[&[u8]]>,
    pages: Option<&pages::Image>,
    trusted: &Trusted,
    facts: &mut CodeSignature,
    places: &mut Places,
) {
    let mut waiting = vec![structure];
    let mut first = true;
    while let Some(structure) = waiting.pop() {
        let Some(signed) = Signed::read(structure) else {
            if !first {
                places.element("nested signature that is none", structure);
            }
            continue;
        };
        if first {
            outer(&signed, trusted, facts);
        }
        match pages.and_then(|pages| pages.matches(&signed)) {
            Some(false) => facts.page_hashes_match = Some(false),
            Some(true) if facts.page_hashes_match.is_none() => facts.page_hashes_match = Some(true),
            _ => {}
        }
        // Every nested signature must be for this image as well.
        match (matches(&signed, image, facts.image_digest.as_deref()), facts.digest_matches) {
            (found, None) | (found @ Some(false), _) if found.is_some() => facts.digest_matches = found,
            _ => {}
        }
        first = false;
        for certificate in &signed.certificates {
            let size = certificate.whole.whole.len() as u64;
            facts.largest_certificate_bytes = facts.largest_certificate_bytes.max(size);
        }
        let mut countersigners = Vec::new();
        for (kind, attribute) in signed.signers.iter().flat_map(|signer| &signer.unsigned) {
            let values: Vec<Element> =
                attribute.children().nth(1).into_iter().flat_map(Element::children).collect();
            facts.largest_attribute_bytes = facts.largest_attribute_bytes.max(attribute.whole.len() as u64);
            match kind.as_str() {
                NESTED => {
                    for value in values {
                        if facts.nested < NESTED_MAX {
                            facts.nested += 1;
                            waiting.push(value);
                        }
                    }
                }
                COUNTERSIGNATURE => {
                    for value in values {
                        match Signer::read(value) {
                            Some(signer) => countersigners.push(signer),
                            None => places.element("countersignature that is none", value),
                        }
                    }
                }
                TIMESTAMP => {
                    let (tokens, others_): (Vec<_>, Vec<_>) = values
                        .into_iter()
                        .map(|value| (value, Signed::read(value)))
                        .partition(|(_, token)| token.is_some());
                    for (value, _) in others_ {
                        places.element("timestamp that is none", value);
                    }
                    for token in tokens.into_iter().filter_map(|(_, token)| token) {
                        loose(&token, places);
                        strays(&token, &[], facts, places);
                        others(&token, ATTRIBUTE_CERTIFICATE_MAX, places);
                    }
                }
                unknown => places.element(&format!("unsigned attribute {unknown}"), *attribute),
            }
        }
        let unknown = signed.signers.iter().flat_map(|signer| &signer.unsigned).map(|(kind, _)| kind);
        facts.unknown_attributes.extend(unknown_attributes(unknown));
        strays(&signed, &countersigners, facts, places);
        others(&signed, 0, places);
        loose(&signed, places);
    }
}

/// Notes what stands in the structure where nothing belongs.
fn loose(signed: &Signed, places: &mut Places) {
    for element in &signed.loose {
        places.element("nothing that belongs into a signature", *element);
    }
}

/// Notes what is no certificate, but for version 1 attribute certificates (`[1]`) up to a size.
fn others(signed: &Signed, attribute_certificate_max: usize, places: &mut Places) {
    for other in &signed.others {
        if other.tag != 0xa1 || other.whole.len() > attribute_certificate_max {
            places.element("no certificate among the certificates", *other);
        }
    }
}

/// Reads who signed, when, and whether the signature checks.
fn outer(signed: &Signed, trusted: &Trusted, facts: &mut CodeSignature) {
    let Some(signer) = signed.signers.first() else { return };
    facts.signature_valid = signed.verify(signer, None);
    if let Some(stamp) = stamp(signed, signer, trusted) {
        (facts.signed_at, facts.timestamp_valid) = (stamp.at, stamp.valid);
        (facts.timestamp_signer, facts.timestamp_leads_to_root) = (stamp.signer, stamp.leads_to_root);
    }
    let Some(certificate) = signed.certificate(signer) else { return };
    facts.signer = certificate.common_name();
    facts.organisation = certificate.organisation();
    let (chain, valid, complete) = signed.chain(certificate);
    facts.chain = chain.iter().map(pkcs7::Certificate::shown).collect();
    (facts.chain_valid, facts.chain_complete) = (valid, complete);
    facts.valid_when_signed = facts.signed_at.as_deref().and_then(|at| {
        chain
            .iter()
            .map(|certificate| certificate.is_valid_at(at))
            .reduce(|one, other| Some(one? && other?))?
    });
    facts.leads_to_root = trusted.signers.reached(&chain);
}

/// Reads the timestamp of a signature: the first that holds, else the first.
fn stamp(signed: &Signed, signer: &Signer, trusted: &Trusted) -> Option<Stamp> {
    let stamps = signer.unsigned.iter().filter_map(|(kind, attribute)| {
        let value = attribute.children().nth(1)?.children().next()?;
        match kind.as_str() {
            TIMESTAMP => Stamp::token(value, signer.signature(), &trusted.timestamps),
            COUNTERSIGNATURE => {
                Stamp::countersignature(signed, value, signer.signature(), &trusted.timestamps)
            }
            _ => None,
        }
    });
    let mut first = None;
    for stamp in stamps.take(STAMPS_MAX) {
        if stamp.at.is_some() {
            return Some(stamp);
        }
        first = first.or(Some(stamp));
    }
    first
}

/// Compares the digest of `SpcIndirectDataContent` with the image.
fn matches(signed: &Signed, image: Option<&[&[u8]]>, sha256: Option<&str>) -> Option<bool> {
    let digest: Vec<Element> = signed.content?.children().nth(1)?.children().collect();
    let algorithm = digest.first()?.children().next()?.oid()?;
    let stated = digest.get(1)?.content;
    if algorithm == SHA256 {
        return Some(sha256? == format!("sha256:{}", hex(stated)));
    }
    Some(pkcs7::hash(&algorithm, image?)? == stated)
}

fn strays(signed: &Signed, countersigners: &[Signer], facts: &mut CodeSignature, places: &mut Places) {
    for certificate in signed.stray(countersigners).into_iter().take(PLACES_MAX) {
        places.element("certificate outside of every chain", certificate.whole);
        if facts.stray_certificates.len() < PLACES_MAX {
            facts.stray_certificates.insert(certificate.shown());
        }
    }
}

fn unknown_attributes<'a>(kinds: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    kinds.filter(|oid| !USUAL_ATTRIBUTES.contains(&oid.as_str())).take(PLACES_MAX).cloned().collect()
}
