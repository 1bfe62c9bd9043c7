//! Percent-encoding (RFC 3986, section 2.1).

/// Undoes it; `None` if a `%` is not followed by two hexadecimal digits.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_digits_are_a_byte() {
        assert_eq!(decoded("a%2Fb%ff").unwrap(), b"a/b\xff");
        for wrong in ["%", "%2", "%+1", "%zz", "%\u{e9}"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
