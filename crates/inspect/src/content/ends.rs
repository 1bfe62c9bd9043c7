//! Where a picture or font ends by its own format, and what lies behind: viewers do not look there.

/// Bytes behind the end that the format states, if all of it is here; 0 where nothing tells.
pub(super) fn appended(bytes: &[u8], kind: &str) -> u64 {
    let end = match kind {
        "png" => png(bytes),
        // "WOFF File Format 2.0", section 4: the length of the whole file.
        "font" if bytes.starts_with(b"wOF") => number(bytes, 8).map(|length| length.next_multiple_of(4)),
        "font" => sfnt(bytes),
        // A size behind the mark, of what follows.
        "webp" => bytes.get(4..8).and_then(<[u8]>::first_chunk).map(|size| {
            let size = u32::from_le_bytes(*size) as usize;
            size.saturating_add(8).next_multiple_of(2)
        }),
        _ => None,
    };
    end.and_then(|end| bytes.len().checked_sub(end)).unwrap_or(0) as u64
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_be_bytes(*number) as usize)
}

/// "Portable Network Graphics", section 5.3: length, type, data, checksum, until `IEND`.
fn png(bytes: &[u8]) -> Option<usize> {
    let mut at = 8_usize;
    loop {
        let length = number(bytes, at)?;
        let kind = bytes.get(at + 4..at + 8)?;
        at = at.checked_add(12)?.checked_add(length)?;
        if kind == b"IEND" {
            return Some(at);
        }
    }
}

/// OpenType, "Table Directory": the end of the last table.
fn sfnt(bytes: &[u8]) -> Option<usize> {
    const RECORD_BYTES: usize = 16;
    let count = bytes.get(4..)?.first_chunk().map(|count| usize::from(u16::from_be_bytes(*count)))?;
    let table = bytes.get(12..12 + count * RECORD_BYTES)?;
    let mut end = 12 + table.len();
    for record in table.chunks_exact(RECORD_BYTES) {
        let (start, size) = (number(record, 8)?, number(record, 12)?);
        end = end.max(start.checked_add(size)?);
    }
    Some(end.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_the_end_is_counted() {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.extend_from_slice(b"\0\0\0\x02IDATxxcccc\0\0\0\0IENDcccc");
        assert_eq!(appended(&png, "png"), 0);
        assert_eq!(appended(&[png.as_slice(), b"behind"].concat(), "png"), 6);
        assert_eq!(appended(&png[..20], "png"), 0);
        let font = [b"wOF2\0\0\0\0".as_slice(), &24_u32.to_be_bytes(), &[0; 12]].concat();
        assert_eq!(appended(&font, "font"), 0);
        assert_eq!(appended(&[font.as_slice(), b"behind"].concat(), "font"), 6);
        let webp = [b"RIFF".as_slice(), &8_u32.to_le_bytes(), b"WEBPdata"].concat();
        assert_eq!(appended(&webp, "webp"), 0);
        assert_eq!(appended(&[webp.as_slice(), b"xy"].concat(), "webp"), 2);
        let mut sfnt = b"\0\x01\0\0\0\x01\0\0\0\0\0\0".to_vec();
        sfnt.extend_from_slice(b"name....\0\0\0\x1c\0\0\0\x04data");
        assert_eq!(appended(&sfnt, "font"), 0);
        assert_eq!(appended(&[sfnt.as_slice(), b"1234567"].concat(), "font"), 7);
        assert_eq!(appended(b"anything", "text"), 0);
        // Sizes that an enemy chose.
        assert_eq!(appended(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", "png"), 0);
        assert_eq!(appended(b"\0\x01\0\0\xff\xff\0\0\0\0\0\0", "font"), 0);
        let wrapped = [b"RIFF".as_slice(), &u32::MAX.to_le_bytes(), b"WEBP"].concat();
        assert_eq!(appended(&wrapped, "webp"), 0);
    }
}
