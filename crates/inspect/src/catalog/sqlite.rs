//! The tables of an SQLite file (SQLite, "Database File Format"): B-tree pages of a table, with overflow. Only whole pages in the
//! file count: a write-ahead log beside it is not read. No statement is run: rows are taken as they lie.

use crate::bytes::{be16, be32};

/// Bytes of one row.
const ROW_MAX_BYTES: usize = 64 << 20;
/// Bytes of all rows of one table.
const ALL_MAX_BYTES: usize = 1 << 30;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Pages that are visited: each at most once, and no more than this.
const PAGES_MAX: usize = 4 << 20;

struct File<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// Bytes of a page without what is reserved at its end.
    usable: usize,
}

/// Takes the rows of a table: the key, and the columns as they are stored. Numbers are big-endian.
pub(super) fn rows(
    bytes: &[u8],
    table: &str,
    take: &mut dyn FnMut(u64, &[&[u8]]),
) -> Result<(), &'static str> {
    if !bytes.starts_with(MAGIC) {
        return Err("not an SQLite file");
    }
    let size = be16(bytes, 16).ok_or("the file is too short")?;
    let page_bytes = if size == 1 { 65536 } else { usize::from(size) };
    let reserved = usize::from(*bytes.get(20).ok_or("the file is too short")?);
    if !page_bytes.is_power_of_two() || page_bytes < 512 || reserved > page_bytes - 480 {
        return Err("the page size is impossible");
    }
    let file = File { bytes, page_bytes, usable: page_bytes - reserved };
    let mut root = None;
    file.rows(1, &mut |_, record| {
        let columns = columns(record);
        if columns.first().is_some_and(|text| *text == b"table")
            && columns.get(1).is_some_and(|name| *name == table.as_bytes())
        {
            root = columns.get(3).and_then(|column| u32::try_from(number(column)).ok());
        }
    })?;
    let root = root.ok_or("there is no such table")?;
    file.rows(root, &mut |key, record| take(key, &columns(record)))
}

/// Reads a number that is not negative.
pub(super) fn number(column: &[u8]) -> u64 {
    column.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

impl File<'_> {
    fn page(&self, number: u32) -> Option<&[u8]> {
        let start = usize::try_from(number).ok()?.checked_sub(1)?.checked_mul(self.page_bytes)?;
        self.bytes.get(start..start.checked_add(self.page_bytes)?)
    }

    /// Visits the rows of a table.
    fn rows(&self, root: u32, take: &mut dyn FnMut(u64, &[u8])) -> Result<(), &'static str> {
        let (mut waiting, mut seen, mut total) = (vec![root], std::collections::HashSet::new(), 0_usize);
        while let Some(number) = waiting.pop() {
            if !seen.insert(number) || seen.len() > PAGES_MAX {
                return Err("its pages form a circle");
            }
            let page = self.page(number).ok_or("a page lies outside")?;
            // The first page begins with the file's header.
            let start = if number == 1 { 100 } else { 0 };
            let kind = *page.get(start).ok_or("a page is too short")?;
            let cells = usize::from(be16(page, start + 3).ok_or("a page is too short")?);
            let first = start + if kind == 0x05 { 12 } else { 8 };
            for cell in 0..cells {
                let at = usize::from(be16(page, first + cell * 2).ok_or("a cell lies outside")?);
                let content = page.get(at..).ok_or("a cell lies outside")?;
                match kind {
                    0x05 => waiting.push(be32(content, 0).ok_or("a cell is too short")?),
                    0x0d => {
                        let (key, record) = self.record(content).ok_or("a row cannot be read")?;
                        total = total.saturating_add(record.len());
                        if total > ALL_MAX_BYTES {
                            return Err("the database is too large");
                        }
                        take(key, &record);
                    }
                    _ => return Err("a page is of another kind"),
                }
            }
            if kind == 0x05 {
                waiting.push(be32(page, start + 8).ok_or("a page is too short")?);
            }
        }
        Ok(())
    }

    /// Puts the content of a leaf's cell together: what is too long goes on in other pages.
    fn record(&self, cell: &[u8]) -> Option<(u64, Vec<u8>)> {
        let (length, rest) = varint(cell)?;
        let (key, rest) = varint(rest)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ROW_MAX_BYTES)?;
        let most = self.usable - 35;
        if length <= most {
            return Some((key, rest.get(..length)?.to_vec()));
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        let local = if fitting <= most { fitting } else { least };
        let mut record = rest.get(..local)?.to_vec();
        let mut next = be32(rest, local)?;
        while record.len() < length {
            let page = self.page(next)?;
            let part = page.get(4..self.usable)?;
            record.extend_from_slice(part.get(..part.len().min(length - record.len()))?);
            next = be32(page, 0)?;
        }
        Some((key, record))
    }
}

/// Takes a record apart: a header with a type for each column, and their values.
fn columns(record: &[u8]) -> Vec<&[u8]> {
    let mut columns = Vec::new();
    let Some((size, rest)) = varint(record) else { return columns };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let head = record.len() - rest.len();
    let (Some(mut types), Some(mut values)) = (record.get(head..size), record.get(size..)) else {
        return columns;
    };
    while let Some((kind, rest)) = varint(types) {
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => kind.saturating_sub(12) / 2,
        };
        let Some((value, rest)) =
            usize::try_from(length).ok().and_then(|length| values.split_at_checked(length))
        else {
            return columns;
        };
        // The numbers 0 and 1 are in their type.
        columns.push(match kind {
            8 => &[0],
            9 => &[1],
            _ => value,
        });
        values = rest;
    }
    columns
}

/// Reads a number of one to nine bytes, the highest bits first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), bytes.get(9..)?));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table: its name, and its rows with their keys.
    type Table<'a> = (&'a str, Vec<(u64, Vec<Vec<u8>>)>);

    /// Makes a file of one page a table, with rows that fit into it.
    pub(in crate::catalog) fn file(tables: &[Table<'_>]) -> Vec<u8> {
        const PAGE: usize = 4096;
        let schema = (2_u64..).zip(tables).map(|(page, (name, _))| {
            let name = name.as_bytes().to_vec();
            (page, vec![b"table".to_vec(), name.clone(), name, vec![u8::try_from(page).unwrap()]])
        });
        let mut file = page(PAGE, 100, schema.collect());
        file[..16].copy_from_slice(MAGIC);
        file[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        for (_, rows) in tables {
            file.extend(page(PAGE, 0, rows.clone()));
        }
        file
    }

    /// Columns of one byte are numbers, of no byte nothing, others texts.
    fn page(size: usize, start: usize, rows: Vec<(u64, Vec<Vec<u8>>)>) -> Vec<u8> {
        let mut page = vec![0; size];
        page[start] = 0x0d;
        page[start + 3..start + 5].copy_from_slice(&u16::try_from(rows.len()).unwrap().to_be_bytes());
        let mut end = size;
        for (number, (key, columns)) in rows.into_iter().enumerate() {
            let mut kinds = Vec::new();
            for column in &columns {
                kinds.extend(match column.len() {
                    0 => vec![0],
                    1 => vec![1],
                    length => short(13 + 2 * length),
                });
            }
            let mut record = vec![u8::try_from(kinds.len() + 1).unwrap()];
            record.extend(kinds);
            columns.iter().for_each(|column| record.extend(column));
            let mut cell = short(record.len());
            cell.push(u8::try_from(key).unwrap());
            cell.extend(record);
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(&cell);
            let at = start + 8 + number * 2;
            page[at..at + 2].copy_from_slice(&u16::try_from(end).unwrap().to_be_bytes());
        }
        page
    }

    /// A number of one or two bytes.
    fn short(number: usize) -> Vec<u8> {
        let low = u8::try_from(number & 0x7f).unwrap();
        if number < 128 { vec![low] } else { vec![0x80 | u8::try_from(number >> 7).unwrap(), low] }
    }

    #[test]
    fn rows_have_keys_and_numbers_in_their_types() {
        let made = file(&[("T", vec![(7, vec![b"ab".to_vec(), vec![5], Vec::new()])])]);
        let mut seen = Vec::new();
        rows(&made, "T", &mut |key, columns| {
            seen.push((key, columns.iter().map(|c| c.to_vec()).collect::<Vec<_>>()))
        })
        .unwrap();
        assert_eq!(seen, [(7, vec![b"ab".to_vec(), vec![5], Vec::new()])]);
        assert_eq!(columns(&[3, 8, 9]), [&[0_u8][..], &[1]]);
        assert_eq!(rows(&made, "U", &mut |_, _| {}), Err("there is no such table"));
        assert_eq!((number(&[1, 0]), number(&[])), (256, 0));
    }
}
