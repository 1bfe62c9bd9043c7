//! Apple's property lists, as XML and binary (`bplist00`): the scalars of the outermost dictionary, or of each dictionary of an
//! outermost list. What is nested deeper is passed over, so nothing here recurses.

use std::collections::BTreeMap;

use evidence::Timestamp;

use crate::bytes::{be16, be64};
use crate::unpack::xml::{Event, Reader};

/// Entries of one dictionary.
const ENTRIES_MAX: usize = 10_000;
/// Dictionaries of one list.
const DICTIONARIES_MAX: usize = 100_000;
/// Bytes of one text.
const TEXT_MAX_BYTES: usize = 4096;
/// Seconds from 1970 to 2001, from which Apple counts.
const EPOCH_SECONDS: f64 = 978_307_200.0;

/// A dictionary's scalars as text: numbers in decimal, dates in RFC 3339, `true` and `false`.
pub(crate) type Dictionary = BTreeMap<String, String>;

/// Reads a property list.
pub(crate) fn dictionaries(bytes: &[u8]) -> Result<Vec<Dictionary>, &'static str> {
    if bytes.starts_with(b"bplist00") {
        return Binary::of(bytes).and_then(|list| list.root()).ok_or("it is cut off, or points outside");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if text.starts_with(b"<") { xml(text) } else { Err("neither XML nor a binary property list") }
}

/// `<plist><dict><key>…</key><string>…</string>…</dict></plist>`.
fn xml(bytes: &[u8]) -> Result<Vec<Dictionary>, &'static str> {
    let mut dictionaries: Vec<Dictionary> = Vec::new();
    // Depth of open `dict` and `array` elements; the outermost may be a list.
    let (mut depth, mut listed) = (0_usize, false);
    let (mut element, mut key, mut value): (&[u8], Option<String>, Option<String>) = (b"", None, None);
    let mut closed = false;
    for event in Reader::new(bytes) {
        match event {
            Event::Open(name @ (b"dict" | b"array"), _) => {
                let is_dictionary = name == b"dict";
                if is_dictionary && depth == usize::from(listed) {
                    if dictionaries.len() >= DICTIONARIES_MAX {
                        return Err("too many dictionaries");
                    }
                    dictionaries.push(Dictionary::new());
                }
                listed |= depth == 0 && !is_dictionary;
                depth += 1;
                element = b"";
            }
            Event::Close(b"dict" | b"array") => {
                depth = depth.checked_sub(1).ok_or("an element ends that never began")?;
                closed |= depth == 0;
                key = None;
            }
            Event::Open(name, _) => (element, value) = (name, None),
            Event::Text(text) if !element.is_empty() => {
                let text = text.get(..TEXT_MAX_BYTES).unwrap_or(&text);
                value = Some(String::from_utf8_lossy(text).into_owned());
            }
            Event::Text(_) => {}
            Event::Close(name) => {
                if depth == 1 + usize::from(listed) && name == element {
                    let scalar = match name {
                        b"true" | b"false" => Some(String::from_utf8_lossy(name).into_owned()),
                        b"string" | b"integer" | b"real" | b"date" => Some(value.take().unwrap_or_default()),
                        _ => None,
                    };
                    if name == b"key" {
                        key = value.take();
                    } else if let (Some(key), Some(dictionary)) = (key.take(), dictionaries.last_mut())
                        && let Some(scalar) = scalar
                        && dictionary.len() < ENTRIES_MAX
                    {
                        dictionary.insert(key, scalar);
                    }
                }
                element = b"";
            }
        }
    }
    if closed { Ok(dictionaries) } else { Err("it has no dictionary, or is cut off") }
}

/// A binary list (`CFBinaryPList.c`): objects, a table of their offsets, and a trailer of 32 bytes.
struct Binary<'a> {
    bytes: &'a [u8],
    offsets: &'a [u8],
    offset_bytes: usize,
    reference_bytes: usize,
    root: usize,
}

/// An object: its type, its length or value, and what follows its marker.
struct Object<'a> {
    kind: u8,
    length: usize,
    content: &'a [u8],
}

impl<'a> Binary<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let trailer = bytes.get(bytes.len().checked_sub(32)?..)?;
        let (offset_bytes, reference_bytes) = (usize::from(trailer[6]), usize::from(trailer[7]));
        if !(1..=8).contains(&offset_bytes) || !(1..=8).contains(&reference_bytes) {
            return None;
        }
        let place = |at: usize| usize::try_from(be64(trailer, at)?).ok();
        let (count, root, table) = (place(8)?, place(16)?, place(24)?);
        let offsets = bytes.get(table..table.checked_add(count.checked_mul(offset_bytes)?)?)?;
        Some(Self { bytes, offsets, offset_bytes, reference_bytes, root })
    }

    fn root(&self) -> Option<Vec<Dictionary>> {
        let root = self.object(self.root)?;
        match root.kind {
            0xd => Some(vec![self.dictionary(&root)?]),
            0xa if root.length <= DICTIONARIES_MAX => {
                let entries = self.references(root.content, root.length)?;
                let objects = entries.map(|entry| self.object(entry));
                // Each entry is an own dictionary or nothing for us.
                let mut room = ENTRIES_MAX.saturating_mul(10);
                objects
                    .filter_map(|object| object.filter(|object| object.kind == 0xd))
                    .map(|object| {
                        room = room.checked_sub(object.length)?;
                        self.dictionary(&object)
                    })
                    .collect()
            }
            _ => None,
        }
    }

    fn object(&self, number: usize) -> Option<Object<'a>> {
        let at = number.checked_mul(self.offset_bytes)?;
        let at = uint(self.offsets.get(at..at.checked_add(self.offset_bytes)?)?)?;
        let (marker, content) = self.bytes.get(at..)?.split_first()?;
        let (kind, low) = (marker >> 4, usize::from(marker & 0xf));
        if low != 0xf || matches!(kind, 0..=3) {
            return Some(Object { kind, length: low, content });
        }
        // A longer length is an integer of its own.
        let (marker, rest) = content.split_first().filter(|(marker, _)| *marker >> 4 == 1)?;
        let size = 1_usize.checked_shl(u32::from(marker & 0xf)).filter(|size| *size <= 8)?;
        Some(Object { kind, length: uint(rest.get(..size)?)?, content: rest.get(size..)? })
    }

    fn references(&self, content: &'a [u8], count: usize) -> Option<impl Iterator<Item = usize> + use<'a>> {
        let size = self.reference_bytes;
        let bytes = content.get(..count.checked_mul(size)?)?;
        Some(bytes.chunks_exact(size).map(|chunk| uint(chunk).unwrap_or(usize::MAX)))
    }

    fn dictionary(&self, object: &Object<'a>) -> Option<Dictionary> {
        if object.length > ENTRIES_MAX {
            return None;
        }
        let keys = self.references(object.content, object.length)?;
        let values = object.content.get(object.length * self.reference_bytes..)?;
        let values = self.references(values, object.length)?;
        let mut dictionary = Dictionary::new();
        for (key, value) in keys.zip(values) {
            let key = self.scalar(&self.object(key)?)?;
            if let Some(value) = self.object(value).and_then(|value| self.scalar(&value)) {
                dictionary.insert(key, value);
            }
        }
        Some(dictionary)
    }

    fn scalar(&self, object: &Object) -> Option<String> {
        let length = object.length;
        match object.kind {
            0 => match length {
                8 => Some("false".to_owned()),
                9 => Some("true".to_owned()),
                _ => None,
            },
            1 => {
                let size = 1_usize.checked_shl(u32::try_from(length).ok()?).filter(|size| *size <= 8)?;
                uint(object.content.get(..size)?).map(|number| number.to_string())
            }
            3 => {
                let seconds = f64::from_bits(be64(object.content, 0)?) + EPOCH_SECONDS;
                // Years that nobody means are no date.
                let whole = (0.0..4e11).contains(&seconds).then_some(seconds as i64)?;
                Some(Timestamp::from_unix(whole).to_string())
            }
            5 => {
                let text = object.content.get(..length)?;
                Some(String::from_utf8_lossy(text.get(..TEXT_MAX_BYTES).unwrap_or(text)).into_owned())
            }
            6 => {
                object.content.get(..length.checked_mul(2)?)?;
                let units = (0..length.min(TEXT_MAX_BYTES)).filter_map(|at| be16(object.content, at * 2));
                Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
            }
            _ => None,
        }
    }
}

/// Reads a number of up to eight bytes.
fn uint(bytes: &[u8]) -> Option<usize> {
    let number =
        bytes.iter().try_fold(0_u64, |all, byte| all.checked_mul(256)?.checked_add(u64::from(*byte)))?;
    usize::try_from(number).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a binary list of one dictionary of texts.
    pub(in crate::catalog) fn binary(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        let count = u8::try_from(entries.len()).unwrap();
        offsets.push(bytes.len());
        bytes.extend(if count < 15 { vec![0xd0 | count] } else { vec![0xdf, 0x10, count] });
        bytes.extend((0..count * 2).map(|number| number + 1));
        let texts = entries.iter().map(|(key, _)| key).chain(entries.iter().map(|(_, value)| value));
        for text in texts {
            offsets.push(bytes.len());
            if text.is_ascii() {
                bytes.extend([0x5f, 0x10, u8::try_from(text.len()).unwrap()]);
                bytes.extend(text.as_bytes());
            } else {
                let units: Vec<u16> = text.encode_utf16().collect();
                bytes.extend([0x6f, 0x10, u8::try_from(units.len()).unwrap()]);
                bytes.extend(units.iter().flat_map(|unit| unit.to_be_bytes()));
            }
        }
        let table = bytes.len() as u64;
        for offset in &offsets {
            bytes.extend(u16::try_from(*offset).unwrap().to_be_bytes());
        }
        bytes.extend([0, 0, 0, 0, 0, 0, 2, 1]);
        bytes.extend((offsets.len() as u64).to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        bytes
    }

    #[test]
    fn xml_and_binary_say_the_same() {
        let expected = Dictionary::from([("A".into(), "1.0".into()), ("N".into(), "Bücher".into())]);
        let xml = "<?xml version=\"1.0\"?><!DOCTYPE plist><plist version=\"1.0\"><dict><key>A</key><string>1.0</string><key>deep</key><dict><key>A</key><string>no</string></dict><key>N</key><string>Bücher</string></dict></plist>";
        assert_eq!(dictionaries(xml.as_bytes()), Ok(vec![expected.clone()]));
        assert_eq!(dictionaries(&binary(&[("A", "1.0"), ("N", "Bücher")])), Ok(vec![expected]));
    }

    #[test]
    fn lists_of_dictionaries_and_other_scalars() {
        let xml = b"<plist><array><dict><key>d</key><date>2024-01-02T03:04:05Z</date><key>t</key><true/></dict><dict><key>i</key><integer>7</integer><key>l</key><array><string>x</string></array><key>e</key><string></string></dict></array></plist>";
        let read = dictionaries(xml).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0]["d"].as_str(), read[0]["t"].as_str()), ("2024-01-02T03:04:05Z", "true"));
        assert_eq!(read[1], Dictionary::from([("i".into(), "7".into()), ("e".into(), String::new())]));
    }

    #[test]
    fn damaged_lists_are_refused() {
        let good = binary(&[("A", "1")]);
        for at in 0..good.len() {
            let mut wrong = good.clone();
            wrong[at] ^= 0xff;
            _ = dictionaries(&wrong);
            _ = dictionaries(&good[..at]);
        }
        for wrong in [&b"bplist00"[..], b"<plist><dict>", b"<plist></plist>", b"{ A = 1; }", b"</dict>", b""]
        {
            assert!(dictionaries(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
