//! Apple code signatures: the SuperBlob, its code directories, entitlements and CMS ("Code Signing Guide";
//! `cs_blobs.h` of XNU). Page hashes are recomputed; whom to trust is not judged.

use std::collections::BTreeSet;

use evidence::Digest;
use evidence::tree::{CodeSignature, Uncovered};

use super::super::pkcs7::{Certificate, Signed};
use super::super::{Unreadable, der, hex, pkcs7, text};
use crate::entropy::entropy_millibits;

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const ENTITLEMENTS: u32 = 0xfade_7171;
const CMS: u32 = 0xfade_0b01;
/// Entitlements stand in this special slot, counted downwards.
const ENTITLEMENTS_SLOT: usize = 5;
const BLOBS_MAX: u32 = 64;
const KEYS_MAX: usize = 64;
const HEADER_BYTES: usize = 12;

const FLAGS: &[(u32, &str)] = &[
    (0x2, "adhoc"),
    (0x4, "get-task-allow"),
    (0x100, "hard"),
    (0x200, "kill"),
    (0x800, "restrict"),
    (0x2000, "library-validation"),
    (0x1_0000, "runtime"),
    (0x2_0000, "linker-signed"),
];

pub(super) fn read(bytes: &[u8], at: u32, size: u32) -> Result<CodeSignature, Unreadable> {
    let (from, to) = (at as usize, at as usize + size as usize);
    let table = bytes.get(from..to).ok_or(Unreadable::Other("the code signature lies outside the image"))?;
    let mut facts = CodeSignature {
        kind: "apple".into(),
        table_offset: u64::from(at),
        table_bytes: u64::from(size),
        entries: 1,
        bytes_after_table: (bytes.len() - to) as u64,
        ..CodeSignature::default()
    };
    if number(table, 0) != Some(SUPER_BLOB) {
        return Ok(facts);
    }
    let blobs = blobs(table)?;
    let length = number(table, 4).unwrap_or(0) as usize;
    facts.signature_bytes = length as u64;
    let directory = blobs
        .iter()
        .filter(|blob| number(blob.data, 0) == Some(CODE_DIRECTORY))
        .max_by_key(|blob| blob.data.get(37).map(|kind| strength(*kind)));
    gaps(table, from, length, &blobs, &bytes[..from], &mut facts);
    let entitlements = blobs.iter().find(|blob| number(blob.data, 0) == Some(ENTITLEMENTS));
    if let Some(blob) = entitlements {
        facts.entitlements_digest = Some(Digest::of(blob.data));
        facts.entitlements = keys(blob.data);
    }
    if let Some(directory) = directory {
        code_directory(bytes, directory.data, entitlements.map(|blob| blob.data), &mut facts);
    }
    // The CMS signs the first directory; further ones are named in its attributes.
    let first = blobs.iter().find(|blob| number(blob.data, 0) == Some(CODE_DIRECTORY));
    let cms = blobs.iter().find(|blob| number(blob.data, 0) == Some(CMS));
    if let (Some(first), Some(cms)) = (first, cms) {
        signer(cms.data, first.data, &mut facts);
    }
    Ok(facts)
}

#[derive(Clone, Copy)]
struct Blob<'a> {
    offset: usize,
    data: &'a [u8],
}

fn number(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn blobs(table: &[u8]) -> Result<Vec<Blob<'_>>, Unreadable> {
    let bad = Unreadable::Other("the code signature's table of blobs is damaged");
    let count = number(table, 8).filter(|count| *count <= BLOBS_MAX);
    let Some(count) = count else { return Err(bad) };
    let mut found = Vec::new();
    for index in 0..count as usize {
        let blob =
            number(table, HEADER_BYTES + index * 8 + 4).map(|offset| offset as usize).and_then(|offset| {
                let rest = table.get(offset..)?;
                let data = rest.get(..number(rest, 4)? as usize)?;
                Some(Blob { offset, data })
            });
        found.push(blob.ok_or(Unreadable::Other("a blob of the code signature lies outside of it"))?);
    }
    Ok(found)
}

/// Notes what lies between the blobs, and bytes behind the last one: room is reserved there, but empty, or has the end of
/// an earlier signature.
fn gaps(table: &[u8], from: usize, length: usize, blobs: &[Blob], code: &[u8], facts: &mut CodeSignature) {
    let mut parts: Vec<(usize, usize)> =
        blobs.iter().map(|blob| (blob.offset, blob.offset + blob.data.len())).collect();
    parts.push((0, HEADER_BYTES + blobs.len() * 8));
    parts.sort_unstable();
    let end = length.min(table.len());
    let mut at = 0;
    for (start, stop) in parts {
        note(table, from, at, start.min(end), "between the blobs of the code signature", facts);
        at = at.max(stop);
    }
    note(table, from, at, end, "between the blobs of the code signature", facts);
    let mut slack = table.get(end.max(at)..).unwrap_or_default();
    facts.trailing_bytes = slack.len() as u64;
    if slack.iter().any(|byte| *byte != 0) && is_left_over(slack, code) {
        slack = &[];
    }
    facts.trailing_nonzero = slack.iter().any(|byte| *byte != 0);
    facts.trailing_entropy_millibits = entropy_millibits(slack);
    note(table, from, table.len() - slack.len(), table.len(), "behind the code signature", facts);
}

/// Says whether all that is in the room behind a signature is the end of an earlier, longer one of the same image, which
/// `codesign` leaves where it was: hashes of its pages, of which the first and the last may be cut, then what else a
/// signature has.
fn is_left_over(slack: &[u8], code: &[u8]) -> bool {
    const REQUIREMENTS: u32 = 0xfade_0c01;
    const SMALL_MAX: usize = 4096;
    let end = slack.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let magic = [REQUIREMENTS, CMS].map(u32::to_be_bytes);
    let blob = magic.iter().filter_map(|magic| memchr::memmem::find(&slack[..end], magic)).min();
    let (hashes, mut rest) = slack.split_at(blob.unwrap_or(end));
    if !are_hashes(hashes, code) {
        return false;
    }
    while rest.iter().any(|byte| *byte != 0) {
        let length = number(rest, 4).unwrap_or(0) as usize;
        let Some(blob) = rest.get(..length).filter(|blob| blob.len() >= 8) else { return false };
        let is_signature = || {
            let mut content = &blob[8..];
            let structure = der::next(&mut content)?;
            let signed =
                Signed::read(structure).filter(|signed| content.is_empty() && signed.loose.is_empty())?;
            let signer = signed.signers.first()?;
            signer.verify_attributes(&signed.certificate(signer)?)
        };
        let is_known = match number(blob, 0) {
            Some(REQUIREMENTS) => blob.len() <= SMALL_MAX,
            Some(ENTITLEMENTS) => {
                let text = blob[8..].trim_ascii_start();
                blob.len() <= SMALL_MAX && text.starts_with(b"<?xml") && text.is_ascii()
            }
            // A real one, of whomever: nobody can write into it.
            Some(CMS) => blob.len() == 8 || is_signature() == Some(true),
            _ => false,
        };
        if !is_known {
            return false;
        }
        rest = &rest[length..];
    }
    true
}

/// Whether bytes are hashes of pages of an image, but for a cut one at each end.
fn are_hashes(bytes: &[u8], code: &[u8]) -> bool {
    const PAGES: [usize; 2] = [4096, 16384];
    let kinds: [(u8, usize); 2] = [(2, 32), (1, 20)];
    bytes.is_empty()
        || kinds.into_iter().any(|(kind, size)| {
            let pages = PAGES.into_iter().flat_map(|page| code.chunks(page));
            let own: BTreeSet<Vec<u8>> = pages.filter_map(|page| hash(kind, page)).collect();
            (0..size).any(|cut| {
                let (first, rest) = bytes.split_at(cut.min(bytes.len()));
                let (whole, last) = rest.split_at(rest.len() / size * size);
                whole.chunks_exact(size).all(|hash| own.contains(hash))
                    && own.iter().any(|hash| hash.ends_with(first))
                    && own.iter().any(|hash| hash.starts_with(last))
            })
        })
}

fn note(table: &[u8], from: usize, start: usize, stop: usize, place: &str, facts: &mut CodeSignature) {
    let Some(data) = table.get(start..stop).filter(|data| data.iter().any(|byte| *byte != 0)) else { return };
    facts.uncovered.push(Uncovered {
        place: place.to_owned(),
        offset: (from + start) as u64,
        size: data.len() as u64,
        entropy_millibits: entropy_millibits(data),
        tag: None,
    });
}

/// Algorithms of page hashes, weakest first: the system takes the strongest.
fn strength(kind: u8) -> u8 {
    match kind {
        1 => 1,
        3 => 2,
        2 => 3,
        4 => 4,
        _ => 0,
    }
}

fn hash(kind: u8, data: &[u8]) -> Option<Vec<u8>> {
    match kind {
        1 => pkcs7::hash("1.3.14.3.2.26", &[data]),
        2 => pkcs7::hash(pkcs7::SHA256, &[data]),
        3 => pkcs7::hash(pkcs7::SHA256, &[data]).map(|hash| hash[..20].to_vec()),
        4 => pkcs7::hash("2.16.840.1.101.3.4.2.2", &[data]),
        _ => None,
    }
}

fn code_directory(bytes: &[u8], directory: &[u8], entitlements: Option<&[u8]>, facts: &mut CodeSignature) {
    let field = |at: usize| number(directory, at).map(|value| value as usize);
    let string = |at: usize| {
        let rest = directory.get(at..)?;
        rest.split(|byte| *byte == 0).next().filter(|name| !name.is_empty()).map(text)
    };
    let flags = number(directory, 12).unwrap_or(0);
    facts.flags =
        FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| (*name).to_owned()).collect();
    facts.identifier = field(20).and_then(string);
    if number(directory, 8).is_some_and(|version| version >= 0x2_0200) {
        facts.team = field(48).filter(|at| *at != 0).and_then(string);
    }
    let kind = directory.get(37).copied().unwrap_or(0);
    facts.code_digest = hash(kind, directory).map(|digest| {
        let name = match kind {
            1 => "sha1",
            4 => "sha384",
            _ => "sha256",
        };
        format!("{name}:{}", hex(&digest))
    });
    facts.digest_matches = pages(bytes, directory, kind, entitlements);
}

/// Recomputes the hash of every page up to the code limit, and that of the entitlements.
fn pages(bytes: &[u8], directory: &[u8], kind: u8, entitlements: Option<&[u8]>) -> Option<bool> {
    let field = |at: usize| number(directory, at).map(|value| value as usize);
    let (hashes, special, slots, limit) = (field(16)?, field(24)?, field(28)?, field(32)?);
    let size = usize::from(*directory.get(36)?);
    // Zero means one page for everything.
    let page = match directory.get(39)? {
        0 => limit.max(1),
        shift => 1_usize.checked_shl(u32::from(*shift))?,
    };
    let code = bytes.get(..limit)?;
    if size == 0 || code.len().div_ceil(page) != slots {
        return Some(false);
    }
    for (index, part) in code.chunks(page).enumerate() {
        let at = hashes.checked_add(index.checked_mul(size)?)?;
        let stated = directory.get(at..at + size)?;
        if hash(kind, part)? != stated {
            return Some(false);
        }
    }
    if let Some(blob) = entitlements {
        let at = hashes.checked_sub(ENTITLEMENTS_SLOT * size);
        let stated = at.filter(|_| special >= ENTITLEMENTS_SLOT).and_then(|at| directory.get(at..at + size));
        return Some(stated.is_some_and(|stated| hash(kind, blob).is_some_and(|own| own == stated)));
    }
    Some(true)
}

/// Keys of the property list, wherever they stand.
fn keys(blob: &[u8]) -> BTreeSet<String> {
    let list = String::from_utf8_lossy(blob.get(8..blob.len().min(64 << 10)).unwrap_or_default());
    list.split("<key>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</key>"))
        .map(|(key, _)| key.chars().take(200).collect())
        .take(KEYS_MAX)
        .collect()
}

fn signer(cms: &[u8], directory: &[u8], facts: &mut CodeSignature) -> Option<()> {
    let structure = der::next(&mut cms.get(8..)?)?;
    let signed = Signed::read(structure)?;
    let signer = signed.signers.first()?;
    facts.signature_valid = signed.verify(signer, Some(directory));
    facts.signed_at = signer.signing_time();
    let certificate = signed.certificate(signer)?;
    facts.signer = certificate.common_name();
    facts.organisation = certificate.organisation();
    let (chain, valid, complete) = signed.chain(certificate);
    facts.chain = chain.iter().map(Certificate::shown).collect();
    (facts.chain_valid, facts.chain_complete) = (valid, complete);
    Some(())
}
