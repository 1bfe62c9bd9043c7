//! The little XML that Apple's containers need: elements, attributes and text, front to back. No document types, no external
//! anything.

use crate::bytes::slice;

/// What comes next in a document.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Event<'a> {
    /// An element begins: its name and its attributes as they are written.
    Open(&'a [u8], &'a [u8]),
    /// An element ends.
    Close(&'a [u8]),
    /// Text, without blanks around it.
    Text(Vec<u8>),
}

/// A document that is read.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// An element that ended where it began.
    closing: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Self {
        Self { rest: document, closing: None }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if let Some(name) = self.closing.take() {
            return Some(Event::Close(name));
        }
        loop {
            let at = self.rest.iter().position(|byte| *byte == b'<')?;
            let (text, tag) = self.rest.split_at(at);
            if !text.trim_ascii().is_empty() {
                self.rest = tag;
                return Some(Event::Text(unescaped(text.trim_ascii())));
            }
            let end = tag.iter().position(|byte| *byte == b'>')?;
            let inside = tag.get(1..end)?;
            self.rest = tag.get(end + 1..)?;
            match inside {
                // Declarations, comments and the document type.
                [b'?' | b'!', ..] => {}
                [b'/', name @ ..] => return Some(Event::Close(name.trim_ascii())),
                _ => {
                    let whole = inside.strip_suffix(b"/").unwrap_or(inside);
                    let split = whole.iter().position(u8::is_ascii_whitespace).unwrap_or(whole.len());
                    let (name, attributes) = whole.split_at(split);
                    self.closing = (whole.len() < inside.len()).then_some(name);
                    return Some(Event::Open(name, attributes));
                }
            }
        }
    }
}

/// Finds an attribute's value.
pub(crate) fn attribute<'a>(attributes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let start = format!("{name}=\"");
    let at = attributes.windows(start.len()).position(|window| window == start.as_bytes())? + start.len();
    let rest = attributes.get(at..)?;
    slice(rest, 0, rest.iter().position(|byte| *byte == b'"')? as u64)
}

/// Replaces the five entities and numbers; others stay as they are.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let end = rest.iter().take(12).position(|byte| *byte == b';');
        let entity = end.and_then(|end| rest.get(1..end));
        let character = match entity {
            Some(b"amp") => Some('&'),
            Some(b"lt") => Some('<'),
            Some(b"gt") => Some('>'),
            Some(b"quot") => Some('"'),
            Some(b"apos") => Some('\''),
            Some([b'#', b'x', digits @ ..]) => number(digits, 16),
            Some([b'#', digits @ ..]) => number(digits, 10),
            _ => None,
        };
        match (character, end) {
            (Some(character), Some(end)) => {
                out.extend(character.to_string().bytes());
                rest = &rest[end + 1..];
            }
            _ => {
                out.push(b'&');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    char::from_u32(u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read() {
        let document = b"<?xml version=\"1.0\"?><!DOCTYPE x><a k=\"v\" l=\"w\">1 &lt;&#x41;&nope; <b/></a>";
        let events: Vec<Event> = Reader::new(document).collect();
        assert_eq!(
            events,
            [
                Event::Open(b"a", b" k=\"v\" l=\"w\""),
                Event::Text(b"1 <A&nope;".to_vec()),
                Event::Open(b"b", b""),
                Event::Close(b"b"),
                Event::Close(b"a"),
            ]
        );
        assert_eq!(attribute(b" k=\"v\" l=\"w\"", "l"), Some(&b"w"[..]));
        for broken in [&b"<a"[..], b"a>", b"<", b"&#;<"] {
            assert!(Reader::new(broken).count() <= 1);
        }
    }
}
