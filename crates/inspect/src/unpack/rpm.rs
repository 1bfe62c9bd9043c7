//! RPM (Linux Standard Base Core 5.0, "Package File Format"; tags as in `rpmtag.h` of RPM 4.19): lead, signature header,
//! header, payload. The headers become texts `#signature` and `#header`, the scripts that an installation runs become
//! members of their own.

use std::fmt::Write as _;

use evidence::{BytePath, Digest};

use super::{Container, stream};
use crate::bytes::{be16, be32, be64, slice};
use crate::format::{Format, format};
use crate::source::Source;

const LEAD_BYTES: u64 = 96;
/// RPM itself refuses a header with more (`HEADER_TAGS_MAX`, `HEADER_DATA_MAX`).
const TAGS_MAX: u32 = 1 << 16;
const DATA_MAX_BYTES: u32 = 256 << 20;

const TAG_SHA256: u32 = 273;
const TAG_PAYLOAD_DIGEST: u32 = 5092;
const TAG_PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
/// OpenPGP's number of SHA-256 (RFC 9580, 9.5).
const ALGORITHM_SHA256: u64 = 8;

/// Scripts, by tag.
const SCRIPTS: &[(u32, &str)] = &[
    (1023, "prein"),
    (1024, "postin"),
    (1025, "preun"),
    (1026, "postun"),
    (1065, "trigger"),
    (1079, "verify"),
    (1151, "pretrans"),
    (1152, "posttrans"),
    (5066, "filetrigger"),
    (5076, "transfiletrigger"),
    (5104, "preuntrans"),
    (5105, "postuntrans"),
];

/// What people ask of a package, by tag. Others are written by their numbers.
const NAMES: &[(u32, &str)] = &[
    (1000, "name"),
    (1001, "version"),
    (1002, "release"),
    (1003, "epoch"),
    (1004, "summary"),
    (1005, "description"),
    (1006, "build-time"),
    (1007, "build-host"),
    (1009, "size"),
    (1011, "vendor"),
    (1014, "licence"),
    (1015, "packager"),
    (1016, "group"),
    (1020, "url"),
    (1021, "os"),
    (1022, "arch"),
    (1028, "file-sizes"),
    (1030, "file-modes"),
    (1034, "file-times"),
    (1035, "file-digests"),
    (1036, "file-link-targets"),
    (1037, "file-flags"),
    (1039, "file-users"),
    (1040, "file-groups"),
    (1044, "source-package"),
    (1047, "provides"),
    (1048, "require-flags"),
    (1049, "requires"),
    (1050, "require-versions"),
    (1053, "conflict-flags"),
    (1054, "conflicts"),
    (1055, "conflict-versions"),
    (1064, "rpm-version"),
    (1066, "trigger-names"),
    (1067, "trigger-versions"),
    (1085, "prein-interpreter"),
    (1086, "postin-interpreter"),
    (1087, "preun-interpreter"),
    (1088, "postun-interpreter"),
    (1090, "obsoletes"),
    (1116, "folder-indexes"),
    (1117, "base-names"),
    (1118, "folder-names"),
    (1124, "payload-format"),
    (1125, "payload-compressor"),
    (1126, "payload-flags"),
];

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let Some(signature) = Header::read(bytes, LEAD_BYTES) else {
        return container.malformed("the signature header cannot be read");
    };
    let Some(header) = Header::read(bytes, signature.end.next_multiple_of(8)) else {
        return container.malformed("the header cannot be read");
    };
    for (name, content) in [("#signature", signature.text(false)), ("#header", header.text(true))] {
        if !container.admit() {
            return;
        }
        container.bytes(name.into(), content.as_bytes());
    }
    if let Some(claimed) = signature.strings(TAG_SHA256).first()
        && *claimed != Digest::of(header.bytes).hex().as_bytes()
    {
        container.problem("digest-mismatch", "the header's SHA-256 is not the one in the signature header");
    }
    for (tag, name) in SCRIPTS {
        let scripts = header.strings(*tag);
        for (number, script) in scripts.iter().enumerate() {
            if !container.admit() {
                return;
            }
            let name = match scripts.len() {
                1 => format!("#script/{name}"),
                _ => format!("#script/{name}/{number}"),
            };
            container.bytes(name.into(), script);
        }
    }
    payload(container, &header, slice(bytes, header.end, bytes.len() as u64 - header.end).unwrap_or(b""));
}

fn payload(container: &mut Container, header: &Header, bytes: &[u8]) {
    if header.number(TAG_PAYLOAD_DIGEST_ALGORITHM) == Some(ALGORITHM_SHA256)
        && let Some(claimed) = header.strings(TAG_PAYLOAD_DIGEST).first()
        && *claimed != Digest::of(bytes).hex().as_bytes()
    {
        container.problem("digest-mismatch", "the payload's SHA-256 is not the one in the header");
    }
    let name = BytePath::from("payload.cpio");
    let source = Source::Held(bytes);
    match format(bytes) {
        found @ (Format::Gzip | Format::Bzip2 | Format::Xz | Format::Lzma | Format::Zstd) => {
            stream::member(container, name, found, &source);
        }
        _ if !container.admit() => {}
        _ => {
            if let Err(error) = container.stored(name, &source) {
                container.failed(&error);
            }
        }
    }
}

/// A header structure: an index of tags, and their data.
struct Header<'a> {
    /// The structure with its magic, as its digest is taken.
    bytes: &'a [u8],
    index: &'a [u8],
    data: &'a [u8],
    end: u64,
}

/// One tag: its number, type, place in the data and count.
#[derive(Clone, Copy)]
struct Tag {
    number: u32,
    kind: u32,
    offset: u32,
    count: u32,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8], start: u64) -> Option<Self> {
        let lead = slice(bytes, start, 16)?;
        let (tags, data) = (be32(lead, 8)?, be32(lead, 12)?);
        if !lead.starts_with(b"\x8e\xad\xe8\x01") || tags > TAGS_MAX || data > DATA_MAX_BYTES {
            return None;
        }
        let data_start = start + 16 + u64::from(tags) * 16;
        let end = data_start + u64::from(data);
        Some(Self {
            bytes: slice(bytes, start, end - start)?,
            index: slice(bytes, start + 16, u64::from(tags) * 16)?,
            data: slice(bytes, data_start, u64::from(data))?,
            end,
        })
    }

    fn tags(&self) -> impl Iterator<Item = Tag> {
        self.index.chunks_exact(16).filter_map(|entry| {
            Some(Tag {
                number: be32(entry, 0)?,
                kind: be32(entry, 4)?,
                offset: be32(entry, 8)?,
                count: be32(entry, 12)?,
            })
        })
    }

    fn data_of(&self, tag: Tag) -> &'a [u8] {
        self.data.get(tag.offset as usize..).unwrap_or(b"")
    }

    /// Returns the texts of a tag: types 6, 8 and 9.
    fn strings(&self, number: u32) -> Vec<&'a [u8]> {
        let tag = self.tags().find(|tag| tag.number == number && matches!(tag.kind, 6 | 8 | 9));
        tag.map_or_else(Vec::new, |tag| {
            self.data_of(tag).split(|byte| *byte == 0).take(tag.count as usize).collect()
        })
    }

    fn number(&self, number: u32) -> Option<u64> {
        let tag = self.tags().find(|tag| tag.number == number)?;
        self.values(tag).next()
    }

    /// Returns the numbers of a tag: types 1 to 5.
    fn values(&self, tag: Tag) -> impl Iterator<Item = u64> + use<'a> {
        let data = self.data_of(tag);
        (0..tag.count as usize).map_while(move |number| match tag.kind {
            1 | 2 => data.get(number).map(|byte| u64::from(*byte)),
            3 => be16(data, number.checked_mul(2)?).map(u64::from),
            4 => be32(data, number.checked_mul(4)?).map(u64::from),
            5 => be64(data, number.checked_mul(8)?),
            _ => None,
        })
    }

    /// Writes one line per value, `tag[number] = value`, in the order of the tags' numbers. Scripts stand elsewhere.
    ///
    /// The data of all tags together is written once only: an enemy's tags may share their data.
    fn text(&self, scripts_apart: bool) -> String {
        let mut tags: Vec<Tag> = self.tags().collect();
        tags.sort_by_key(|tag| tag.number);
        let mut text = String::new();
        let mut left = self.data.len();
        for tag in tags {
            if scripts_apart && SCRIPTS.iter().any(|(number, _)| *number == tag.number) {
                continue;
            }
            let name = NAMES.iter().find(|(number, _)| scripts_apart && *number == tag.number);
            let name = name.map_or_else(|| tag.number.to_string(), |(_, name)| (*name).to_owned());
            let mut line = |number: usize, bytes: usize, value: &dyn std::fmt::Display| {
                let fits = left >= bytes;
                left = left.saturating_sub(bytes);
                if fits {
                    // Writing to a text cannot fail.
                    writeln!(text, "{name}[{number}] = {value}").is_ok()
                } else {
                    false
                }
            };
            match tag.kind {
                6 | 8 | 9 => {
                    let texts = self.data_of(tag).split(|byte| *byte == 0).take(tag.count as usize);
                    for (number, value) in texts.enumerate() {
                        if !line(number, value.len() + 1, &BytePath::from(value)) {
                            break;
                        }
                    }
                }
                7 => {
                    let value = self.data_of(tag).get(..tag.count as usize).unwrap_or(b"");
                    line(0, value.len(), &Digest::of(value));
                }
                1..=5 => {
                    let bytes = [1, 1, 2, 4, 8][tag.kind as usize - 1];
                    for (number, value) in self.values(tag).enumerate() {
                        if !line(number, bytes, &value) {
                            break;
                        }
                    }
                }
                _ => {
                    line(0, 0, &"");
                }
            }
        }
        text
    }
}
