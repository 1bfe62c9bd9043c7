//! Bundles, statements, log entries, checkpoints, keys, policies, trust files: all readers on the same bytes.
#![no_main]

use evidence::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    attest::Bundle::decode(bytes).ok();
    attest::Leaf::decode(bytes).ok();
    attest::PublicKey::from_der(bytes).ok();
    evidence::statement::Statement::parse(bytes).ok();
    judge::Policy::parse(bytes).ok();
    if let Ok(trust) = attest::Trust::parse(bytes) {
        attest::verify::release(&Digest::of(b""), bytes, &trust).ok();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(key) = tlog::VerifierKey::parse(text) {
            tlog::Checkpoint::verify(text, &key).ok();
        }
        text.parse::<Digest>().ok();
        text.parse::<evidence::Timestamp>().ok();
        evidence::BytePath::from_escaped(text);
    }
});
