use tlog::{
    Checkpoint, Damage, Ed25519Signer, Fault, Log, LogError, MemoryHead, MemoryTiles, NoteSigner, SeamError,
    leaf_hash, root_of, verify_consistency, verify_inclusion,
};

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap()
}

fn entries(from: usize, count: usize) -> Vec<Vec<u8>> {
    (from..from + count).map(|number| format!("entry {number}").into_bytes()).collect()
}

struct World {
    tiles: MemoryTiles,
    head: MemoryHead,
    signer: Ed25519Signer,
}

impl World {
    fn new() -> Self {
        let world = Self { tiles: MemoryTiles::default(), head: MemoryHead::default(), signer: signer() };
        Log::create(&world.tiles, &world.head, &world.signer).unwrap();
        world
    }

    fn open(&self) -> Log<'_> {
        Log::open(&self.tiles, &self.head, self.signer.verifier_key()).unwrap()
    }
}

#[test]
fn a_log_grows_over_tile_boundaries_and_proves_every_entry() {
    let world = World::new();
    let mut log = world.open();
    let mut total = 0;
    for count in [1, 1, 253, 1, 1, 300, 0, 66_000] {
        let appended = log.append(&entries(total, count), &world.signer).unwrap();
        assert_eq!(appended.first_index, total as u64);
        let old = log.checkpoint().clone();
        total += count;
        assert_eq!(log.size(), total as u64);
        let leaves: Vec<_> = entries(0, total).iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(*log.checkpoint().root(), root_of(&leaves), "at {total}");
        assert!(log.extends(&old).unwrap());
    }
    for index in [0, 1, 255, 256, 511, 512, 65_535, 65_536, total - 1] {
        assert_eq!(log.entry(index as u64).unwrap(), format!("entry {index}").into_bytes());
        let proof = log.inclusion_proof(index as u64).unwrap();
        let leaf = leaf_hash(format!("entry {index}").as_bytes());
        verify_inclusion(&proof.hashes, proof.index, proof.size, &leaf, &proof.root).unwrap();
    }
    for old in [0, 1, 255, 256, 257, 65_537, total as u64] {
        log.consistency_proof(old).unwrap();
    }
    assert!(matches!(log.entry(total as u64), Err(LogError::Range { .. })));
    assert!(log.check().unwrap().is_sound());
}

#[test]
fn each_write_may_fail_and_nothing_acknowledged_is_lost() {
    for fault in (0..8).flat_map(|n| [Fault::Before(n), Fault::After(n)]) {
        for on_head in [false, true] {
            let world = World::new();
            let mut log = world.open();
            log.append(&entries(0, 250), &world.signer).unwrap();
            let acknowledged = log.checkpoint().clone();
            if on_head {
                world.head.fail(fault);
            } else {
                world.tiles.fail(fault);
            }
            let outcome = log.append(&entries(250, 10), &world.signer);
            drop(log);
            world.tiles.heal();
            world.head.heal();
            // The process died; a new one opens what is there.
            let mut log = world.open();
            if outcome.is_ok() {
                assert_eq!(log.size(), 260);
            }
            assert!(log.extends(&acknowledged).unwrap(), "{fault:?}");
            assert!(log.check().unwrap().is_sound(), "{fault:?} {on_head}: {:?}", log.check());
            let size = log.size() as usize;
            assert!(size == 250 || size == 260);
            log.append(&entries(size, 300), &world.signer).unwrap();
            assert!(log.check().unwrap().is_sound(), "{fault:?} after going on");
        }
    }
}

#[test]
fn a_stale_writer_is_refused() {
    let world = World::new();
    let mut first = world.open();
    let mut second = world.open();
    first.append(&entries(0, 1), &world.signer).unwrap();
    let refused = second.append(&entries(5, 1), &world.signer);
    assert!(matches!(refused, Err(LogError::Seam(SeamError::Conflict))));
    let log = world.open();
    assert_eq!(log.size(), 1);
}

#[test]
fn every_damaged_file_is_named_and_never_built_upon() {
    let world = World::new();
    world.open().append(&entries(0, 700), &world.signer).unwrap();
    let mut paths = Vec::new();
    world
        .tiles
        .tamper(|files| paths = files.keys().filter(|path| path.as_str() != "checkpoint").cloned().collect());
    assert_eq!(paths.len(), 3 + 3 + 1);
    for path in paths {
        for damage in [Damage::Missing, Damage::Malformed, Damage::Different] {
            let mut saved = None;
            world.tiles.tamper(|files| {
                saved = files.get(&path).cloned();
                match damage {
                    Damage::Missing => drop(files.remove(&path)),
                    Damage::Malformed => drop(files.get_mut(&path).map(Vec::pop)),
                    Damage::Different => files.get_mut(&path).unwrap()[5] ^= 1,
                }
            });
            let report = world.open().check().unwrap();
            assert!(report.damaged.iter().any(|(found, _)| *found == path), "{path} {damage}: {report:?}");
            assert!(!report.is_sound());
            if path.contains(".p/") {
                let built = world.open().append(&entries(700, 1), &world.signer);
                assert!(built.is_err(), "{path} {damage}");
            }
            world.tiles.tamper(|files| drop(files.insert(path.clone(), saved.unwrap())));
        }
    }
    assert!(world.open().check().unwrap().is_sound());
}

/// One bit of every byte of every file of a small log, and of many of one with full tiles, flipped alone: the check names that file.
#[test]
fn no_flipped_byte_of_a_tile_is_believed() {
    flipped(12, 1);
    flipped(300, 211);
}

fn flipped(count: usize, step: usize) {
    let world = World::new();
    world.open().append(&entries(0, count), &world.signer).unwrap();
    let mut files = Vec::new();
    world.tiles.tamper(|all| files = all.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect());
    for (path, length) in files.into_iter().filter(|(path, _)| path != "checkpoint") {
        for at in (0..length).step_by(step) {
            world.tiles.tamper(|files| files.get_mut(&path).unwrap()[at] ^= 1 << (at % 8));
            let report = world.open().check().unwrap();
            assert!(report.damaged.iter().any(|(found, _)| *found == path), "{path}, byte {at}: {report:?}");
            world.tiles.tamper(|files| files.get_mut(&path).unwrap()[at] ^= 1 << (at % 8));
        }
    }
    assert!(world.open().check().unwrap().is_sound());
}

#[test]
fn an_older_published_checkpoint_is_sound_and_any_other_is_not() {
    let world = World::new();
    world.open().append(&entries(0, 3), &world.signer).unwrap();
    let older = world.open().checkpoint().note().as_bytes().to_vec();
    world.open().append(&entries(3, 3), &world.signer).unwrap();
    let fork = World::new();
    fork.open().append(&entries(1, 3), &fork.signer).unwrap();
    let publish = |note: &[u8]| {
        world.tiles.tamper(|files| drop(files.insert("checkpoint".into(), note.to_vec())));
        world.open().check().unwrap().damaged
    };
    assert_eq!(publish(&older), [], "as after a crash before it was published");
    let different = [("checkpoint".to_owned(), Damage::Different)];
    assert_eq!(publish(fork.open().checkpoint().note().as_bytes()), different);
    for at in 0..older.len() {
        let mut flipped = older.clone();
        flipped[at] ^= 1;
        assert_eq!(publish(&flipped), different, "byte {at}");
    }
}

#[test]
fn a_changed_entry_is_not_handed_out() {
    let world = World::new();
    world.open().append(&entries(0, 3), &world.signer).unwrap();
    world.tiles.tamper(|files| files.get_mut("tile/entries/000.p/3").unwrap()[4] ^= 1);
    let log = world.open();
    assert!(matches!(log.entry(0), Err(LogError::Root(_))));
    assert!(log.entry(1).is_ok());
}

#[test]
fn a_head_of_another_key_is_refused() {
    let world = World::new();
    let other = Ed25519Signer::from_seed("log.example", &[8; 32]).unwrap();
    assert!(matches!(Log::open(&world.tiles, &world.head, other.verifier_key()), Err(LogError::Head(_))));
    assert!(matches!(Log::create(&world.tiles, &world.head, &other), Err(LogError::Present)));
    assert!(matches!(world.open().append(&entries(0, 1), &other), Err(LogError::Key)));
    let long = vec![vec![0; 65_536]];
    assert!(matches!(world.open().append(&long, &world.signer), Err(LogError::EntrySize(65_536))));
}

#[test]
fn a_fork_is_seen_by_whoever_kept_a_checkpoint() {
    let world = World::new();
    world.open().append(&entries(0, 5), &world.signer).unwrap();
    let kept = world.open().checkpoint().clone();
    let fork = World::new();
    fork.open().append(&entries(1, 9), &fork.signer).unwrap();
    assert!(!fork.open().extends(&kept).unwrap());
    let proof = fork.open().consistency_proof(5).unwrap();
    assert!(verify_consistency(&proof, 5, 9, kept.root(), fork.open().checkpoint().root()).is_err());
    let rolled_back = World::new();
    assert!(!rolled_back.open().extends(&kept).unwrap());
    assert!(Checkpoint::verify(kept.note(), world.signer.verifier_key()).is_ok());
}
