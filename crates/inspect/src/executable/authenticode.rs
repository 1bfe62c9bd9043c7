//! Authenticode: what the certificate table of a PE image holds ("Windows Authenticode Portable Executable Signature
//! Format", 2008). Facts only: the image digest is recomputed, the chain is not judged.

use std::collections::BTreeSet;

use evidence::Hasher;
use evidence::tree::CodeSignature;

use super::der::{self, Element};
use super::{Unreadable, entropy_millibits, text};

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const COMMON_NAME: &str = "2.5.4.3";
const ORGANISATION: &str = "2.5.4.10";

/// Unsigned attributes of honest signers: timestamps and nested signatures.
const USUAL_ATTRIBUTES: &[&str] = &["1.2.840.113549.1.9.6", "1.3.6.1.4.1.311.3.3.1", "1.3.6.1.4.1.311.2.4.1"];

/// Reads the table at `start`; `checksum` and `entry` are the fields that the digest leaves out.
pub(super) fn read(
    bytes: &[u8],
    checksum: u64,
    entry: u64,
    start: u32,
    size: u32,
) -> Result<CodeSignature, Unreadable> {
    let (from, to) = (start as usize, start as usize + size as usize);
    let table =
        bytes.get(from..to).ok_or(Unreadable::Other("the certificate table lies outside the file"))?;
    let mut facts = CodeSignature {
        kind: "authenticode".into(),
        table_bytes: u64::from(size),
        bytes_after_table: (bytes.len() - to) as u64,
        ..CodeSignature::default()
    };
    let mut trailing = Vec::new();
    let mut rest = table;
    let mut signed = None;
    while rest.len() >= 8 {
        let length = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        if length < 8 || length > rest.len() {
            break;
        }
        facts.entries += 1;
        let mut content = &rest[8..length];
        if let Some(structure) = der::next(&mut content) {
            facts.signature_bytes += structure.whole.len() as u64;
            signed.get_or_insert(structure);
        }
        trailing.extend_from_slice(content);
        // Entries begin at multiples of eight bytes.
        let next = length.next_multiple_of(8).min(rest.len());
        trailing.extend_from_slice(&rest[length..next]);
        rest = &rest[next..];
    }
    trailing.extend_from_slice(rest);
    facts.trailing_bytes = trailing.len() as u64;
    facts.trailing_nonzero = trailing.iter().any(|byte| *byte != 0);
    facts.trailing_entropy_millibits = entropy_millibits(&trailing);
    let image = image_digest(bytes, checksum as usize, entry as usize, from, to);
    if let Some(structure) = signed {
        signature(structure, image.as_deref(), &mut facts);
    }
    facts.image_digest = image;
    Ok(facts)
}

/// SHA-256 over the image without checksum, table entry and table.
fn image_digest(bytes: &[u8], checksum: usize, entry: usize, from: usize, to: usize) -> Option<String> {
    let mut hasher = Hasher::new();
    for (start, end) in [(0, checksum), (checksum + 4, entry), (entry + 8, from), (to, bytes.len())] {
        hasher.update(bytes.get(start..end)?);
    }
    Some(hasher.finish().to_string())
}

/// Reads a PKCS#7 `SignedData` (RFC 2315, section 9.1).
fn signature(structure: Element, image: Option<&str>, facts: &mut CodeSignature) -> Option<()> {
    let content = structure.children().nth(1)?.children().next()?;
    let fields: Vec<Element> = content.children().collect();
    let indirect = fields.get(2)?.children().nth(1)?.children().next()?;
    let digest: Vec<Element> = indirect.children().nth(1)?.children().collect();
    let algorithm = digest.first()?.children().next()?.oid()?;
    if algorithm == SHA256 {
        let signed = format!("sha256:{}", super::hex(digest.get(1)?.content));
        facts.digest_matches = image.map(|image| image == signed);
    }
    let certificates: Vec<Element> =
        fields.iter().filter(|field| field.tag == 0xa0).flat_map(|field| field.children()).collect();
    facts.largest_certificate_bytes =
        certificates.iter().map(|certificate| certificate.whole.len() as u64).max().unwrap_or(0);
    let signer: Vec<Element> =
        fields.last().filter(|field| field.tag == 0x31)?.children().next()?.children().collect();
    facts.unknown_attributes = unknown_attributes(&signer);
    let serial = signer.get(1)?.children().nth(1)?;
    let subject = certificates.iter().find_map(|certificate| {
        let fields: Vec<Element> =
            certificate.children().next()?.children().skip_while(|field| field.tag == 0xa0).collect();
        (fields.first()?.content == serial.content).then(|| fields.get(4).copied())?
    })?;
    for attribute in subject.children().flat_map(Element::children) {
        let mut pair = attribute.children();
        let (kind, value) = (pair.next()?.oid()?, pair.next()?);
        match kind.as_str() {
            COMMON_NAME => facts.signer = Some(text(value.content)),
            ORGANISATION => facts.organisation = Some(text(value.content)),
            _ => {}
        }
    }
    Some(())
}

fn unknown_attributes(signer: &[Element]) -> BTreeSet<String> {
    signer
        .iter()
        .filter(|field| field.tag == 0xa1)
        .flat_map(|field| field.children())
        .filter_map(|attribute| attribute.children().next()?.oid())
        .filter(|oid| !USUAL_ATTRIBUTES.contains(&oid.as_str()))
        .collect()
}
