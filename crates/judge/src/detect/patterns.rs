//! Matching bytes: the values of a selection, compiled. Paths and arguments need not be UTF-8.

use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

/// The longest single value, in bytes.
const VALUE_BYTES_MAX: usize = 4096;
/// The size to which a regular expression may compile.
const REGEX_BYTES_MAX: usize = 256 * 1024;
/// How much of a value a wildcard is tried on; longer values are cut.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
    Cidr,
}

/// Several values of which one has to match.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    fold: bool,
    /// Sorted, so that a long list of names costs a few comparisons.
    exact: Vec<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
    suffixes: Vec<Box<[u8]>>,
    infixes: Vec<Box<[u8]>>,
    globs: Vec<Vec<Part>>,
    regexes: Vec<Regex>,
    networks: Vec<(IpAddr, u8)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Byte(u8),
    Any,
    Many,
}

impl Patterns {
    /// Makes an empty set; `fold` ignores the case of ASCII letters.
    pub(super) fn new(fold: bool) -> Self {
        Self { fold, ..Self::default() }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, how: How, value: &str) -> Result<(), String> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("a value is longer than {VALUE_BYTES_MAX} bytes"));
        }
        match how {
            How::Regex => {
                let regex = RegexBuilder::new(value)
                    .unicode(false)
                    .case_insensitive(self.fold)
                    .size_limit(REGEX_BYTES_MAX)
                    .dfa_size_limit(REGEX_BYTES_MAX)
                    .nest_limit(32)
                    .build()
                    .map_err(|error| format!("`{value}`: {}", error.to_string().replace('\n', " ")))?;
                self.regexes.push(regex);
            }
            How::Cidr => self.networks.push(network(value)?),
            _ => self.add_glob(how, value),
        }
        Ok(())
    }

    fn add_glob(&mut self, how: How, value: &str) {
        let mut parts = parts(value, self.fold);
        if matches!(how, How::Contains | How::EndsWith) {
            parts.insert(0, Part::Many);
        }
        if matches!(how, How::Contains | How::StartsWith) {
            parts.push(Part::Many);
        }
        parts.dedup_by(|a, b| *a == Part::Many && *b == Part::Many);
        let open_start = parts.first() == Some(&Part::Many);
        let open_end = parts.len() > 1 && parts.last() == Some(&Part::Many);
        let inner = &parts[usize::from(open_start)..parts.len() - usize::from(open_end)];
        let literal: Option<Box<[u8]>> =
            inner.iter().map(|part| if let Part::Byte(byte) = part { Some(*byte) } else { None }).collect();
        match (literal, open_start, open_end) {
            (Some(bytes), false, false) => {
                let at = self.exact.binary_search(&bytes).unwrap_or_else(|at| at);
                self.exact.insert(at, bytes);
            }
            (Some(bytes), false, true) => self.prefixes.push(bytes),
            (Some(bytes), true, false) => self.suffixes.push(bytes),
            (Some(bytes), true, true) => self.infixes.push(bytes),
            (None, ..) => self.globs.push(parts),
        }
    }

    /// Tells whether one of the values matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        if self.fold && text.iter().any(u8::is_ascii_uppercase) {
            return self.matches_folded(&text.to_ascii_lowercase());
        }
        self.matches_folded(text)
    }

    fn matches_folded(&self, text: &[u8]) -> bool {
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        self.exact.binary_search_by(|exact| (**exact).cmp(text)).is_ok()
            || self.prefixes.iter().any(|prefix| text.starts_with(prefix))
            || self.suffixes.iter().any(|suffix| text.ends_with(suffix))
            || self.infixes.iter().any(|infix| contains(text, infix))
            || self.globs.iter().any(|glob| glob_matches(glob, text))
            || self.regexes.iter().any(|regex| regex.is_match(text))
            || (!self.networks.is_empty() && self.in_network(text))
    }

    fn in_network(&self, text: &[u8]) -> bool {
        let Some(ip) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok()) else {
            return false;
        };
        self.networks.iter().any(|(network, length)| match (network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(*length);
                (network.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(*length);
                (network.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("`{text}` is not a network such as `10.0.0.0/8`");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length: u8 = length.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if length <= most { Ok((address, length)) } else { Err(wrong()) }
}

/// Sigma's escapes: `\*` and `\?` are the characters themselves, `\\` before those a backslash, any other
/// backslash stands for itself.
fn parts(value: &str, fold: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut bytes = value.bytes().peekable();
    while let Some(byte) = bytes.next() {
        parts.push(match byte {
            b'*' => Part::Many,
            b'?' => Part::Any,
            b'\\' => match bytes.peek() {
                Some(&next @ (b'*' | b'?' | b'\\')) => {
                    bytes.next();
                    Part::Byte(next)
                }
                _ => Part::Byte(byte),
            },
            _ if fold => Part::Byte(byte.to_ascii_lowercase()),
            _ => Part::Byte(byte),
        });
    }
    parts
}

fn contains(text: &[u8], infix: &[u8]) -> bool {
    let Some(&first) = infix.first() else { return true };
    let Some(last) = text.len().checked_sub(infix.len()) else { return false };
    let mut from = 0;
    while from <= last {
        let Some(at) = text[from..=last].iter().position(|byte| *byte == first) else { return false };
        from += at;
        if text[from..].starts_with(infix) {
            return true;
        }
        from += 1;
    }
    false
}

/// Goes back to the last `*` only: quadratic at worst, never exponential.
fn glob_matches(glob: &[Part], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match glob.get(at) {
            Some(Part::Many) => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(Part::Byte(byte)) if *byte == text[from] => (at, from) = (at + 1, from + 1),
            Some(Part::Any) => (at, from) = (at + 1, from + 1),
            _ => match &mut star {
                Some((after, tried)) => {
                    *tried += 1;
                    (at, from) = (*after, *tried);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|part| *part == Part::Many)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(how: How, value: &str, text: &[u8]) -> bool {
        let mut patterns = Patterns::new(false);
        patterns.add(how, value).unwrap();
        patterns.matches(text)
    }

    #[test]
    fn values_match_as_in_sigma() {
        for (how, value, yes, no) in [
            (How::Equals, "/a/b", "/a/b", "/a/bc"),
            (How::Equals, "/a/*", "/a/b/c", "/ab"),
            (How::Equals, "*/x", "/a/x", "/a/xy"),
            (How::Equals, "*x*", "axb", "ab"),
            (How::Equals, "a?c*e", "abcde", "ac"),
            (How::Equals, "a\\*", "a*", "ab"),
            (How::Contains, "b*d", "abcde", "adcb"),
            (How::StartsWith, "ab", "abc", "bab"),
            (How::EndsWith, "ab", "cab", "abc"),
            (How::Regex, "^a+$", "aaa", "ab"),
            (How::Cidr, "10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
            (How::Cidr, "fd00::/8", "fd01::1", "10.0.0.1"),
            (How::Cidr, "0.0.0.0/0", "1.2.3.4", "::1"),
        ] {
            assert!(check(how, value, yes.as_bytes()), "{value} {yes}");
            assert!(!check(how, value, no.as_bytes()), "{value} {no}");
        }
        assert!(check(How::Contains, "x", b"\xff\xfex\xff"));
        let mut folded = Patterns::new(true);
        folded.add(How::Contains, "CuRl").unwrap();
        assert!(folded.matches(b"/bin/cURL -o"));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let mut patterns = Patterns::new(false);
        assert!(patterns.add(How::Regex, "(a{1000}){1000}").is_err());
        assert!(patterns.add(How::Regex, "(").is_err());
        assert!(patterns.add(How::Cidr, "10.0.0.0/33").is_err());
        assert!(patterns.add(How::Equals, &"a".repeat(5000)).is_err());
    }
}
