//! How much an inspection holds in memory. What does not fit is read where it lies, or is a problem.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So much each inspection may hold, whatever others do.
const SMALL_MAX_BYTES: u64 = 24 << 20;

/// Who has it holds more than [`SMALL_MAX_BYTES`]. Who waits for it has no other lock, so that nobody waits for ever; and what an
/// inspection may hold does not depend on others, so that neither does its result.
static LARGE: Mutex<()> = Mutex::new(());

/// What one inspection holds.
pub(crate) struct Room {
    held: Cell<u64>,
    most: u64,
    /// Several of them may be large at a time.
    is_shared: bool,
    large: RefCell<Option<MutexGuard<'static, ()>>>,
}

impl Room {
    /// For one inspection beside others.
    pub(crate) fn beside_others(most: u64) -> Rc<Self> {
        Rc::new(Self { held: Cell::new(0), most, is_shared: true, large: RefCell::new(None) })
    }

    /// For an inspection by somebody who has the memory.
    pub(crate) fn of_bytes(most: u64) -> Rc<Self> {
        Rc::new(Self { held: Cell::new(0), most, is_shared: false, large: RefCell::new(None) })
    }

    /// How much may be held.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Tells whether others wait until less is held.
    pub(crate) fn is_large(&self) -> bool {
        self.large.borrow().is_some()
    }

    /// Holds nothing yet.
    pub(crate) fn hold(self: &Rc<Self>) -> Hold {
        Hold { room: Rc::clone(self), bytes: 0 }
    }

    fn add(&self, bytes: u64) -> bool {
        let held = self.held.get().saturating_add(bytes);
        if held > self.most {
            return false;
        }
        if self.is_shared && held > SMALL_MAX_BYTES && self.large.borrow().is_none() {
            let lock = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
            *self.large.borrow_mut() = Some(lock);
        }
        self.held.set(held);
        true
    }

    fn remove(&self, bytes: u64) {
        let held = self.held.get().saturating_sub(bytes);
        self.held.set(held);
        if held <= SMALL_MAX_BYTES {
            *self.large.borrow_mut() = None;
        }
    }
}

/// Bytes that are accounted for while this lives.
pub(crate) struct Hold {
    room: Rc<Room>,
    bytes: u64,
}

impl Hold {
    /// Holds more; `false` if there is no room, and then nothing has changed.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let fits = self.room.add(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Holds only so many from here on.
    pub(crate) fn shrink(&mut self, to: u64) {
        let less = self.bytes.saturating_sub(to);
        self.bytes -= less;
        self.room.remove(less);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Content that is held in memory, and accounted for.
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hold: Hold,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD_MAX_BYTES: u64 = 100 << 20;

    #[test]
    fn one_inspection_at_a_time_is_large() {
        let room = Room::beside_others(HELD_MAX_BYTES);
        let mut small = room.hold();
        assert!(small.grow(SMALL_MAX_BYTES) && room.large.borrow().is_none());
        let mut large = room.hold();
        assert!(large.grow(HELD_MAX_BYTES - SMALL_MAX_BYTES) && !large.grow(1));
        assert!(LARGE.try_lock().is_err());
        let other = std::thread::spawn(|| {
            let room = Room::beside_others(HELD_MAX_BYTES);
            let mut hold = room.hold();
            assert!(hold.grow(SMALL_MAX_BYTES) && !hold.grow(HELD_MAX_BYTES));
        });
        other.join().unwrap();
        large.shrink(5);
        assert!(large.grow(1) && large.bytes() == 6);
        drop((large, small));
        assert_eq!(room.held.get(), 0);
        assert!(room.large.borrow().is_none());
        assert!(Room::of_bytes(10).hold().grow(10) && !Room::of_bytes(10).hold().grow(11));
    }
}
