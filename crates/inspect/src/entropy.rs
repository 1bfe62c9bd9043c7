//! How random bytes look.

/// Shannon entropy of bytes, in thousandths of a bit per byte: 0 to 8000.
pub(crate) fn entropy_millibits(data: &[u8]) -> u32 {
    of_counts(&counts(data), data.len())
}

/// Counts each byte value. Four tables, so that runs of one value do not wait for themselves.
pub(crate) fn counts(data: &[u8]) -> [u64; 256] {
    let mut tables = [[0_u64; 256]; 4];
    let (chunks, rest) = data.as_chunks::<4>();
    for chunk in chunks {
        for (table, byte) in tables.iter_mut().zip(chunk) {
            table[usize::from(*byte)] += 1;
        }
    }
    for byte in rest {
        tables[0][usize::from(*byte)] += 1;
    }
    std::array::from_fn(|value| tables.iter().map(|table| table[value]).sum())
}

pub(crate) fn of_counts(counts: &[u64; 256], length: usize) -> u32 {
    if length == 0 {
        return 0;
    }
    let total = length as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = *count as f64 / total;
            -share * share.log2()
        })
        .sum();
    (bits * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_has_its_bounds() {
        assert_eq!(entropy_millibits(b""), 0);
        assert_eq!(entropy_millibits(&[7; 100]), 0);
        assert_eq!(entropy_millibits(&(0..=255).collect::<Vec<u8>>()), 8000);
        assert_eq!(entropy_millibits(b"abab"), 1000);
        assert_eq!(entropy_millibits(b"ababa"), 971);
    }
}
