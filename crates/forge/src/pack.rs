//! Archives with nothing in them that depends on time or place.

use std::io::{self, Write};

/// Packs files into a `.tar.gz`.
pub fn tar_gz(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(
        flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default()),
    );
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        builder.append_data(&mut header, name, *content)?;
    }
    builder.into_inner()?.finish()
}

/// Packs files into a `.zip` without compression (APPNOTE 4.3).
pub fn zip_stored(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = out.len() as u32;
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = Vec::new();
        for half in [20_u16, 0, 0, 0, 0x21] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc.sum(), content.len() as u32, content.len() as u32] {
            common.extend(word.to_le_bytes());
        }
        for half in [name.len() as u16, 0] {
            common.extend(half.to_le_bytes());
        }
        out.write_all(b"PK\x03\x04")?;
        out.write_all(&common)?;
        out.write_all(name.as_bytes())?;
        out.write_all(content)?;
        directory.write_all(b"PK\x01\x02\x14\x03")?;
        directory.write_all(&common)?;
        directory.write_all(&[0, 0, 0, 0, 0, 0, 0, 0, 0xa4, 0x81])?;
        directory.write_all(&offset.to_le_bytes())?;
        directory.write_all(name.as_bytes())?;
    }
    let (start, size, count) = (out.len() as u32, directory.len() as u32, files.len() as u16);
    out.write_all(&directory)?;
    out.write_all(b"PK\x05\x06\0\0\0\0")?;
    out.write_all(&[count.to_le_bytes(), count.to_le_bytes()].concat())?;
    out.write_all(&size.to_le_bytes())?;
    out.write_all(&start.to_le_bytes())?;
    out.write_all(&[0, 0])?;
    Ok(out)
}
