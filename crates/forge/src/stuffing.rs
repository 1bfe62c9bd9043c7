//! The other ways of hiding bytes beside a valid Authenticode signature: a second entry, an unsigned attribute, a
//! certificate that nobody needs, data behind the table. What the signature covers stays the same in each.

use crate::der::{element, holding, oid, sequence, set};
use crate::pe::certificate_entry_at;

/// A way of hiding bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hiding {
    /// Behind the PKCS#7, inside its entry.
    Behind,
    /// In a second entry of the table.
    Entry,
    /// In an entry of an unknown type.
    UnknownEntry,
    /// In an unsigned attribute of an unknown type.
    Attribute,
    /// Among the certificates, as one that no chain needs.
    Certificate,
    /// Behind the table.
    Overlay,
}

impl Hiding {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Behind, Self::Entry, Self::UnknownEntry, Self::Attribute, Self::Certificate, Self::Overlay];
}

/// Hides bytes in a signed image, 32 or 64 bit, whose certificate table is at its end.
///
/// # Panics
/// If the image is not such a one.
pub fn hide(image: &[u8], way: Hiding, payload: &[u8]) -> Vec<u8> {
    let at = certificate_entry_at(image);
    let word =
        |at: usize| u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]]) as usize;
    let (start, size) = (word(at), word(at + 4));
    assert_eq!(start + size, image.len(), "a signed image with its table at the end");
    let entry = word(start);
    let structure = &image[start + 8..start + entry];
    let structure = &structure[..split(structure).1];
    let table = match way {
        Hiding::Behind => certificate(0x0002, &[structure, payload].concat()),
        Hiding::Entry => [image[start..].to_vec(), certificate(0x0002, payload)].concat(),
        Hiding::UnknownEntry => [image[start..].to_vec(), certificate(0x0ef0, payload)].concat(),
        Hiding::Attribute => certificate(0x0002, &with_attribute(structure, payload)),
        Hiding::Certificate => certificate(0x0002, &with_certificate(structure, payload)),
        Hiding::Overlay => image[start..].to_vec(),
    };
    let mut file = image[..start].to_vec();
    file[at + 4..at + 8].copy_from_slice(&(table.len() as u32).to_le_bytes());
    file.extend(table);
    if way == Hiding::Overlay {
        file.extend_from_slice(payload);
    }
    file
}

/// A `WIN_CERTIFICATE` of revision 2, padded.
fn certificate(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = (8 + content.len()).next_multiple_of(8);
    let mut entry = (length as u32).to_le_bytes().to_vec();
    entry.extend(0x0200_u16.to_le_bytes());
    entry.extend(kind.to_le_bytes());
    entry.extend_from_slice(content);
    entry.resize(length, 0);
    entry
}

fn with_attribute(structure: &[u8], payload: &[u8]) -> Vec<u8> {
    edit(structure, |fields| {
        let signers = fields.pop().unwrap_or_default();
        let mut signer = children(&children(&signers)[0]);
        let attribute = sequence(&[oid("1.3.6.1.4.1.42921.1.2.1"), set(&[element(4, payload)])]);
        match signer.last().is_some_and(|last| last[0] == 0xa1) {
            true => {
                let last = signer.pop().unwrap_or_default();
                signer.push(holding(0xa1, &[children(&last), vec![attribute]].concat()));
            }
            false => signer.push(holding(0xa1, &[attribute])),
        }
        fields.push(set(&[sequence(&signer)]));
    })
}

fn with_certificate(structure: &[u8], payload: &[u8]) -> Vec<u8> {
    edit(structure, |fields| {
        let Some(bag) = fields.iter_mut().find(|field| field[0] == 0xa0) else { return };
        let mut certificates = children(bag);
        // The form of a certificate, with the payload where its key would be.
        let name = sequence(&[set(&[sequence(&[oid("2.5.4.3"), element(0x0c, b"Countersign harmless")])])]);
        let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
        let validity = sequence(&[element(0x17, b"230101000000Z"), element(0x17, b"490101000000Z")]);
        let key = sequence(&[algorithm.clone(), element(3, &[&[0], payload].concat())]);
        let body = sequence(&[element(2, &[9]), algorithm.clone(), name.clone(), validity, name, key]);
        certificates.push(sequence(&[body, algorithm, element(3, &[0, 1])]));
        *bag = holding(0xa0, &certificates);
    })
}

/// Changes the fields of the `SignedData` inside a `ContentInfo`.
fn edit(structure: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let outer = children(structure);
    let mut fields = children(&children(&outer[1])[0]);
    change(&mut fields);
    sequence(&[outer[0].clone(), holding(0xa0, &[sequence(&fields)])])
}

/// Splits an element's header from its content: where the content begins, and where the element ends.
fn split(element: &[u8]) -> (usize, usize) {
    match element[1] {
        short if short < 0x80 => (2, 2 + usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let length = element[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (2 + count, 2 + count + length)
        }
    }
}

fn children(element: &[u8]) -> Vec<Vec<u8>> {
    let (begin, end) = split(element);
    let mut rest = &element[begin..end];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (_, length) = split(rest);
        found.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    found
}
