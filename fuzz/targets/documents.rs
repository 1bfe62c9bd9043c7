//! Bundles (ours and anybody's), statements, log entries, exported pages of public logs, checkpoints, certificates, timestamps, requests to log and witness, keys, policies, trust
//! files: all readers on the same bytes.
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
    attest::rekor::read(bytes).ok();
    for path in ["page.json", "tile/entries/000", "tile/data/000"] {
        if let Ok(page) = attest::exported::read(path, bytes) {
            for signed in page.entries.iter().flat_map(|entry| &entry.signed) {
                attest::exported::same_certificate(&signed.bearer.der, bytes);
            }
        }
    }
    attest::exported::Bearer::all(bytes);
    attest::bundle::read_log_entry(bytes);
    attest::Certificate::from_der(bytes).map(|certificate| (certificate.valid(), certificate.identity())).ok();
    attest::timestamp::Request::read(bytes).ok();
    attest::timestamp::is_canonical(bytes);
    attest::timestamp::claimed_time(bytes);
    for bundle in attest::foreign::bundles(bytes) {
        let signatory = attest::foreign::Signatory::Certificate { identity: "a".into(), issuer: "b".into() };
        let artifact = attest::foreign::Artifact::Digest(Digest::of(b""));
        attest::foreign::verify(artifact, &bundle, attest::foreign::public_root(), &signatory).ok();
    }
    tlog::WitnessPolicy::parse(bytes).ok();
    let cosigner = tlog::Cosigner::from_seed("witness.example", &[1; 32]).unwrap();
    let cell = |_: &str| -> Box<dyn tlog::HeadCell> { Box::new(tlog::MemoryHead::default()) };
    tlog::add_checkpoint(&cosigner, &[], cell, bytes, 0).ok();
    if let Ok(text) = std::str::from_utf8(bytes) {
        tlog::WitnessKey::parse(text).ok();
        tlog::Checkpoint::parse(text).ok();
        if let Ok(key) = tlog::VerifierKey::parse(text) {
            tlog::Checkpoint::verify(text, &key).ok();
        }
        text.parse::<Digest>().ok();
        text.parse::<evidence::Timestamp>().ok();
        evidence::BytePath::from_escaped(text);
    }
});
