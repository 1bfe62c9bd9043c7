//! What a file says it is, by its first bytes.

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
    /// Windows image.
    Pe,
    /// ELF.
    Elf,
    /// Mach-O, thin or universal.
    MachO,
    /// A container that is known and not opened; the word names it.
    Unsupported(&'static str),
    /// Anything else.
    Data,
}

/// Containers that are recognised and not opened.
const UNSUPPORTED: &[(usize, &[u8], &str)] = &[
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "cfb"),
    (0, b"MSCF", "cab"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"hsqs", "squashfs"),
    (0, b"xar!", "xar"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x5d\x00\x00\x80\x00", "lzma"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"070701", "cpio"),
    (0, b"070702", "cpio"),
    (32769, b"CD001", "iso"),
];

/// The `koly` trailer of an Apple disk image has this size.
const DMG_TRAILER_BYTES: usize = 512;

/// Names the format of a file.
pub fn format(bytes: &[u8]) -> Format {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
        return Format::Zip;
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
    if at(257, b"ustar") {
        return Format::Tar;
    }
    if let Some((_, _, word)) = UNSUPPORTED.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Format::Unsupported(word);
    }
    if bytes.len() >= DMG_TRAILER_BYTES && at(bytes.len() - DMG_TRAILER_BYTES, b"koly") {
        return Format::Unsupported("dmg");
    }
    Format::Data
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
            Self::Pe => "pe",
            Self::Elf => "elf",
            Self::MachO => "macho",
            Self::Unsupported(word) => word,
            Self::Data => "data",
        }
    }
}
