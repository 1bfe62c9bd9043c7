//! Hosts that bytes name: in URLs, as quoted domains, as IPv4 addresses; in UTF-8 and in UTF-16.

use evidence::tree::Content;
use memchr::memmem;

use super::bound;

/// Domains without a URL are believed under these only: others are endings of files and fields as well.
const TOP_LEVELS: &[&[u8]] = &[
    b"com", b"net", b"org", b"ru", b"cn", b"onion", b"xyz", b"biz", b"su", b"top", b"site", b"online", b"pw",
    b"icu", b"club", b"io", b"dev", b"invalid", b"example",
];
/// What stands before `.example` in the names of files that show how another is written.
const SAMPLES: &[&[u8]] = &[
    b"env",
    b"config",
    b"conf",
    b"cfg",
    b"settings",
    b"local",
    b"secrets",
    b"htaccess",
    b"json",
    b"yml",
    b"yaml",
    b"toml",
    b"ini",
    b"xml",
    b"properties",
    b"js",
    b"ts",
    b"py",
    b"php",
    b"npmrc",
    b"md",
    b"html",
    b"production",
    b"development",
];
/// RFC 1035, section 2.3.4.
const HOST_MAX: usize = 253;
const HOST_MIN: usize = 4;
/// More are not collected before sorting; the list keeps fewer.
const COLLECTED_MAX: usize = 4096;

pub(super) fn read(bytes: &[u8], content: &mut Content) {
    let mut urls = memmem::find_iter(bytes, b"://");
    while content.hosts.len() < COLLECTED_MAX
        && let Some(at) = urls.next()
    {
        let host: Vec<u8> =
            bytes[at + 3..].iter().take(HOST_MAX).take_while(|byte| in_host(**byte)).copied().collect();
        add(&host, content);
    }
    let mut wide = memmem::find_iter(bytes, b":\0/\0/\0");
    while content.hosts.len() < COLLECTED_MAX
        && let Some(at) = wide.next()
    {
        let units = bytes[at + 6..].chunks_exact(2).take(HOST_MAX);
        let host: Vec<u8> =
            units.take_while(|unit| unit[1] == 0 && in_host(unit[0])).map(|unit| unit[0]).collect();
        add(&host, content);
    }
    let mut next = 0;
    for at in memchr::memchr_iter(b'.', bytes) {
        if at >= next && content.hosts.len() < COLLECTED_MAX {
            next = bare(bytes, at, content);
        }
    }
    content.more_hosts |= bound(&mut content.hosts);
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Takes the host of a URL, if it is another machine.
fn add(host: &[u8], content: &mut Content) {
    let host = host.to_ascii_lowercase();
    let labels = host.split(|byte| *byte == b'.').filter(|label| !label.is_empty()).count();
    let local = host.starts_with(b"127.") || host == b"0.0.0.0";
    if labels >= 2 && !local && (HOST_MIN..HOST_MAX).contains(&host.len()) && host.last() != Some(&b'.') {
        content.hosts.extend(String::from_utf8(host));
    }
}

/// Looks at the word around a dot, and returns where it ends.
fn bare(bytes: &[u8], dot: usize, content: &mut Content) -> usize {
    let before = bytes[..dot].iter().rev().take(HOST_MAX).take_while(|byte| in_host(**byte)).count();
    let after = bytes[dot..].iter().take(HOST_MAX).take_while(|byte| in_host(**byte)).count();
    let (start, end) = (dot - before, dot + after);
    let opened = start == 0 || matches!(bytes[start - 1], b'"' | b'\'' | b'`' | 0 | b'@' | b'<');
    let closed =
        bytes.get(end).is_none_or(|byte| matches!(byte, b'"' | b'\'' | b'`' | 0 | b'/' | b':' | b'>' | b'?'));
    // The begin of a name may be put before it: `secret + '.example.com'`.
    let word = &bytes[start..end];
    let word = word.strip_prefix(b".").unwrap_or(word);
    if !opened || !closed || !(HOST_MIN..HOST_MAX).contains(&word.len()) {
        return end;
    }
    let last = word.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let label = word.rsplit(|byte| *byte == b'.').nth(1).unwrap_or_default();
    let domain = TOP_LEVELS.contains(&last)
        && !(last == b"example" && SAMPLES.contains(&label))
        && word.iter().all(|byte| !byte.is_ascii_uppercase() && *byte != b'_')
        && word.split(|byte| *byte == b'.').all(|label| !label.is_empty())
        && word.len() >= last.len() + 4;
    if domain || is_address(word) {
        content.hosts.extend(String::from_utf8(word.to_vec()));
    }
    end
}

/// Tells an IPv4 address of the net from a version number: four numbers, not all small, and not of this machine.
fn is_address(word: &[u8]) -> bool {
    let parts: Vec<Option<u8>> = word
        .split(|byte| *byte == b'.')
        .take(5)
        .map(|part| std::str::from_utf8(part).ok().filter(|part| part.len() <= 3)?.parse().ok())
        .collect();
    match parts[..] {
        [Some(a), Some(b), Some(c), Some(d)] => {
            // Shared by carriers (RFC 6598), and of groups.
            let is_nobody = matches!(a, 0 | 127 | 224..) || (a == 100 && (64..128).contains(&b));
            !is_nobody && [a, b, c, d].iter().any(|part| *part > 30)
        }
        _ => false,
    }
}
