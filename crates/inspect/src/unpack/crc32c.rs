//! The checksum of ext4's metadata: CRC-32C (RFC 3720, appendix B.4) without the last complement.

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// Goes on with a sum; the first one is `u32::MAX`.
pub(super) fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| sum >> 8 ^ TABLE[usize::from(sum as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_the_standard_are_found() {
        assert_eq!(!crc32c(u32::MAX, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(u32::MAX, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xe306_9283);
    }
}
