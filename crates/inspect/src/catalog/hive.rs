//! Windows' registry as files (`regf`): keys and values by path, with no more memory than the file and no recursion.
//!
//! Layout: a base block of 4096 bytes with the root's place; behind it cells, each with its length in front (negative where in
//! use). A key (`nk`) has lists of its keys (`lf`, `lh`, `li`, and `ri` of these) and of its values (`vk`). Logs of changes
//! beside a hive are not played back.

use std::cell::Cell;

use crate::bytes::{le16, le32};

const BASE_BYTES: usize = 4096;
/// Keys below one key.
const KEYS_MAX: usize = 100_000;
/// Values of one key.
const VALUES_MAX: usize = 10_000;
/// Bytes of one value; longer ones (`db`) are of no interest here.
const VALUE_MAX_BYTES: usize = 16_344;

/// Cells that are looked up in one hive: lists may name the same cells again and again.
const CELLS_MAX: u64 = 20_000_000;

/// A hive.
pub(super) struct Hive<'a> {
    bytes: &'a [u8],
    /// Cells that may still be looked up.
    room: Cell<u64>,
}

/// A key of a hive.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    hive: &'a Hive<'a>,
    cell: &'a [u8],
}

impl<'a> Hive<'a> {
    /// Takes a file, if it is a hive.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.starts_with(b"regf") && bytes.len() > BASE_BYTES)
            .then(|| Self { bytes, room: Cell::new(CELLS_MAX) })
    }

    /// Tells whether more was asked of it than is answered.
    pub(super) fn is_exhausted(&self) -> bool {
        self.room.get() == 0
    }

    pub(super) fn root(&'a self) -> Option<Key<'a>> {
        self.key(le32(self.bytes, 0x24)?)
    }

    /// The content of a cell.
    fn cell(&self, place: u32) -> Option<&'a [u8]> {
        self.room.set(self.room.get().checked_sub(1)?);
        let at = usize::try_from(place).ok()?.checked_add(BASE_BYTES)?;
        let size = i32::from_le_bytes(le32(self.bytes, at)?.to_le_bytes());
        // A length that is not negative is of a cell that nobody uses.
        let size = usize::try_from(size.checked_neg()?).ok()?;
        self.bytes.get(at + 4..at.checked_add(size)?)
    }

    fn key(&'a self, place: u32) -> Option<Key<'a>> {
        let cell = self.cell(place)?;
        cell.starts_with(b"nk").then_some(Key { hive: self, cell })
    }
}

impl<'a> Key<'a> {
    pub(super) fn name(&self) -> Option<String> {
        let length = usize::from(le16(self.cell, 72)?);
        let name = self.cell.get(76..76 + length)?;
        Some(text(name, le16(self.cell, 2)? & 0x20 != 0))
    }

    /// The keys below; what of them cannot be read is left out.
    pub(super) fn keys(&self) -> Vec<Key<'a>> {
        let mut keys = Vec::new();
        let Some(list) = le32(self.cell, 28).and_then(|place| self.hive.cell(place)) else { return keys };
        let mut take = |list: &[u8], row: usize| {
            let count = usize::from(le16(list, 2).unwrap_or(0));
            for number in 0..count {
                let place = le32(list, 4 + number * row);
                if keys.len() < KEYS_MAX {
                    keys.extend(place.and_then(|place| self.hive.key(place)));
                }
            }
        };
        match list.get(..2) {
            Some(b"lf" | b"lh") => take(list, 8),
            Some(b"li") => take(list, 4),
            // A list of lists: one level, as Windows writes it.
            Some(b"ri") => {
                for number in 0..usize::from(le16(list, 2).unwrap_or(0)) {
                    let inner = le32(list, 4 + number * 4).and_then(|place| self.hive.cell(place));
                    match inner.map(|inner| (inner, inner.get(..2))) {
                        Some((inner, Some(b"lf" | b"lh"))) => take(inner, 8),
                        Some((inner, Some(b"li"))) => take(inner, 4),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        keys
    }

    /// The key below under a name, whatever its case.
    pub(super) fn below(&self, name: &str) -> Option<Key<'a>> {
        self.keys().into_iter().find(|key| key.name().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    /// The key at a path, its parts separated by `\`.
    pub(super) fn at(self, path: &str) -> Option<Key<'a>> {
        path.split('\\').try_fold(self, |key, name| key.below(name))
    }

    /// A value: a text, or a number in decimal.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let count = usize::try_from(le32(self.cell, 36)?).ok()?.min(VALUES_MAX);
        let list = self.hive.cell(le32(self.cell, 40)?)?;
        (0..count).find_map(|number| {
            let cell = self.hive.cell(le32(list, number * 4)?)?;
            let length = usize::from(le16(cell, 2)?);
            let own = cell.starts_with(b"vk").then(|| cell.get(20..20 + length))??;
            if !text(own, le16(cell, 16)? & 1 != 0).eq_ignore_ascii_case(name) {
                return None;
            }
            let (size, kind) = (le32(cell, 4)?, le32(cell, 12)?);
            // Up to four bytes stand where otherwise their place does.
            let data = if size & 0x8000_0000 != 0 {
                cell.get(8..8 + usize::try_from(size & 7).ok()?.min(4))?
            } else {
                let size = usize::try_from(size).ok().filter(|size| *size <= VALUE_MAX_BYTES)?;
                self.hive.cell(le32(cell, 8)?)?.get(..size)?
            };
            match kind {
                1 | 2 => Some(text(data, false)),
                4 => Some(le32(data, 0)?.to_string()),
                _ => None,
            }
        })
    }
}

/// Latin letters of a byte each, or UTF-16; up to a zero.
fn text(bytes: &[u8], is_narrow: bool) -> String {
    let end = |c: &char| *c != '\0';
    if is_narrow {
        return bytes.iter().map(|byte| char::from(*byte)).take_while(end).collect();
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).take_while(end).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key: its name, its values (a text, or a number that begins with `#`), and keys below.
    pub(in crate::catalog) struct Made<'a>(
        pub(in crate::catalog) &'a str,
        pub(in crate::catalog) &'a [(&'a str, &'a str)],
        pub(in crate::catalog) Vec<Made<'a>>,
    );

    /// Makes a hive.
    pub(in crate::catalog) fn hive(root: &Made<'_>) -> Vec<u8> {
        let mut cells = vec![0_u8; 32];
        let place = key(root, &mut cells);
        let mut file = vec![0_u8; BASE_BYTES];
        file[..4].copy_from_slice(b"regf");
        file[0x24..0x28].copy_from_slice(&place.to_le_bytes());
        file.extend(cells);
        file
    }

    fn cell(content: &[u8], cells: &mut Vec<u8>) -> u32 {
        let place = u32::try_from(cells.len()).unwrap();
        let size = (content.len() + 4).next_multiple_of(8);
        cells.extend((-i32::try_from(size).unwrap()).to_le_bytes());
        cells.extend(content);
        cells.resize(place as usize + size, 0);
        place
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn key(made: &Made<'_>, cells: &mut Vec<u8>) -> u32 {
        let below: Vec<u32> = made.2.iter().map(|inner| key(inner, cells)).collect();
        let values: Vec<u32> = made
            .1
            .iter()
            .map(|(name, value)| {
                let (kind, size, data) = match value.strip_prefix('#') {
                    Some(number) => (4_u32, 0x8000_0004_u32, number.parse::<u32>().unwrap()),
                    None => {
                        let bytes = wide(value);
                        (1, u32::try_from(bytes.len()).unwrap(), cell(&bytes, cells))
                    }
                };
                let mut row = b"vk".to_vec();
                row.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
                [size, data, kind].iter().for_each(|number| row.extend(number.to_le_bytes()));
                row.extend([1, 0, 0, 0]);
                row.extend(name.as_bytes());
                cell(&row, cells)
            })
            .collect();
        // Half of the keys by a list of lists, as large keys have them.
        let list = |kind: &[u8; 2], places: &[u32], cells: &mut Vec<u8>| {
            let mut list = kind.to_vec();
            list.extend(u16::try_from(places.len()).unwrap().to_le_bytes());
            for place in places {
                list.extend(place.to_le_bytes());
                if kind == b"lf" {
                    list.extend([0; 4]);
                }
            }
            cell(&list, cells)
        };
        let (first, second) = below.split_at(below.len() / 2);
        let lists = [list(b"lf", first, cells), list(b"li", second, cells)];
        let keys = list(b"ri", &lists, cells);
        let rows: Vec<u8> = values.iter().flat_map(|place| place.to_le_bytes()).collect();
        let rows = cell(&rows, cells);
        let mut nk = vec![0_u8; 76];
        nk[..2].copy_from_slice(b"nk");
        nk[2] = 0x20;
        nk[20..24].copy_from_slice(&u32::try_from(below.len()).unwrap().to_le_bytes());
        nk[28..32].copy_from_slice(&keys.to_le_bytes());
        nk[36..40].copy_from_slice(&u32::try_from(values.len()).unwrap().to_le_bytes());
        nk[40..44].copy_from_slice(&rows.to_le_bytes());
        nk[72..74].copy_from_slice(&u16::try_from(made.0.len()).unwrap().to_le_bytes());
        nk.extend(made.0.as_bytes());
        cell(&nk, cells)
    }

    #[test]
    fn keys_and_values_are_found_by_path() {
        let inner = |name| Made(name, &[("V", "text"), ("N", "#7")], Vec::new());
        let file = hive(&Made("ROOT", &[], vec![inner("a"), inner("b"), Made("C", &[], vec![inner("d")])]));
        let hive = Hive::of(&file).unwrap();
        let root = hive.root().unwrap();
        assert_eq!(root.keys().iter().filter_map(Key::name).collect::<Vec<_>>(), ["a", "b", "C"]);
        let key = root.at("c\\D").unwrap();
        assert_eq!(
            (key.value("v").as_deref(), key.value("n").as_deref(), key.value("x")),
            (Some("text"), Some("7"), None)
        );
        assert!(root.at("c\\e").is_none());
        assert!(Hive::of(b"regf").is_none());
    }

    #[test]
    fn a_list_that_names_its_own_key_ends() {
        let mut file = hive(&Made("ROOT", &[], vec![Made("a", &[], Vec::new())]));
        let root = le32(&file, 0x24).unwrap();
        for at in (BASE_BYTES..file.len() - 4).step_by(4) {
            let kept = file[at..at + 4].to_vec();
            file[at..at + 4].copy_from_slice(&root.to_le_bytes());
            let hive = Hive::of(&file).unwrap();
            if let Some(root) = hive.root() {
                root.at("a\\a\\a\\a");
            }
            file[at..at + 4].copy_from_slice(&kept);
        }
    }
}
