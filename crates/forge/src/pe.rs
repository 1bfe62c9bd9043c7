//! Windows images: PE32+ libraries with sections, imports and exports (Microsoft "PE Format").

/// A section to be written.
#[derive(Clone, Debug)]
pub struct PeSection {
    /// Its name, at most eight bytes.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
    /// Its characteristics: `0x6000_0020` for code, `0x4000_0040` for data that is read.
    pub flags: u32,
}

/// An image to be written.
#[derive(Clone, Debug, Default)]
pub struct PeImage {
    /// The library's own name, as exports give it.
    pub name: String,
    /// Exported symbols.
    pub exports: Vec<String>,
    /// Imported symbols by library.
    pub imports: Vec<(String, Vec<String>)>,
    /// What its code section holds after the return instruction.
    pub content: Vec<u8>,
    /// Further sections.
    pub sections: Vec<PeSection>,
    /// Time stamp of the header.
    pub timestamp: u32,
}

const FILE_ALIGNMENT: usize = 0x200;
const SECTION_ALIGNMENT: u32 = 0x1000;
const HEADERS_BYTES: usize = 0x400;
const NT_HEADERS: usize = 0x80;
pub(crate) const CHECKSUM_AT: usize = NT_HEADERS + 24 + 64;
pub(crate) const CERTIFICATE_ENTRY_AT: usize = NT_HEADERS + 24 + 112 + 4 * 8;

/// Where the entry of the certificate table stands in a real image.
pub(crate) fn certificate_entry_at(image: &[u8]) -> usize {
    let headers = u32::from_le_bytes([image[0x3c], image[0x3d], image[0x3e], image[0x3f]]) as usize;
    // The optional header of a 64-bit image has sixteen bytes more before its directories.
    let is_64 = image[headers + 24..headers + 26] == [0x0b, 0x02];
    headers + 24 + if is_64 { 112 } else { 96 } + 4 * 8
}

impl PeImage {
    /// Writes the image.
    pub fn bytes(&self) -> Vec<u8> {
        let mut sections = vec![PeSection {
            name: ".text".into(),
            data: [&[0xC3], self.content.as_slice()].concat(),
            flags: 0x6000_0020,
        }];
        sections.extend(self.sections.iter().cloned());
        let mut next = SECTION_ALIGNMENT;
        for section in &sections {
            next += span(section.data.len());
        }
        let (exports_at, exports) = (next, self.export_section(next));
        next += span(exports.len());
        let imports = self.import_section(next);
        let (export_size, import_size) = (exports.len() as u32, imports.len() as u32);
        sections.push(PeSection { name: ".edata".into(), data: exports, flags: 0x4000_0040 });
        sections.push(PeSection { name: ".idata".into(), data: imports, flags: 0xC000_0040 });
        let imports_at = next;

        let mut file = vec![0; HEADERS_BYTES];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x3c, &(NT_HEADERS as u32).to_le_bytes());
        put(NT_HEADERS, b"PE\0\0");
        put(NT_HEADERS + 4, &0x8664_u16.to_le_bytes());
        put(NT_HEADERS + 6, &(sections.len() as u16).to_le_bytes());
        put(NT_HEADERS + 8, &self.timestamp.to_le_bytes());
        put(NT_HEADERS + 20, &240_u16.to_le_bytes());
        put(NT_HEADERS + 22, &0x2022_u16.to_le_bytes());
        let optional = NT_HEADERS + 24;
        put(optional, &0x20b_u16.to_le_bytes());
        put(optional + 16, &SECTION_ALIGNMENT.to_le_bytes());
        put(optional + 24, &0x1_8000_0000_u64.to_le_bytes());
        put(optional + 32, &SECTION_ALIGNMENT.to_le_bytes());
        put(optional + 36, &(FILE_ALIGNMENT as u32).to_le_bytes());
        put(optional + 40, &6_u16.to_le_bytes());
        put(optional + 48, &6_u16.to_le_bytes());
        put(optional + 56, &(next + span(import_size as usize)).to_le_bytes());
        put(optional + 60, &(HEADERS_BYTES as u32).to_le_bytes());
        put(optional + 68, &2_u16.to_le_bytes());
        put(optional + 70, &0x4160_u16.to_le_bytes());
        put(optional + 108, &16_u32.to_le_bytes());
        for (entry, at, size) in [(0, exports_at, export_size), (1, imports_at, import_size)] {
            put(optional + 112 + entry * 8, &at.to_le_bytes());
            put(optional + 116 + entry * 8, &size.to_le_bytes());
        }
        let (mut address, mut offset) = (SECTION_ALIGNMENT, HEADERS_BYTES);
        for (position, section) in sections.iter().enumerate() {
            let header = optional + 240 + position * 40;
            let raw = section.data.len().next_multiple_of(FILE_ALIGNMENT);
            put(header, &section.name.as_bytes()[..section.name.len().min(8)]);
            put(header + 8, &(section.data.len() as u32).to_le_bytes());
            put(header + 12, &address.to_le_bytes());
            put(header + 16, &(raw as u32).to_le_bytes());
            put(header + 20, &(offset as u32).to_le_bytes());
            put(header + 36, &section.flags.to_le_bytes());
            address += span(section.data.len());
            offset += raw;
        }
        for section in &sections {
            file.extend_from_slice(&section.data);
            file.resize(file.len().next_multiple_of(FILE_ALIGNMENT), 0);
        }
        file
    }

    fn export_section(&self, base: u32) -> Vec<u8> {
        let mut names: Vec<&String> = self.exports.iter().collect();
        names.sort();
        let count = names.len() as u32;
        let (functions, pointers) = (base + 40, base + 40 + 4 * count);
        let ordinals = pointers + 4 * count;
        let mut text_at = ordinals + 2 * count;
        let mut texts = self.name.as_bytes().to_vec();
        texts.push(0);
        let name_at = text_at;
        text_at += texts.len() as u32;
        let mut bytes = vec![0; 12];
        for word in [name_at, 1, count, count, functions, pointers, ordinals] {
            bytes.extend(word.to_le_bytes());
        }
        for _ in &names {
            bytes.extend(SECTION_ALIGNMENT.to_le_bytes());
        }
        for name in &names {
            bytes.extend(text_at.to_le_bytes());
            texts.extend(name.as_bytes());
            texts.push(0);
            text_at += name.len() as u32 + 1;
        }
        for ordinal in 0..count as u16 {
            bytes.extend(ordinal.to_le_bytes());
        }
        bytes.extend(texts);
        bytes
    }

    fn import_section(&self, base: u32) -> Vec<u8> {
        let descriptors = 20 * (self.imports.len() + 1);
        let mut tail: Vec<u8> = Vec::new();
        let mut head: Vec<u8> = Vec::new();
        for (library, symbols) in &self.imports {
            let mut hints = Vec::new();
            for symbol in symbols {
                hints.push(u64::from(base) + (descriptors + tail.len()) as u64);
                tail.extend([0, 0]);
                tail.extend(symbol.as_bytes());
                tail.resize((tail.len() + 1).next_multiple_of(2), 0);
            }
            tail.resize(tail.len().next_multiple_of(8), 0);
            let mut tables = [0_u32; 2];
            for table in &mut tables {
                *table = base + (descriptors + tail.len()) as u32;
                for hint in hints.iter().chain([&0]) {
                    tail.extend(hint.to_le_bytes());
                }
            }
            let name = base + (descriptors + tail.len()) as u32;
            tail.extend(library.as_bytes());
            tail.push(0);
            for word in [tables[0], 0, 0, name, tables[1]] {
                head.extend(word.to_le_bytes());
            }
        }
        head.extend([0; 20]);
        [head, tail].concat()
    }
}

/// The room that a section takes in memory.
fn span(length: usize) -> u32 {
    (length.max(1) as u32).next_multiple_of(SECTION_ALIGNMENT)
}
