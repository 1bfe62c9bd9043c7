//! Manifests and lock files. The first byte chooses the pair, a zero parts the two.
#![no_main]

use inspect::locks::PAIRS;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, documents)) = bytes.split_first() else { return };
    let (_, _, compare) = PAIRS[usize::from(*choice) % PAIRS.len()];
    let mut parts = documents.splitn(2, |byte| *byte == 0);
    let (Some(manifest), Some(lock)) = (parts.next(), parts.next()) else { return };
    let first = compare(manifest, lock);
    assert_eq!(first, compare(manifest, lock), "the same files are judged alike");
});
