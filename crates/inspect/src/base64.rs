//! Base64 of either alphabet (RFC 4648, sections 4 and 5). Blanks are skipped, as property lists and manifests wrap lines.

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Decodes; `None` for anything that is neither a letter of an alphabet, padding nor blank.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for letter in text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

/// Encodes for URLs, without padding.
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    let bits = |chunk: &[u8]| {
        chunk.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()))
    };
    let letter = |bits: usize, index: usize| char::from(URL_SAFE[bits >> (18 - 6 * index) & 63]);
    bytes.chunks(3).flat_map(|chunk| (0..=chunk.len()).map(move |index| letter(bits(chunk), index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_decoded_and_blanks_skipped() {
        assert_eq!(decode(b"Zm9v\n YmE="), Some(b"fooba".to_vec()));
        assert_eq!(decode(b"Zm9*"), None);
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\xff\xfe\xfd\xfc"] {
            assert_eq!(decode(encode_url(bytes).as_bytes()).as_deref(), Some(bytes));
        }
        assert_eq!(decode(b"//79"), decode(b"__79"));
    }
}
