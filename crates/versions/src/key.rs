//! The writer of keys. Every part is prefix-free, so that the next part decides only between equals.

/// A key under construction.
#[derive(Default)]
pub(crate) struct Key {
    bytes: Vec<u8>,
}

/// Numbers below this are one byte.
const SMALL: u32 = 200;
/// So many digits are counted in that byte; more in two bytes after it.
const DIGITS: usize = 54;

impl Key {
    pub(crate) fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    /// Writes a number of any length. The text is digits only, or empty for zero.
    pub(crate) fn number(&mut self, digits: &str) {
        let digits = digits.trim_start_matches('0');
        if digits.len() <= 3 {
            let value = digits.bytes().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            if value < SMALL {
                self.bytes.push(value as u8);
                return;
            }
        }
        if digits.len() <= DIGITS {
            self.bytes.push(SMALL as u8 + digits.len() as u8);
        } else {
            self.bytes.push(u8::MAX);
            self.bytes.extend((digits.len() as u16).to_be_bytes());
        }
        self.bytes.extend(digits.as_bytes());
    }

    /// Writes text that has no NUL.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Writes numbers of which trailing zeros mean nothing: `1`, `1.0` and `1.0.0` are one.
    pub(crate) fn padded(&mut self, numbers: &[&str]) {
        let is_zero = |number: &&str| number.bytes().all(|digit| digit == b'0');
        let end = numbers.iter().rposition(|number| !is_zero(number)).map_or(0, |last| last + 1);
        for number in numbers.iter().take(end) {
            self.tag(2);
            self.number(number);
        }
        self.tag(1);
    }

    /// Writes numbers of which each counts: `1` comes before `1.0`.
    pub(crate) fn list(&mut self, numbers: &[&str]) {
        for number in numbers {
            self.tag(2);
            self.number(number);
        }
        self.tag(1);
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// Returns how many bytes the number in front has.
pub(crate) fn number_length(bytes: &[u8]) -> usize {
    let small = SMALL as u8;
    match bytes {
        [] => 0,
        [u8::MAX, high, low, ..] => 3 + usize::from(u16::from_be_bytes([*high, *low])),
        [first, ..] if *first < small => 1,
        [first, ..] => 1 + usize::from(first - small),
    }
}

pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits where the class of characters changes; `class` returns the same for characters that stay together.
pub(crate) fn runs<C: PartialEq>(text: &str, class: impl Fn(char) -> C) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let now = Some(class(c));
        if before.is_some() && before != now {
            runs.push(&text[start..at]);
            start = at;
        }
        before = now;
    }
    if start < text.len() {
        runs.push(&text[start..]);
    }
    runs
}

/// Takes the digits in front.
pub(crate) fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// Takes `1.2.3` in front, as far as it goes.
pub(crate) fn dotted(text: &str) -> (Vec<&str>, &str) {
    let (mut numbers, mut rest) = (Vec::new(), text);
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return (numbers, rest);
        }
        numbers.push(number);
        rest = after;
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => return (numbers, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_keep_their_order() {
        let mut numbers: Vec<String> =
            [0_u64, 1, 9, 10, 199, 200, 201, 999, 1000, u64::MAX].iter().map(ToString::to_string).collect();
        numbers.extend([53, 54, 55, 56, 300].map(|length| "9".repeat(length)));
        let keys: Vec<Vec<u8>> = numbers
            .iter()
            .map(|number| {
                let mut key = Key::default();
                key.number(&format!("00{number}"));
                key.done()
            })
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
    }
}
