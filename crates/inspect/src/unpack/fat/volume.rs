//! The parameters in the boot sector, the allocation table, and chains of clusters.

use std::borrow::Cow;
use std::io;

use super::super::reading::wrong;
use crate::bytes::{le16, le32};
use crate::room::Hold;
use crate::source::{Pieces, Source};
use crate::unpack::Container;

const BOOT_BYTES: usize = 512;
/// The parameters end here, those of FAT32 later.
const PARAMETERS_BYTES: u64 = 62;
const WIDE_PARAMETERS_BYTES: u64 = 90;
const ENTRY_BYTES: u64 = 32;
const FIRST_CLUSTER: u32 = 2;
/// So much of the table is kept: no entry of 12, 16 or 32 bits crosses such a bound.
const WINDOW_BYTES: u64 = 12 << 10;
/// A volume with fewer clusters has entries of 12 bits, one with more of 16, unless it says itself that they have 32.
const CLUSTERS_12_MAX: u64 = 4084;
const CLUSTERS_MAX: u64 = 0x0fff_fff5;
/// A folder has at most 65,536 entries.
const FOLDER_MAX_BYTES: u64 = ENTRY_BYTES << 16;
/// Where the begin of the table is looked for, if it is to be seen.
const SEEN_BYTES: usize = 64 << 10;
const COMPARED_BYTES: usize = 64 << 10;

/// Tells whether there is a volume: the parameters of one in a boot sector, and a table that begins as it must.
pub(crate) fn is_volume(bytes: &[u8]) -> bool {
    let Some(parameters) = Parameters::read(bytes) else { return false };
    let at = parameters.reserved * parameters.sector_bytes;
    let table = usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.get(..3));
    match table {
        // The first entry is the kind of medium, filled up with ones.
        Some(table) => table[0] == bytes[21] && table[1] == 0xff && table[2] & 0x0f == 0x0f,
        None => bytes.len() >= SEEN_BYTES && bytes.get(82..90) == Some(b"FAT32   "),
    }
}

/// The parameters of a volume, all of them possible.
#[derive(Clone, Copy)]
struct Parameters {
    sector_bytes: u64,
    cluster_sectors: u64,
    reserved: u64,
    tables: u64,
    table_sectors: u64,
    root_entries: u64,
    sectors: u64,
    /// Whether it is FAT32, with the root's first cluster and flags about the tables.
    wide: Option<(u32, u16)>,
}

impl Parameters {
    fn read(bytes: &[u8]) -> Option<Self> {
        let boot = bytes.get(..BOOT_BYTES)?;
        let (byte, half) = (|at: usize| u64::from(boot[at]), |at| le16(boot, at).map(u64::from));
        let is_code = matches!(boot[..3], [0xeb, _, 0x90] | [0xe9, _, _]);
        let small = half(22)?;
        let wide = if small == 0 { Some((le32(boot, 44)?, le16(boot, 40)?)) } else { None };
        let parameters = Self {
            sector_bytes: half(11)?,
            cluster_sectors: byte(13),
            reserved: half(14)?,
            tables: byte(16),
            table_sectors: if small == 0 { u64::from(le32(boot, 36)?) } else { small },
            root_entries: half(17)?,
            sectors: half(19).filter(|count| *count != 0).or(le32(boot, 32).map(u64::from))?,
            wide,
        };
        let is_possible = is_code
            && boot[510..] == [0x55, 0xaa]
            && matches!(parameters.sector_bytes, 512 | 1024 | 2048 | 4096)
            && parameters.cluster_sectors.is_power_of_two()
            && parameters.reserved > 0
            && (1..=4).contains(&parameters.tables)
            && parameters.table_sectors > 0
            && (parameters.root_entries == 0) == wide.is_some()
            && matches!(boot[21], 0xf0 | 0xf8..)
            && parameters.data() < parameters.sectors;
        is_possible.then_some(parameters)
    }

    fn root(&self) -> u64 {
        self.reserved + self.tables * self.table_sectors
    }

    fn data(&self) -> u64 {
        self.root() + (self.root_entries * ENTRY_BYTES).div_ceil(self.sector_bytes)
    }
}

pub(super) struct Volume<'a> {
    source: Source<'a>,
    parameters: Parameters,
    clusters: u64,
    entry_bits: u64,
    /// The part of the table that was used last, with its number.
    window: Option<(u64, Cow<'a, [u8]>)>,
    /// Which clusters have been come to, a bit each.
    taken: Vec<u64>,
    _hold: Hold,
}

impl<'a> Volume<'a> {
    pub(super) fn read(container: &mut Container, source: &Source<'a>) -> io::Result<Self> {
        let boot = source.some(0, BOOT_BYTES)?;
        let parameters = Parameters::read(&boot).ok_or_else(|| wrong("its boot sector is impossible"))?;
        let entry = |count: u64| match parameters.wide {
            Some(_) => 32,
            None if count <= CLUSTERS_12_MAX => 12,
            None => 16,
        };
        let count = (parameters.sectors - parameters.data()) / parameters.cluster_sectors;
        let entry_bits = entry(count);
        // More clusters than the table has entries for are none.
        let entries = parameters.table_sectors * parameters.sector_bytes * 8 / entry_bits;
        let clusters = count.min(entries.saturating_sub(u64::from(FIRST_CLUSTER))).min(CLUSTERS_MAX);
        // What lies behind the file's end cannot be come to.
        let cluster_bytes = parameters.cluster_sectors * parameters.sector_bytes;
        let there = source.length().map_or(clusters, |length| clusters.min(length / cluster_bytes + 1));
        let words = there.div_ceil(64) + 1;
        let mut hold = container.inspection.room.hold();
        if !container.inspection.grow(&mut hold, words * 8) {
            return Err(wrong("it has too many clusters to be held in memory"));
        }
        let taken = vec![0; usize::try_from(words).map_err(io::Error::other)?];
        Ok(Self {
            source: source.clone(),
            parameters,
            clusters,
            entry_bits,
            window: None,
            taken,
            _hold: hold,
        })
    }

    /// How long it says it is.
    pub(super) fn bytes(&self) -> u64 {
        self.parameters.sectors * self.parameters.sector_bytes
    }

    /// What stands in front of the first table, behind the parameters: boot code among it. With them it would be a volume itself.
    pub(super) fn system_area(&self) -> Option<Source<'a>> {
        let from = if self.parameters.wide.is_some() { WIDE_PARAMETERS_BYTES } else { PARAMETERS_BYTES };
        let to = self.parameters.reserved * self.parameters.sector_bytes;
        self.source.part(from, to - from)
    }

    fn cluster_bytes(&self) -> u64 {
        self.parameters.cluster_sectors * self.parameters.sector_bytes
    }

    /// Where the table that counts is: FAT32 may have one that does and others that do not.
    fn table(&self) -> u64 {
        let active = self.active_table().unwrap_or(0);
        (self.parameters.reserved + active * self.parameters.table_sectors) * self.parameters.sector_bytes
    }

    fn active_table(&self) -> Option<u64> {
        let (_, flags) = self.parameters.wide?;
        (flags & 0x80 != 0).then_some(u64::from(flags & 0xf).min(self.parameters.tables - 1))
    }

    /// Tells whether all tables say the same, if they are to.
    pub(super) fn tables_agree(&self) -> io::Result<bool> {
        if self.active_table().is_some() {
            return Ok(true);
        }
        let length = self.parameters.table_sectors * self.parameters.sector_bytes;
        for number in 1..self.parameters.tables {
            let mut at = 0;
            while at < length {
                let count = (length - at).min(COMPARED_BYTES as u64) as usize;
                let first = self.source.some(self.table() + at, count)?;
                let other = self.source.some(self.table() + number * length + at, count)?;
                if first != other {
                    return Ok(false);
                }
                if first.is_empty() {
                    break;
                }
                at += count as u64;
            }
        }
        Ok(true)
    }

    /// Returns the content of a folder, the root if there is no cluster.
    pub(super) fn folder(
        &mut self,
        container: &mut Container,
        cluster: Option<u32>,
    ) -> io::Result<Source<'a>> {
        let cluster = match (cluster, self.parameters.wide) {
            (None, None) => {
                let at = self.parameters.root() * self.parameters.sector_bytes;
                let part = self.source.part(at, self.parameters.root_entries * ENTRY_BYTES);
                return part.ok_or_else(|| wrong("the root lies outside"));
            }
            (None, Some((root, _))) => root,
            (Some(cluster), _) => cluster,
        };
        let (pieces, is_longer) = self.chain(container, cluster, FOLDER_MAX_BYTES, None)?;
        if is_longer {
            return Err(wrong("a folder has too many names"));
        }
        self.content(pieces)
    }

    /// Returns the content of a file, and whether it has more clusters than that needs.
    pub(super) fn file(
        &mut self,
        container: &mut Container,
        cluster: u32,
        size: u32,
    ) -> io::Result<(Source<'a>, bool)> {
        let cluster = self.number(cluster);
        if size == 0 && cluster == 0 {
            return Ok((self.content(Pieces::default())?, false));
        }
        let size = u64::from(size);
        let (pieces, is_longer) = self.chain(container, cluster, size, Some(size))?;
        if pieces.length() < size {
            return Err(wrong("it has fewer clusters than its size says"));
        }
        Ok((self.content(pieces)?, is_longer))
    }

    fn content(&self, pieces: Pieces) -> io::Result<Source<'a>> {
        self.source.joined(pieces).ok_or_else(|| wrong("its clusters lie outside"))
    }

    /// Follows a chain of clusters until there are so many bytes, and tells whether it goes on. Each cluster is taken once: so a chain
    /// that leads back to itself, or into another, ends.
    fn chain(
        &mut self,
        container: &mut Container,
        cluster: u32,
        most: u64,
        size: Option<u64>,
    ) -> io::Result<(Pieces, bool)> {
        let (mut pieces, mut next) = (Pieces::default(), Some(self.number(cluster)));
        while let Some(cluster) = next {
            if pieces.length() >= most {
                return Ok((pieces, true));
            }
            let index = u64::from(cluster).checked_sub(u64::from(FIRST_CLUSTER));
            let index = index.filter(|index| *index < self.clusters);
            let index = index.ok_or_else(|| wrong("a cluster has an impossible number"))?;
            self.take(index)?;
            let sector = self.parameters.data() + index * self.parameters.cluster_sectors;
            let left = size.map_or(u64::MAX, |size| size - pieces.length());
            pieces.push(Some(sector * self.parameters.sector_bytes), self.cluster_bytes().min(left))?;
            next = self.next(container, cluster)?;
        }
        Ok((pieces, false))
    }

    fn take(&mut self, index: u64) -> io::Result<()> {
        let word = usize::try_from(index / 64).ok().and_then(|word| self.taken.get_mut(word));
        let word = word.ok_or_else(|| wrong("its clusters lie outside"))?;
        let bit = 1 << (index % 64);
        if *word & bit != 0 {
            return Err(wrong("its clusters are those of something else, too"));
        }
        *word |= bit;
        Ok(())
    }

    /// Reads which cluster comes next; `None` at the end of a chain.
    fn next(&mut self, container: &mut Container, cluster: u32) -> io::Result<Option<u32>> {
        let bit = u64::from(cluster) * self.entry_bits;
        let number = bit / 8 / WINDOW_BYTES;
        if self.window.as_ref().is_none_or(|(known, _)| *known != number) {
            container.pay(WINDOW_BYTES)?;
            let at = self.table() + number * WINDOW_BYTES;
            self.window = Some((number, self.source.some(at, WINDOW_BYTES as usize)?));
        }
        let window = self.window.as_ref().map_or(&[][..], |(_, window)| window);
        let at = (bit / 8 % WINDOW_BYTES) as usize;
        let half = || le16(window, at).map(u32::from);
        let (value, end) = match self.entry_bits {
            12 => {
                (half().map(|half| if cluster.is_multiple_of(2) { half & 0xfff } else { half >> 4 }), 0xff8)
            }
            16 => (half(), 0xfff8),
            _ => (le32(window, at).map(|word| word & 0x0fff_ffff), 0x0fff_fff8),
        };
        let value = value.ok_or_else(|| wrong("its allocation table is cut off"))?;
        Ok((value < end).then_some(value))
    }

    /// The number of a cluster, of which only FAT32 has an upper half.
    fn number(&self, cluster: u32) -> u32 {
        if self.parameters.wide.is_some() { cluster & 0x0fff_ffff } else { cluster & 0xffff }
    }
}
