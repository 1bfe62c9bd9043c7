//! Damaged files: no panic, no endless work, and never a silent loss.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use forge::{noise, zip_stored};
use inspect::{Budget, open_file};
use rustix::time::{ClockId, clock_gettime};

use crate::corpus::{Sound, corpus};

fn small() -> Budget {
    Budget {
        members: 500,
        bytes: 4 << 20,
        member_bytes: 1 << 20,
        depth: 4,
        symbols: 20_000,
        ..Budget::default()
    }
}

/// The time that this thread has had of a processor: what others do on the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Opens damaged copies of every file of the corpus, two files at a time; each copy ends soon.
fn each(damage: impl Fn(&[u8], &mut dyn FnMut(&[u8])) + Sync) {
    let corpus = corpus();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(Sound { name, bytes, .. }) = corpus.get(next.fetch_add(1, Ordering::Relaxed)) {
                    damage(bytes, &mut |damaged| {
                        let start = processor_time();
                        open_file(&(*name).into(), damaged, &mut small());
                        let taken = processor_time().saturating_sub(start);
                        assert!(taken < Duration::from_secs(20), "{name} takes too long");
                    });
                }
            });
        }
    });
}

#[test]
fn every_cut_is_survived() {
    each(|bytes, open| {
        let step = (bytes.len() / 300).max(1);
        for cut in (0..bytes.len()).step_by(step) {
            open(&bytes[..cut]);
        }
    });
}

#[test]
fn every_flipped_byte_is_survived() {
    each(|bytes, open| {
        // Stretches of zeros are padding: their begins and ends will do.
        let matters =
            |at: &usize| bytes[at.saturating_sub(2)..bytes.len().min(at + 3)].iter().any(|byte| *byte != 0);
        let positions: Vec<usize> = (0..bytes.len()).filter(matters).collect();
        let step = (positions.len() / 1000).max(1);
        let rest = positions.iter().skip(600).step_by(step);
        for position in positions.iter().take(600).chain(rest).copied() {
            for value in [0xff, bytes[position] ^ 1, bytes[position] ^ 0x80] {
                let mut damaged = bytes.to_vec();
                damaged[position] = value;
                open(&damaged);
            }
        }
    });
}

#[test]
fn random_changes_are_survived() {
    each(|bytes, open| {
        // xorshift64 (Marsaglia, 2003), from a fixed seed.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..300 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=random(6) {
                let at = (used[random(used.len())] + random(4)).min(damaged.len() - 1);
                damaged[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            open(&damaged);
        }
    });
}

#[test]
fn noise_behind_every_magic_is_survived() {
    let magics: &[&[u8]] = &[
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BZh91AY&SY",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"!<arch>\n",
        b"\x7fELF\x02\x01\x01",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe\0\0\0\x02",
        b"070701",
        b"070707",
        b"\x04\x22\x4d\x18",
        b"LZIP\x01",
        b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0",
        b"\x04\0\0\0\x10\0\0\0\x0c\0\0\0\x0a\0\0\0{\"files\":",
    ];
    for magic in magics {
        for seed in 0..200 {
            let bytes = [*magic, &noise(seed, 3000)].concat();
            open_file(&"x".into(), &bytes, &mut small());
        }
    }
}

#[test]
fn a_damaged_member_is_a_problem_and_the_others_stay() {
    let mut bytes = zip_stored(&[("a", b"aaaa"), ("b", b"wxyz")]).unwrap();
    let at = bytes.windows(4).position(|window| window == b"wxyz").unwrap();
    bytes[at] = b'X';
    let tree = open_file(&"x.zip".into(), &bytes, &mut small());
    assert_eq!(tree.root.members.len(), 1);
    assert_eq!(tree.problems[0].path.to_string(), "x.zip!b");
}
