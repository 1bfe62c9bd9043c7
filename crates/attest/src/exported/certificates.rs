//! Certificate Transparency: pages of `get-entries` (RFC 6962, section 4.6) and data tiles (C2SP static-ct-api).

use cms::cert::x509::certificate::CertificateInner;
use cms::cert::x509::spki::ObjectIdentifier;
use der::{Decode, Encode};
use serde::Deserialize;

use super::bearer::AsLogged;
use super::{Bearer, Bytes, ENTRIES_MAX, ENTRY_MAX_BYTES, Exported, Page, PageError, Signed};
use crate::from_base64;

/// The list of signed certificate timestamps, which what is logged before a certificate does not have yet (RFC 6962, section 3.3).
const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    leaf_input: String,
}

/// Reads a page of `get-entries`; none if it is something else.
pub(super) fn page(bytes: &[u8]) -> Option<Result<Page, PageError>> {
    let answer: Entries = serde_json::from_slice(bytes).ok()?;
    if answer.entries.len() > ENTRIES_MAX {
        return Some(Err(PageError::Entries));
    }
    let mut page = Page::default();
    for (position, entry) in answer.entries.into_iter().enumerate() {
        let leaf = from_base64(&entry.leaf_input).filter(|leaf| leaf.len() <= ENTRY_MAX_BYTES);
        let read = leaf.as_deref().and_then(|leaf| {
            let mut rest = Bytes(leaf);
            // MerkleTreeLeaf: version 1, a timestamped entry (RFC 6962, section 3.4).
            let (version, kind) = (rest.number(1)?, rest.number(1)?);
            let entry = timestamped(&mut rest)?;
            (version == 0 && kind == 0 && rest.0.is_empty()).then_some(entry)
        });
        add(&mut page, read, None, position);
    }
    Some(Ok(page))
}

/// Reads a data tile.
pub(super) fn tile(bytes: &[u8], first: u64) -> Result<Page, PageError> {
    let mut page = Page::default();
    let mut rest = Bytes(bytes);
    let mut position = 0;
    while !rest.0.is_empty() {
        let cut = || PageError::Form(format!("cut off in entry {position}"));
        if position == 256 {
            return Err(PageError::Form("more than 256 entries in a tile".into()));
        }
        let entry = timestamped(&mut rest).ok_or_else(cut)?;
        if entry.0 == "precertificate" {
            rest.vector(3).ok_or_else(cut)?;
        }
        rest.vector(2).ok_or_else(cut)?; // The fingerprints of the chain.
        add(&mut page, Some(entry), first.checked_add(position as u64), position);
        position += 1;
    }
    Ok(page)
}

/// Reads a `TimestampedEntry` (RFC 6962, section 3.4).
fn timestamped(rest: &mut Bytes<'_>) -> Option<(&'static str, Bearer)> {
    rest.number(8)?;
    let entry = match rest.number(2)? {
        0 => ("certificate", Bearer::certificate(rest.vector(3)?)),
        1 => {
            rest.take(32)?; // Digest of the issuer's key.
            ("precertificate", Bearer::to_be_signed(rest.vector(3)?))
        }
        _ => return None,
    };
    rest.vector(2)?;
    Some(entry)
}

fn add(page: &mut Page, read: Option<(&'static str, Bearer)>, index: Option<u64>, position: usize) {
    match read {
        Some((kind, bearer)) => page.entries.push(Exported {
            index,
            position,
            kind: kind.to_owned(),
            digests: Vec::new(),
            signed: vec![Signed { signature: None, bearer }],
        }),
        None => page.unread.push((position, "not a logged certificate".into())),
    }
}

/// Tells whether a logged certificate, or what was logged before there was one, is that of a known certificate.
pub fn same_certificate(logged: &[u8], known: &[u8]) -> bool {
    if logged == known {
        return true;
    }
    let Ok(mut known) = CertificateInner::<AsLogged>::from_der(known) else { return false };
    if let Some(extensions) = &mut known.tbs_certificate.extensions {
        extensions.retain(|extension| extension.extn_id != TIMESTAMPS);
    }
    known.tbs_certificate.to_der().is_ok_and(|tbs| tbs == logged)
}
