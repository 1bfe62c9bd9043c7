//! SPDX licence expressions (SPDX 2.3, annex D): whether a text is one.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The identifiers of the SPDX licence list, one a line.
const LICENCES: &str = include_str!("licence/licences.txt");
/// The identifiers of the SPDX list of exceptions, one a line.
const EXCEPTIONS: &str = include_str!("licence/exceptions.txt");

/// Nobody writes longer expressions by hand.
const EXPRESSION_MAX_BYTES: usize = 4096;

static KNOWN: LazyLock<[HashMap<String, &'static str>; 2]> = LazyLock::new(|| {
    [LICENCES, EXCEPTIONS].map(|list| list.lines().map(|id| (id.to_lowercase(), id)).collect())
});

/// Finds a licence of the SPDX list, whatever the case; returns its right spelling.
pub fn identifier(text: &str) -> Option<&'static str> {
    KNOWN[0].get(&text.to_lowercase()).copied()
}

/// Returns a text in the right spelling if it is a valid expression over the SPDX lists and `LicenseRef-`s.
pub fn expression(text: &str) -> Option<String> {
    if text.len() > EXPRESSION_MAX_BYTES {
        return None;
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<String> = Vec::new();
    let (mut depth, mut want_operand, mut after_with) = (0_u32, true, false);
    for word in spaced.split_whitespace() {
        match word {
            "(" if want_operand && !after_with => depth += 1,
            ")" if !want_operand && depth > 0 => depth -= 1,
            "AND" | "OR" | "and" | "or" if !want_operand => want_operand = true,
            "WITH" | "with" if !want_operand => (want_operand, after_with) = (true, true),
            _ if want_operand => {
                let known = if after_with { exception(word) } else { licence(word) };
                words.push(known?);
                (want_operand, after_with) = (false, false);
                continue;
            }
            _ => return None,
        }
        words.push(word.to_ascii_uppercase());
    }
    (depth == 0 && !want_operand).then(|| words.join(" ").replace("( ", "(").replace(" )", ")"))
}

fn licence(word: &str) -> Option<String> {
    if is_reference(word) {
        return Some(word.to_owned());
    }
    let (plain, plus) = match word.strip_suffix('+') {
        // `GPL-2.0+` is an identifier of its own.
        Some(plain) if identifier(word).is_none() => (plain, "+"),
        _ => (word, ""),
    };
    Some(format!("{}{plus}", identifier(plain)?))
}

fn exception(word: &str) -> Option<String> {
    KNOWN[1].get(&word.to_lowercase()).map(|id| (*id).to_owned())
}

fn is_reference(word: &str) -> bool {
    word.strip_prefix("LicenseRef-").is_some_and(|name| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}

/// Makes a reference to a licence that is not in the list, from the words that name it.
pub fn reference(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(64) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    // Two long texts may begin alike.
    let digest = crate::Digest::of(text.as_bytes()).hex();
    format!("LicenseRef-{}-{}", name.trim_matches('-'), &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_checked_against_the_lists() {
        for (text, expected) in [
            ("mit", Some("MIT")),
            ("MIT OR Apache-2.0", Some("MIT OR Apache-2.0")),
            ("(MIT or apache-2.0) AND Zlib", Some("(MIT OR Apache-2.0) AND Zlib")),
            ("GPL-2.0-only WITH Classpath-exception-2.0", Some("GPL-2.0-only WITH Classpath-exception-2.0")),
            ("GPL-2.0+", Some("GPL-2.0+")),
            ("Apache-2.0+", Some("Apache-2.0+")),
            ("LicenseRef-x", Some("LicenseRef-x")),
            ("LicenseRef-a_b", None),
            ("MIT Apache-2.0", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT)", None),
            ("MIT WITH MIT", None),
            ("Foo", None),
            ("", None),
        ] {
            assert_eq!(expression(text).as_deref(), expected, "{text}");
        }
        assert!(expression(&reference("Some: odd words/here")).is_some());
    }
}
