//! PEP 440, and the order that `pkg_resources` had for what people wrote before it.

use crate::key::{Key, digits, dotted, is_number, runs};

pub(crate) fn key(version: &str, key: &mut Key) -> Option<()> {
    let lower = version.to_lowercase();
    match Version::parse(&lower) {
        Some(version) => {
            key.tag(1);
            version.write(key);
        }
        // All of these come before all that PEP 440 knows.
        None => {
            key.tag(0);
            legacy(&lower, key);
        }
    }
    Some(())
}

struct Version<'a> {
    epoch: &'a str,
    release: Vec<&'a str>,
    pre: Option<(u8, &'a str)>,
    post: Option<&'a str>,
    dev: Option<&'a str>,
    local: Option<&'a str>,
}

const PRE: &[(&str, u8)] =
    &[("alpha", 1), ("beta", 2), ("preview", 3), ("pre", 3), ("rc", 3), ("a", 1), ("b", 2), ("c", 3)];
const POST: &[(&str, u8)] = &[("post", 0), ("rev", 0), ("r", 0)];
const DEV: &[(&str, u8)] = &[("dev", 0)];

impl<'a> Version<'a> {
    /// Reads what the regular expression of PEP 440, appendix B, takes.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, local) = match text.split_once('+') {
            Some((text, local)) => (text, Some(local)),
            None => (text, None),
        };
        if local.is_some_and(|local| !is_local(local)) {
            return None;
        }
        let (epoch, rest) = match text.split_once('!') {
            Some((epoch, rest)) if is_number(epoch) => (epoch, rest),
            Some(_) => return None,
            None => ("", text),
        };
        let (release, rest) = dotted(rest);
        if release.is_empty() {
            return None;
        }
        let (pre, rest) = word(rest, PRE);
        let (post, rest) = match rest.strip_prefix('-').map(digits) {
            Some((number, after)) if !number.is_empty() => (Some((0, number)), after),
            _ => word(rest, POST),
        };
        let (dev, rest) = word(rest, DEV);
        let number = |part: Option<(u8, &'a str)>| part.map(|(_, number)| number);
        rest.is_empty().then(|| Self { epoch, release, pre, post: number(post), dev: number(dev), local })
    }

    fn write(&self, key: &mut Key) {
        key.number(self.epoch);
        key.padded(&self.release);
        match (self.pre, self.post, self.dev) {
            // A development release of the release itself comes before its prereleases.
            (None, None, Some(_)) => key.tag(0),
            (None, _, _) => key.tag(u8::MAX),
            (Some((letter, number)), _, _) => {
                key.tag(letter);
                key.number(number);
            }
        }
        match self.post {
            None => key.tag(0),
            Some(number) => {
                key.tag(1);
                key.number(number);
            }
        }
        match self.dev {
            None => key.tag(u8::MAX),
            Some(number) => {
                key.tag(0);
                key.number(number);
            }
        }
        for part in self.local.iter().flat_map(|local| local.split(['.', '-', '_'])) {
            if is_number(part) {
                key.tag(3);
                key.number(part);
            } else {
                key.tag(2);
                key.text(part);
            }
        }
        key.tag(1);
    }
}

fn is_local(text: &str) -> bool {
    text.split(['.', '-', '_'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Takes `[-_.]?WORD[-_.]?NUMBER?` in front.
fn word<'a>(text: &'a str, words: &[(&str, u8)]) -> (Option<(u8, &'a str)>, &'a str) {
    const SEPARATORS: [char; 3] = ['-', '_', '.'];
    let bare = text.strip_prefix(SEPARATORS).unwrap_or(text);
    let Some((rest, code)) =
        words.iter().find_map(|(word, code)| bare.strip_prefix(word).map(|rest| (rest, *code)))
    else {
        return (None, text);
    };
    let (number, after) = digits(rest.strip_prefix(SEPARATORS).unwrap_or(rest));
    if number.is_empty() {
        return (Some((code, "")), rest);
    }
    (Some((code, number)), after)
}

/// `pkg_resources.parse_version` of old: numbers padded, words marked, what means nothing dropped.
fn legacy(text: &str, key: &mut Key) {
    let class = |c: char| match c {
        '0'..='9' => 1,
        'a'..='z' => 2,
        '.' => 3,
        '-' => 4,
        _ => 5,
    };
    let mut parts: Vec<String> = Vec::new();
    for run in runs(text, class) {
        let part = match run {
            "pre" | "preview" | "rc" => "*c".to_owned(),
            "dev" => "*@".to_owned(),
            _ if is_number(run) => format!("{run:0>8}"),
            _ if run.starts_with(|c: char| c.is_ascii_lowercase()) => format!("*{run}"),
            _ if run.starts_with('-') => "*final-".to_owned(),
            _ => continue,
        };
        push(&mut parts, part);
    }
    push(&mut parts, "*final".to_owned());
    for part in parts {
        key.tag(2);
        key.text(&part);
    }
    key.tag(1);
}

fn push(parts: &mut Vec<String>, part: String) {
    if part.starts_with('*') {
        while part.as_str() < "*final" && parts.last().is_some_and(|last| last == "*final-") {
            parts.pop();
        }
        while parts.last().is_some_and(|last| last == "00000000") {
            parts.pop();
        }
    }
    parts.push(part);
}
