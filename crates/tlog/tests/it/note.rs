use tlog::{Checkpoint, Ed25519Signer, Hash, NoteSigner, VerifierKey};

fn signer(name: &str) -> Ed25519Signer {
    Ed25519Signer::from_seed(name, &[7; 32]).unwrap()
}

#[test]
fn the_specification_s_key_and_signature_are_understood() {
    // golang.org/x/mod/sumdb/note: the example of its documentation, by Ed25519.
    let key =
        VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    assert_eq!(key.name(), "PeterNeumann");
    assert!(
        VerifierKey::parse("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").is_err()
    );
    let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    // Its text is no checkpoint, but its signature verifies: the error is about the text.
    let error = Checkpoint::verify(note, &key).unwrap_err().to_string();
    assert!(error.starts_with("malformed checkpoint"), "{error}");
    let error = Checkpoint::verify(&note.replace("answer", "Answer"), &key).unwrap_err().to_string();
    assert!(error.contains("is invalid"), "{error}");
}

#[test]
fn no_byte_of_a_checkpoint_may_change() {
    let signer = signer("log.example/1");
    let checkpoint = Checkpoint { origin: "log.example/1".into(), size: 42, root: Hash::from_bytes([3; 32]) };
    let note = checkpoint.sign(&signer).unwrap();
    let key = VerifierKey::parse(&signer.verifier_key().to_string()).unwrap();
    let verified = Checkpoint::verify(&note, &key).unwrap();
    assert_eq!(
        (verified.size(), verified.root(), verified.origin()),
        (42, &Hash::from_bytes([3; 32]), "log.example/1")
    );
    for place in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(Checkpoint::verify(&text, &key).is_err(), "bit {bit} of byte {place}");
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_log_or_key_is_refused() {
    let signer = signer("log.example/1");
    let checkpoint = Checkpoint { origin: "log.example/2".into(), size: 1, root: Hash::from_bytes([3; 32]) };
    let note = checkpoint.sign(&signer).unwrap();
    assert!(Checkpoint::verify(&note, signer.verifier_key()).unwrap_err().to_string().contains("is of log"));
    let other = Ed25519Signer::from_seed("log.example/1", &[8; 32]).unwrap();
    assert!(
        Checkpoint::verify(&note, other.verifier_key()).unwrap_err().to_string().contains("not signed by")
    );
}
