//! Containers and executables, within a small budget.
#![no_main]

use inspect::{Budget, open_file};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut budget = Budget { members: 1_000, bytes: 16 << 20, member_bytes: 4 << 20, depth: 4, symbols: 50_000, ..Budget::default() };
    let tree = open_file(&"input".into(), bytes, &mut budget);
    judge::anomalies::anomalies(&tree);
});
