//! Windows catalogs: a certificate trust list ([MS-CAESO], section 2.2; `szOID_CTL`) of digests of files, signed as a whole. Drivers and parts
//! of Windows have their signature there, and none in themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use evidence::tree::CodeSignature;

use super::authenticode::of_list;
use super::der::{self, Element};
use super::pkcs7::{self, SHA256, Signed, Trusted};
use super::{hex, line};

const LIST: &str = "1.3.6.1.4.1.311.10.1";
const INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";
const NAME_VALUE: &str = "1.3.6.1.4.1.311.12.2.1";
const SHA1: &str = "1.3.14.3.2.26";
/// Those of drivers and updates have some hundred kilobytes. What is kept of one takes a few times as much.
pub(crate) const CATALOG_MAX_BYTES: usize = 8 << 20;
/// The identifier of the list stands near the begin.
const START_BYTES: usize = 64;
/// Files that a catalog is about.
const FILES_MAX: usize = 200_000;

/// A catalog: its signature, and what it says.
pub(crate) struct Catalog {
    facts: CodeSignature,
    digests: BTreeSet<Vec<u8>>,
    /// Digests by the name of the file, in lower case, where it is said.
    named: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// What an image that has no signature of its own may be listed by: SHA-256 and SHA-1 over it, without checksum and entry of the
/// certificate table, padded to eight bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ImageDigests(pub(crate) [Vec<u8>; 2]);

impl ImageDigests {
    /// Computes them; `checksum` and `entry` are the offsets of the fields that are left out.
    pub(super) fn of(bytes: &[u8], checksum: usize, entry: usize) -> Option<Self> {
        let padding = &[0; 7][..bytes.len().next_multiple_of(8) - bytes.len()];
        let parts =
            [bytes.get(..checksum)?, bytes.get(checksum + 4..entry)?, bytes.get(entry + 8..)?, padding];
        Some(Self([pkcs7::hash(SHA256, &parts)?, pkcs7::hash(SHA1, &parts)?]))
    }
}

/// Tells whether bytes look like a catalog.
pub(crate) fn is_catalog(bytes: &[u8]) -> bool {
    // `1.3.6.1.4.1.311.10.1` as an element.
    const IDENTIFIER: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0a, 0x01];
    let start = bytes.get(..START_BYTES.min(bytes.len())).unwrap_or_default();
    start.starts_with(b"\x30") && start.windows(IDENTIFIER.len()).any(|window| window == IDENTIFIER)
}

impl Catalog {
    /// Reads a catalog; `None` if the bytes are none.
    pub(crate) fn read(bytes: &[u8], trusted: &Trusted) -> Option<Self> {
        if bytes.len() > CATALOG_MAX_BYTES || !is_catalog(bytes) {
            return None;
        }
        let signed = Signed::read(der::next(&mut &*bytes)?)?;
        signed.content_type.as_deref().filter(|kind| *kind == LIST)?;
        let mut catalog =
            Self { facts: of_list(bytes, trusted), digests: BTreeSet::new(), named: BTreeMap::new() };
        // The subjects are the only sequence of sequences whose first part is a string of octets.
        let is_subject = |row: Element| {
            row.tag == 0x30 && row.children().next().is_some_and(|identifier| identifier.tag == 0x04)
        };
        let mut lists = signed.content?.children().filter(|part| part.tag == 0x30);
        let subjects = lists.find(|part| part.children().next().is_some_and(is_subject));
        for subject in subjects.into_iter().flat_map(Element::children).take(FILES_MAX) {
            catalog.subject(subject);
        }
        Some(catalog)
    }

    /// Reads what is said of one file: a digest, in the attribute that names its algorithm, and perhaps a name.
    fn subject(&mut self, subject: Element) {
        let (mut name, mut digest) = (None, None);
        let attributes = subject.children().nth(1).into_iter().flat_map(Element::children);
        for attribute in attributes {
            let mut parts = attribute.children();
            let (Some(kind), Some(values)) = (parts.next().and_then(Element::oid), parts.next()) else {
                continue;
            };
            let Some(value) = values.children().next() else { continue };
            match kind.as_str() {
                INDIRECT_DATA => digest = stated(value),
                NAME_VALUE => name = name.or_else(|| file_name(value)),
                _ => {}
            }
        }
        let Some(digest) = digest else { return };
        if let Some(name) = name {
            self.named.entry(name).or_default().push(digest.clone());
        }
        self.digests.insert(digest);
    }

    /// The signature of the catalog itself.
    pub(crate) fn facts(&self) -> CodeSignature {
        self.facts.clone()
    }

    /// The signature of an image, if the catalog lists it. `place` is where the catalog is.
    pub(crate) fn of_image(&self, image: &ImageDigests, place: &str) -> Option<CodeSignature> {
        let [sha256, sha1] = &image.0;
        let listed = self.digests.contains(sha256) || self.digests.contains(sha1);
        listed.then(|| CodeSignature {
            digest_matches: Some(true),
            image_digest: Some(format!("sha256:{}", hex(sha256))),
            identifier: Some(line(place.as_bytes())),
            signature_bytes: 0,
            uncovered: Vec::new(),
            ..self.facts.clone()
        })
    }

    /// Tells whether a digest is in the catalog.
    pub(crate) fn lists(&self, digest: &[u8]) -> bool {
        self.digests.contains(digest)
    }

    /// Tells whether the catalog speaks of a file of this name, and lists none of these digests of it.
    pub(crate) fn contradicts(&self, name: &[u8], known: &[Vec<u8>]) -> bool {
        let base =
            name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(name).to_ascii_lowercase();
        let Some(stated) = self.named.get(&base) else { return false };
        // A digest of an algorithm that is not among these says nothing.
        let mut comparable =
            stated.iter().filter(|one| known.iter().any(|other| other.len() == one.len())).peekable();
        comparable.peek().is_some() && !known.iter().any(|digest| self.digests.contains(digest))
    }
}

/// Catalogs that somebody gave.
#[derive(Clone, Default)]
pub(crate) struct Catalogs(pub(crate) Rc<Vec<(String, Catalog)>>);

impl Catalogs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of_image(&self, image: &ImageDigests) -> Option<CodeSignature> {
        self.0.iter().find_map(|(place, catalog)| catalog.of_image(image, place))
    }
}

/// The digest in `SpcIndirectDataContent`.
fn stated(value: Element) -> Option<Vec<u8>> {
    let pair: Vec<Element> = value.children().nth(1)?.children().take(2).collect();
    let algorithm = pair.first()?.children().next()?.oid()?;
    let digest = pair.get(1)?.content;
    let length = match algorithm.as_str() {
        SHA256 => 32,
        SHA1 => 20,
        _ => return None,
    };
    (digest.len() == length).then(|| digest.to_vec())
}

/// The name in `CatalogNameValue` with the tag `File`, in lower case: tag in UCS-2, flags, value in UTF-16 with a zero.
fn file_name(value: Element) -> Option<Vec<u8>> {
    let parts: Vec<Element> = value.children().take(3).collect();
    let wide = |bytes: &[u8], big: bool| -> String {
        let units = bytes.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        });
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    if wide(parts.first()?.content, true) != "File" {
        return None;
    }
    let name = wide(parts.get(2)?.content, false);
    Some(name.trim_end_matches('\0').to_ascii_lowercase().into_bytes())
}
