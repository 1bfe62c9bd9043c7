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
