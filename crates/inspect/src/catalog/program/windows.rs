//! Windows images: the name and version of a .NET assembly (ECMA-335, II.22 and II.24), and the version information of a program
//! (`VS_VERSIONINFO`). Only what says so is read, where it lies.

use std::io;

use evidence::bom::{Kind, State};

use super::super::found::{Found, Stated};
use super::{Content, Section};
use crate::bytes::{le16, le32, le64, until_zero};
use crate::executable::version_strings;

/// Bytes of the metadata of one assembly; those of the largest frameworks have some megabytes.
const METADATA_MAX_BYTES: u64 = 32 << 20;
const VERSION_MAX_BYTES: u64 = 64 << 10;
/// Entries of a directory of resources that are looked at.
const ENTRIES_MAX: usize = 256;
const VERSION_TYPE: u32 = 16;

/// The headers of an image, as far as they are needed here.
struct Image {
    /// Sections in memory: address, size, place in the file.
    sections: Vec<(u32, u32, u32)>,
    resources: u32,
    runtime: u32,
    is_library: bool,
}

impl Image {
    fn read(content: &dyn Content) -> io::Result<Option<Self>> {
        let head = content.range(0, 64)?;
        let Some(at) = le32(&head, 0x3c).filter(|_| head.starts_with(b"MZ")) else { return Ok(None) };
        let header = content.range(at.into(), 24 + 240)?;
        let read = || -> Option<(u16, u16, u16, u32, u32)> {
            let (count, optional, flags) = (le16(&header, 6)?, le16(&header, 20)?, le16(&header, 22)?);
            let directories = match le16(&header, 24)? {
                0x10b => 24 + 96,
                0x20b => 24 + 112,
                _ => return None,
            };
            // Directories of eight bytes: resources are the third, the runtime's header the fifteenth.
            let of = |number: usize| {
                let end = 24 + usize::from(optional);
                let place = directories + number * 8;
                if place + 8 <= end { le32(&header, place) } else { None }
            };
            Some((count, optional, flags, of(2).unwrap_or(0), of(14).unwrap_or(0)))
        };
        let Some((count, optional, flags, resources, runtime)) =
            read().filter(|_| header.starts_with(b"PE\0\0"))
        else {
            return Ok(None);
        };
        let table =
            content.range(u64::from(at) + 24 + u64::from(optional), usize::from(count.min(96)) * 40)?;
        let sections = table
            .chunks_exact(40)
            .filter_map(|row| Some((le32(row, 12)?, le32(row, 8)?.max(le32(row, 16)?), le32(row, 20)?)));
        Ok(Some(Self { sections: sections.collect(), resources, runtime, is_library: flags & 0x2000 != 0 }))
    }

    /// Where an address of memory lies in the file.
    fn place(&self, address: u32) -> Option<u64> {
        self.sections.iter().find_map(|(start, size, place)| {
            let inside = address.checked_sub(*start).filter(|inside| inside < size)?;
            Some(u64::from(*place) + u64::from(inside))
        })
    }
}

pub(super) fn read(content: &dyn Content, _: &[Section], found: &mut Found) -> io::Result<()> {
    let Some(image) = Image::read(content)? else { return Ok(()) };
    let strings = version(content, &image)?.unwrap_or_default();
    let text = |names: &[&str]| {
        let values = names.iter().filter_map(|name| strings.get(*name)).map(|value| value.trim());
        values.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_owned()
    };
    let product = text(&["ProductVersion", "FileVersion"]);
    let supplier = Some(text(&["CompanyName"])).filter(|name| !name.is_empty());
    if let Some((name, assembly)) = assembly(content, &image)? {
        // What NuGet calls the version is what the product is said to be: `13.0.3+COMMIT`.
        let said = product.split(['+', ' ']).next().unwrap_or_default();
        let plain = said.split('.').count() >= 2 && said.starts_with(|c: char| c.is_ascii_digit());
        let version = if plain { said } else { &assembly };
        let mut stated = Stated::new("nuget", name, version, State::Embedded)
            .with("assembly-version", assembly.as_str())
            .with("product", text(&["ProductName"]));
        stated.supplier = supplier;
        found.take(stated);
        return Ok(());
    }
    // Libraries of a program say the same as it does, and those of the system say what system it is.
    if !image.is_library && !product.is_empty() {
        let name = text(&["ProductName", "InternalName"]);
        let mut stated = Stated::new("generic", name, product.replace(", ", "."), State::Embedded)
            .kind(Kind::Application)
            .with("description", text(&["FileDescription"]));
        stated.supplier = supplier;
        found.take(stated);
    }
    Ok(())
}

/// The strings of the version resource: of its type, the first name, and of that the first language.
fn version(
    content: &dyn Content,
    image: &Image,
) -> io::Result<Option<std::collections::BTreeMap<String, String>>> {
    let Some(start) =
        Some(image.resources).filter(|address| *address > 0).and_then(|address| image.place(address))
    else {
        return Ok(None);
    };
    let mut table = 0_u32;
    for level in 0..3 {
        let head = content.range(start + u64::from(table), 16 + ENTRIES_MAX * 8)?;
        let count = |at| usize::from(le16(&head, at).unwrap_or(0));
        let count = (count(12) + count(14)).min(ENTRIES_MAX);
        let next = (0..count).find_map(|number| {
            let (id, next) = (le32(&head, 16 + number * 8)?, le32(&head, 20 + number * 8)?);
            (level > 0 || id == VERSION_TYPE).then_some(next)
        });
        // The highest bit says whether another table or a leaf follows.
        match (next, level) {
            (Some(next), 0 | 1) if next & 0x8000_0000 != 0 => table = next & 0x7fff_ffff,
            (Some(leaf), 2) if leaf & 0x8000_0000 == 0 => {
                let leaf = content.range(start + u64::from(leaf), 8)?;
                let (Some(address), Some(size)) = (le32(&leaf, 0), le32(&leaf, 4)) else { return Ok(None) };
                let Some(place) = image.place(address) else { return Ok(None) };
                let size = usize::try_from(u64::from(size).min(VERSION_MAX_BYTES)).unwrap_or(0);
                return Ok(Some(version_strings(&content.range(place, size)?)));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The name and the version of an assembly, from its metadata.
fn assembly(content: &dyn Content, image: &Image) -> io::Result<Option<(String, String)>> {
    let Some(place) =
        Some(image.runtime).filter(|address| *address > 0).and_then(|address| image.place(address))
    else {
        return Ok(None);
    };
    let header = content.range(place, 16)?;
    let metadata = || Some((image.place(le32(&header, 8)?)?, le32(&header, 12)?));
    let Some((place, size)) = metadata() else { return Ok(None) };
    let size = usize::try_from(u64::from(size).min(METADATA_MAX_BYTES)).unwrap_or(0);
    Ok(of_metadata(&content.range(place, size)?))
}

fn of_metadata(bytes: &[u8]) -> Option<(String, String)> {
    if !bytes.starts_with(b"BSJB") {
        return None;
    }
    // Behind the version's text: flags, the number of streams, and for each its place, size and name.
    let mut at = 16_usize.checked_add(usize::try_from(le32(bytes, 12)?).ok()?)?;
    let count = le16(bytes, at + 2)?;
    at += 4;
    let (mut tables, mut strings) = (None, None);
    for _ in 0..count.min(16) {
        let (place, size) =
            (usize::try_from(le32(bytes, at)?).ok()?, usize::try_from(le32(bytes, at + 4)?).ok()?);
        let name = until_zero(bytes.get(at + 8..bytes.len().min(at + 40))?);
        let stream = bytes.get(place..place.checked_add(size)?);
        match name {
            b"#~" | b"#-" => tables = stream,
            b"#Strings" => strings = stream,
            _ => {}
        }
        at += 8 + (name.len() + 1).next_multiple_of(4);
    }
    let (tables, strings) = (tables?, strings?);
    let row = assembly_row(tables)?;
    let part = |at: usize| le16(row.bytes, at);
    let version = format!("{}.{}.{}.{}", part(4)?, part(6)?, part(8)?, part(10)?);
    let at = 16 + row.blob;
    let name = if row.string == 4 { le32(row.bytes, at)? } else { le16(row.bytes, at)?.into() };
    let name = until_zero(strings.get(usize::try_from(name).ok()?..)?);
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.len() < 1024)?;
    Some((name.to_owned(), version))
}

struct Row<'a> {
    bytes: &'a [u8],
    blob: usize,
    string: usize,
}

/// Columns of a table: fixed bytes, indices of strings, GUIDs and blobs, of tables, and coded ones (II.22, II.24.2.6).
enum Column {
    Fixed(usize),
    Text,
    Guid,
    Blob,
    Of(usize),
    Coded(usize, &'static [usize]),
}

use Column::{Blob, Coded, Fixed, Guid, Of, Text};

const TYPE_DEF_OR_REF: Column = Coded(2, &[0x02, 0x01, 0x1b]);
const HAS_CONSTANT: Column = Coded(2, &[0x04, 0x08, 0x17]);
const HAS_ATTRIBUTE: Column = Coded(
    5,
    &[
        0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14, 0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26,
        0x27, 0x28, 0x2a, 0x2c, 0x2b,
    ],
);
const HAS_MARSHAL: Column = Coded(1, &[0x04, 0x08]);
const HAS_SECURITY: Column = Coded(2, &[0x02, 0x06, 0x20]);
const MEMBER_PARENT: Column = Coded(3, &[0x02, 0x01, 0x1a, 0x06, 0x1b]);
const HAS_SEMANTICS: Column = Coded(1, &[0x14, 0x17]);
const METHOD: Column = Coded(1, &[0x06, 0x0a]);
const FORWARDED: Column = Coded(1, &[0x04, 0x06]);
const ATTRIBUTE_TYPE: Column = Coded(3, &[0x06, 0x0a]);
const SCOPE: Column = Coded(2, &[0x00, 0x1a, 0x23, 0x01]);

/// The tables in front of that of the assembly, by number.
const TABLES: [&[Column]; 0x20] = [
    &[Fixed(2), Text, Guid, Guid, Guid],
    &[SCOPE, Text, Text],
    &[Fixed(4), Text, Text, TYPE_DEF_OR_REF, Of(0x04), Of(0x06)],
    &[Of(0x04)],
    &[Fixed(2), Text, Blob],
    &[Of(0x06)],
    &[Fixed(8), Text, Blob, Of(0x08)],
    &[Of(0x08)],
    &[Fixed(4), Text],
    &[Of(0x02), TYPE_DEF_OR_REF],
    &[MEMBER_PARENT, Text, Blob],
    &[Fixed(2), HAS_CONSTANT, Blob],
    &[HAS_ATTRIBUTE, ATTRIBUTE_TYPE, Blob],
    &[HAS_MARSHAL, Blob],
    &[Fixed(2), HAS_SECURITY, Blob],
    &[Fixed(6), Of(0x02)],
    &[Fixed(4), Of(0x04)],
    &[Blob],
    &[Of(0x02), Of(0x14)],
    &[Of(0x14)],
    &[Fixed(2), Text, TYPE_DEF_OR_REF],
    &[Of(0x02), Of(0x17)],
    &[Of(0x17)],
    &[Fixed(2), Text, Blob],
    &[Fixed(2), Of(0x06), HAS_SEMANTICS],
    &[Of(0x02), METHOD, METHOD],
    &[Text],
    &[Blob],
    &[Fixed(2), FORWARDED, Text, Of(0x1a)],
    &[Fixed(4), Of(0x04)],
    &[Fixed(8)],
    &[Fixed(4)],
];

/// Finds the row of the assembly: behind all rows of the tables in front of it.
fn assembly_row(tables: &[u8]) -> Option<Row<'_>> {
    let sizes = *tables.get(6)?;
    let wide = |bit: u8| if sizes & 1 << bit != 0 { 4 } else { 2 };
    let (string, guid, blob) = (wide(0), wide(1), wide(2));
    let valid = le64(tables, 8)?;
    let mut at = 24_usize;
    let mut rows = [0_u64; 64];
    for (number, count) in rows.iter_mut().enumerate() {
        if valid & 1 << number != 0 {
            *count = le32(tables, at)?.into();
            at += 4;
        }
    }
    if rows[0x20] == 0 {
        return None;
    }
    let of = |table: usize| if rows[table] < 1 << 16 { 2 } else { 4 };
    let width = |column: &Column| match column {
        Fixed(bytes) => *bytes,
        Text => string,
        Guid => guid,
        Blob => blob,
        Of(table) => of(*table),
        Coded(bits, tables) => {
            let most = tables.iter().map(|table| rows[*table]).max().unwrap_or(0);
            if most < 1 << (16 - bits) { 2 } else { 4 }
        }
    };
    let mut place = at as u64;
    for (columns, count) in TABLES.iter().zip(rows) {
        let bytes: usize = columns.iter().map(width).sum();
        place = place.checked_add(count.checked_mul(bytes as u64)?)?;
    }
    Some(Row { bytes: tables.get(usize::try_from(place).ok()?..)?, blob, string })
}

#[cfg(test)]
mod tests {
    use crate::catalog::program::read_program;

    /// The metadata of an assembly with a module and some types in front of it.
    fn metadata(name: &str, version: [u16; 4]) -> Vec<u8> {
        let mut tables = vec![0_u8; 6];
        tables.extend([0, 0]);
        tables.extend((1_u64 | 1 << 2 | 1 << 0x20).to_le_bytes());
        tables.extend(0_u64.to_le_bytes());
        [1_u32, 2, 1].iter().for_each(|count| tables.extend(count.to_le_bytes()));
        tables.extend([7_u8; 10]);
        tables.extend([7_u8; 2 * 14]);
        tables.extend(0x8004_u32.to_le_bytes());
        version.iter().for_each(|part| tables.extend(part.to_le_bytes()));
        tables.extend([0_u8; 4 + 2]);
        tables.extend(1_u16.to_le_bytes());
        tables.extend([0_u8; 2]);
        let strings = [b"\0", name.as_bytes(), b"\0"].concat();
        let mut bytes = b"BSJB\x01\0\x01\0\0\0\0\0\x0c\0\0\0v4.0.30319\0\0\0\0\x02\0".to_vec();
        let first = bytes.len() + 12 + 20;
        for (place, size, name) in [
            (first, tables.len(), &b"#~\0\0"[..]),
            (first + tables.len(), strings.len(), b"#Strings\0\0\0\0"),
        ] {
            bytes.extend(u32::try_from(place).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(size).unwrap().to_le_bytes());
            bytes.extend(name);
        }
        bytes.extend(tables);
        bytes.extend(strings);
        bytes
    }

    /// A block of version information: a container, or a text.
    fn block(key: &str, text: Option<&str>, children: &[u8]) -> Vec<u8> {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect() };
        let units = text.map_or(0, |text| text.encode_utf16().count() + 1);
        let mut block = vec![0, 0];
        block.extend(u16::try_from(units).unwrap().to_le_bytes());
        block.extend([1, 0]);
        block.extend(wide(key));
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend(text.map(wide).unwrap_or_default());
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend(children);
        let length = u16::try_from(block.len()).unwrap();
        block[..2].copy_from_slice(&length.to_le_bytes());
        block
    }

    /// An image of one section, with a header of the runtime and a version resource.
    fn image(metadata: &[u8], strings: &[(&str, &str)], is_library: bool) -> Vec<u8> {
        const SECTION: u32 = 0x1000;
        let texts: Vec<u8> = strings.iter().flat_map(|(key, text)| block(key, Some(text), b"")).collect();
        let version = block("VS", None, &block("StringFileInfo", None, &block("040904b0", None, &texts)));
        let mut content = vec![0_u8; 72];
        content[8..12].copy_from_slice(&(SECTION + 72).to_le_bytes());
        content[12..16].copy_from_slice(&u32::try_from(metadata.len()).unwrap().to_le_bytes());
        content.extend(metadata);
        content.resize(content.len().next_multiple_of(8), 0);
        let resources = u32::try_from(content.len()).unwrap();
        for (id, next) in [(16_u32, 24 | 0x8000_0000), (1, 48 | 0x8000_0000), (1033, 72_u32)] {
            content.extend([0; 12]);
            content.extend([0, 0, 1, 0]);
            content.extend(id.to_le_bytes());
            content.extend(next.to_le_bytes());
        }
        let place = SECTION + resources + 72 + 16;
        content.extend(place.to_le_bytes());
        content.extend(u32::try_from(version.len()).unwrap().to_le_bytes());
        content.extend([0; 8]);
        content.extend(version);
        let mut image = vec![0_u8; 512];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c] = 64;
        image[64..68].copy_from_slice(b"PE\0\0");
        image[70] = 1;
        image[84] = 224;
        image[87] = if is_library { 0x20 } else { 0 };
        image[88..90].copy_from_slice(&0x10b_u16.to_le_bytes());
        let directory = |number: usize| 88 + 96 + number * 8;
        image[directory(2)..directory(2) + 4].copy_from_slice(&(SECTION + resources).to_le_bytes());
        if !metadata.is_empty() {
            image[directory(14)..directory(14) + 4].copy_from_slice(&SECTION.to_le_bytes());
        }
        let row = 88 + 224;
        for (at, number) in [(8, content.len() as u32), (12, SECTION), (16, content.len() as u32), (20, 512)]
        {
            image[row + at..row + at + 4].copy_from_slice(&number.to_le_bytes());
        }
        image.extend(content);
        image
    }

    fn names(image: &[u8]) -> Vec<(String, String, String)> {
        let found = read_program(&image);
        let packages = found.into_iter().flat_map(|(_, found)| found.packages);
        packages.map(|package| (package.ecosystem.into_owned(), package.name, package.version)).collect()
    }

    #[test]
    fn an_assembly_has_the_version_of_its_product() {
        let metadata = metadata("Newtonsoft.Json", [13, 0, 0, 0]);
        let strings = [("ProductVersion", "13.0.3+0a2e291c"), ("CompanyName", "Newtonsoft")];
        let made = |a: &str, b: &str, c: &str| vec![(a.to_owned(), b.to_owned(), c.to_owned())];
        assert_eq!(names(&image(&metadata, &strings, true)), made("nuget", "Newtonsoft.Json", "13.0.3"));
        assert_eq!(names(&image(&metadata, &[], true)), made("nuget", "Newtonsoft.Json", "13.0.0.0"));
        let strings = [("ProductName", "7-Zip"), ("ProductVersion", "23.01")];
        assert_eq!(names(&image(b"", &strings, false)), made("generic", "7-Zip", "23.01"));
        assert_eq!(names(&image(b"", &strings, true)), []);
    }

    #[test]
    fn damaged_images_say_less() {
        let good = image(&metadata("A", [1, 2, 3, 4]), &[("ProductVersion", "1.2")], true);
        for at in 0..good.len() {
            let mut wrong = good.clone();
            for byte in [0, 0xff, good[at] ^ 1] {
                wrong[at] = byte;
                read_program(&wrong.as_slice());
            }
            read_program(&&good[..at]);
        }
    }
}
