//! What `cargo xtask bench log` measures: durable appends with their proofs, and a large log opened and read.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a developer reads it")]

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use store::{FileJournal, Heads as _, SequencerLock, SqliteHeads, TileDirectory};
use tlog::{
    Ed25519Signer, GroupLimits, Log, NoteSigner as _, Receipt, Sequencer, Submission, commit_groups,
    leaf_hash, verify_inclusion,
};

/// Bytes of a `hashedrekord` entry with a P-256 key.
const ENTRY_BYTES: usize = 420;
/// Threads that submit.
const SUBMITTERS: usize = 4;
/// Entries that a submitter has under way.
const WINDOW: usize = 256;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(5, |word| word.parse().unwrap());
    let large: u64 = arguments.next().map_or(10_000_000, |word| word.parse().unwrap());
    let folder = tempfile::Builder::new().prefix("bench-log-").tempdir_in(".").unwrap();
    appends(folder.path(), Duration::from_secs(seconds));
    let folder = tempfile::Builder::new().prefix("bench-log-").tempdir_in(".").unwrap();
    large_log(folder.path(), large);
}

struct Parts {
    tiles: TileDirectory,
    heads: SqliteHeads,
    journals: [FileJournal; 2],
    signer: Ed25519Signer,
    _lock: SequencerLock,
}

fn parts(folder: &Path) -> Parts {
    std::fs::create_dir(folder.join("log")).unwrap();
    let parts = Parts {
        tiles: TileDirectory::open(&folder.join("log")).unwrap(),
        heads: SqliteHeads::create(&folder.join("heads.db")).unwrap(),
        journals: ["a", "b"].map(|name| FileJournal::open(&folder.join(name)).unwrap()),
        signer: Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap(),
        _lock: SequencerLock::acquire(&folder.join("lock")).unwrap(),
    };
    Log::create(&parts.tiles, &parts.heads.cell("log"), &parts.signer).unwrap();
    parts
}

fn appends(folder: &Path, time: Duration) {
    let parts = parts(folder);
    let cell = parts.heads.cell("log");
    let mut sequencer =
        Sequencer::open(&parts.tiles, &cell, [&parts.journals[0], &parts.journals[1]], &parts.signer)
            .unwrap();
    let (inbox, submissions) = channel();
    let began = Instant::now();
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SUBMITTERS)
            .map(|number| {
                let inbox = inbox.clone();
                scope.spawn(move || submit(number, &inbox, began, time))
            })
            .collect();
        drop(inbox);
        commit_groups(&mut sequencer, &parts.tiles, &submissions, &GroupLimits::default()).unwrap();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = began.elapsed().as_secs_f64();
    let size = sequencer.size();
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize] * 1000.0;
    println!(
        "{size} entries of {ENTRY_BYTES} bytes in {took:.2} s with all tiles: {:.0} durable appends a second",
        size as f64 / took
    );
    println!(
        "add to proof (computed, and each 64th verified): median {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
        at(0.5),
        at(0.99),
        at(0.999_999)
    );
}

/// Keeps a window of entries under way, each with an answer of its own; returns how long each took to its proof.
fn submit(number: usize, inbox: &Sender<Submission>, began: Instant, time: Duration) -> Vec<f64> {
    let mut waiting = std::collections::VecDeque::new();
    let mut latencies = Vec::new();
    let mut count = 0u64;
    loop {
        while began.elapsed() < time && waiting.len() < WINDOW {
            let mut entry = vec![number as u8; ENTRY_BYTES];
            entry[..8].copy_from_slice(&count.to_be_bytes());
            count += 1;
            let leaf = leaf_hash(&entry);
            let (reply, answer) = channel::<Receipt>();
            let submitted = Instant::now();
            inbox.send(Submission { entries: vec![entry], reply }).unwrap();
            waiting.push_back((submitted, leaf, answer));
        }
        let Some((submitted, leaf, answer)) = waiting.pop_front() else { return latencies };
        let receipt = answer.recv().unwrap();
        let proof = receipt.proof(0).unwrap();
        latencies.push(submitted.elapsed().as_secs_f64());
        if latencies.len().is_multiple_of(64) {
            verify_inclusion(&proof.hashes, proof.index, proof.size, &leaf, &proof.root).unwrap();
        }
    }
}

fn large_log(folder: &Path, count: u64) {
    let parts = parts(folder);
    let cell = parts.heads.cell("log");
    let journals: [&(dyn tlog::Journal + Sync); 2] = [&parts.journals[0], &parts.journals[1]];
    let mut sequencer = Sequencer::open(&parts.tiles, &cell, journals, &parts.signer).unwrap();
    let entry = |number: u64| number.to_be_bytes().repeat(8);
    let began = Instant::now();
    let mut memory = Vec::new();
    while sequencer.size() < count {
        let from = sequencer.size();
        let entries: Vec<Vec<u8>> = (from..(from + 8192).min(count)).map(entry).collect();
        sequencer.append(&entries).unwrap();
        if sequencer.unsettled() >= 1 << 18 || sequencer.size() == count {
            sequencer.settle().unwrap();
            memory.push((sequencer.size(), resident_mib()));
        }
    }
    println!("a log of {count} entries of 64 bytes was written in {:.1} s", began.elapsed().as_secs_f64());
    drop(sequencer);
    let at = |part: f64| memory[((memory.len() - 1) as f64 * part) as usize];
    let (early, late) = (at(0.25), at(1.0));
    println!("memory at {} entries {:.1} MiB, at {} entries {:.1} MiB", early.0, early.1, late.0, late.1);
    let mut opened = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        let sequencer = Sequencer::open(&parts.tiles, &cell, journals, &parts.signer).unwrap();
        opened.push(began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(sequencer.size(), count);
    }
    let log = Log::open(&parts.tiles, &cell, parts.signer.verifier_key()).unwrap();
    let mut proofs = Vec::new();
    for number in 0..2001u64 {
        let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count;
        let began = Instant::now();
        let proof = log.inclusion_proof(index).unwrap();
        proofs.push(began.elapsed().as_secs_f64() * 1000.0);
        verify_inclusion(&proof.hashes, index, proof.size, &leaf_hash(&entry(index)), &proof.root).unwrap();
    }
    opened.sort_by(f64::total_cmp);
    proofs.sort_by(f64::total_cmp);
    println!("open for writing: median {:.2} ms, worst {:.2} ms", opened[10], opened[20]);
    println!("proof of any entry, from tiles: median {:.3} ms, p99 {:.3} ms", proofs[1000], proofs[1980]);
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}
