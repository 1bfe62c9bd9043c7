//! Members are read by two threads, and those that two artifacts have alike once: what is found is what one thread finds alone.

use std::io::Write;
use std::sync::Arc;

use evidence::tree::RuleMatch;
use evidence::{BytePath, Digest, Tree};
use forge::{PeImage, noise, zip_stored};
use inspect::{Budget, Entry, Matcher, Opened, Twins, Wishes, open_with};

use crate::corpus::corpus;
use crate::samples::{gzip, tar};
use crate::{find, kinds, open};

/// Rules are put to one member after the other, so that nothing is read by another thread.
#[derive(Debug)]
struct Nothing;

impl Matcher for Nothing {
    fn look(&self, _: &BytePath, _: &BytePath, _: &[u8]) -> (Vec<RuleMatch>, Option<String>) {
        (Vec::new(), None)
    }
}

fn read(name: &str, bytes: &[u8], wishes: &Wishes, budget: Budget) -> Tree {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let what = Opened::<std::iter::Empty<(BytePath, std::io::Result<Entry>)>>::File(file);
    let mut tree = open_with(&name.into(), what, wishes, &mut { budget }).unwrap();
    tree.problems.sort_by(|a, b| (&a.path, &a.kind, &a.detail).cmp(&(&b.path, &b.kind, &b.detail)));
    tree
}

fn alone(name: &str, bytes: &[u8], budget: Budget) -> Tree {
    let wishes = Wishes { matcher: Some(Arc::new(Nothing)), ..Wishes::default() };
    read(name, bytes, &wishes, budget)
}

fn beside(twins: &Arc<Twins>, name: &str, bytes: &[u8], budget: Budget) -> Tree {
    read(name, bytes, &Wishes { twins: Some(Arc::clone(twins)), ..Wishes::default() }, budget)
}

/// Members of all sizes, some of them images, one broken, one with an archive behind it.
fn members() -> Vec<(String, Vec<u8>)> {
    let image = PeImage::default().bytes();
    let line = |n: usize| format!("line {n}: https://host-{n}.example/path exec(base64.b64decode(x))\n");
    let text = |n: usize| line(n).repeat(if n % 4 == 1 { 700 } else { 20 }).into_bytes();
    let mut members: Vec<(String, Vec<u8>)> = (0..30).map(|n| (format!("d/text-{n}.py"), text(n))).collect();
    members.extend((0..8).map(|n| {
        let padded = [&image[..], &vec![0; 12_000 * n]].concat();
        (format!("d/image-{n}.dll"), padded)
    }));
    members.push(("broken.so".into(), [&b"\x7fELF\x02\x01\x01"[..], &noise(1, 90_000)].concat()));
    let inner = zip_stored(&[("in/x.txt", &text(9)[..]), ("in/y.txt", b"y")]).unwrap();
    members.push(("picture.png".into(), [&b"\x89PNG\r\n\x1a\n"[..], &noise(2, 50_000), &inner].concat()));
    members.push(("inner.zip".into(), inner));
    members.push(("noise.bin".into(), noise(3, 100_000)));
    members
}

fn packed(members: &[(String, Vec<u8>)]) -> Vec<(&'static str, Vec<u8>)> {
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
    let tar = tar(&members, true);
    vec![("a.zip", zip_stored(&members).unwrap()), ("a.tar.gz", gzip(&tar)), ("a.tar", tar)]
}

#[test]
fn two_threads_find_what_one_finds() {
    let members = members();
    for (name, bytes) in packed(&members) {
        let expected = alone(name, &bytes, Budget::default());
        assert_eq!(kinds(&expected), ["malformed-elf"], "{name}");
        for (member, content) in &members {
            assert_eq!(find(&expected, member).digest, Some(Digest::of(content)), "{name} {member}");
        }
        for _ in 0..2 {
            assert_eq!(read(name, &bytes, &Wishes::default(), Budget::default()), expected, "{name}");
        }
    }
    for sound in corpus() {
        let expected = alone(sound.name, &sound.bytes, Budget::default());
        assert_eq!(read(sound.name, &sound.bytes, &Wishes::default(), Budget::default()), expected);
        assert_eq!(open(sound.name, &sound.bytes).root, expected.root, "{}", sound.name);
    }
}

#[test]
fn what_is_found_does_not_depend_on_who_is_ready_first() {
    let members = members();
    let budgets = [
        Budget { symbols: 40, ..Budget::default() },
        Budget { facts_bytes: 20_000, ..Budget::default() },
        Budget { bytes: 1 << 20, ..Budget::default() },
        Budget { members: 20, ..Budget::default() },
        Budget { held_bytes: 2 << 20, ..Budget::default() },
    ];
    for (name, bytes) in packed(&members) {
        for budget in &budgets {
            let once = read(name, &bytes, &Wishes::default(), budget.clone());
            for _ in 0..3 {
                assert_eq!(read(name, &bytes, &Wishes::default(), budget.clone()), once, "{name} {budget:?}");
            }
        }
    }
    // What others hold does not keep a member out.
    let (name, bytes) = &packed(&members)[0];
    let tree = read(name, bytes, &Wishes::default(), Budget { held_bytes: 2 << 20, ..Budget::default() });
    assert_eq!(kinds(&tree), ["malformed-elf"]);
}

#[test]
fn what_two_artifacts_have_alike_is_found_in_both() {
    let old = members();
    let mut new = old.clone();
    new[3].1.extend_from_slice(b"import os\n");
    new[36].1[500] ^= 1;
    new.remove(20);
    // The same bytes under another name are another member: names have meaning.
    new[7].0 = "d/setup.pth".into();
    for ((name, before), (_, after)) in packed(&old).into_iter().zip(packed(&new)) {
        for budget in [Budget::default(), Budget { symbols: 90, ..Budget::default() }] {
            let expected = (
                read(name, &before, &Wishes::default(), budget.clone()),
                read(name, &after, &Wishes::default(), budget.clone()),
            );
            let twins = Arc::new(Twins::default());
            let one_by_one =
                (beside(&twins, name, &before, budget.clone()), beside(&twins, name, &after, budget.clone()));
            assert_eq!(one_by_one, expected, "{name}");
            for _ in 0..2 {
                let twins = Arc::new(Twins::default());
                let together = std::thread::scope(|scope| {
                    let first = scope.spawn(|| beside(&twins, name, &before, budget.clone()));
                    let second = beside(&twins, name, &after, budget.clone());
                    (first.join().unwrap(), second)
                });
                assert_eq!(together, expected, "{name}");
            }
        }
    }
    for sound in corpus() {
        let expected = read(sound.name, &sound.bytes, &Wishes::default(), Budget::default());
        let twins = Arc::new(Twins::default());
        for _ in 0..3 {
            assert_eq!(
                beside(&twins, sound.name, &sound.bytes, Budget::default()),
                expected,
                "{}",
                sound.name
            );
        }
    }
}
