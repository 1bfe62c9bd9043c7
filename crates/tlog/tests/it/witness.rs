use tlog::{
    Checkpoint, Cosigner, Ed25519Signer, NoteSigner, VerifiedCheckpoint, WitnessKey, WitnessPolicy, leaf_hash,
};

fn log() -> Ed25519Signer {
    Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap()
}

fn witness(number: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/w{number}"), &[number; 32]).unwrap()
}

fn cosigned(by: &[u8]) -> String {
    let checkpoint = Checkpoint { origin: "log.example".into(), size: 1, root: leaf_hash(b"x") };
    let mut note = checkpoint.sign(&log()).unwrap();
    for number in by {
        note += &witness(*number).cosign(&checkpoint.text(), 1_700_000_000 + u64::from(*number));
    }
    note
}

fn verified(note: &str) -> VerifiedCheckpoint {
    Checkpoint::verify(note, log().verifier_key()).unwrap()
}

fn policy(rules: &str) -> WitnessPolicy {
    let witnesses: String =
        (1..=4).map(|number| format!("witness w{number} {}\n", witness(number).key())).collect();
    WitnessPolicy::parse(format!("log {}\n{witnesses}{rules}", log().verifier_key()).as_bytes()).unwrap()
}

#[test]
fn k_of_n_witnesses_are_weighed() {
    let two_of_three = "group g 2 w1 w2 w3\nquorum g\n";
    let nested = "group a any w1 w2\ngroup b all w3 w4\ngroup both all a b\nquorum both\n";
    for (rules, by, holds) in [
        ("quorum none\n", &[][..], true),
        ("quorum w1\n", &[1], true),
        ("quorum w1\n", &[2, 3, 4], false),
        (two_of_three, &[1, 3], true),
        (two_of_three, &[1], false),
        (two_of_three, &[1, 4], false),
        // The same witness twice is one witness.
        (two_of_three, &[1, 1], false),
        (nested, &[2, 3, 4], true),
        (nested, &[1, 2, 3], false),
    ] {
        let weighed = policy(rules).weigh(&verified(&cosigned(by))).unwrap();
        assert_eq!(weighed.quorum, holds, "{rules} by {by:?}");
    }
    let weighed = policy("quorum w2\n").weigh(&verified(&cosigned(&[2]))).unwrap();
    assert_eq!(weighed.witnesses, [("witness.example/w2".to_owned(), 1_700_000_002)]);
}

/// Each bit of a cosigned checkpoint, flipped alone: the quorum does not hold, or the log's signature is broken.
#[test]
fn no_flipped_bit_of_a_cosigned_checkpoint_counts() {
    let note = cosigned(&[1, 2]);
    let policy = policy("group g all w1 w2\nquorum g\n");
    let known: Vec<WitnessKey> = [1, 2].iter().map(|number| witness(*number).key().clone()).collect();
    let known: Vec<&WitnessKey> = known.iter().collect();
    for position in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let Ok(checkpoint) = Checkpoint::verify(&text, log().verifier_key()) else { continue };
            let holds = policy.weigh(&checkpoint).is_ok_and(|weighed| weighed.quorum);
            assert!(!holds || !checkpoint.is_only_by(&known), "bit {bit} of byte {position}");
        }
    }
}

#[test]
fn a_witness_s_key_is_no_log_s_key() {
    let key = witness(1).key().to_string();
    assert_eq!(WitnessKey::parse(&key).unwrap(), *witness(1).key());
    assert!(tlog::VerifierKey::parse(&key).is_err());
    assert!(WitnessKey::parse(&log().verifier_key().to_string()).is_err());
}

#[test]
fn an_answer_adds_only_what_verifies() {
    let mut checkpoint = verified(&cosigned(&[]));
    let text = checkpoint.text();
    let answer = witness(1).cosign(&text, 5) + &witness(2).cosign(&text, 6);
    assert!(checkpoint.add_cosignatures(&answer, witness(1).key()).unwrap());
    assert_eq!(checkpoint.cosigned_by(witness(1).key()).unwrap(), Some(5));
    assert_eq!(checkpoint.cosigned_by(witness(2).key()).unwrap(), None);
    let other = witness(3).cosign("log.example\n2\nx\n", 5);
    assert!(checkpoint.add_cosignatures(&other, witness(3).key()).is_err());
    assert!(checkpoint.is_only_by(&[witness(1).key()]));
    assert!(!checkpoint.is_only_by(&[]));
}

#[test]
fn what_is_no_policy_is_refused() {
    let w1 = format!("witness w1 {}\n", witness(1).key());
    let w2 = format!("witness w2 {}\n", witness(2).key());
    for (text, expected) in [
        (String::new(), "no quorum"),
        ("quorum none\nquorum none\n".into(), "second quorum"),
        ("quorum w1\n".into(), "not defined"),
        (format!("{w1}{w1}quorum w1\n"), "twice"),
        (format!("{w1}group g 2 w1\nquorum g\n"), "threshold"),
        (format!("{w1}group g 0 w1\nquorum g\n"), "threshold"),
        (format!("{w1}group g 01 w1\nquorum g\n"), "threshold"),
        (format!("{w1}group g any g\nquorum g\n"), "not defined"),
        (format!("{w1}{w2}group a any w1 w2\ngroup b any w1\nquorum b\n"), "in a group already"),
        (format!("{w1}group none any w1\nquorum none\n"), "taken"),
        (format!("{w1}group w1 any w1\nquorum w1\n"), "taken"),
        ("group g any\nquorum g\n".into(), "threshold"),
        ("witness w1 nonsense\nquorum w1\n".into(), "verifier key"),
        ("log nonsense\nquorum none\n".into(), "verifier key"),
        ("quorum none\r\n".into(), "control"),
        ("witnesses\nquorum none\n".into(), "neither"),
    ] {
        let error = WitnessPolicy::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let spaced = format!("  # a comment\n\n\t{w1} quorum\tw1  ");
    assert!(WitnessPolicy::parse(spaced.as_bytes()).is_ok());
}
