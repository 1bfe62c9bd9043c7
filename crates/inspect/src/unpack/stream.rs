//! Compressed streams: one member, under the name without its ending. A tar or cpio archive in it is read as it is
//! unpacked; everything else is unpacked into memory if there is room, and else read as often as it must.

use std::io::{self, BufRead, Read};
use std::rc::Rc;

use evidence::BytePath;
use evidence::tree::Packing;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;

use super::Container;
use super::joined::{Behind, Joined, is_joined};
use super::reading::Metered;
use crate::budget::Exhausted;
use crate::bytes::le32;
use crate::format::{Format, format};
use crate::source::{Open, Source};

/// Endings and what they become.
const ENDINGS: &[(&[u8], &[u8])] = &[
    (b".tgz", b".tar"),
    (b".tbz", b".tar"),
    (b".tbz2", b".tar"),
    (b".txz", b".tar"),
    (b".tzst", b".tar"),
    (b".apk", b".tar"),
    (b".crate", b".tar"),
    (b".gz", b""),
    (b".bz2", b""),
    (b".xz", b""),
    (b".zst", b""),
    (b".lzma", b""),
    (b".lz", b""),
    (b".tlz", b".tar"),
    (b".lz4", b""),
    (b".br", b""),
    (b".svgz", b".svg"),
];

/// The largest dictionary of an xz, lzma or lzip stream; `xz -9` needs 64 MiB.
const DICTIONARY_MAX_BYTES: u64 = 128 << 20;
/// The largest window of a Zstandard stream: `zstd --ultra -22` needs 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Streams and frames behind the first may have so large a dictionary or window, if the first has a smaller one: 8 MiB.
const WINDOW_LOG_MIN: u32 = 23;
/// What a decoder needs beside its window.
const BESIDE_BYTES: u64 = 2 << 20;
/// Enough to tell an archive that can be read as a stream, and the window of a decoder.
const PEEK_BYTES: usize = 4096;

pub(super) fn members(container: &mut Container, format: Format, source: &Source) {
    let name = inner_name(container.node.name.file_name());
    let start = match source.some(0, PEEK_BYTES) {
        Ok(start) => start,
        Err(error) => return container.failed(&error),
    };
    let from = container.node.members.len();
    member(container, name, format, source);
    // The time in the header of gzip (RFC 1952, section 2.3.1); zero is none.
    if format == Format::Gzip
        && let Some(seconds) = le32(&start, 4).filter(|seconds| *seconds != 0)
    {
        container.packed(from, &Packing { modified: Some(i64::from(seconds)), owner: None });
    }
}

/// Makes the decoder of a compressed stream that is held.
pub(crate) fn decoder<'a>(format: Format, bytes: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    of_source(format, &Source::Held(bytes))
}

/// Makes the decoder of a compressed stream.
pub(super) fn of_source<'a>(format: Format, source: &Source<'a>) -> io::Result<Box<dyn Read + 'a>> {
    let reader = source.reader();
    let lzma = |stream| Box::new(liblzma::read::XzDecoder::new_stream(reader.clone(), stream));
    let memory = || Ok::<_, io::Error>(memory(format, &source.some(0, PEEK_BYTES)?));
    Ok(match format {
        Format::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Format::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(reader)),
        Format::Xz => lzma(Stream::new_stream_decoder(memory()?, CONCATENATED)?),
        Format::Lzma => lzma(Stream::new_lzma_decoder(memory()?)?),
        Format::Lzip => lzma(Stream::new_lzip_decoder(memory()?, CONCATENATED)?),
        Format::Zstd => {
            let log = (memory()? - BESIDE_BYTES).max(1).ilog2();
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(log.clamp(WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX))?;
            Box::new(decoder)
        }
        Format::Lz4 => Box::new(Lz4Frames { decoder: Some(FrameDecoder::new(io::BufReader::new(reader))) }),
        Format::Brotli => Box::new(brotli_decompressor::Decompressor::new(reader, 4096)),
        Format::Pbzx => Box::new(super::xar::Pbzx::new(source.clone())),
        _ => return Err(io::Error::other("no such compression is known")),
    })
}

/// How much memory a decoder needs, by the begin of its stream. One that needs more than is said here fails.
pub(super) fn memory(format: Format, start: &[u8]) -> u64 {
    let window = match format {
        Format::Xz => xz_dictionary(start),
        Format::Lzma => le32(start, 1).map(u64::from),
        Format::Lzip => start.get(5).map(|code| {
            let size = 1_u64 << (code & 0x1f);
            size - size / 16 * u64::from(code >> 5)
        }),
        Format::Zstd => zstd_window(start),
        Format::Brotli => Some(16 << 20),
        // Blocks of at most 900 kB, in words of four bytes.
        Format::Bzip2 => return 4 << 20,
        // Windows of at most 64 KiB do not count.
        _ => return 0,
    };
    window.unwrap_or(0).clamp(1 << WINDOW_LOG_MIN, DICTIONARY_MAX_BYTES).next_power_of_two() + BESIDE_BYTES
}

/// The dictionary of the first block of an xz stream (The .xz File Format 1.2, sections 3.1 and 5.3.1).
fn xz_dictionary(start: &[u8]) -> Option<u64> {
    let block = start.get(12..)?;
    let flags = *block.get(1)?;
    let mut at = 2;
    let mut number = || {
        let mut value = 0_u64;
        for shift in 0..9 {
            let byte = *block.get(at)?;
            at += 1;
            value |= u64::from(byte & 0x7f) << (shift * 7);
            if byte & 0x80 == 0 {
                return Some((value, at));
            }
        }
        None
    };
    for flag in [0x40, 0x80] {
        if flags & flag != 0 {
            number()?;
        }
    }
    for _ in 0..=flags & 3 {
        let ((filter, _), (size, properties)) = (number()?, number()?);
        if filter == 0x21 && size == 1 {
            let bits = u32::from(*block.get(properties)? & 0x3f);
            return Some(u64::from(2 | bits & 1) << (bits / 2 + 11));
        }
        for _ in 0..size.min(16) {
            number()?;
        }
    }
    None
}

/// The window of the first frame of a Zstandard stream (RFC 8878, section 3.1.1.1).
fn zstd_window(start: &[u8]) -> Option<u64> {
    let descriptor = *start.get(4)?;
    if descriptor & 0x20 == 0 {
        let (exponent, mantissa) = (start.get(5)? >> 3, start.get(5)? & 7);
        let base = 1_u64 << (10 + exponent);
        return Some(base + base / 8 * u64::from(mantissa));
    }
    // One segment: the window is the content. The field has as many bytes as the flag says, behind the dictionary's number.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    match descriptor >> 6 {
        0 => start.get(at).map(|size| u64::from(*size)),
        1 => crate::bytes::le16(start, at).map(|size| u64::from(size) + 256),
        2 => le32(start, at).map(u64::from),
        _ => crate::bytes::le64(start, at),
    }
}

/// Opens the one member of a compressed stream.
pub(super) fn member(container: &mut Container, name: BytePath, format: Format, source: &Source) {
    if !container.admit() {
        return;
    }
    if let Err(error) = open(container, name, format, source) {
        container.failed(&error);
    }
}

fn open(container: &mut Container, name: BytePath, format: Format, source: &Source) -> io::Result<()> {
    let mut hold = container.inspection.room.hold();
    if !container.inspection.grow(&mut hold, memory(format, &source.some(0, PEEK_BYTES)?)) {
        return Err(io::Error::other(Exhausted("its decoder needs too much memory")));
    }
    let packed = source.length().unwrap_or(u64::MAX);
    if !is_joined(format) {
        return stream(container, name, packed, Rc::new(|| of_source(format, source)));
    }
    let behind = Behind::default();
    let open: Open = Rc::new(|| {
        let memory = memory(format, &source.some(0, PEEK_BYTES)?);
        Ok(Box::new(Joined::new(format, Box::new(source.reader()), memory, &behind)?))
    });
    stream(container, name, packed, open)?;
    let Some(begin) = behind.get() else { return Ok(()) };
    container.malformed("something stands behind its end");
    // Of what is itself unpacked as it is read, nobody knows the end.
    let part = source.length().and_then(|end| source.part(begin, end.checked_sub(begin)?));
    container.unless_zero("#after", part)?;
    Ok(())
}

/// Opens a member that a decoder gives, front to back if it is an archive that can be read so.
pub(super) fn stream(
    container: &mut Container,
    name: BytePath,
    packed: u64,
    open: Open<'_>,
) -> io::Result<()> {
    let (room, what) = container.inspection.budget.stream_room(packed);
    let again = Rc::clone(&open);
    let metered: Open = Rc::new(move || Ok(Box::new(Metered { reader: again()?, left: room, what })));
    let decoded = Source::decoded(metered);
    let start = decoded.some(0, PEEK_BYTES)?;
    if matches!(format(&start), Format::Tar | Format::Cpio) && container.inspection.may_descend() {
        let member = container.inspection.far_member(container.node, container.path, name, &decoded)?;
        container.inspection.budget.pay(member.size);
        container.push(member);
        return Ok(());
    }
    drop(decoded);
    container.unpacked(name, None, packed, open)?;
    Ok(())
}

/// LZ4 frames, one after the other, as the `lz4` tool joins them.
struct Lz4Frames<R: BufRead> {
    decoder: Option<FrameDecoder<R>>,
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            let is_last = decoder.get_mut().fill_buf()?.is_empty();
            self.decoder =
                self.decoder.take().filter(|_| !is_last).map(|ended| FrameDecoder::new(ended.into_inner()));
        }
        Ok(0)
    }
}

fn inner_name(name: &[u8]) -> BytePath {
    for (ending, instead) in ENDINGS {
        if let Some(stem) = name.strip_suffix(*ending)
            && !stem.is_empty()
        {
            return BytePath::new([stem, instead].concat());
        }
    }
    BytePath::from("content")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_from_headers() {
        let xz = |level: u32| liblzma::encode_all(&b"content"[..], level).unwrap_or_default();
        assert_eq!(xz_dictionary(&xz(6)), Some(8 << 20));
        assert_eq!(xz_dictionary(&xz(9)), Some(64 << 20));
        assert_eq!(memory(Format::Xz, &xz(9)), (64 << 20) + BESIDE_BYTES);
        assert_eq!(memory(Format::Lzma, b"\x5d\0\0\0\xff"), DICTIONARY_MAX_BYTES + BESIDE_BYTES);
        assert_eq!(memory(Format::Lzip, b"LZIP\x01\x1a"), (64 << 20) + BESIDE_BYTES);
        // A window of 8 MiB, as `zstd -19` writes it; one segment of 300 bytes.
        assert_eq!(zstd_window(b"\x28\xb5\x2f\xfd\x04\x68"), Some(8 << 20));
        assert_eq!(zstd_window(b"\x28\xb5\x2f\xfd\x60\x2c\0"), Some(300));
        for cut in 0..24 {
            let _ = (xz_dictionary(&xz(6)[..cut]), zstd_window(&xz(6)[..cut]));
        }
    }
}
