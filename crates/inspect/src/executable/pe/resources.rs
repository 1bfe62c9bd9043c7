//! The resource tree of a Windows image (PE Format, "The .rsrc Section"), its version info and its manifest.
//!
//! The tree is a graph that an enemy draws: it is walked with a list, three levels deep, and each leaf is paid for.

use std::collections::BTreeMap;

use evidence::Digest;
use evidence::tree::{Executable, Resource};
use object::LittleEndian as LE;
use object::read::pe::{
    ImageNtHeaders, PeFile, ResourceDirectory, ResourceDirectoryEntryData, ResourceNameOrId,
};

use super::super::Unreadable;
use crate::budget::Budget;
use crate::entropy::entropy_millibits;

/// No image has more; what is beyond is said to be malformed.
const RESOURCES_MAX: usize = 8192;
/// Type, name, language.
const LEVELS: usize = 3;
/// Leaves may overlap: all together may not be longer than the file so many times.
const OVERLAP_MAX: usize = 2;
/// A name or a value is cut here, in UTF-16 units.
const TEXT_MAX: usize = 256;
/// Version info is read so far; real ones have about a thousand bytes.
const VERSION_BYTES_MAX: usize = 64 << 10;
const VERSION: &str = "version";
const MANIFEST: &str = "manifest";

/// Types of resources with a name of their own (`winuser.h`).
const TYPES: &[(u16, &str)] = &[
    (1, "cursor"),
    (2, "bitmap"),
    (3, "icon"),
    (4, "menu"),
    (5, "dialog"),
    (6, "string"),
    (9, "accelerator"),
    (10, "rcdata"),
    (11, "message-table"),
    (12, "group-cursor"),
    (14, "group-icon"),
    (16, VERSION),
    (23, "html"),
    (24, MANIFEST),
];

pub(super) fn read<H: ImageNtHeaders>(
    bytes: &[u8],
    file: &PeFile<H>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let sections = file.section_table();
    let Some(directory) = file.data_directories().resource_directory(bytes, &sections)? else {
        return Ok(());
    };
    let mut waiting = vec![(directory.root()?, String::new(), 0)];
    let mut room = bytes.len().saturating_mul(OVERLAP_MAX);
    while let Some((table, path, level)) = waiting.pop() {
        for entry in table.entries {
            budget.symbol()?;
            let name = name(directory, entry.name_or_id(), level)?;
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            match entry.data(directory)? {
                ResourceDirectoryEntryData::Table(_) if level + 1 >= LEVELS => {
                    return Err(Unreadable::Other("the resource tree has too many levels"));
                }
                ResourceDirectoryEntryData::Table(table) => waiting.push((table, path, level + 1)),
                ResourceDirectoryEntryData::Data(leaf) => {
                    if image.resources.len() >= RESOURCES_MAX {
                        return Err(Unreadable::Other("too many resources"));
                    }
                    let size = leaf.size.get(LE) as usize;
                    let data = sections
                        .pe_data_at(bytes, leaf.offset_to_data.get(LE))
                        .and_then(|data| data.get(..size))
                        .ok_or(Unreadable::Other("a resource lies outside its section"))?;
                    room =
                        room.checked_sub(size).ok_or(Unreadable::Other("resources overlap over and over"))?;
                    about(&path, data, image);
                    image.resources.push(Resource {
                        path,
                        size: size as u64,
                        digest: Digest::of(data),
                        entropy_millibits: entropy_millibits(data),
                        kind: if is_masked(data) {
                            Resource::MASKED_PROGRAM
                        } else {
                            crate::content::kind(data)
                        }
                        .to_owned(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// Whether data is a Windows image each byte of which was combined with the same one by exclusive or.
fn is_masked(data: &[u8]) -> bool {
    let Some(mask) = data.first().map(|byte| byte ^ b'M').filter(|mask| *mask != 0) else { return false };
    let at =
        |from: usize| data.get(from..)?.first_chunk().map(|bytes: &[u8; 4]| bytes.map(|byte| byte ^ mask));
    let header = at(0x3c).map(u32::from_le_bytes);
    data.get(1) == Some(&(b'Z' ^ mask))
        && header.is_some_and(|header| at(header as usize) == Some(*b"PE\0\0"))
}

fn name(directory: ResourceDirectory, name: ResourceNameOrId, level: usize) -> Result<String, Unreadable> {
    Ok(match name {
        ResourceNameOrId::Name(name) => {
            let units: Vec<u16> =
                name.data(directory)?.iter().take(TEXT_MAX).map(|unit| unit.get(LE)).collect();
            String::from_utf16_lossy(&units)
        }
        ResourceNameOrId::Id(id) => match TYPES.iter().find(|(known, _)| level == 0 && *known == id) {
            Some((_, word)) => (*word).to_owned(),
            None => id.to_string(),
        },
    })
}

/// Takes what a resource says about the image.
fn about(path: &str, data: &[u8], image: &mut Executable) {
    if path.starts_with(VERSION) && image.version.is_none() {
        image.version = version(data);
        image.version_info = strings(data);
    } else if path.starts_with(MANIFEST) && image.execution_level.is_none() {
        image.execution_level = execution_level(data);
    }
}

/// `FileVersion` from `VS_FIXEDFILEINFO`, by its signature.
fn version(data: &[u8]) -> Option<String> {
    let at = data.windows(4).position(|window| window == 0xFEEF_04BD_u32.to_le_bytes())?;
    let half =
        |offset: usize| Some(u16::from_le_bytes(data.get(at + offset..at + offset + 2)?.try_into().ok()?));
    Some(format!("{}.{}.{}.{}", half(10)?, half(8)?, half(14)?, half(12)?))
}

/// The strings of `StringFileInfo`: four levels of blocks with length, value length, type, key
/// (`VS_VERSIONINFO`). Only the innermost have text values.
pub(crate) fn strings(data: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    let data = data.get(..VERSION_BYTES_MAX).unwrap_or(data);
    while let Some(block) = data.get(at..).and_then(Block::read) {
        let Some(text) = block.text.filter(|_| !block.key.is_empty()) else {
            // A container: its first child follows its key, or its binary value.
            at += block.children;
            continue;
        };
        found.insert(block.key, text);
        at += block.length.max(6).next_multiple_of(4);
    }
    found
}

struct Block {
    key: String,
    text: Option<String>,
    /// Where its children begin, always behind its header.
    children: usize,
    length: usize,
}

impl Block {
    fn read(data: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(*data.get(at..)?.first_chunk()?)));
        let (length, value, is_text) = (half(0)?, half(2)?, half(4)? == 1);
        let (key, key_bytes) = wide(data.get(6..)?);
        let begin = (6 + key_bytes).next_multiple_of(4);
        let innermost = is_text && value > 0;
        let text = innermost.then(|| data.get(begin..)).flatten().map(|rest| {
            let end = rest.len().min(value.saturating_mul(2));
            wide(&rest[..end]).0
        });
        let children = if is_text { begin } else { (begin + value).next_multiple_of(4) };
        // An empty value of an empty-length block ends the walk.
        (length > 0).then_some(Self { key, text, children, length })
    }
}

/// Reads UTF-16 up to its zero, and says how many bytes it took.
fn wide(data: &[u8]) -> (String, usize) {
    let units: Vec<u16> = data
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .take(TEXT_MAX)
        .collect();
    let length = (units.len() + 1) * 2;
    (String::from_utf16_lossy(&units), length)
}

/// `requestedExecutionLevel` of the manifest ("Application manifests").
fn execution_level(data: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(data.get(..data.len().min(64 << 10))?);
    let (_, rest) = text.split_once("requestedExecutionLevel")?;
    let (_, rest) = rest.split_once("level")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next()?;
    rest[quote.len_utf8()..].split(quote).next().map(|level| level.chars().take(TEXT_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(key: &str, text: bool, value: &[u8], children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 6];
        bytes.extend(key.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(children);
        let units = if text { value.len() / 2 } else { value.len() };
        let length = bytes.len() as u16;
        bytes[..2].copy_from_slice(&length.to_le_bytes());
        bytes[2..4].copy_from_slice(&(units as u16).to_le_bytes());
        bytes[4] = u8::from(text);
        bytes
    }

    #[test]
    fn version_strings_are_read() {
        let value =
            |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let table = [
            block("CompanyName", true, &value("Maker"), &[]),
            block("ProductVersion", true, &value("1.2"), &[]),
        ]
        .concat();
        let info = block("StringFileInfo", true, &[], &block("040904b0", true, &[], &table));
        let mut fixed = 0xFEEF_04BD_u32.to_le_bytes().to_vec();
        fixed.resize(52, 0);
        fixed[10] = 3;
        let whole = block("VS_VERSION_INFO", false, &fixed, &info);
        let found = strings(&whole);
        assert_eq!(found.get("CompanyName").map(String::as_str), Some("Maker"));
        assert_eq!(found.get("ProductVersion").map(String::as_str), Some("1.2"));
        assert_eq!(version(&whole).as_deref(), Some("3.0.0.0"));
        for cut in 0..whole.len() {
            strings(&whole[..cut]);
        }
    }

    #[test]
    fn a_program_under_a_mask_is_told_from_noise() {
        let program = forge::PeImage { name: "a.dll".into(), ..forge::PeImage::default() }.bytes();
        let masked = |mask: u8| program.iter().map(|byte| byte ^ mask).collect::<Vec<u8>>();
        assert!(is_masked(&masked(0x5a)) && is_masked(&masked(0xff)));
        assert!(!is_masked(&program) && !is_masked(b"") && !is_masked(&forge::noise(1, 5000)));
        assert!(!is_masked(&masked(0x5a)[..0x3d]));
    }

    #[test]
    fn the_execution_level_is_read() {
        let manifest = br#"<x><requestedExecutionLevel level="requireAdministrator" uiAccess="false"/></x>"#;
        assert_eq!(execution_level(manifest).as_deref(), Some("requireAdministrator"));
        assert_eq!(execution_level(b"<assembly/>"), None);
    }
}
