//! Lists of packages that repositories offer, as package managers keep them: Alpine's index, and rpm's `primary` and `updateinfo`
//! (createrepo_c). Read as they pass; nothing is held but one package.

use std::io::{self, BufRead, BufReader, Read};

use crate::format::{Format, format};
use crate::unpack::{decoder, xml};

/// A line of an index, a tag or a text in a list.
const PIECE_MAX_BYTES: u64 = 1 << 20;
/// Unpacked bytes of one list: the largest distributions have some hundred megabytes.
const LIST_MAX_BYTES: u64 = 1 << 30;

/// A package that a repository offers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Offered {
    /// Name.
    pub name: String,
    /// Version as its package manager writes it: `epoch:version-release` of rpm.
    pub version: String,
    /// Architecture.
    pub architecture: String,
}

/// Makes a reader of what a compressed list has: gzip, bzip2, xz, zstd or lz4, by its first bytes. What is none of them is an error.
/// It ends after a gigabyte.
pub fn unpacked(bytes: &[u8]) -> io::Result<Box<dyn BufRead + '_>> {
    let reader: Box<dyn Read + '_> = match format(bytes) {
        known @ (Format::Gzip | Format::Bzip2 | Format::Xz | Format::Zstd | Format::Lz4) => {
            decoder(known, bytes)?
        }
        _ => return Err(io::Error::other("it is compressed in a way that is not read")),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, reader.take(LIST_MAX_BYTES))))
}

/// Reads `APKINDEX.tar.gz` (`apk-index(5)`).
pub fn apk_index(bytes: &[u8], take: &mut dyn FnMut(Offered)) -> io::Result<()> {
    let index = crate::catalog::of_tar(unpacked(bytes)?, &[b"APKINDEX"], 256 << 20)?;
    for paragraph in String::from_utf8_lossy(&index).split("\n\n") {
        let mut offered = Offered::default();
        for line in paragraph.lines() {
            match line.split_once(':') {
                Some(("P", value)) => value.clone_into(&mut offered.name),
                Some(("V", value)) => value.clone_into(&mut offered.version),
                Some(("A", value)) => value.clone_into(&mut offered.architecture),
                _ => {}
            }
        }
        if !offered.name.is_empty() {
            take(offered);
        }
    }
    Ok(())
}

/// Reads `primary.xml`: what a repository of rpm packages has.
pub fn rpm_primary(reader: &mut dyn BufRead, take: &mut dyn FnMut(Offered)) -> io::Result<()> {
    let mut offered = Offered::default();
    pieces(reader, &mut |tag, attributes, text| match tag {
        b"package" => offered = Offered::default(),
        b"/name" if offered.name.is_empty() => text.clone_into(&mut offered.name),
        b"/arch" => text.clone_into(&mut offered.architecture),
        b"version" => offered.version = version(attributes, ["epoch", "ver", "rel"]),
        b"/package" if !offered.name.is_empty() => take(std::mem::take(&mut offered)),
        _ => {}
    })
}

/// Reads `updateinfo.xml`: the packages of updates for security.
pub fn rpm_security(reader: &mut dyn BufRead, take: &mut dyn FnMut(Offered)) -> io::Result<()> {
    let mut security = false;
    pieces(reader, &mut |tag, attributes, _| match tag {
        b"update" => security = xml::attribute(attributes, "type") == Some(b"security"),
        b"package" if security => {
            let text =
                |name| xml::attribute(attributes, name).map(String::from_utf8_lossy).unwrap_or_default();
            let offered = Offered {
                name: text("name").into_owned(),
                version: version(attributes, ["epoch", "version", "release"]),
                architecture: text("arch").into_owned(),
            };
            if !offered.name.is_empty() {
                take(offered);
            }
        }
        _ => {}
    })
}

fn version(attributes: &[u8], names: [&str; 3]) -> String {
    let [epoch, version, release] = names.map(|name| {
        xml::attribute(attributes, name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .unwrap_or_default()
    });
    let epoch = if epoch.is_empty() { "0" } else { &epoch };
    format!("{epoch}:{version}-{release}")
}

/// Takes a tag, its attributes, and the text before it.
type Each<'e> = &'e mut dyn FnMut(&[u8], &[u8], &str);

/// Calls for each tag.
fn pieces(reader: &mut dyn BufRead, each: Each<'_>) -> io::Result<()> {
    let (mut text, mut tag) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        tag.clear();
        if reader.take(PIECE_MAX_BYTES).read_until(b'<', &mut text)? == 0 {
            return Ok(());
        }
        // A longer text goes on as one of its own, a longer tag is none.
        if text.last() != Some(&b'<') {
            continue;
        }
        reader.take(PIECE_MAX_BYTES).read_until(b'>', &mut tag)?;
        let Some(inside) = tag.strip_suffix(b">") else {
            return Err(io::Error::other("a tag does not end"));
        };
        let inside = inside.strip_suffix(b"/").unwrap_or(inside);
        let end = inside.iter().position(u8::is_ascii_whitespace).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(end);
        // A name space's prefix says nothing here.
        let name = match name.iter().position(|byte| *byte == b':') {
            Some(at) if !name.starts_with(b"/") => name.get(at + 1..).unwrap_or(name),
            _ => name,
        };
        let text = String::from_utf8_lossy(text.get(..text.len() - 1).unwrap_or_default());
        each(name, attributes, text.trim());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn damage(bytes: &[u8], read: impl Fn(&[u8])) {
        for at in 0..bytes.len() {
            let mut wrong = bytes.to_vec();
            wrong[at] ^= 0xff;
            read(&wrong);
            read(&bytes[..at]);
        }
    }

    fn offered(name: &str, version: &str, architecture: &str) -> Offered {
        Offered { name: name.into(), version: version.into(), architecture: architecture.into() }
    }

    #[test]
    fn lists_of_rpm_are_read_as_they_pass() {
        let primary = b"<?xml version=\"1.0\"?><metadata packages=\"2\"><package type=\"rpm\"><name>bash</name><arch>x86_64</arch><version epoch=\"0\" ver=\"5.2\" rel=\"1.fc40\"/><format><rpm:provides><rpm:entry name=\"x\"/></rpm:provides></format></package><package><name>a</name><arch>noarch</arch><version ver=\"1\" rel=\"2\"/></package></metadata>";
        assert!(unpacked(primary).is_err());
        for bytes in [gzip(primary), zstd::encode_all(&primary[..], 1).unwrap()] {
            let mut seen = Vec::new();
            rpm_primary(&mut unpacked(&bytes).unwrap(), &mut |one| seen.push(one)).unwrap();
            assert_eq!(seen, [offered("bash", "0:5.2-1.fc40", "x86_64"), offered("a", "0:1-2", "noarch")]);
        }
        let updates = b"<updates><update type=\"security\"><pkglist><collection><package name=\"bash\" version=\"5.2\" release=\"2\" epoch=\"1\" arch=\"x86_64\"><filename>x</filename></package></collection></pkglist></update><update type=\"bugfix\"><package name=\"no\" version=\"1\" release=\"1\"/></update></updates>";
        let mut seen = Vec::new();
        rpm_security(&mut &updates[..], &mut |one| seen.push(one)).unwrap();
        assert_eq!(seen, [offered("bash", "1:5.2-2", "x86_64")]);
        damage(updates, |bytes| drop(rpm_security(&mut &*bytes, &mut |_| {})));
        damage(primary, |bytes| drop(rpm_primary(&mut &*bytes, &mut |_| {})));
    }

    #[test]
    fn the_index_of_alpine_is_read() {
        let index = b"C:Q1x=\nP:musl\nV:1.2.5-r1\nA:x86_64\n\nP:zlib\nV:1.3\nA:x86_64\n";
        let mut tar = vec![0_u8; 512];
        tar[..8].copy_from_slice(b"APKINDEX");
        tar[124..136].copy_from_slice(format!("{:011o}\0", index.len()).as_bytes());
        tar.extend(index);
        tar.resize(tar.len().next_multiple_of(512), 0);
        let mut seen = Vec::new();
        apk_index(&gzip(&tar), &mut |one| seen.push(one)).unwrap();
        assert_eq!(seen, [offered("musl", "1.2.5-r1", "x86_64"), offered("zlib", "1.3", "x86_64")]);
        damage(&gzip(&tar), |bytes| drop(apk_index(bytes, &mut |_| {})));
    }
}
