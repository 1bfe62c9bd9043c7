use tlog::{
    Ed25519Signer, Fault, Journal, Log, LogError, MemoryHead, MemoryJournal, MemoryTiles, NoteSigner,
    SeamError, Sequencer, leaf_hash, recover, verify_inclusion,
};

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn entries(from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(entry).collect()
}

#[derive(Default)]
struct Parts {
    tiles: MemoryTiles,
    head: MemoryHead,
    journals: [MemoryJournal; 2],
}

impl Parts {
    fn new(signer: &Ed25519Signer) -> Self {
        let parts = Self::default();
        Log::create(&parts.tiles, &parts.head, signer).unwrap();
        parts
    }

    fn open<'a>(&'a self, signer: &'a Ed25519Signer) -> Result<Sequencer<'a>, LogError> {
        Sequencer::open(&self.tiles, &self.head, [&self.journals[0], &self.journals[1]], signer)
    }

    fn heal(&self) {
        self.tiles.heal();
        self.head.heal();
        self.journals.iter().for_each(MemoryJournal::heal);
    }
}

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap()
}

#[test]
fn every_entry_is_proven_at_once_and_stays() {
    let signer = signer();
    let parts = Parts::new(&signer);
    let mut sequencer = parts.open(&signer).unwrap();
    let mut total = 0;
    for count in [1, 1, 253, 1, 2, 511, 0, 1024, 65_000, 3, 300, 70_000] {
        let batch = sequencer.append(&entries(total, count)).unwrap();
        assert_eq!((batch.first_index(), batch.count()), (total, count));
        for index in (total..total + count).step_by(if count > 2000 { 97 } else { 1 }) {
            let proof = batch.proof(index).unwrap();
            verify_inclusion(&proof.hashes, index, proof.size, &leaf_hash(&entry(index)), &proof.root)
                .unwrap();
            assert_eq!(proof.root, *batch.checkpoint().root());
        }
        assert!(batch.proof(total + count).is_err());
        total += count;
        if count % 2 == 1 {
            sequencer.settle().unwrap();
            let log = Log::open(&parts.tiles, &parts.head, signer.verifier_key()).unwrap();
            assert_eq!(log.size(), total);
            assert_eq!(log.checkpoint().note(), sequencer.checkpoint().note());
        }
    }
    let newest = sequencer.checkpoint().clone();
    drop(sequencer);
    // A crash before the last settlement: the next start completes it, with the very checkpoint that was signed.
    let completed =
        recover(&parts.tiles, &parts.head, [&parts.journals[0], &parts.journals[1]], signer.verifier_key());
    assert!(completed.unwrap() > 0);
    let log = Log::open(&parts.tiles, &parts.head, signer.verifier_key()).unwrap();
    assert_eq!(log.checkpoint().note(), newest.note());
    assert!(log.check().unwrap().is_sound());
    assert_eq!(log.entry(70_000).unwrap(), entry(70_000));
}

/// Each write of each part fails in turn, before or after it is done: what was acknowledged stays, the published
/// checkpoint is a beginning of the log, and a check finds nothing.
#[test]
fn each_write_may_fail_and_nothing_acknowledged_is_lost() {
    let signer = signer();
    for part in 0..4 {
        for fault in (0..7).flat_map(|n| [Fault::Before(n), Fault::After(n)]) {
            let parts = Parts::new(&signer);
            let mut acknowledged = Vec::new();
            let run = |acknowledged: &mut Vec<_>| -> Result<(), LogError> {
                let mut sequencer = parts.open(&signer)?;
                for round in 0..4 {
                    acknowledged.push(sequencer.append(&entries(round * 150, 150))?.checkpoint().clone());
                    if round % 2 == 1 {
                        sequencer.settle()?;
                    }
                }
                Ok(())
            };
            match part {
                0 => parts.tiles.fail(fault),
                1 => parts.head.fail(fault),
                2 => parts.journals[0].fail(fault),
                _ => parts.journals[1].fail(fault),
            }
            let outcome = run(&mut acknowledged);
            parts.heal();
            let published = parts.published(&signer);
            let sequencer = parts.open(&signer).unwrap();
            let log = Log::open(&parts.tiles, &parts.head, signer.verifier_key()).unwrap();
            assert!(log.check().unwrap().is_sound(), "{part} {fault:?}");
            assert_eq!(log.size(), sequencer.size());
            for checkpoint in acknowledged.iter().chain(&published) {
                assert!(
                    log.size() >= checkpoint.size() && log.extends(checkpoint).unwrap(),
                    "{part} {fault:?}"
                );
            }
            assert!(outcome.is_err() || log.size() == 600, "{part} {fault:?}");
        }
    }
}

impl Parts {
    fn published(&self, signer: &Ed25519Signer) -> Option<tlog::VerifiedCheckpoint> {
        use tlog::Tiles;
        let note = String::from_utf8(self.tiles.read("checkpoint").unwrap()?).unwrap();
        Some(tlog::Checkpoint::verify(&note, signer.verifier_key()).unwrap())
    }
}

#[test]
fn after_a_failure_nothing_more_is_written() {
    let signer = signer();
    let parts = Parts::new(&signer);
    let mut sequencer = parts.open(&signer).unwrap();
    parts.journals[0].fail(Fault::After(0));
    assert!(sequencer.append(&entries(0, 3)).is_err());
    assert!(matches!(sequencer.append(&entries(0, 3)), Err(LogError::Unusable)));
    drop(sequencer);
    // The record had reached the journal: it is in the log, though nobody was told.
    assert_eq!(parts.open(&signer).unwrap().size(), 3);
}

#[test]
fn a_second_sequencer_is_refused_at_the_head() {
    let signer = signer();
    let parts = Parts::new(&signer);
    let elsewhere: [MemoryJournal; 2] = Default::default();
    let mut one = parts.open(&signer).unwrap();
    let mut two =
        Sequencer::open(&parts.tiles, &parts.head, [&elsewhere[0], &elsewhere[1]], &signer).unwrap();
    one.append(&entries(0, 1)).unwrap();
    two.append(&entries(5, 1)).unwrap();
    one.settle().unwrap();
    assert!(matches!(two.settle(), Err(LogError::Seam(SeamError::Conflict))));
}

#[test]
fn a_journal_that_was_tampered_with_is_not_believed() {
    let signer = signer();
    let parts = Parts::new(&signer);
    let mut sequencer = parts.open(&signer).unwrap();
    sequencer.append(&entries(0, 3)).unwrap();
    drop(sequencer);
    let whole = parts.journals[0].read().unwrap();
    for position in (0..whole.len()).step_by(7) {
        parts.journals[0].tamper(|bytes| bytes[position] ^= 1);
        let size = parts.open(&signer).map(|sequencer| sequencer.size());
        assert!(!matches!(size, Ok(3)), "{position}");
        parts.journals[0].tamper(|bytes| bytes.clone_from(&whole));
    }
}
