//! What fuzzing found worth keeping is opened again at each test run, and the seeds are what they claim to be.

use std::fs;
use std::path::Path;

use inspect::{Budget, open_file};

use crate::corpus::corpus;
use crate::{kinds, open};

#[test]
fn the_kept_inputs_are_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut replayed = 0;
    for reader in fs::read_dir(&corpus).unwrap() {
        for input in fs::read_dir(reader.unwrap().path()).unwrap() {
            let bytes = fs::read(input.unwrap().path()).unwrap();
            let name = if bytes.len() % 2 == 0 { "input" } else { "input.br" };
            let tree = open_file(&name.into(), &bytes, &mut Budget::default());
            // Whatever it is, it is named and hashed.
            assert!(tree.root.digest.is_some());
            replayed += 1;
        }
    }
    assert!(replayed > 100, "only {replayed} inputs");
}

#[test]
fn every_seed_is_sound_and_of_its_reader() {
    for sound in corpus() {
        let tree = open(sound.name, &sound.bytes);
        let word = match sound.reader {
            "authenticode" => "pe",
            "attached" => "elf",
            "content" => "data",
            "catalog" if sound.name.ends_with(".cat") => "data",
            "catalog" | "apk" => "zip",
            other => other,
        };
        assert_eq!(tree.root.format, word, "{}", sound.name);
        let malformed = kinds(&tree).iter().any(|kind| kind.starts_with("malformed"));
        assert!(!malformed, "{} {}: {:?}", sound.reader, sound.name, tree.problems);
    }
}
