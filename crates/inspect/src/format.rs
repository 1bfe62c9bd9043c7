//! What a file says it is, by its first bytes.

use crate::bytes::{le32, le64};
use crate::unpack::{
    DMG_TRAILER_BYTES as TRAILER_BYTES, is_apfs_container, is_disk, is_ext_volume, is_fat_volume,
    is_hfs_volume, is_tar_header as is_header,
};

/// A format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// ZIP (APPNOTE 4.3.7).
    Zip,
    /// POSIX tar (POSIX.1-2017, pax).
    Tar,
    /// Unix archive: static libraries, Debian packages.
    Ar,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// LZMA as the old `lzma` tool writes it.
    Lzma,
    /// lzip (RFC draft `draft-diaz-lzip`).
    Lzip,
    /// LZ4 frames (LZ4 Frame Format Description 1.6.4).
    Lz4,
    /// Brotli (RFC 7932); it has no mark of its own, so only a name tells it.
    Brotli,
    /// cpio, portable formats: `newc`, `crc` and `odc`.
    Cpio,
    /// RPM package (Linux Standard Base Core, "Package File Format").
    Rpm,
    /// Compound file ([MS-CFB]): MSI databases, old Office documents.
    Cfb,
    /// Windows cabinet ([MS-CAB]).
    Cab,
    /// 7z.
    SevenZip,
    /// ISO 9660 image (ECMA-119).
    Iso,
    /// squashfs image, version 4.
    Squashfs,
    /// xar, and so Apple's flat packages.
    Xar,
    /// A row of xz streams, the payload of Apple's packages.
    Pbzx,
    /// Apple disk image (UDIF).
    Dmg,
    /// HFS+ or HFSX volume (Apple Technical Note 1150).
    Hfs,
    /// APFS container (Apple File System Reference).
    Apfs,
    /// File system of Linux: ext2, ext3 or ext4.
    Ext,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Disk with a partition table.
    Partitions,
    /// Archive of an Electron application.
    Asar,
    /// Windows image.
    Pe,
    /// ELF.
    Elf,
    /// Mach-O, thin or universal.
    MachO,
    /// WebAssembly module or component.
    Wasm,
    /// A container that is known and not opened; the word names it.
    Unsupported(&'static str),
    /// Anything else.
    Data,
}

/// Containers that are recognised and not opened.
const UNSUPPORTED: &[(usize, &[u8], &str)] = &[
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"encrcdsa", "encrypted-dmg"),
    (3, b"EXFAT   ", "exfat"),
    (3, b"NTFS    ", "ntfs"),
    // With blocks of a size that no system writes.
    (32, b"NXSB", "apfs"),
];

/// Names the format of a file.
pub fn format(bytes: &[u8]) -> Format {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
        return Format::Zip;
    }
    // An image may begin with any of the marks below: that of its first block.
    if bytes.len() >= TRAILER_BYTES && at(bytes.len() - TRAILER_BYTES, b"koly") {
        return Format::Dmg;
    }
    if at(0, b"\x1f\x8b\x08") {
        return Format::Gzip;
    }
    if at(0, b"BZh") && (at(4, b"\x31\x41\x59\x26\x53\x59") || at(4, b"\x17\x72\x45\x38\x50\x90")) {
        return Format::Bzip2;
    }
    if at(0, b"\xfd7zXZ\0") {
        return Format::Xz;
    }
    if at(0, b"\x28\xb5\x2f\xfd") {
        return Format::Zstd;
    }
    if at(0, b"!<arch>\n") {
        return Format::Ar;
    }
    if at(0, b"\x7fELF") {
        return Format::Elf;
    }
    if at(0, b"MZ") && is_pe(bytes) {
        return Format::Pe;
    }
    if is_macho(bytes) {
        return Format::MachO;
    }
    if at(0, b"\0asm\x01\0\0\0") || at(0, b"\0asm\x0d\0\x01\0") {
        return Format::Wasm;
    }
    if is_header(bytes) {
        return Format::Tar;
    }
    if at(0, b"\x04\x22\x4d\x18") || at(0, b"\x02\x21\x4c\x18") {
        return Format::Lz4;
    }
    if is_cpio(bytes) {
        return Format::Cpio;
    }
    if at(0, b"\xed\xab\xee\xdb") {
        return Format::Rpm;
    }
    if at(0, b"\x04\0\0\0") && at(16, b"{\"files\":") {
        return Format::Asar;
    }
    if at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Format::Cfb;
    }
    if at(0, b"MSCF\0\0\0\0") {
        return Format::Cab;
    }
    if at(0, b"7z\xbc\xaf\x27\x1c") {
        return Format::SevenZip;
    }
    if at(32769, b"CD001") {
        return Format::Iso;
    }
    if at(0, b"hsqs") {
        return Format::Squashfs;
    }
    if at(0, b"xar!") {
        return Format::Xar;
    }
    if at(0, b"pbzx\0") {
        return Format::Pbzx;
    }
    if is_hfs_volume(bytes) {
        return Format::Hfs;
    }
    if is_apfs_container(bytes) {
        return Format::Apfs;
    }
    if at(0, b"LZIP\x01") {
        return Format::Lzip;
    }
    if is_lzma(bytes) {
        return Format::Lzma;
    }
    if let Some((_, _, word)) = UNSUPPORTED.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Format::Unsupported(word);
    }
    if is_ext_volume(bytes) {
        return Format::Ext;
    }
    if is_fat_volume(bytes) {
        return Format::Fat;
    }
    // Last, for its mark is that of every boot sector.
    if is_disk(bytes) {
        return Format::Partitions;
    }
    Format::Data
}

/// Names the format of a file that only its name tells.
pub(crate) fn format_by_name(name: &[u8], bytes: &[u8]) -> Format {
    // Text of a Brazilian translation may end in `.br` as well.
    let is_text =
        bytes.iter().take(4096).all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..));
    if name.ends_with(b".br") && !bytes.is_empty() && !is_text { Format::Brotli } else { Format::Data }
}

/// The marks of cpio are digits, as text may have them: so must be the fields that follow.
fn is_cpio(bytes: &[u8]) -> bool {
    match bytes.get(..6) {
        Some(b"070701" | b"070702") => {
            bytes.get(6..110).is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit))
        }
        Some(b"070707") => bytes.get(6..76).is_some_and(|rest| rest.iter().all(u8::is_ascii_digit)),
        _ => false,
    }
}

/// LZMA has no magic: the usual properties byte, a dictionary of 2^n or 2^n + 2^(n-1) bytes and a size that is unknown
/// or below 256 GiB, as the `file` and `xz` tools ask for; the range coder's first byte is zero.
fn is_lzma(bytes: &[u8]) -> bool {
    let (Some(dictionary), Some(size)) = (le32(bytes, 1), le64(bytes, 5)) else { return false };
    let usual = (12..=30).any(|n| dictionary == 1 << n || dictionary == 3 << (n - 1));
    bytes[0] == 0x5d && usual && (size == u64::MAX || size < 1 << 38) && bytes.get(13) == Some(&0)
}

fn is_pe(bytes: &[u8]) -> bool {
    let Some(Ok(offset)) = bytes.get(0x3c..0x40).map(<[u8; 4]>::try_from) else { return false };
    let offset = u32::from_le_bytes(offset) as usize;
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(b"PE\0\0"))
}

fn is_macho(bytes: &[u8]) -> bool {
    let Some(Ok(magic)) = bytes.get(..4).map(<[u8; 4]>::try_from) else { return false };
    match magic {
        [0xfe, 0xed, 0xfa, 0xce | 0xcf] | [0xce | 0xcf, 0xfa, 0xed, 0xfe] => true,
        // Java classes share the magic of universal binaries; theirs is followed by a version above any count.
        [0xca, 0xfe, 0xba, 0xbe | 0xbf] => {
            bytes.get(4..8).is_some_and(|count| count[..3] == [0, 0, 0] && count[3] < 32)
        }
        _ => false,
    }
}

impl Format {
    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Ar => "ar",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lzma => "lzma",
            Self::Lzip => "lzip",
            Self::Lz4 => "lz4",
            Self::Brotli => "brotli",
            Self::Cpio => "cpio",
            Self::Rpm => "rpm",
            Self::Cfb => "cfb",
            Self::Cab => "cab",
            Self::SevenZip => "7z",
            Self::Iso => "iso",
            Self::Squashfs => "squashfs",
            Self::Xar => "xar",
            Self::Pbzx => "pbzx",
            Self::Dmg => "dmg",
            Self::Hfs => "hfs",
            Self::Apfs => "apfs",
            Self::Ext => "ext",
            Self::Fat => "fat",
            Self::Partitions => "partitions",
            Self::Asar => "asar",
            Self::Pe => "pe",
            Self::Elf => "elf",
            Self::MachO => "macho",
            Self::Wasm => "wasm",
            Self::Unsupported(word) => word,
            Self::Data => "data",
        }
    }
}
