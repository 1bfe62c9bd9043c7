use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tlog::{
    Hash, leaf_hash, prove_consistency, prove_inclusion, root_of, verify_consistency, verify_inclusion,
};

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn proofs_verify_and_nothing_else_does(count in 1usize..300, pick in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let leaves = leaves(count);
        let root = root_of(&leaves);
        let index = pick.index(count);
        let proof = prove_inclusion(&leaves, index as u64).unwrap();
        let verify = |proof: &[Hash], index: u64| verify_inclusion(proof, index, count as u64, &leaves[pick.index(count)], &root);
        prop_assert!(verify(&proof, index as u64).is_ok());
        prop_assert!(verify(&proof, index as u64 + 1).is_err());
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(verify(&longer, index as u64).is_err());
        if !proof.is_empty() {
            prop_assert!(verify(&proof[1..], index as u64).is_err());
            let mut bent = proof.clone();
            let place = flip.index(bent.len());
            let mut bytes = *bent[place].as_bytes();
            bytes[flip.index(32)] ^= 1;
            bent[place] = Hash::from_bytes(bytes);
            prop_assert!(verify(&bent, index as u64).is_err());
        }
        let old = pick.index(count) + 1;
        let old_root = root_of(&leaves[..old]);
        let proof = prove_consistency(&leaves, old as u64).unwrap();
        prop_assert!(verify_consistency(&proof, old as u64, count as u64, &old_root, &root).is_ok());
        prop_assert!(verify_consistency(&proof, old as u64, count as u64, &leaf_hash(b"x"), &root).is_err());
        if old < count {
            prop_assert!(verify_consistency(&proof, old as u64 + 1, count as u64, &old_root, &root).is_err());
        }
    }
}

/// The field's own vectors (transparency-dev/merkle and the Merkle Tree Certificates draft).
#[test]
fn the_vectors_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/merkle");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no Merkle test vectors beside the project");
        return;
    }
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    let mut stack = vec![folder.clone()];
    while let Some(at) = stack.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else {
                let kind = path.strip_prefix(&folder).unwrap().components().next().unwrap();
                files.push((kind.as_os_str().to_str().unwrap().to_owned(), path));
            }
        }
    }
    let mut failed = Vec::new();
    for (kind, path) in &files {
        let vector: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let accepted = run(kind, &vector);
        if accepted == vector["wantErr"].as_bool().unwrap_or(false) {
            failed.push(path.strip_prefix(&folder).unwrap().display().to_string());
        }
    }
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(files.len(), 518);
    println!("{} Merkle vectors passed", files.len());
}

fn run(kind: &str, vector: &serde_json::Value) -> bool {
    use base64::Engine as _;
    let decode = |value: &serde_json::Value| -> Option<Hash> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
        // Some consistency vectors have roots that are no hashes at all; any other value stands for them as well.
        match bytes.as_slice().try_into() {
            Ok(hash) => Some(Hash::from_bytes(hash)),
            Err(_) => kind.ends_with("consistency").then(|| leaf_hash(&bytes)),
        }
    };
    let number = |name: &str| vector[name].as_u64().unwrap_or(0);
    let proof: Option<Vec<Hash>> = match &vector["proof"] {
        serde_json::Value::Null => Some(Vec::new()),
        list => list.as_array().unwrap().iter().map(decode).collect(),
    };
    let Some(proof) = proof else { return false };
    let hash = |name: &str| decode(&vector[name]);
    let outcome = (|| match kind {
        "inclusion" => Some(verify_inclusion(
            &proof,
            number("leafIdx"),
            number("treeSize"),
            &hash("leafHash")?,
            &hash("root")?,
        )),
        "consistency" => Some(verify_consistency(
            &proof,
            number("size1"),
            number("size2"),
            &hash("root1")?,
            &hash("root2")?,
        )),
        "subtreeinclusion" => Some(tlog::verify_subtree_inclusion(
            &proof,
            number("leafIdx"),
            number("start"),
            number("end"),
            &hash("leafHash")?,
            &hash("root")?,
        )),
        "subtreeconsistency" => Some(tlog::verify_subtree_consistency(
            &proof,
            number("start"),
            number("end"),
            number("size"),
            &hash("root1")?,
            &hash("root2")?,
        )),
        other => panic!("a kind of vector that this test does not know: {other}"),
    })();
    matches!(outcome, Some(Ok(())))
}
