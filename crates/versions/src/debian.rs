//! Debian versions, as deb-version(7) orders them.

use crate::key::{Key, digits, is_number};

pub(crate) fn key(version: &str, key: &mut Key) -> Option<()> {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    if !epoch.is_empty() && !is_number(epoch) {
        return None;
    }
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    key.number(epoch);
    part(upstream, key)?;
    part(revision, key)
}

/// Text and number in turns; `~` comes before the end, the end before letters, letters before all else.
fn part(text: &str, key: &mut Key) -> Option<()> {
    const TILDE: u8 = 1;
    const END: u8 = 2;
    let mut rest = text;
    // A number that is not there is zero, so `1` and `1-0` are the same.
    loop {
        let (words, after) =
            rest.split_at(rest.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(rest.len()));
        for byte in words.bytes() {
            key.tag(match byte {
                b'~' => TILDE,
                b'A'..=b'Z' | b'a'..=b'z' => byte,
                0..0x80 => byte | 0x80,
                _ => return None,
            });
        }
        key.tag(END);
        let (number, after) = digits(after);
        key.number(number);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    key.tag(END);
    Some(())
}
