//! The head of an HTTP request; lists of allowed hosts.
#![no_main]

use host::egress::http::{Head, head};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = head(bytes);
    if let Head::Whole { bytes: length, .. } = whole {
        assert_eq!(head(&bytes[..length]), whole);
        assert_eq!(head(&bytes[..length - 1]), Head::Incomplete);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        host::AllowList::parse(text).ok();
    }
});
