//! What an inspection may cost. Every unit is counted, none is timed: the same input ends at the same place on
//! every machine.

/// The work that an inspection may still do. What goes beyond is a problem in the result.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Members still to be opened.
    pub members: u64,
    /// Unpacked bytes still to be read: the measure of time, because all work is linear in them.
    pub bytes: u64,
    /// Unpacked bytes of one member, whether they are held in memory or go by.
    pub member_bytes: u64,
    /// Bytes that may be held in memory at a time. What is larger is read where it lies, as often as it must; of a format that is
    /// read only in memory, it is a problem.
    pub held_bytes: u64,
    /// Unpacked bytes per packed byte of one stream, once it has given [`RATIO_FREE_BYTES`].
    pub ratio: u64,
    /// Containers within containers.
    pub depth: u32,
    /// Names of symbols and libraries still to be listed.
    pub symbols: u64,
    /// Bytes of what is found, as it stands in memory: members, names, lists.
    pub facts_bytes: u64,
}

/// What a stream may give whatever its ratio: honest files of zeros stay below.
pub const RATIO_FREE_BYTES: u64 = 64 << 20;

/// The program of Electron has 175 MiB.
const HELD_MAX_BYTES: u64 = 184 << 20;
/// A hundred thousand members, or half a million symbols.
const FACTS_MAX_BYTES: u64 = 72 << 20;
/// What a name takes beside its letters.
const NAME_BYTES: u64 = 72;

impl Default for Budget {
    /// Enough for an installer of several gigabytes, and an end for a bomb within seconds.
    fn default() -> Self {
        Self {
            members: 500_000,
            bytes: 8 << 30,
            member_bytes: 4 << 30,
            held_bytes: HELD_MAX_BYTES,
            ratio: 1_000,
            depth: 12,
            symbols: 4_000_000,
            facts_bytes: FACTS_MAX_BYTES,
        }
    }
}

/// What ran out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Exhausted(pub(crate) &'static str);

impl Budget {
    pub(crate) fn member(&mut self) -> Result<(), Exhausted> {
        self.members = self.members.checked_sub(1).ok_or(Exhausted("too many members"))?;
        Ok(())
    }

    /// Pays for a name that is listed, but for its letters.
    pub(crate) fn symbol(&mut self) -> Result<(), Exhausted> {
        self.symbols = self.symbols.checked_sub(1).ok_or(Exhausted("too many symbols"))?;
        self.facts(NAME_BYTES)
    }

    /// Pays for what is kept of a file.
    pub(crate) fn facts(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let left = self.facts_bytes.checked_sub(bytes);
        self.facts_bytes = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Exhausted("too many facts"))
    }

    /// Returns the most bytes that the next member, unpacked from `packed` bytes, may have, and what they would exceed.
    pub(crate) fn room(&self, packed: u64) -> (u64, Exhausted) {
        let stream = self.stream_room(packed);
        if self.member_bytes < stream.0 {
            (self.member_bytes, Exhausted("too many bytes in one member"))
        } else {
            stream
        }
    }

    /// Returns the most bytes that a stream of `packed` bytes may give if they are not held in memory.
    pub(crate) fn stream_room(&self, packed: u64) -> (u64, Exhausted) {
        let ratio = packed.saturating_mul(self.ratio).saturating_add(RATIO_FREE_BYTES);
        if ratio < self.bytes {
            (ratio, Exhausted("too many bytes for so few packed ones"))
        } else {
            (self.bytes, Exhausted("too many bytes"))
        }
    }

    pub(crate) fn pay(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
