//! Making names equal that differ from build to build: releases, temporary names, process numbers, hashes.

use evidence::BytePath;
use evidence::record::Record;

use crate::compare::names::without_versions;

/// How many folders below the project or another root tell one area from another.
const AREA_DEPTH: usize = 3;
const TEMPORARY: [&[u8]; 4] = [b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/user/"];

/// The names of one record.
pub(super) struct Names<'a> {
    workdir: &'a [u8],
    release: &'a str,
}

impl<'a> Names<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        Self { workdir: record.workdir.as_bytes(), release: &record.release }
    }

    /// A program: its whole path; of one in a temporary folder the folder and its name.
    pub(super) fn program(&self, path: &BytePath) -> String {
        match temporary(path.as_bytes()) {
            Some(root) => format!("{}…/{}", BytePath::from(root), self.part(path.file_name())),
            None => self.parts(path.as_bytes(), usize::MAX),
        }
    }

    /// The folder of a file, at most [`AREA_DEPTH`] below the project or the root; temporary folders are one each.
    pub(super) fn area(&self, path: &BytePath) -> String {
        if let Some(root) = temporary(path.as_bytes()) {
            return BytePath::from(root).to_string();
        }
        let folder = &path.as_bytes()[..path.as_bytes().len() - path.file_name().len()];
        self.parts(folder.strip_suffix(b"/").unwrap_or(folder), AREA_DEPTH)
    }

    /// An address. Services answer from several machines of one network, so of an address only its first half
    /// counts; a name is itself.
    pub(super) fn destination(&self, text: &str, local: bool) -> String {
        if local {
            return self.parts(text.as_bytes(), usize::MAX);
        }
        let Some((action, rest)) = text.split_once(' ') else { return text.to_owned() };
        let half = |host: &str, port: &str| {
            let (mark, keep) = if host.starts_with('[') { (':', 2) } else { ('.', 2) };
            let kept: Vec<&str> = host.split(mark).take(keep).collect();
            format!("{}{mark}*:{port}", kept.join(&mark.to_string()))
        };
        let Some((host, port)) = rest.rsplit_once(':') else { return text.to_owned() };
        let Some((family, address)) = host.split_once(':') else { return text.to_owned() };
        if address.starts_with('[') || address.parse::<std::net::Ipv4Addr>().is_ok() {
            return format!("{action} {family}:{}", half(address, port));
        }
        text.to_owned()
    }

    /// A list of folders, or a value: each path in it made equal.
    pub(super) fn value(&self, value: &BytePath) -> String {
        let parts = value.as_bytes().split(|byte| *byte == b':');
        parts.map(|part| self.parts(part, usize::MAX)).collect::<Vec<_>>().join(":")
    }

    fn parts(&self, path: &[u8], depth: usize) -> String {
        let below = path.strip_prefix(self.workdir).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        let (start, rest) = match below {
            Some(rest) if !self.workdir.is_empty() => ("(project)", rest),
            _ => ("", path),
        };
        // An absolute path begins with an empty part.
        let depth = depth.saturating_add(1);
        let parts: Vec<String> =
            rest.split(|byte| *byte == b'/').take(depth).map(|part| self.part(part)).collect();
        format!("{start}{}", parts.join("/"))
    }

    fn part(&self, part: &[u8]) -> String {
        let part = without_versions(part, self.release);
        let mut out = Vec::new();
        for piece in part.split_inclusive(|byte| !byte.is_ascii_alphanumeric()) {
            let (word, end) = match piece.split_last() {
                Some((last, word)) if !last.is_ascii_alphanumeric() => (word, &piece[word.len()..]),
                _ => (piece, &[][..]),
            };
            if is_volatile(word) {
                out.push(b'#');
            } else if let Some(start) =
                [&b"tmp"[..], b"conftest"].into_iter().find(|start| word.starts_with(start))
            {
                out.extend_from_slice(start);
            } else {
                out.extend_from_slice(word);
            }
            out.extend_from_slice(if end == [0] { b"*" } else { end });
        }
        BytePath::new(out).to_string()
    }
}

fn temporary(path: &[u8]) -> Option<&'static [u8]> {
    TEMPORARY.into_iter().find(|root| path.starts_with(root))
}

/// Numbers of three digits and more, hashes, and what a random generator makes: letters of both cases and digits.
fn is_volatile(word: &[u8]) -> bool {
    let any = |such: fn(&u8) -> bool| word.iter().any(such);
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    let number = digits == word.len() && word.len() >= 3;
    let hash = word.len() >= 8 && digits >= 1 && word.iter().all(u8::is_ascii_hexdigit);
    let random = word.len() >= 6 && digits >= 1 && any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase);
    number || hash || random
}
