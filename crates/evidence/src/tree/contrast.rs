//! Two versions of one member side by side: which stretches differ, and which texts came and went. Bounded; made by
//! `inspect::contrast` for people to look at and for `judge` to find a cause in.

/// How the bytes of two versions differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contrast {
    /// Stretches that differ, in the order of the new version; at most [`Contrast::REGIONS_MAX`].
    pub regions: Vec<Region>,
    /// How many there were beyond those.
    pub more_regions: u64,
    /// Printable texts of the new version that the old one has not; at most [`Contrast::STRINGS_MAX`].
    pub strings_added: Vec<String>,
    /// Printable texts of the old version that the new one has not.
    pub strings_removed: Vec<String>,
    /// Both have the same lines in another order.
    pub reordered_lines: bool,
}

impl Contrast {
    /// No more regions are listed.
    pub const REGIONS_MAX: usize = 64;
    /// No more texts are listed on either side.
    pub const STRINGS_MAX: usize = 200;
    /// No more bytes of a stretch are kept.
    pub const SHOWN_BYTES: usize = 96;
}

/// One stretch that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// What stood there.
    pub old: Stretch,
    /// What stands there.
    pub new: Stretch,
}

/// A part of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes; zero where something was only added or removed.
    pub size: u64,
    /// Its first bytes.
    pub shown: Vec<u8>,
}
