//! What an inspection may cost.

/// The work that an inspection may still do. What goes beyond is a problem in the result.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Members still to be opened.
    pub members: u64,
    /// Unpacked bytes still to be read.
    pub bytes: u64,
    /// Unpacked bytes of one member: they are held in memory.
    pub member_bytes: u64,
    /// Containers within containers.
    pub depth: u32,
    /// Names of symbols and libraries still to be listed.
    pub symbols: u64,
}

impl Default for Budget {
    /// Enough for an installer of several gigabytes, and an end for a bomb within seconds.
    fn default() -> Self {
        Self { members: 500_000, bytes: 8 << 30, member_bytes: 1 << 30, depth: 12, symbols: 4_000_000 }
    }
}

/// What ran out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exhausted(pub(crate) &'static str);

impl Budget {
    pub(crate) fn member(&mut self) -> Result<(), Exhausted> {
        self.members = self.members.checked_sub(1).ok_or(Exhausted("too many members"))?;
        Ok(())
    }

    pub(crate) fn symbol(&mut self) -> Result<(), Exhausted> {
        self.symbols = self.symbols.checked_sub(1).ok_or(Exhausted("too many symbols"))?;
        Ok(())
    }

    /// Returns the most bytes that the next member may have.
    pub(crate) fn room(&self) -> u64 {
        self.bytes.min(self.member_bytes)
    }

    pub(crate) fn pay(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
