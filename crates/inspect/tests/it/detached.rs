//! Signatures in files of their own, made by the tools that people use.

use std::fs;
use std::process::Command;

use inspect::detached::{Detached, Keys};

#[test]
fn openpgp_signatures_are_named_and_verified_by_a_given_key() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(at.join("file"), b"content").unwrap();
    let script = "export GNUPGHOME=$PWD/home; mkdir -m 700 home
        for kind in rsa2048 ed25519; do
            gpg --batch --quiet --passphrase '' --quick-gen-key $kind@example.org $kind sign never
            gpg --batch --quiet --armor --export $kind@example.org > $kind.key
            gpg --batch --quiet --export $kind@example.org > $kind.bin
            gpg --batch --quiet -u $kind@example.org --armor --detach-sign -o $kind.asc file
            gpg --batch --quiet -u $kind@example.org --digest-algo sha384 --detach-sign -o $kind.sig file
        done
        gpgconf --kill all";
    let output = Command::new("sh").args(["-ec", script]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read(at.join(name)).unwrap();
    for (kind, other) in [("rsa2048", "ed25519"), ("ed25519", "rsa2048")] {
        for (ending, key) in [("asc", "key"), ("sig", "bin")] {
            let signature = Detached::read(&read(&format!("{kind}.{ending}"))).unwrap();
            let valid = |key: &str, content: &[u8]| {
                let mut keys = Keys::default();
                assert!(key.is_empty() || keys.add(&read(key)) > 0);
                signature.facts(&keys, &mut &*content).unwrap()
            };
            let own = format!("{kind}.{key}");
            assert_eq!(valid(&own, b"content").signature_valid, Some(true), "{kind} {ending}");
            assert_eq!(valid(&own, b"Content").signature_valid, Some(false), "{kind} {ending}");
            assert_eq!(valid(&format!("{other}.key"), b"content").signature_valid, None);
            let unjudged = valid("", b"content");
            assert_eq!((unjudged.signature_valid, unjudged.kind.as_str()), (None, "openpgp"));
            assert_eq!(unjudged.signer.unwrap().len(), 40);
            assert!(unjudged.signed_at.unwrap().starts_with("20"));
        }
    }
    let sound = read("ed25519.sig");
    for place in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[place] ^= 0x41;
        let mut keys = Keys::default();
        keys.add(&read("ed25519.key"));
        let facts =
            Detached::read(&damaged).map(|signature| signature.facts(&keys, &mut &b"content"[..]).unwrap());
        let _ = (Detached::read(&sound[..place]), keys.add(&damaged));
        // What is not signed may change: the issuer outside, and the left bits of the digest.
        assert!(facts.is_none_or(|facts| facts.signature_valid != Some(true)) || place > 40, "{place}");
    }
}

/// The example of the `minisign-verify` crate.
#[test]
fn minisign_signatures_are_named_and_verified_by_a_given_key() {
    let signature = Detached::read(
        b"untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==",
    )
    .unwrap();
    let key: &[u8] =
        b"untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    let mut keys = Keys::default();
    assert_eq!(signature.facts(&keys, &mut &b"test"[..]).unwrap().signature_valid, None);
    assert_eq!(keys.add(key), 1);
    let facts = signature.facts(&keys, &mut &b"test"[..]).unwrap();
    assert_eq!((facts.signature_valid, facts.signer.as_deref()), (Some(true), Some("E7620F1842B4E81F")));
    assert_eq!(signature.facts(&keys, &mut &b"Test"[..]).unwrap().signature_valid, Some(false));
    assert!(Detached::read(b"untrusted comment: x\nnonsense").is_none());
    let alone = keys.add(b"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n");
    assert_eq!(alone, 1);
}
