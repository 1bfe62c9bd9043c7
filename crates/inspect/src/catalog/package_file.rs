//! Packages of distributions as files: what the control data of a `.deb` (`deb(5)`), the header of an `.rpm` and `.PKGINFO` of an
//! Alpine package (`apk-package(5)`) say. Their content is not opened here, and nothing of it is installed.

use std::io::{self, Read};

use evidence::bom::State;

use super::found::{Found, Stated};
use super::lines::Fields;
use super::rpm::header;
use super::{Cataloger, Input, Pattern, system};
use crate::bytes::{be32, octal, until_zero};
use crate::format::Format;
use crate::unpack::decoder;

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: NAMES[0],
        wants: &[Pattern::Extension("deb"), Pattern::Extension("udeb"), Pattern::Extension("ipk")],
        read: deb,
    },
    Cataloger { name: NAMES[1], wants: &[Pattern::Extension("rpm")], read: rpm },
    Cataloger { name: NAMES[2], wants: &[Pattern::Extension("apk")], read: apk },
];

/// The catalogers that need no more than [`HEAD_BYTES`] of a file.
pub(super) const NAMES: [&str; 3] = ["deb-file", "rpm-file", "apk-file"];

/// Control data stands in front of content. That of the largest packages has some megabytes.
pub(super) const HEAD_BYTES: u64 = 16 << 20;
/// Unpacked bytes of control data.
const CONTROL_MAX_BYTES: u64 = 32 << 20;
/// Bytes of the one file of it that counts.
const FILE_MAX_BYTES: u64 = 4 << 20;

fn deb(input: &Input, found: &mut Found) {
    let Some(control) = control_archive(input.bytes) else {
        return found.problem("malformed-deb", "it has no control archive");
    };
    let (name, bytes) = control;
    let format = match name.strip_prefix("control.tar") {
        Some("") => None,
        Some(".gz") => Some(Format::Gzip),
        Some(".xz") => Some(Format::Xz),
        Some(".zst") => Some(Format::Zstd),
        Some(".bz2") => Some(Format::Bzip2),
        Some(".lzma") => Some(Format::Lzma),
        _ => return found.problem("malformed-deb", "its control archive is of another format"),
    };
    let text = match format {
        None => of_tar(bytes, &[b"./control", b"control"]),
        Some(format) => decoder(format, bytes).and_then(|reader| of_tar(reader, &[b"./control", b"control"])),
    };
    let text = match text {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => return found.problem("malformed-deb", error),
    };
    let fields = Fields::read(text.trim_start());
    let (Some(name), Some(version)) = (fields.one("Package"), fields.one("Version")) else {
        return found.problem("malformed-deb", "its control data has no package or version");
    };
    let Some(place) = found.take(system::deb(name, version, &fields, State::Embedded)) else { return };
    for list in ["Depends", "Pre-Depends"] {
        let names = system::names(fields.one(list).unwrap_or_default());
        found.needs.extend(names.map(|name| (place, name)));
    }
}

/// The second member of the archive, behind `debian-binary`.
fn control_archive(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let mut rest = bytes.strip_prefix(b"!<arch>\n")?;
    for _ in 0..4 {
        let header = rest.get(..60)?;
        let size: usize = std::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let content = rest.get(60..60_usize.checked_add(size)?)?;
        let name = std::str::from_utf8(&header[..16]).ok()?.trim().trim_end_matches('/');
        if name.starts_with("control.tar") {
            return Some((name, content));
        }
        rest = rest.get((60 + size).checked_next_multiple_of(2)?..)?;
    }
    None
}

/// Reads a file out of a tar archive that passes by: the first that has one of these names.
fn of_tar(reader: impl Read, names: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut reader = reader.take(CONTROL_MAX_BYTES);
    let mut block = [0_u8; 512];
    loop {
        reader.read_exact(&mut block).map_err(|_| io::Error::other("what describes it is not there"))?;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let size = octal(&block[124..136]).ok_or_else(|| io::Error::other("a size is no number"))?;
        let padded = size.checked_next_multiple_of(512).unwrap_or(u64::MAX);
        if names.contains(&until_zero(&block[..100])) {
            let mut content = Vec::new();
            reader.take(size.min(FILE_MAX_BYTES)).read_to_end(&mut content)?;
            return Ok(content);
        }
        io::copy(&mut reader.by_ref().take(padded), &mut io::sink())?;
    }
}

/// A lead of 96 bytes, a header of signatures, padded, and the header.
fn rpm(input: &Input, found: &mut Found) {
    const MAGIC: &[u8] = b"\x8e\xad\xe8\x01";
    let header = || {
        let lead = input.bytes.strip_prefix(b"\xed\xab\xee\xdb")?.get(92..)?;
        let signatures = lead.strip_prefix(MAGIC)?.get(4..)?;
        let part = |at| usize::try_from(be32(signatures, at)?).ok();
        let size = part(0)?.checked_mul(16)?.checked_add(part(4)?)?.checked_next_multiple_of(8)?;
        signatures.get(8..)?.get(size..)?.strip_prefix(MAGIC)?.get(4..)
    };
    if !header().is_some_and(|blob| header::read(blob, State::Embedded, found)) {
        found.problem("malformed-rpm", "it has no header");
    }
}

/// Gzip streams one behind the other: signatures, control data, content. What is called so and is a zip is Android's.
fn apk(input: &Input, found: &mut Found) {
    if !input.bytes.starts_with(b"\x1f\x8b") {
        return;
    }
    let text = decoder(Format::Gzip, input.bytes).and_then(|reader| of_tar(reader, &[b".PKGINFO"]));
    let text = match text {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => return found.problem("malformed-apk", error),
    };
    let all = |wanted: &'static str| {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        lines.filter(move |(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
    };
    let one = |wanted| all(wanted).next().unwrap_or_default();
    if one("pkgname").is_empty() || one("pkgver").is_empty() {
        return found.problem("malformed-apk", "without a name or a version");
    }
    let mut stated = Stated::new("apk", one("pkgname"), one("pkgver"), State::Embedded)
        .qualified("arch", one("arch"))
        .with("source", one("origin"))
        .with("commit", one("commit"));
    stated.supplier = Some(one("maintainer").to_owned()).filter(|text| !text.is_empty());
    stated.licence(one("license"));
    let plain = |word: &str| word.split(['=', '<', '>', '~']).next().unwrap_or(word).to_owned();
    stated.provides = all("provides").map(plain).collect();
    let Some(place) = found.take(stated) else { return };
    let needs = all("depend").filter(|word| !word.starts_with('!'));
    found.needs.extend(needs.map(|word| (place, plain(word))));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::catalog::tests::{purls, relations, scan};

    fn tar(name: &str, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0_u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        block.extend(content);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn deb(name: &str, control: &[u8]) -> Vec<u8> {
        let mut file = b"!<arch>\n".to_vec();
        for (name, content) in
            [("debian-binary", b"2.0\n".as_slice()), (name, control), ("data.tar.xz", b"x")]
        {
            file.extend(
                format!("{name:16}{:12}{:6}{:6}{:8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).as_bytes(),
            );
            file.extend(content);
            file.resize(file.len().next_multiple_of(2), b'\n');
        }
        file
    }

    const CONTROL: &[u8] = b"Package: bash\nVersion: 5.2.15-2+b2\nArchitecture: amd64\nSource: bash (5.2.15-2)\nDepends: libc6 (>= 2.36)\nDescription: shell\n";

    #[test]
    fn debian_packages_are_read() {
        let tar = [tar("./md5sums", b"00  x\n"), tar("./control", CONTROL)].concat();
        let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&tar).unwrap();
        let xz = xz.finish().unwrap();
        for (name, control) in [
            ("control.tar", tar.clone()),
            ("control.tar.gz", gzip(&tar)),
            ("control.tar.zst", zstd),
            ("control.tar.xz/", xz),
        ] {
            let catalog = scan(&[("pool/bash_5.deb", &deb(name, &control))]);
            assert_eq!(purls(&catalog), ["pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64"], "{name}");
            assert_eq!(catalog.bom.packages[0].state.word(), "embedded");
        }
        for wrong in
            [b"".to_vec(), deb("control.tar", b""), deb("control.tar.br", b"x"), deb("data.tar", b"")]
        {
            assert_eq!(scan(&[("a.deb", &wrong)]).problems[0].kind, "malformed-deb");
        }
    }

    #[test]
    fn alpine_packages_are_read_and_android_s_are_not() {
        let info = b"# x\npkgname = busybox\npkgver = 1.36.1-r29\narch = x86_64\nlicense = GPL-2.0-only\ndepend = so:libc.musl-x86_64.so.1\nprovides = /bin/sh\n";
        let file =
            [gzip(&tar(".SIGN.RSA.x", b"sig")), gzip(&tar(".PKGINFO", info)), gzip(&tar("bin/x", b""))]
                .concat();
        let catalog = scan(&[("busybox.apk", &file)]);
        assert_eq!(purls(&catalog), ["pkg:apk/alpine/busybox@1.36.1-r29?arch=x86_64"]);
        assert_eq!(relations(&catalog), []);
        assert_eq!(scan(&[("app.apk", b"PK\x03\x04")]).problems, []);
        assert_eq!(scan(&[("a.apk", &gzip(b"x"))]).problems[0].kind, "malformed-apk");
    }

    #[test]
    fn rpm_packages_are_read() {
        let header = |tags: &[(u32, &str)]| {
            let (mut index, mut data) = (Vec::new(), Vec::new());
            for (tag, text) in tags {
                [*tag, 6, data.len() as u32, 1].iter().for_each(|part| index.extend(part.to_be_bytes()));
                data.extend(text.bytes().chain([0]));
            }
            let mut blob = b"\x8e\xad\xe8\x01\0\0\0\0".to_vec();
            blob.extend((tags.len() as u32).to_be_bytes());
            blob.extend((data.len() as u32).to_be_bytes());
            blob.extend(index);
            blob.extend(data);
            blob
        };
        let mut file = b"\xed\xab\xee\xdb".to_vec();
        file.resize(96, 0);
        file.extend(header(&[(1000, "sig")]));
        file.resize(file.len().next_multiple_of(8), 0);
        file.extend(header(&[(1000, "bash"), (1001, "5.2"), (1002, "1.fc40"), (1022, "x86_64")]));
        let catalog = scan(&[("bash.rpm", &file)]);
        assert_eq!(purls(&catalog), ["pkg:rpm/bash@5.2-1.fc40?arch=x86_64"]);
        assert_eq!(scan(&[("a.rpm", b"\xed\xab\xee\xdb")]).problems[0].kind, "malformed-rpm");
    }
}
