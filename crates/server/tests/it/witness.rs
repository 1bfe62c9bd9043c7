use std::sync::{Arc, Mutex};

use engine::{Passphrase, Witness};
use evidence::Digest;
use server::{Limits, Serving, serve, witness_routes};
use tlog::{
    Checkpoint, Ed25519Signer, Hash, NoteSigner, WitnessKey, add_checkpoint_body, leaf_hash,
    prove_consistency, root_of,
};

use crate::client::ask;

fn log() -> Ed25519Signer {
    Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap()
}

fn leaves(count: u8, other: u8) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(&[if number == 2 { other } else { number }])).collect()
}

fn signed(leaves: &[Hash]) -> String {
    let checkpoint =
        Checkpoint { origin: "log.example".into(), size: leaves.len() as u64, root: root_of(leaves) };
    checkpoint.sign(&log()).unwrap()
}

fn start(folder: &std::path::Path) -> (Serving, WitnessKey, Arc<Mutex<Vec<String>>>) {
    let passphrase = Passphrase::new(b"only for these tests".to_vec());
    let keys = [log().verifier_key().to_string()];
    let witness = Witness::open(folder, "witness.example/w1", &keys, &passphrase).unwrap();
    let key = WitnessKey::parse(&witness.key()).unwrap();
    let found = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&found);
    let tell = move |words: &str| heard.lock().unwrap().push(words.to_owned());
    let routes = witness_routes(Arc::new(witness), || 1_800_000_000, tell);
    (serve("127.0.0.1:0", Limits::default(), routes).unwrap(), key, found)
}

fn add(serving: &Serving, old: usize, proof: &[Hash], note: &str) -> (u16, String) {
    let body = add_checkpoint_body(old as u64, proof, note);
    let (status, answer) = ask(serving.address(), "POST", "/add-checkpoint", body.as_bytes());
    (status, String::from_utf8(answer).unwrap())
}

#[test]
fn a_log_is_followed_and_a_fork_is_refused_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, key, found) = start(folder.path());
    let honest = leaves(5, 2);
    let (status, lines) = add(&serving, 0, &[], &signed(&honest[..3]));
    assert_eq!(status, 200, "{lines}");
    let mut checkpoint = Checkpoint::verify(&signed(&honest[..3]), log().verifier_key()).unwrap();
    assert!(checkpoint.add_cosignatures(&lines, &key).unwrap());
    assert_eq!(checkpoint.cosigned_by(&key).unwrap(), Some(1_800_000_000));
    // Who does not know where the witness is, is told.
    assert_eq!(add(&serving, 0, &[], &signed(&honest)), (409, "3\n".into()));
    let proof = prove_consistency(&honest, 3).unwrap();
    assert_eq!(add(&serving, 3, &proof, &signed(&honest)).0, 200);
    assert_eq!(add(&serving, 5, &[], &signed(&honest)).0, 200, "the same once more");
    assert!(found.lock().unwrap().is_empty());
    // Another history of the same size, and one that goes on elsewhere.
    let forked = leaves(7, 99);
    assert_eq!(add(&serving, 5, &[], &signed(&forked[..5])).0, 409);
    let proof = prove_consistency(&forked, 5).unwrap();
    assert_eq!(add(&serving, 5, &proof, &signed(&forked)).0, 422);
    assert_eq!(found.lock().unwrap().len(), 2);
    // A shorter one: the witness does not go back.
    assert_eq!(add(&serving, 3, &[], &signed(&honest[..3])), (409, "5\n".into()));
    let path = format!("/{}/checkpoint", Digest::of(b"log.example").hex());
    assert_eq!(ask(serving.address(), "GET", &path, b""), (200, signed(&honest).into_bytes()));
    drop(serving);
    // What was cosigned is remembered by the next process.
    let (serving, again, _) = start(folder.path());
    assert_eq!(again, key);
    assert_eq!(add(&serving, 0, &[], &signed(&honest)), (409, "5\n".into()));
}

#[test]
fn what_is_no_request_of_a_known_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, ..) = start(folder.path());
    let note = signed(&leaves(3, 2));
    let other = Ed25519Signer::from_seed("other.example", &[8; 32]).unwrap();
    let same_name = Ed25519Signer::from_seed("log.example", &[8; 32]).unwrap();
    let checkpoint = |origin: &str| Checkpoint { origin: origin.into(), size: 1, root: leaf_hash(b"x") };
    let foreign = checkpoint("other.example").sign(&other).unwrap();
    let impostor = checkpoint("log.example").sign(&same_name).unwrap();
    assert_eq!(add(&serving, 0, &[], &foreign).0, 404);
    assert_eq!(add(&serving, 0, &[], &impostor).0, 403);
    assert_eq!(add(&serving, 4, &[], &note).0, 400);
    assert_eq!(add(&serving, 0, &[leaf_hash(b"x")], &note).0, 422);
    assert_eq!(add(&serving, 0, &[leaf_hash(b"x"); 64], &note).0, 400);
    for body in ["", "old 0\n", "old 00\n\nx", "old -1\n\nx", "old 0\n!\n\nx", "\n"] {
        assert_eq!(ask(serving.address(), "POST", "/add-checkpoint", body.as_bytes()).0, 400, "{body:?}");
    }
    assert_eq!(ask(serving.address(), "GET", "/nothing/checkpoint", b"").0, 404);
}
