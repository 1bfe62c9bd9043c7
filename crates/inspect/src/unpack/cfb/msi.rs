//! Windows Installer databases (`.msi`, `.msm`, `.msp`): each table as a text `#table/NAME`, one row a line, so that a changed
//! custom action is a changed member; the other streams under their names; the files of embedded cabinets under the paths
//! where they are installed.
//!
//! The layout of the tables is not published; it is that of Wine's `dlls/msi` and of the `msi` crate.

mod signature;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use evidence::BytePath;

use super::{CompoundFile, Wrong};
use crate::bytes::{le16, le32};
use crate::unpack::Container;

/// A stream whose name begins with this is a table.
const TABLE: char = '\u{4840}';
const TABLES: &str = "_Tables";
const COLUMNS: &str = "_Columns";
const STRING_POOL: &str = "_StringPool";
const STRING_DATA: &str = "_StringData";

const TYPE_SIZE: u16 = 0xff;
const TYPE_VALID: u16 = 0x100;
const TYPE_TEXT: u16 = 0x800;
const TYPE_NULLABLE: u16 = 0x1000;
const TYPE_KEY: u16 = 0x2000;

/// Values of one table that are held at once; a large installer's `File` table has half a million.
const VALUES_MAX: usize = 4_000_000;
/// Folders within folders of an installation.
const FOLDERS_MAX: usize = 64;

/// Tells whether a compound file has the tables of a database.
pub(super) fn is_database(file: &CompoundFile) -> bool {
    let tables = tables(file);
    [STRING_POOL, STRING_DATA].iter().all(|name| tables.contains_key(*name))
}

pub(super) fn members(container: &mut Container, file: &CompoundFile) {
    container.node.format = "msi".to_owned();
    let database = match Database::read(file) {
        Ok(database) => database,
        Err(what) => {
            container.malformed(what);
            Database::default()
        }
    };
    container.node.signature = signature::read(file, &container.inspection.trusted).map(Box::new);
    let names = Rc::new(database.file_names(file));
    for stream in &file.streams {
        if !container.admit() {
            return;
        }
        let (name, is_table) = decoded(&stream.name);
        if !is_table || !stream.storage.is_empty() {
            let plain = if is_table { format!("#table/{name}") } else { name };
            let member = super::within(&stream.storage, plain.as_bytes());
            container.inspection.cabinet_names = Rc::clone(&names);
            super::take(container, file, stream, member);
            container.inspection.cabinet_names = Rc::default();
            continue;
        }
        if !database.strings.is_empty()
            && matches!(name.as_str(), TABLES | COLUMNS | STRING_POOL | STRING_DATA)
        {
            // Every table's text has what these say of it.
            continue;
        }
        let member = BytePath::from(format!("#table/{name}"));
        let (room, what) = container.inspection.budget.room(stream.size);
        let text = database.table(file, &name).map(|table| database.text(&table, room));
        match text {
            Ok(Some(text)) => {
                container.bytes(member, text.as_bytes());
            }
            Ok(None) => container.member_problem(&member, "budget-exhausted", what),
            Err(what) => {
                container.malformed_member(&member, what);
                super::take(container, file, stream, member);
            }
        }
    }
}

/// What a database says of its tables, and its texts.
#[derive(Default)]
struct Database {
    strings: Vec<Vec<u8>>,
    /// Bytes of a reference to a text: 2, or 3 in a large database.
    reference_bytes: usize,
    /// The tables, as places in the list of streams.
    tables: BTreeMap<String, usize>,
    columns: BTreeMap<String, Vec<Column>>,
}

#[derive(Clone)]
struct Column {
    name: String,
    kind: u16,
}

/// One table: its columns, and the values of its rows.
struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Null,
    Number(i64),
    /// Number of a text.
    Text(usize),
    /// The content is a stream of the name `TABLE.KEY`.
    Stream,
}

impl Database {
    fn read(file: &CompoundFile) -> Result<Self, Wrong> {
        let mut database = Self { tables: tables(file), ..Self::default() };
        let (pool, data) = (database.content(file, STRING_POOL)?, database.content(file, STRING_DATA)?);
        database.read_strings(&pool, &data)?;
        let text = |name: &str| Column { name: name.to_owned(), kind: TYPE_TEXT | TYPE_VALID | 64 };
        let number = |name: &str| Column { name: name.to_owned(), kind: TYPE_VALID | 2 };
        let layout = [text("Table"), number("Number"), text("Name"), number("Type")];
        let mut columns: BTreeMap<String, BTreeMap<i64, Column>> = BTreeMap::new();
        if database.tables.contains_key(COLUMNS) {
            for row in database.rows(&layout, &database.content(file, COLUMNS)?)?.rows {
                if let [table, Value::Number(place), name, Value::Number(kind)] = row[..] {
                    let kind = (kind & 0xffff) as u16;
                    let column = Column { name: database.value(name), kind };
                    columns.entry(database.value(table)).or_default().insert(place, column);
                }
            }
        }
        database.columns =
            columns.into_iter().map(|(table, columns)| (table, columns.into_values().collect())).collect();
        Ok(database)
    }

    /// Reads the pool: pairs of length and count of uses; a length above 65,535 stands behind a pair of length zero.
    fn read_strings(&mut self, pool: &[u8], data: &[u8]) -> Result<(), Wrong> {
        let flags = le32(pool, 0).ok_or("the pool of texts is cut off")?;
        self.reference_bytes = if flags & 0x8000_0000 == 0 { 2 } else { 3 };
        self.strings.push(Vec::new());
        let (mut at, mut start) = (4, 0_usize);
        while let (Some(length), Some(uses)) = (le16(pool, at), le16(pool, at + 2)) {
            at += 4;
            let mut length = u32::from(length);
            if length == 0 && uses > 0 {
                // The high half stands where the uses were.
                let low = le16(pool, at).ok_or("the pool of texts is cut off")?;
                length = u32::from(uses) << 16 | u32::from(low);
                at += 4;
            }
            let end = start.checked_add(length as usize).ok_or("the texts lie outside")?;
            self.strings.push(data.get(start..end).ok_or("the texts lie outside")?.to_vec());
            start = end;
        }
        Ok(())
    }

    fn table(&self, file: &CompoundFile, name: &str) -> Result<Table, Wrong> {
        let columns = self.columns.get(name).ok_or("the database does not describe it")?;
        self.rows(columns, &self.content(file, name)?)
    }

    fn content<'a>(&self, file: &CompoundFile<'a>, table: &str) -> Result<Cow<'a, [u8]>, Wrong> {
        let stream = self.tables.get(table).and_then(|place| file.streams.get(*place));
        file.content(stream.ok_or("a table of the database is missing")?)
    }

    /// Reads a table: all values of its first column, then all of the second, and so on.
    fn rows(&self, columns: &[Column], content: &[u8]) -> Result<Table, Wrong> {
        let widths: Vec<usize> = columns.iter().map(|column| self.width(column.kind)).collect();
        let row_bytes: usize = widths.iter().sum();
        if row_bytes == 0 {
            return Err("it has no columns");
        }
        if !content.len().is_multiple_of(row_bytes) {
            return Err("its size is not a number of rows");
        }
        let count = content.len() / row_bytes;
        if count.saturating_mul(columns.len()) > VALUES_MAX {
            return Err("it has too many values");
        }
        let mut rows = vec![Vec::new(); count];
        let mut start = 0;
        for (column, width) in columns.iter().zip(&widths) {
            for (number, row) in rows.iter_mut().enumerate() {
                let at = start + number * width;
                let field = content.get(at..at + width).unwrap_or(b"");
                row.push(self.field(column.kind, field));
            }
            start += count * width;
        }
        Ok(Table { columns: columns.to_vec(), rows })
    }

    fn width(&self, kind: u16) -> usize {
        if is_stream(kind) {
            2
        } else if kind & TYPE_TEXT != 0 {
            self.reference_bytes
        } else if kind & TYPE_SIZE == 4 {
            4
        } else {
            2
        }
    }

    fn field(&self, kind: u16, field: &[u8]) -> Value {
        let number = field.iter().rev().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        if number == 0 {
            return Value::Null;
        }
        if is_stream(kind) {
            return Value::Stream;
        }
        if kind & TYPE_TEXT != 0 {
            return Value::Text(number as usize);
        }
        // Numbers are moved up by half their range, so that zero can be null.
        Value::Number(number - (1 << (field.len() * 8 - 1)))
    }

    fn value(&self, value: Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::Number(number) => number.to_string(),
            Value::Text(number) => {
                let text = self.strings.get(number).map_or(&b""[..], Vec::as_slice);
                BytePath::from(text).to_string()
            }
            Value::Stream => "(stream)".to_owned(),
        }
    }

    /// Writes a table: a line of columns with their types, then the rows, sorted, with tabs between the values. `None` if it
    /// has more than `room` bytes: rows may repeat a long text.
    fn text(&self, table: &Table, room: u64) -> Option<String> {
        let head: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                let key = if column.kind & TYPE_KEY == 0 { "" } else { "*" };
                format!("{}{key}:{:04x}", BytePath::from(column.name.as_bytes()), column.kind)
            })
            .collect();
        let mut text = head.join("\t") + "\n";
        let mut size = 0_u64;
        let mut lines = Vec::new();
        for row in &table.rows {
            let line: Vec<String> = row.iter().map(|value| self.value(*value)).collect();
            let line = line.join("\t");
            size = size.saturating_add(line.len() as u64 + 1);
            if size > room {
                return None;
            }
            lines.push(line);
        }
        lines.sort();
        for line in lines {
            // Writing to a text cannot fail.
            writeln!(text, "{line}").ok()?;
        }
        Some(text)
    }

    /// Maps the keys of the `File` table, by which a cabinet calls its files, to the paths where they are installed. A path that
    /// two files have (one of them is installed, by condition) is followed by the key.
    fn file_names(&self, file: &CompoundFile) -> BTreeMap<Vec<u8>, BytePath> {
        let column = |table: &str, key: &str, value: &str| self.pairs(file, table, key, value);
        let names = column("File", "File", "FileName");
        let components = column("File", "File", "Component_");
        let folders = column("Component", "Component", "Directory_");
        let parents = column("Directory", "Directory", "Directory_Parent");
        let folder_names = column("Directory", "Directory", "DefaultDir");
        let mut paths: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        let mut uses: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (key, name) in &names {
            let folder = components.get(key).and_then(|component| folders.get(component));
            let mut parts = vec![long_name(name).to_vec()];
            let mut at = folder;
            while let Some(folder) = at.filter(|_| parts.len() < FOLDERS_MAX) {
                let parent = parents.get(folder).filter(|parent| !parent.is_empty() && *parent != folder);
                let name = folder_names.get(folder).map_or(&b""[..], |name| long_name(name));
                match name {
                    _ if folder == b"TARGETDIR" => {}
                    // The system's folders are known by their keys; `.` is the same folder as the parent.
                    _ if is_standard(folder) || parent.is_none() => parts.push(folder.clone()),
                    b"." => {}
                    name => parts.push(name.to_vec()),
                }
                at = parent;
            }
            parts.reverse();
            let path = parts.join(&b'/');
            *uses.entry(path.clone()).or_default() += 1;
            paths.insert(key, path);
        }
        paths
            .into_iter()
            .map(|(key, path)| {
                let unique = uses.get(&path) == Some(&1);
                let path = if unique { path } else { [path.as_slice(), b"#", key].concat() };
                (key.to_vec(), BytePath::new(path))
            })
            .collect()
    }

    /// Returns the texts of one column by the texts of another; empty if the table cannot be read, which is told where the
    /// table itself is.
    fn pairs(&self, file: &CompoundFile, table: &str, key: &str, value: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let Ok(table) = self.table(file, table) else { return BTreeMap::new() };
        let place = |name: &str| table.columns.iter().position(|column| column.name == name);
        let (Some(key), Some(value)) = (place(key), place(value)) else { return BTreeMap::new() };
        let text = |value: Value| match value {
            Value::Text(number) => self.strings.get(number).cloned(),
            _ => Some(Vec::new()),
        };
        table.rows.iter().filter_map(|row| Some((text(*row.get(key)?)?, text(*row.get(value)?)?))).collect()
    }
}

/// Takes the long target name of `short|long:source`, as columns of the types `Filename` and `DefaultDir` have it.
fn long_name(name: &[u8]) -> &[u8] {
    let target = name.split(|byte| *byte == b':').next().unwrap_or(name);
    target.rsplit(|byte| *byte == b'|').next().unwrap_or(target)
}

/// Tells whether a folder is one of the system, whose place the installer knows by its key.
fn is_standard(folder: &[u8]) -> bool {
    folder.ends_with(b"Folder") || folder.ends_with(b"Folder64")
}

fn is_stream(kind: u16) -> bool {
    kind & !TYPE_NULLABLE == TYPE_TEXT | TYPE_VALID
}

/// Finds the tables among the streams of the root.
fn tables(file: &CompoundFile) -> BTreeMap<String, usize> {
    let root = file.streams.iter().enumerate().filter(|(_, stream)| stream.storage.is_empty());
    root.filter_map(|(place, stream)| match decoded(&stream.name) {
        (name, true) => Some((name, place)),
        _ => None,
    })
    .collect()
}

/// Decodes a stream's name: two characters of 64 in one, and whether it is that of a table.
fn decoded(name: &[u8]) -> (String, bool) {
    const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";
    let name = String::from_utf8_lossy(name);
    let letter = |number: u32| char::from(ALPHABET[(number & 63) as usize]);
    let is_table = name.starts_with(TABLE);
    let mut out = String::new();
    for unit in name.strip_prefix(TABLE).unwrap_or(&name).chars() {
        match u32::from(unit) {
            pair @ 0x3800..0x4800 => out.extend([letter(pair - 0x3800), letter((pair - 0x3800) >> 6)]),
            single @ 0x4800..0x4840 => out.push(letter(single - 0x4800)),
            _ => out.push(unit),
        }
    }
    (out, is_table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded() {
        assert_eq!(
            decoded("\u{4840}\u{3f7f}\u{4164}\u{422f}\u{4836}".as_bytes()),
            ("_Tables".to_owned(), true)
        );
        assert_eq!(decoded("\u{44ca}\u{47b3}\u{46e8}\u{4828}".as_bytes()), ("App.exe".to_owned(), false));
        assert_eq!(decoded(b"\x05SummaryInformation").0, "\u{5}SummaryInformation");
    }

    #[test]
    fn the_long_target_name_is_taken() {
        assert_eq!(long_name(b"LONGNA~1.DLL|long name.dll"), b"long name.dll");
        assert_eq!(long_name(b"APP|App Folder:SRC|source"), b"App Folder");
        assert_eq!(long_name(b"."), b".");
    }
}
