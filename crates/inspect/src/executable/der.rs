//! A reader of DER (X.690) that holds nothing and goes nowhere by itself.

/// One element: its tag, its content, and itself whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Splits the first element off: tags of one byte, as in all signatures; definite lengths, and the indefinite ones of
/// BER (X.690, 8.1.3.6) that Apple's tools write.
pub(super) fn next<'a>(bytes: &mut &'a [u8]) -> Option<Element<'a>> {
    let tag = *bytes.first()?;
    let first = *bytes.get(1)?;
    if first == 0x80 && tag & 0x20 != 0 {
        let end = end_of_contents(bytes.get(2..)?)?;
        let whole = bytes.get(..2 + end + 2)?;
        *bytes = &bytes[2 + end + 2..];
        return Some(Element { tag, content: &whole[2..2 + end], whole });
    }
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let length = bytes
                .get(2..2 + count)?
                .iter()
                .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            (length, 2 + count)
        }
        _ => return None,
    };
    let end = header.checked_add(length)?;
    let whole = bytes.get(..end)?;
    *bytes = &bytes[end..];
    Some(Element { tag, content: &whole[header..], whole })
}

/// Finds the two zero bytes that end an indefinite length, past those of the elements inside. No recursion.
fn end_of_contents(bytes: &[u8]) -> Option<usize> {
    let mut open = 1_usize;
    let mut at = 0;
    loop {
        let mut rest = bytes.get(at..)?;
        match (*rest.first()?, *rest.get(1)?) {
            (0, 0) if open == 1 => return Some(at),
            (0, 0) => {
                open -= 1;
                at += 2;
            }
            (tag, 0x80) if tag & 0x20 != 0 => {
                open += 1;
                at += 2;
            }
            // A length of one form or the other: the definite one is skipped whole.
            _ => at += next(&mut rest)?.whole.len(),
        }
    }
}

impl<'a> Element<'a> {
    /// Returns the elements inside, up to the first that is malformed.
    pub(super) fn children(self) -> impl Iterator<Item = Element<'a>> {
        let mut rest = self.content;
        std::iter::from_fn(move || next(&mut rest))
    }

    /// Returns the octets of an octet string, joining the parts of a constructed one.
    pub(super) fn octets(self) -> Vec<u8> {
        if self.tag & 0x20 == 0 {
            return self.content.to_vec();
        }
        self.children().flat_map(|part| part.content).copied().collect()
    }

    /// Returns an object identifier in dotted form.
    pub(super) fn oid(self) -> Option<String> {
        if self.tag != 0x06 {
            return None;
        }
        let mut arcs = Vec::new();
        let mut arc = 0_u64;
        for byte in self.content {
            arc = arc.checked_shl(7)? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                if arcs.is_empty() {
                    let first = (arc / 40).min(2);
                    arcs.extend([first, arc - first * 40]);
                } else {
                    arcs.push(arc);
                }
                arc = 0;
            }
        }
        Some(arcs.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_identifiers() {
        let mut bytes: &[u8] =
            &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02, 0x05, 0x00, 9];
        let sequence = next(&mut bytes).unwrap();
        assert_eq!(bytes, [9]);
        let children: Vec<_> = sequence.children().collect();
        assert_eq!(children[0].oid().unwrap(), "1.2.840.113549.1.7.2");
        assert_eq!((children[1].tag, children.len()), (5, 2));
        let mut indefinite: &[u8] = &[0x30, 0x80, 0x30, 0x80, 2, 1, 5, 0, 0, 4, 1, 0, 0, 0, 7];
        let outer = next(&mut indefinite).unwrap();
        assert_eq!((outer.children().count(), indefinite), (2, &[7][..]));
        assert!(next(&mut &[0x30, 0x80, 0x30, 0x80, 0, 0][..]).is_none());
        for cut in 0..sequence.whole.len() {
            assert!(next(&mut &sequence.whole[..cut]).is_none());
        }
    }
}
