//! Small archives of formats for which there is no writer at hand. Each is what the format's own tool would write.

use evidence::Digest;

/// A file of an archive: its name, Unix mode with the kind of file, and content.
pub(crate) type File<'a> = (&'a str, u32, &'a [u8]);

pub(crate) const REGULAR: u32 = 0o100_644;
pub(crate) const SYMLINK: u32 = 0o120_777;
pub(crate) const DEVICE: u32 = 0o020_600;
pub(crate) const FIFO: u32 = 0o010_600;

/// cpio in the `newc` format; `crc` when sums are wanted.
pub(crate) fn cpio_newc(files: &[File], sums: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (name, mode, content)) in files.iter().chain([&("TRAILER!!!", 0, &b""[..])]).enumerate() {
        let sum = if sums { content.iter().map(|byte| u32::from(*byte)).sum() } else { 0 };
        let fields = [
            number as u32 + 1,
            *mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            sum,
        ];
        out.extend(if sums { b"070702" } else { b"070701" });
        out.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        out.extend(name.bytes().chain([0]));
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// cpio in the `odc` format.
pub(crate) fn cpio_odc(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (name, mode, content)) in files.iter().chain([&("TRAILER!!!", 0, &b""[..])]).enumerate() {
        let (length, size) = (name.len() + 1, content.len());
        out.extend(
            format!(
                "070707000000{number:06o}{mode:06o}00000000000000000100000000000000000{length:06o}{size:011o}"
            )
            .bytes(),
        );
        out.extend(name.bytes().chain([0]));
        out.extend(*content);
    }
    out
}

/// One RPM header structure; every tag has texts.
fn rpm_header(tags: &[(u32, u32, Vec<u8>, u32)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::<u8>::new());
    for (tag, kind, bytes, count) in tags {
        for word in [*tag, *kind, data.len() as u32, *count] {
            index.extend(word.to_be_bytes());
        }
        data.extend(bytes);
    }
    let mut out = b"\x8e\xad\xe8\x01\0\0\0\0".to_vec();
    out.extend((tags.len() as u32).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(index);
    out.extend(data);
    out
}

/// An RPM package with an installation script and a payload.
pub(crate) fn rpm(script: &str, payload: &[u8]) -> Vec<u8> {
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();
    let header = rpm_header(&[
        (1000, 6, text("demo"), 1),
        (1024, 6, text(script), 1),
        (5093, 4, 8_u32.to_be_bytes().to_vec(), 1),
        (5092, 8, text(&Digest::of(payload).hex()), 1),
    ]);
    let mut out = b"\xed\xab\xee\xdb\x03\0".to_vec();
    out.resize(96, 0);
    out.extend(rpm_header(&[(273, 6, text(&Digest::of(&header).hex()), 1)]));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(header);
    out.extend(payload);
    out
}

/// An `asar` archive around a JSON directory.
pub(crate) fn asar(directory: &str, contents: &[u8]) -> Vec<u8> {
    let padded = directory.len().next_multiple_of(4) as u32;
    let mut out = Vec::new();
    for word in [4, padded + 8, padded + 4, directory.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(directory.bytes());
    out.resize(16 + padded as usize, 0);
    out.extend(contents);
    out
}

/// The `integrity` record of a content.
pub(crate) fn asar_integrity(content: &[u8]) -> String {
    let hash = Digest::of(content).hex();
    format!(r#"{{"algorithm":"SHA256","hash":"{hash}","blockSize":4194304,"blocks":["{hash}"]}}"#)
}

/// gzip, as `gzip -n` writes it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive; `end` adds the two blocks of zeros that close it.
pub(crate) fn tar(files: &[(&str, &[u8])], end: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    if !end {
        bytes.truncate(bytes.len() - 1024);
    }
    bytes
}

/// One LZ4 frame.
pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A cabinet with one folder. `blocks` are packed for LZX, and unpacked for the others.
pub(crate) fn cab(compression: u16, files: &[(&str, &[u8])], blocks: &[&[u8]]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut offset = 0_u32;
    for (name, content) in files {
        table.extend((content.len() as u32).to_le_bytes());
        table.extend(offset.to_le_bytes());
        table.extend([0; 6]);
        table.extend(0x20_u16.to_le_bytes());
        table.extend(name.bytes().chain([0]));
        offset += content.len() as u32;
    }
    let mut data = Vec::new();
    let mut history: &[u8] = b"";
    for block in blocks {
        let packed = if compression == 1 { mszip(block, history) } else { block.to_vec() };
        let size = if compression & 0xf == 3 { offset as usize } else { block.len() };
        let sizes = [(packed.len() as u16).to_le_bytes(), (size as u16).to_le_bytes()].concat();
        let words = |bytes: &[u8]| {
            bytes.chunks(4).fold(0_u32, |sum, word| {
                let order: Vec<u8> =
                    if word.len() == 4 { word.iter().rev().copied().collect() } else { word.to_vec() };
                sum ^ order.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
            })
        };
        data.extend((words(&packed) ^ words(&sizes)).to_le_bytes());
        data.extend(sizes);
        data.extend(packed);
        history = block;
    }
    let start = 36 + 8;
    let mut out = b"MSCF\0\0\0\0".to_vec();
    out.extend(((start + table.len() + data.len()) as u32).to_le_bytes());
    out.extend([0; 4]);
    out.extend((start as u32).to_le_bytes());
    out.extend([0, 0, 0, 0, 3, 1, 1, 0]);
    out.extend((files.len() as u16).to_le_bytes());
    out.extend([0; 6]);
    out.extend(((start + table.len()) as u32).to_le_bytes());
    out.extend((blocks.len() as u16).to_le_bytes());
    out.extend(compression.to_le_bytes());
    [out, table, data].concat()
}

/// One MSZIP block with the block before as its history.
fn mszip(block: &[u8], history: &[u8]) -> Vec<u8> {
    let mut compressor = flate2::Compress::new(flate2::Compression::default(), false);
    if !history.is_empty() {
        // What the history gives is dropped; what follows may refer to it.
        let mut dropped = Vec::with_capacity(history.len() + 4096);
        compressor.compress_vec(history, &mut dropped, flate2::FlushCompress::Sync).unwrap();
    }
    let mut out = Vec::with_capacity(block.len() * 2 + 4096);
    compressor.compress_vec(block, &mut out, flate2::FlushCompress::Finish).unwrap();
    [b"CK", out.as_slice()].concat()
}

/// Bits of 16-bit words, the highest first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// The lengths of codes, as differences to zeros: of two symbols, a length and a run of zeros.
    fn lengths(&mut self, lengths: &[u8]) {
        let used: Vec<u32> = lengths.iter().map(|length| (17 - u32::from(*length)) % 17).collect();
        let mut symbols = used.clone();
        symbols.sort_unstable();
        symbols.dedup();
        assert!(symbols.len() <= 4);
        // Four symbols of two bits each.
        let mut table: Vec<u32> = symbols;
        let mut filler = 1;
        while table.len() < 4 {
            if !table.contains(&filler) {
                table.push(filler);
            }
            filler += 1;
        }
        table.sort_unstable();
        for symbol in 0..20 {
            self.put(if table.contains(&symbol) { 2 } else { 0 }, 4);
        }
        for symbol in used {
            self.put(table.iter().position(|known| *known == symbol).unwrap() as u32, 2);
        }
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(16), false);
        let words =
            self.0.chunks(16).map(|word| word.iter().fold(0_u16, |sum, bit| sum << 1 | u16::from(*bit)));
        words.flat_map(u16::to_le_bytes).collect()
    }
}

/// An LZX block of literals and a match of the last distance, and what it unpacks to.
pub(crate) fn lzx_verbatim() -> (Vec<u8>, Vec<u8>) {
    let mut bits = Bits::default();
    // No translation; a verbatim block of 12 bytes.
    bits.put(0, 1).put(1, 3).put(0, 16).put(12, 8);
    let mut matches = vec![0; 240];
    matches[8] = 2;
    matches[0] = 2;
    bits.lengths(&[9; 256]);
    bits.lengths(&matches);
    bits.lengths(&[0; 249]);
    // Codes of two bits come first: 00 is slot 0, 01 is slot 1; then literals of nine bits from 1_0000_0000.
    for byte in b"abcdef" {
        bits.put(0x100 + u32::from(*byte), 9);
    }
    // The last distance is 1 at the start.
    bits.put(0, 2).put(1, 2).put(0, 2);
    (bits.bytes(), b"abcdefffffff".to_vec())
}

/// An LZX block with an aligned distance.
pub(crate) fn lzx_aligned() -> (Vec<u8>, Vec<u8>) {
    let mut bits = Bits::default();
    bits.put(0, 1).put(2, 3).put(0, 16).put(24, 8);
    for _ in 0..8 {
        bits.put(3, 3);
    }
    let mut matches = vec![0; 240];
    // Slot 8 (distances 14 to 21), two bytes more than the shortest.
    matches[8 * 8 + 2] = 1;
    bits.lengths(&[9; 256]);
    bits.lengths(&matches);
    bits.lengths(&[0; 249]);
    for byte in b"abcdefghijklmnopqrst" {
        bits.put(0x100 + u32::from(*byte), 9);
    }
    // 16 - 2 + 6 = 20 back.
    bits.put(0, 1).put(6, 3);
    (bits.bytes(), b"abcdefghijklmnopqrstabcd".to_vec())
}

/// An ISO 9660 image: a folder `SUB` with files that Rock Ridge names, and files that only the Joliet tree has.
pub(crate) fn iso(files: &[(&str, &[u8])], joliet: &[(&str, &[u8])]) -> Vec<u8> {
    const SECTOR: usize = 2048;
    let both = |number: usize| [(number as u32).to_le_bytes(), (number as u32).to_be_bytes()].concat();
    let record = |extent: usize, size: usize, flags: u8, name: &[u8], system_use: &[u8]| {
        let mut bytes = vec![0, 0];
        bytes.extend(both(extent));
        bytes.extend(both(size));
        bytes.extend([0; 7]);
        bytes.extend([flags, 0, 0, 1, 0, 0, 1]);
        bytes.push(name.len() as u8);
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes.extend(system_use);
        bytes[0] = bytes.len() as u8;
        bytes
    };
    let rock_ridge = |name: &str, mode: u32| {
        let mut bytes = b"PX\x24\x01".to_vec();
        bytes.extend(both(mode as usize));
        bytes.extend([0; 24]);
        bytes.extend([b'N', b'M', name.len() as u8 + 5, 1, 0]);
        bytes.extend(name.bytes());
        bytes
    };
    // Sectors: 16 to 18 descriptors, 19 root, 20 SUB, 21 root of Joliet, then the contents.
    let mut contents: Vec<u8> = Vec::new();
    let mut extent = |content: &[u8]| {
        let at = 22 + contents.len() / SECTOR;
        contents.extend(content);
        contents.resize(contents.len().next_multiple_of(SECTOR), 0);
        at
    };
    let own = |sector: usize, system_use: &[u8]| {
        [record(sector, SECTOR, 2, &[0], system_use), record(19, SECTOR, 2, &[1], b"")].concat()
    };
    let mut root = own(19, b"SP\x07\x01\xbe\xef\0");
    root.extend(record(20, SECTOR, 2, b"SUB", &rock_ridge("sub", 0o040_755)));
    let mut sub = own(20, b"");
    for (number, (name, content)) in files.iter().enumerate() {
        let plain = format!("F{number}.;1");
        sub.extend(record(extent(content), content.len(), 0, plain.as_bytes(), &rock_ridge(name, 0o100_644)));
    }
    let mut wide_root = own(21, b"");
    for (name, content) in joliet {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        wide_root.extend(record(extent(content), content.len(), 0, &name, b""));
    }
    let total = 22 + contents.len() / SECTOR;
    let descriptor = |kind: u8, escape: &[u8], root: usize| {
        let mut bytes = [&[kind], b"CD001\x01".as_slice()].concat();
        bytes.resize(80, 0);
        bytes.extend(both(total));
        bytes.extend(escape);
        bytes.resize(128, 0);
        bytes.extend([0, 8, 8, 0]);
        bytes.resize(156, 0);
        bytes.extend(record(root, SECTOR, 2, &[0], b""));
        bytes
    };
    let mut out = vec![0; 16 * SECTOR];
    for part in
        [descriptor(1, b"", 19), descriptor(2, b"%/E", 21), b"\xffCD001\x01".to_vec(), root, sub, wide_root]
    {
        out.extend(part);
        out.resize(out.len().next_multiple_of(SECTOR), 0);
    }
    [out, contents].concat()
}

/// A squashfs image of one folder: whole blocks of 4,096 bytes, and a fragment for what is left of each file.
pub(crate) fn squashfs(files: &[(&str, &[u8])], compressed: bool) -> Vec<u8> {
    use std::io::Write;
    const BLOCK: usize = 4096;
    let zlib = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let metadata = |bytes: &[u8]| {
        let packed = if compressed { zlib(bytes) } else { bytes.to_vec() };
        let stored = if compressed { 0 } else { 0x8000 };
        [((packed.len() as u16) | stored).to_le_bytes().to_vec(), packed].concat()
    };
    let data = |bytes: &[u8]| {
        let packed = if compressed { zlib(bytes) } else { bytes.to_vec() };
        let stored = if compressed { 0 } else { 1 << 24 };
        (packed.len() as u32 | stored, packed)
    };
    let (mut out, mut inodes, mut fragment) = (vec![0; 96], Vec::new(), Vec::new());
    let mut listing = Vec::new();
    listing.extend((files.len() as u32 - 1).to_le_bytes());
    listing.extend([0; 8]);
    for (number, (name, content)) in files.iter().enumerate() {
        let place = inodes.len() as u16;
        let start = out.len() as u32;
        let mut sizes = Vec::new();
        let whole = content.len() / BLOCK * BLOCK;
        for block in content[..whole].chunks(BLOCK) {
            let (size, packed) = data(block);
            sizes.extend(size.to_le_bytes());
            out.extend(packed);
        }
        inodes.extend([2, 0]);
        inodes.extend(0o755_u16.to_le_bytes());
        inodes.extend([0; 12]);
        for word in [start, 0, fragment.len() as u32, content.len() as u32] {
            inodes.extend(word.to_le_bytes());
        }
        inodes.extend(sizes);
        fragment.extend(&content[whole..]);
        listing.extend(place.to_le_bytes());
        listing.extend((number as u16).to_le_bytes());
        listing.extend([2, 0]);
        listing.extend((name.len() as u16 - 1).to_le_bytes());
        listing.extend(name.bytes());
    }
    let root = inodes.len() as u64;
    inodes.extend([1, 0, 0xed, 1]);
    inodes.extend([0; 12]);
    inodes.extend([0; 8]);
    inodes.extend((listing.len() as u16 + 3).to_le_bytes());
    inodes.extend([0; 6]);
    let (size, packed) = data(&fragment);
    let mut entry = (out.len() as u64).to_le_bytes().to_vec();
    entry.extend(size.to_le_bytes());
    entry.extend([0; 4]);
    out.extend(packed);
    let inode_table = out.len() as u64;
    out.extend(metadata(&inodes));
    let directory_table = out.len() as u64;
    out.extend(metadata(&listing));
    let entries = out.len() as u64;
    out.extend(metadata(&entry));
    let fragment_table = out.len() as u64;
    out.extend(entries.to_le_bytes());
    let used = out.len() as u64;
    let mut head = b"hsqs".to_vec();
    for word in [files.len() as u32 + 1, 0, BLOCK as u32, 1] {
        head.extend(word.to_le_bytes());
    }
    for half in [1_u16, 12, 0, 0, 4, 0] {
        head.extend(half.to_le_bytes());
    }
    for wide in [root, used, u64::MAX, u64::MAX, inode_table, directory_table, fragment_table, u64::MAX] {
        head.extend(wide.to_le_bytes());
    }
    out[..96].copy_from_slice(&head);
    out
}
