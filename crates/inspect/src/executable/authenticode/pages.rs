//! Page hashes ("Windows Authenticode Portable Executable Signature Format", `SpcSerializedObject`): a digest for each page of the
//! image, which Windows checks when it loads the page. The layout of the list is that of `signtool /ph` and `osslsigncode -ph`.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::bytes::{le16, le32};
use crate::executable::der::{self, Element};
use crate::executable::pkcs7::Signed;

/// The class of the object that holds page hashes.
const CLASS: &[u8] = b"\xa6\xb5\x86\xd5\xb4\xa1\x24\x66\xae\x05\xa2\x17\xda\x8e\x60\xd6";
const HASHES_SHA1: &str = "1.3.6.1.4.1.311.2.3.1";
const HASHES_SHA256: &str = "1.3.6.1.4.1.311.2.3.2";
const PAGE_MAX_BYTES: usize = 64 << 10;

/// An image, and the two fields that no digest is over.
pub(super) struct Image<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) checksum: usize,
    pub(super) entry: usize,
}

impl Image<'_> {
    /// Compares the page hashes of a signature with the image; `None` if it has none, or their layout is not known.
    pub(super) fn matches(&self, signed: &Signed) -> Option<bool> {
        let (kind, stated) = stated(signed)?;
        let algorithm = match kind.as_str() {
            HASHES_SHA1 => &SHA1_FOR_LEGACY_USE_ONLY,
            HASHES_SHA256 => &SHA256,
            _ => return None,
        };
        Some(self.hashes(algorithm)? == stated)
    }

    /// Makes the list: for the headers and each page of each section its offset and digest, then the end and zeros. A page that is
    /// cut off is filled with zeros.
    fn hashes(&self, algorithm: &'static Algorithm) -> Option<Vec<u8>> {
        let headers = self.checksum.checked_sub(88)?;
        let word = |at: usize| le32(self.bytes, headers + at).and_then(|value| usize::try_from(value).ok());
        let (page, header_bytes) = (word(56)?, word(84)?);
        if !page.is_power_of_two() || page > PAGE_MAX_BYTES {
            return None;
        }
        let zeros = vec![0; page];
        let mut list = Vec::new();
        let mut add = |offset: usize, parts: &[&[u8]]| {
            let mut context = Context::new(algorithm);
            for part in parts {
                context.update(part);
            }
            list.extend(u32::try_from(offset).ok()?.to_le_bytes());
            list.extend(context.finish().as_ref());
            Some(())
        };
        let part = |from: usize, to: usize| self.bytes.get(from..to);
        add(
            0,
            &[
                part(0, self.checksum)?,
                part(self.checksum + 4, self.entry)?,
                part(self.entry + 8, header_bytes)?,
                zeros.get(..page.saturating_sub(header_bytes))?,
            ],
        )?;
        let table = headers + 24 + usize::from(le16(self.bytes, headers + 20)?);
        // Sections that overlap over and over would be hashed over and over.
        let (mut end, mut left) = (0, self.bytes.len().saturating_mul(2));
        for number in 0..usize::from(le16(self.bytes, headers + 6)?) {
            let field = |at: usize| le32(self.bytes, table + number * 40 + at);
            let (size, start) = (field(16)? as usize, field(20)? as usize);
            left = left.checked_sub(size)?;
            let data = self.bytes.get(start..start.checked_add(size)?)?;
            for (number, content) in data.chunks(page).enumerate() {
                add(start + number * page, &[content, zeros.get(content.len()..)?])?;
            }
            if size > 0 {
                end = start + size;
            }
        }
        list.extend(u32::try_from(end).ok()?.to_le_bytes());
        list.extend(std::iter::repeat_n(0, algorithm.output_len()));
        Some(list)
    }
}

/// Finds the list in `SpcPeImageData`: its kind, and its bytes.
fn stated<'a>(signed: &Signed<'a>) -> Option<(String, &'a [u8])> {
    let data = signed.content?.children().next()?.children().nth(1)?;
    let link = data.children().find(|field| field.tag == 0xa0)?.children().next()?;
    if link.tag != 0xa1 {
        return None;
    }
    let mut object = link.children();
    let (class, serialized) = (object.next()?, object.next()?);
    if class.content != CLASS {
        return None;
    }
    let set = der::next(&mut &*serialized.content)?;
    let pair: Vec<Element> = set.children().next()?.children().take(2).collect();
    Some((pair.first()?.oid()?, pair.get(1)?.children().next()?.content))
}
