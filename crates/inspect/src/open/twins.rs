//! Members that two artifacts have alike. A comparison opens both at a time; a member of the same bytes under the same name is
//! unpacked and read by one of them, and the other takes what was found.
//!
//! What is taken is what would have been found: the key names all that the facts of a member depend on, and members with problems or
//! members of their own are not shared. So who comes first decides about time, and about nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use evidence::{BytePath, Digest, Node};

use super::kept::facts_bytes;

/// So much is kept of what nobody has taken yet.
const KEPT_MAX_BYTES: u64 = 8 << 20;

/// What the facts of a member without members depend on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    /// Of its bytes, or of its packed ones.
    pub(crate) digest: Digest,
    /// How its container calls it.
    pub(crate) name: BytePath,
    /// How it is packed, if the digest is of packed bytes: method, size, checksum.
    pub(crate) packing: Option<(u16, u64, u32)>,
    /// How deep it lies.
    pub(crate) depth: u32,
}

/// A member with its facts, and what of the budget they took.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) node: Node,
    pub(crate) symbols: u64,
    pub(crate) facts_bytes: u64,
}

/// What two openings of a comparison know of each other's members.
#[derive(Debug, Default)]
pub struct Twins {
    slots: Mutex<Slots>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    /// Nothing is there yet of members that somebody has claimed.
    known: BTreeMap<Key, Option<Box<Known>>>,
    bytes: u64,
}

/// Who reads a member.
pub(crate) enum Turn {
    /// Somebody has.
    Known(Box<Known>),
    /// Whoever has asked, for others as well.
    Mine(Claim),
    /// Whoever has asked, for itself.
    Alone,
}

impl Twins {
    /// Asks whose turn it is to read a member; waits for somebody who is at it.
    ///
    /// Nobody waits for ever: who has claimed a member waits for members deeper in it only, and for memory; who holds more memory than
    /// others may (`crate::room`) asks with `may_wait` false.
    pub(crate) fn turn(self: &Arc<Self>, key: Key, may_wait: bool) -> Turn {
        let mut slots = self.lock();
        loop {
            match slots.known.get(&key) {
                None => {
                    slots.known.insert(key.clone(), None);
                    return Turn::Mine(Claim { twins: Arc::clone(self), key: Some(key) });
                }
                Some(None) if !may_wait => return Turn::Alone,
                Some(None) => {
                    slots = self.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Some(_)) => break,
            }
        }
        let Some(known) = slots.known.remove(&key).flatten() else { return Turn::Alone };
        slots.bytes = slots.bytes.saturating_sub(facts_bytes(&known.node));
        Turn::Known(known)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The promise to read a member. Dropped, others read it themselves.
#[derive(Debug)]
pub(crate) struct Claim {
    twins: Arc<Twins>,
    key: Option<Key>,
}

impl Claim {
    /// Hands over what was found.
    pub(crate) fn fulfil(mut self, known: Known) {
        let bytes = facts_bytes(&known.node);
        let mut slots = self.twins.lock();
        let Some(key) = self.key.take() else { return };
        if slots.bytes.saturating_add(bytes) <= KEPT_MAX_BYTES {
            slots.bytes += bytes;
            slots.known.insert(key, Some(Box::new(known)));
        } else {
            slots.known.remove(&key);
        }
        drop(slots);
        self.twins.changed.notify_all();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.twins.lock().known.remove(&key);
            self.twins.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { digest: Digest::of(b"x"), name: name.into(), packing: None, depth: 1 }
    }

    fn known(name: &str) -> Known {
        Known { node: Node::leaf(name.into(), "data", Digest::of(b"x"), 1), symbols: 1, facts_bytes: 2 }
    }

    #[test]
    fn one_reads_and_the_other_takes() {
        let twins = Arc::new(Twins::default());
        let Turn::Mine(claim) = twins.turn(key("a"), true) else { panic!("nobody has it") };
        assert!(matches!(twins.turn(key("a"), false), Turn::Alone));
        let Turn::Mine(other) = twins.turn(key("b"), true) else { panic!("nobody has it") };
        drop(other);
        assert!(matches!(twins.turn(key("b"), false), Turn::Mine(_)));
        let waiting = std::thread::spawn({
            let twins = Arc::clone(&twins);
            move || twins.turn(key("a"), true)
        });
        claim.fulfil(known("a"));
        let Turn::Known(taken) = waiting.join().unwrap() else { panic!("it was there") };
        assert_eq!((taken.node, taken.symbols), (known("a").node, 1));
        // It was taken, and nothing is left of it.
        assert_eq!(twins.lock().bytes, 0);
        assert!(matches!(twins.turn(key("a"), true), Turn::Mine(_)));
        assert!(twins.lock().known.is_empty());
    }

    #[test]
    fn who_waits_for_nothing_reads_itself() {
        let twins = Arc::new(Twins::default());
        let Turn::Mine(claim) = twins.turn(key("a"), true) else { panic!("nobody has it") };
        let waiting = std::thread::spawn({
            let twins = Arc::clone(&twins);
            move || matches!(twins.turn(key("a"), true), Turn::Mine(_))
        });
        drop(claim);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn what_nobody_takes_has_an_end() {
        let twins = Arc::new(Twins::default());
        let mut large = known("a");
        large.node.link = Some(BytePath::new(vec![b'x'; 3 << 20]));
        for name in ["a", "b", "c", "d"] {
            let Turn::Mine(claim) = twins.turn(key(name), true) else { panic!("nobody has it") };
            claim.fulfil(large.clone());
        }
        assert_eq!(twins.lock().known.len(), 2);
        assert!(twins.lock().bytes <= KEPT_MAX_BYTES);
    }
}
