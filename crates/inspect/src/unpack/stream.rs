//! Compressed streams: one member, under the name without its ending. A tar or cpio archive in it is read as it is
//! unpacked; everything else is unpacked into memory first.

use std::io::{self, Read};

use evidence::BytePath;
use evidence::tree::Packing;
use liblzma::stream::{CONCATENATED, Stream};

use super::Container;
use crate::budget::Exhausted;
use crate::bytes::le32;
use crate::format::{Format, format};

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

/// The largest dictionary of an xz or lzma stream; `xz -9` needs 64 MiB.
pub(super) const LZMA_MEMORY_MAX_BYTES: u64 = 512 << 20;
/// The largest window of a Zstandard stream: `zstd --ultra -22` needs 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Enough to tell an archive that can be read as a stream.
const PEEK_BYTES: u64 = 4096;

pub(super) fn members(container: &mut Container, format: Format, bytes: &[u8]) {
    let name = inner_name(container.node.name.file_name());
    match decoder(format, bytes) {
        Ok(reader) => {
            member(container, name, reader, bytes.len() as u64);
            // The time in the header of gzip (RFC 1952, section 2.3.1); zero is none.
            if format == Format::Gzip
                && let Some(seconds) = le32(bytes, 4).filter(|seconds| *seconds != 0)
            {
                container.packed(0, &Packing { modified: Some(i64::from(seconds)), owner: None });
            }
        }
        Err(error) => container.failed(&error),
    }
}

/// Makes the decoder of a compressed stream.
pub(super) fn decoder<'a>(format: Format, bytes: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match format {
        Format::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Format::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(bytes)),
        Format::Xz => {
            let stream = Stream::new_stream_decoder(LZMA_MEMORY_MAX_BYTES, CONCATENATED)?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
        Format::Lzma => {
            let stream = Stream::new_lzma_decoder(LZMA_MEMORY_MAX_BYTES)?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
        Format::Lzip => {
            let stream = Stream::new_lzip_decoder(LZMA_MEMORY_MAX_BYTES, CONCATENATED)?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Format::Lz4 => Box::new(Lz4Frames { decoder: Some(lz4_flex::frame::FrameDecoder::new(bytes)) }),
        Format::Brotli => Box::new(brotli_decompressor::Decompressor::new(bytes, 4096)),
        Format::Pbzx => Box::new(super::xar::Pbzx::new(bytes)),
        _ => return Err(io::Error::other("no such compression is known")),
    })
}

/// Opens the one member of a compressed stream.
pub(super) fn member(container: &mut Container, name: BytePath, reader: impl Read, packed: u64) {
    if !container.admit() {
        return;
    }
    let (room, what) = container.inspection.budget.stream_room(packed);
    let mut reader = Metered { reader, left: room, what };
    let mut start = Vec::new();
    if let Err(error) = reader.by_ref().take(PEEK_BYTES).read_to_end(&mut start) {
        return container.failed(&error);
    }
    let format = format(&start);
    if matches!(format, Format::Tar | Format::Cpio) && container.inspection.may_descend() {
        let whole = start.as_slice().chain(&mut reader);
        let member = container.inspection.stream(container.node, container.path, name, format, whole);
        container.push(member);
    } else {
        match container.content(start.as_slice().chain(&mut reader), packed) {
            Ok(bytes) => {
                let member = container.inspection.member(container.node, container.path, name, &bytes);
                container.push(member);
            }
            Err(error) => container.failed(&error),
        }
        return;
    }
    container.inspection.budget.pay(room - reader.left);
}

/// A decoder that stops when it has given too much.
struct Metered<R> {
    reader: R,
    left: u64,
    what: Exhausted,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(self.what))?;
        Ok(read)
    }
}

/// LZ4 frames, one after the other, as the `lz4` tool joins them.
struct Lz4Frames<'a> {
    decoder: Option<lz4_flex::frame::FrameDecoder<&'a [u8]>>,
}

impl Read for Lz4Frames<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            let rest = *decoder.get_ref();
            self.decoder = (!rest.is_empty()).then(|| lz4_flex::frame::FrameDecoder::new(rest));
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
