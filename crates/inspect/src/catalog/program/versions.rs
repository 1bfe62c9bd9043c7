//! Version strings of the C libraries that are most often built into programs. A string is only believed whole: with what
//! the library's own source puts around the number.

use std::io;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use evidence::bom::State;

use super::super::found::{Found, Stated};
use super::{Content, Section, WINDOW_BYTES};

/// What stands before the number, the library, and the vendor and product of its CPE name.
const MARKS: &[(&str, &str, &str)] = &[
    (" deflate 1.", "zlib", "zlib:zlib"),
    (" inflate 1.", "zlib", "zlib:zlib"),
    ("OpenSSL 0.", "openssl", "openssl:openssl"),
    ("OpenSSL 1.", "openssl", "openssl:openssl"),
    ("OpenSSL 3.", "openssl", "openssl:openssl"),
    ("LibreSSL ", "libressl", "openbsd:libressl"),
    ("FFmpeg version ", "ffmpeg", "ffmpeg:ffmpeg"),
    ("Lavc", "libavcodec", ""),
    ("Lavf", "libavformat", ""),
    ("libcurl/", "curl", "haxx:curl"),
    ("bzip2/libbzip2 version ", "bzip2", "bzip:bzip2"),
    ("libpng version ", "libpng", "libpng:libpng"),
    ("LIBTIFF, Version ", "libtiff", "libtiff:libtiff"),
    ("libjpeg-turbo version ", "libjpeg-turbo", "libjpeg-turbo:libjpeg-turbo"),
    ("expat_", "expat", "libexpat_project:libexpat"),
    ("mbed TLS ", "mbedtls", "arm:mbed_tls"),
    ("Mbed TLS ", "mbedtls", "arm:mbed_tls"),
    ("GnuTLS ", "gnutls", "gnu:gnutls"),
    ("wolfSSL ", "wolfssl", "wolfssl:wolfssl"),
    ("nghttp2/", "nghttp2", "nghttp2:nghttp2"),
    ("libssh2/", "libssh2", "libssh2:libssh2"),
    ("SSH-2.0-libssh_", "libssh", "libssh:libssh"),
    ("BusyBox v", "busybox", "busybox:busybox"),
    ("SSH-2.0-dropbear_", "dropbear", "dropbear_ssh_project:dropbear_ssh"),
    ("LZ4 command line interface ", "lz4", "lz4_project:lz4"),
    ("libvpx v", "libvpx", "webmproject:libvpx"),
    ("x264 - core ", "x264", "videolan:x264"),
    ("Xiph.Org libVorbis I ", "libvorbis", "xiph.org:libvorbis"),
    ("reference libFLAC ", "flac", "flac_project:flac"),
    ("libwebp ", "libwebp", "webmproject:libwebp"),
    ("U-Boot ", "u-boot", "denx:u-boot"),
    ("libopus ", "opus", "opus-codec:opus"),
    ("FreeType-", "freetype", "freetype:freetype"),
    ("PCRE2 ", "pcre2", "pcre:pcre2"),
    ("LuaJIT 2.", "luajit", "luajit:luajit"),
    ("Lua 5.", "lua", "lua:lua"),
    ("libarchive ", "libarchive", "libarchive:libarchive"),
    ("libmagic ", "file", "file_project:file"),
    ("dnsmasq-", "dnsmasq", "thekelleys:dnsmasq"),
    ("hostapd v", "hostapd", "w1.fi:hostapd"),
];

/// A string that begins at the end of a window is seen whole in the next.
const OVERLAP_BYTES: usize = 64;
/// Versions of one program.
const FOUND_MAX: usize = 64;

/// No mark is part of another. The leftmost match is what the vectors of the processor look for: more than twice as fast over whole
/// libraries as the match that ends first.
static SEARCH: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let marks = MARKS.iter().map(|(mark, _, _)| *mark);
    let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(marks);
    search.expect("the marks are few and short")
});

pub(super) fn read(content: &dyn Content, sections: &[Section], found: &mut Found) -> io::Result<()> {
    for section in sections.iter().filter(|section| {
        matches!(section.name.as_str(), ".rodata" | ".rdata" | "__cstring" | "__const" | ".rodata.str1.1")
    }) {
        let end = section.offset.saturating_add(section.size).min(content.size());
        let mut at = section.offset;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES + OVERLAP_BYTES);
            let bytes = content.range(at, length)?;
            window(&bytes, found);
            at += WINDOW_BYTES as u64;
        }
    }
    Ok(())
}

fn window(bytes: &[u8], found: &mut Found) {
    for hit in SEARCH.find_iter(bytes) {
        if found.packages.len() >= FOUND_MAX {
            return;
        }
        let (mark, name, cpe) = MARKS[hit.pattern().as_usize()];
        // A sentence that speaks of a library is none of its own strings: they begin where the string begins.
        let begins = hit.start() == 0
            || bytes.get(hit.start() - 1).is_some_and(|byte| matches!(byte, 0 | b'\n' | b'$'));
        if !begins {
            continue;
        }
        let Some(version) = version(mark, &bytes[hit.start()..]) else { continue };
        let known = found.packages.iter().any(|package| package.name == name && package.version == version);
        if known {
            continue;
        }
        let mut stated = Stated::new("generic", name, version.as_str(), State::Embedded);
        if !cpe.is_empty() {
            stated.cpes.push(format!("cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*"));
        }
        found.take(stated);
    }
}

/// Takes the number that follows a mark, which may have its first digits.
fn version(mark: &str, text: &[u8]) -> Option<String> {
    let digits =
        mark.len() - mark.bytes().rev().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let rest = text.get(digits..)?;
    let end = rest
        .iter()
        .take(24)
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')))?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let text = text.trim_end_matches(['.', '-', '_']);
    let numbers = text.split('.').filter(|part| part.starts_with(|c: char| c.is_ascii_digit())).count();
    let plain = text.len() <= 20 && text.starts_with(|c: char| c.is_ascii_digit());
    (plain && (numbers >= 2 || mark == "x264 - core ")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8]) -> Vec<(String, String)> {
        let mut found = Found::default();
        window(text, &mut found);
        found.packages.into_iter().map(|package| (package.name, package.version)).collect()
    }

    #[test]
    fn no_mark_is_part_of_another_and_each_is_found() {
        for (number, (mark, _, _)) in MARKS.iter().enumerate() {
            let parts = MARKS.iter().filter(|(other, _, _)| mark.contains(other)).count();
            assert_eq!(parts, 1, "{mark}");
            let text = [b"x".repeat(100).as_slice(), mark.as_bytes(), b"1.2\0"].concat();
            let hits: Vec<_> =
                SEARCH.find_iter(&text).map(|hit| (hit.pattern().as_usize(), hit.start())).collect();
            assert_eq!(hits, [(number, 100)], "{mark}");
        }
    }

    #[test]
    fn own_strings_are_believed_and_sentences_are_not() {
        let text = b"\0 deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly and Mark Adler \0OpenSSL 3.0.11 19 Sep 2023\0Lavc58.134.100\0expat_2.5.0\0see OpenSSL 1.0.2 for more\0OpenSSL 3.x is\0libcurl/7.88.1\0";
        let expected = [
            ("zlib", "1.2.13"),
            ("openssl", "3.0.11"),
            ("libavcodec", "58.134.100"),
            ("expat", "2.5.0"),
            ("curl", "7.88.1"),
        ];
        assert_eq!(found(text), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(found(b"\0OpenSSL 3.0.11").is_empty(), "a string that does not end is not believed");
    }
}
