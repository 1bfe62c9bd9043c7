//! The first message of a TLS client.
#![no_main]

use host::egress::tls::{Hello, hello};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = hello(bytes);
    // What was decided stays decided when more comes.
    if whole != Hello::Incomplete {
        assert_eq!(hello(&[bytes, b"more"].concat()), whole);
    }
});
