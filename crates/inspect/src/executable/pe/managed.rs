//! What a .NET image brings beside its native part (ECMA-335, II.22 to II.25.3.3): flags, resources, functions of native libraries
//! (`P/Invoke`), and code that runs as soon as the module is loaded.

use std::collections::BTreeSet;

use evidence::tree::{Executable, Resource};
use evidence::{Digest, references};
use object::pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR;
use object::read::pe::{ImageNtHeaders, PeFile};

use super::super::{Room, Unreadable, text};
use super::Map;
use crate::budget::Budget;
use crate::bytes::{le16, le32, le64, until_zero};
use crate::entropy::entropy_millibits;

/// Flags of the CLR header (II.25.3.3.1).
const FLAGS: &[(u32, &str)] = &[
    (0x1, "il-only"),
    (0x2, "32-bit-required"),
    (0x8, "strong-name-signed"),
    (0x10, "native-entry"),
    (0x2_0000, "32-bit-preferred"),
];

/// Streams of a module: five are defined, and obfuscators add some.
const STREAMS_MAX: u16 = 64;
/// No name is longer (`MAX_CLASS_NAME`).
const NAME_MAX: usize = 1024;
const MODULE: &str = "module-initializer";

const TYPE_REF: usize = 0x01;
const TYPE: usize = 0x02;
const FIELD: usize = 0x04;
const METHOD: usize = 0x06;
const PARAM: usize = 0x08;
const MEMBER_REF: usize = 0x0a;
const EVENT: usize = 0x14;
const PROPERTY: usize = 0x17;
const MODULE_REF: usize = 0x1a;
const IMPL_MAP: usize = 0x1c;
const ASSEMBLY_REF: usize = 0x23;
const RESOURCE: usize = 0x28;

/// What a column of a table holds.
#[derive(Clone, Copy)]
enum Column {
    Bytes(usize),
    String,
    Guid,
    Blob,
    /// The number of a row of one table.
    Row(usize),
    /// The number of a row of one of several tables, which the lowest bits name.
    Coded(u32, &'static [usize]),
}

use Column::{Blob, Bytes, Coded, Guid, Row, String as Text};

const TYPE_DEF_OR_REF: Column = Coded(2, &[TYPE, 0x01, 0x1b]);
const METHOD_DEF_OR_REF: Column = Coded(1, &[METHOD, 0x0a]);
const IMPLEMENTATION: Column = Coded(2, &[0x26, ASSEMBLY_REF, 0x27]);
const HAS_ATTRIBUTE: Column = Coded(
    5,
    &[
        METHOD,
        FIELD,
        0x01,
        TYPE,
        PARAM,
        0x09,
        0x0a,
        0x00,
        0x0e,
        PROPERTY,
        EVENT,
        0x11,
        MODULE_REF,
        0x1b,
        0x20,
        ASSEMBLY_REF,
        0x26,
        0x27,
        RESOURCE,
        0x2a,
        0x2c,
        0x2b,
    ],
);

/// The columns of the tables, by their numbers (II.22), up to that of the resources.
const TABLES: &[&[Column]] = &[
    &[Bytes(2), Text, Guid, Guid, Guid],
    &[Coded(2, &[0x00, MODULE_REF, ASSEMBLY_REF, 0x01]), Text, Text],
    &[Bytes(4), Text, Text, TYPE_DEF_OR_REF, Row(FIELD), Row(METHOD)],
    &[Row(FIELD)],
    &[Bytes(2), Text, Blob],
    &[Row(METHOD)],
    &[Bytes(8), Text, Blob, Row(PARAM)],
    &[Row(PARAM)],
    &[Bytes(4), Text],
    &[Row(TYPE), TYPE_DEF_OR_REF],
    &[Coded(3, &[TYPE, 0x01, MODULE_REF, METHOD, 0x1b]), Text, Blob],
    &[Bytes(2), Coded(2, &[FIELD, PARAM, PROPERTY]), Blob],
    &[HAS_ATTRIBUTE, Coded(3, &[METHOD, 0x0a]), Blob],
    &[Coded(1, &[FIELD, PARAM]), Blob],
    &[Bytes(2), Coded(2, &[TYPE, METHOD, 0x20]), Blob],
    &[Bytes(6), Row(TYPE)],
    &[Bytes(4), Row(FIELD)],
    &[Blob],
    &[Row(TYPE), Row(EVENT)],
    &[Row(EVENT)],
    &[Bytes(2), Text, TYPE_DEF_OR_REF],
    &[Row(TYPE), Row(PROPERTY)],
    &[Row(PROPERTY)],
    &[Bytes(2), Text, Blob],
    &[Bytes(2), Row(METHOD), Coded(1, &[EVENT, PROPERTY])],
    &[Row(TYPE), METHOD_DEF_OR_REF, METHOD_DEF_OR_REF],
    &[Text],
    &[Blob],
    &[Bytes(2), Coded(1, &[FIELD, METHOD]), Text, Row(MODULE_REF)],
    &[Bytes(4), Row(FIELD)],
    &[Bytes(8)],
    &[Bytes(4)],
    &[Bytes(16), Blob, Text, Text],
    &[Bytes(4)],
    &[Bytes(12)],
    &[Bytes(12), Blob, Text, Text, Blob],
    &[Bytes(4), Row(ASSEMBLY_REF)],
    &[Bytes(12), Row(ASSEMBLY_REF)],
    &[Bytes(4), Text, Blob],
    &[Bytes(8), Text, Text, IMPLEMENTATION],
    &[Bytes(8), Text, IMPLEMENTATION],
];

pub(super) fn read<H: ImageNtHeaders>(
    bytes: &[u8],
    file: &PeFile<H>,
    map: &Map,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let directory = file.data_directory(IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR);
    let Some((address, size)) = directory.map(object::pe::ImageDataDirectory::address_range) else {
        return Ok(());
    };
    let Some(header) = map.at(address).filter(|_| address != 0 && size != 0) else { return Ok(()) };
    let Some(flags) = le32(header, 16) else { return Ok(()) };
    let named = FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| (*name).to_owned());
    image.managed = Some(named.collect::<BTreeSet<_>>());
    // An image that was compiled to the end has no tables.
    let (Some(root), Some(resources)) = (le32(header, 8).filter(|root| *root != 0), le32(header, 24)) else {
        return Ok(());
    };
    let root = map.at(root).ok_or(Unreadable::Other("the .NET metadata lies outside the image"))?;
    let tables =
        Metadata::read(root).ok_or(Unreadable::Other("the tables of the .NET metadata are cut off"))?;
    if tables.runs_first() {
        image.initializers.insert(MODULE.to_owned(), 1);
    }
    native(&tables, image, budget)?;
    referred(&tables, image, budget)?;
    carried(&tables, map.at(resources).unwrap_or_default(), Room::of(bytes), image, budget)
}

/// Takes the functions of native libraries: what such an image can do to other processes, it does by them.
fn native(tables: &Metadata, image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    for row in 0..tables.rows[IMPL_MAP] {
        budget.symbol()?;
        let name = tables.field(IMPL_MAP, row, 2).and_then(|at| tables.name(at));
        let library = tables.field(IMPL_MAP, row, 3).and_then(|number| number.checked_sub(1));
        let library = library.and_then(|row| tables.field(MODULE_REF, row, 0)).and_then(|at| tables.name(at));
        if let (Some(name), Some(library)) = (name, library) {
            budget.facts((name.len() + library.len()) as u64)?;
            image.imports.insert(format!("{}!{}", text(library), text(name)));
        }
    }
    Ok(())
}

/// Takes the members of other assemblies that reach out of the program (II.22.25, II.22.38).
fn referred(tables: &Metadata, image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    /// The kinds of a parent of a member and of a scope, in the lowest bits: a type, an assembly.
    const PARENT: (u32, u32) = (3, 1);
    const SCOPE: (u32, u32) = (2, 2);
    let of_kind = |coded: u32, (bits, kind): (u32, u32)| {
        (coded & ((1 << bits) - 1) == kind).then_some(coded >> bits)?.checked_sub(1)
    };
    for row in 0..tables.rows[MEMBER_REF] {
        budget.symbol()?;
        let reference = || -> Option<String> {
            let parent = of_kind(tables.field(MEMBER_REF, row, 0)?, PARENT)?;
            let assembly = of_kind(tables.field(TYPE_REF, parent, 0)?, SCOPE)?;
            let name = |table, row, column| tables.name(tables.field(table, row, column)?);
            let (space, kind) = (name(TYPE_REF, parent, 2)?, name(TYPE_REF, parent, 1)?);
            let member = name(MEMBER_REF, row, 1)?;
            let assembly = name(ASSEMBLY_REF, assembly, 2)?;
            Some(format!("{}!{}.{}.{}", text(assembly), text(space), text(kind), text(member)))
        };
        if let Some(reference) = reference().filter(|reference| references::family(reference).is_some()) {
            budget.facts(reference.len() as u64)?;
            image.references.insert(reference);
        }
    }
    Ok(())
}

/// Takes the resources that stand in the image itself: a length, and so many bytes (II.24.2.4).
fn carried(
    tables: &Metadata,
    all: &[u8],
    mut room: Room,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    const OUTSIDE: Unreadable = Unreadable::Other("a .NET resource lies outside its section");
    for row in 0..tables.rows[RESOURCE] {
        budget.symbol()?;
        // Others are in files beside it.
        if tables.field(RESOURCE, row, 2) != Some(0) {
            continue;
        }
        let at = tables.word(RESOURCE, row).ok_or(OUTSIDE)? as usize;
        let rest = all.get(at..).ok_or(OUTSIDE)?;
        let data = le32(rest, 0).and_then(|size| rest.get(4..)?.get(..size as usize)).ok_or(OUTSIDE)?;
        let name = tables.field(RESOURCE, row, 1).and_then(|at| tables.name(at)).unwrap_or_default();
        room.take(data)?;
        budget.facts(name.len() as u64)?;
        image.resources.push(Resource {
            path: format!("managed/{}", text(name)),
            size: data.len() as u64,
            digest: Digest::of(data),
            entropy_millibits: entropy_millibits(data),
            kind: crate::content::kind(data).to_owned(),
        });
    }
    Ok(())
}

/// The tables of a module, and the names that they use.
struct Metadata<'a> {
    strings: &'a [u8],
    rows: [u32; 64],
    /// Whether places in the heaps of names, of numbers and of other bytes have four bytes: the bits of `HeapSizes`.
    heaps: u8,
    /// The bytes of each table.
    tables: Vec<&'a [u8]>,
}

impl<'a> Metadata<'a> {
    /// Reads where the tables lie (II.24.2.1, II.24.2.6); `None` if they are cut off.
    fn read(root: &'a [u8]) -> Option<Self> {
        if !root.starts_with(b"BSJB") {
            return None;
        }
        let version = usize::try_from(le32(root, 12)?).ok()?;
        let mut at = version.checked_add(16)?;
        let count = le16(root, at.checked_add(2)?)?.min(STREAMS_MAX);
        at += 4;
        let (mut tables, mut strings) = (None, &b""[..]);
        for _ in 0..count {
            let (begin, size) = (le32(root, at)? as usize, le32(root, at + 4)? as usize);
            let name = until_zero(root.get(at + 8..)?.get(..32).unwrap_or_default());
            let stream = root.get(begin..)?.get(..size);
            match name {
                b"#~" | b"#-" => tables = tables.or(stream),
                b"#Strings" => strings = stream?,
                _ => {}
            }
            at += 8 + (name.len() + 1).next_multiple_of(4);
        }
        let stream = tables?;
        let (heaps, valid) = (*stream.get(6)?, le64(stream, 8)?);
        let mut rows = [0; 64];
        let mut at = 24;
        for (number, rows) in rows.iter_mut().enumerate() {
            if valid >> number & 1 == 1 {
                *rows = le32(stream, at)?;
                at += 4;
            }
        }
        // Edited images say so, and have one number more.
        at += if heaps & 0x40 == 0 { 0 } else { 4 };
        let mut metadata = Self { strings, rows, heaps, tables: Vec::new() };
        for (number, columns) in TABLES.iter().enumerate() {
            let width: usize = columns.iter().map(|column| metadata.width(*column)).sum();
            let size = width.checked_mul(rows[number] as usize)?;
            metadata.tables.push(stream.get(at..)?.get(..size)?);
            at += size;
        }
        Some(metadata)
    }

    fn width(&self, column: Column) -> usize {
        let wide = |is_wide: bool| if is_wide { 4 } else { 2 };
        match column {
            Bytes(width) => width,
            Text => wide(self.heaps & 1 != 0),
            Guid => wide(self.heaps & 2 != 0),
            Blob => wide(self.heaps & 4 != 0),
            Row(table) => wide(self.rows[table] > 0xffff),
            Coded(bits, tables) => {
                let most = tables.iter().map(|table| self.rows[*table]).max().unwrap_or(0);
                wide(most >= 1 << (16 - bits))
            }
        }
    }

    /// Reads a column of a row; rows are counted from zero here.
    fn field(&self, table: usize, row: u32, column: usize) -> Option<u32> {
        let columns = TABLES.get(table)?;
        let (width, before) = (self.row_width(columns), self.row_width(columns.get(..column)?));
        let row = self.tables.get(table)?.get((row as usize).checked_mul(width)?..)?.get(..width)?;
        match self.width(*columns.get(column)?) {
            2 => le16(row, before).map(u32::from),
            _ => le32(row, before),
        }
    }

    fn row_width(&self, columns: &[Column]) -> usize {
        columns.iter().map(|column| self.width(*column)).sum()
    }

    /// Reads the four bytes with which a row begins.
    fn word(&self, table: usize, row: u32) -> Option<u32> {
        let width = self.row_width(TABLES.get(table)?);
        le32(self.tables.get(table)?.get((row as usize).checked_mul(width)?..)?, 0)
    }

    fn name(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(at as usize..)?;
        let name = until_zero(rest.get(..NAME_MAX).unwrap_or(rest));
        (!name.is_empty()).then_some(name)
    }

    /// Whether the type of the module itself, which is the first one, has an initialiser.
    fn runs_first(&self) -> bool {
        let first = self.field(TYPE, 0, 5).unwrap_or(0);
        let last = self.field(TYPE, 1, 5).unwrap_or_else(|| self.rows[METHOD].saturating_add(1));
        let last = last.min(self.rows[METHOD].saturating_add(1));
        (first.max(1)..last)
            .any(|number| self.field(METHOD, number - 1, 1).and_then(|at| self.name(at)) == Some(b".cctor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metadata of a module with one type of its own, one method, one native function and one resource.
    fn metadata(method: &str, owner: u16) -> Vec<u8> {
        let mut strings = vec![0];
        let mut name = |text: &str| {
            let at = strings.len() as u16;
            strings.extend(text.bytes().chain([0]));
            at.to_le_bytes()
        };
        let names =
            [name("<Module>"), name("Type"), name(method), name("kernel32"), name("WinExec"), name("data")];
        let [module, kind, method, library, symbol, resource] = names;
        let [space, class, member, assembly] =
            [name("System.Net"), name("Dns"), name("GetHostEntry"), name("System")];
        let [first_of_assemblies, first_of_types] =
            [(1 << 2 | 2_u16).to_le_bytes(), (1 << 3 | 1_u16).to_le_bytes()];
        let zero = [0_u8; 2];
        // The methods of a type begin at a row and end where those of the next begin.
        let first = if owner == 0 { [1_u16, 2] } else { [1, 1] }.map(u16::to_le_bytes);
        let type_of =
            |name: [u8; 2], methods: [u8; 2]| [&[0; 4][..], &name, &zero, &zero, &zero, &methods].concat();
        let rows = [
            [first_of_assemblies, class, space].concat(),
            type_of(module, first[0]),
            type_of(kind, first[1]),
            [&[0; 8][..], &method, &zero, &zero].concat(),
            [first_of_types, member, zero].concat(),
            library.to_vec(),
            [&zero[..], &zero, &symbol, &1_u16.to_le_bytes()].concat(),
            [&[0; 12][..], &zero, &assembly, &zero, &zero].concat(),
            [&[4, 0, 0, 0, 0, 0, 0, 0][..], &resource, &zero].concat(),
        ]
        .concat();
        let tables = [
            (TYPE_REF, 1),
            (TYPE, 2_u32),
            (METHOD, 1),
            (MEMBER_REF, 1),
            (MODULE_REF, 1),
            (IMPL_MAP, 1),
            (ASSEMBLY_REF, 1),
            (RESOURCE, 1),
        ];
        let valid = tables.iter().fold(0_u64, |bits, (table, _)| bits | 1 << table);
        let mut stream = vec![0, 0, 0, 0, 2, 0, 0, 1];
        stream.extend([valid.to_le_bytes(), [0; 8]].concat());
        stream.extend(tables.iter().flat_map(|(_, rows)| rows.to_le_bytes()));
        stream.extend(rows);
        let mut root = b"BSJB\x01\0\x01\0\0\0\0\0\x04\0\0\0v4\0\0\0\0\x02\0".to_vec();
        let begin = root.len() as u32 + 8 + 4 + 8 + 12;
        for (at, size, name) in [
            (begin, stream.len() as u32, &b"#~\0\0"[..]),
            (begin + stream.len() as u32, strings.len() as u32, b"#Strings\0\0\0\0"),
        ] {
            root.extend([&at.to_le_bytes()[..], &size.to_le_bytes(), name].concat());
        }
        [root, stream, strings].concat()
    }

    fn read(root: &[u8]) -> Executable {
        let tables = Metadata::read(root).unwrap();
        let (mut image, mut budget) = (Executable::default(), Budget::default());
        if tables.runs_first() {
            image.initializers.insert(MODULE.to_owned(), 1);
        }
        native(&tables, &mut image, &mut budget).unwrap();
        referred(&tables, &mut image, &mut budget).unwrap();
        let all = b"....\x03\0\0\0abc";
        carried(&tables, all, Room::of(all), &mut image, &mut budget).unwrap();
        image
    }

    #[test]
    fn native_functions_and_resources_are_read() {
        let image = read(&metadata("Main", 1));
        assert_eq!(image.imports.iter().collect::<Vec<_>>(), ["kernel32!WinExec"]);
        assert_eq!(image.references.iter().collect::<Vec<_>>(), ["System!System.Net.Dns.GetHostEntry"]);
        assert_eq!((image.resources[0].path.as_str(), image.resources[0].size), ("managed/data", 3));
        assert_eq!(image.resources[0].digest, Digest::of(b"abc"));
        assert!(image.initializers.is_empty());
    }

    #[test]
    fn only_the_module_itself_runs_at_once() {
        let runs = |method, owner| !read(&metadata(method, owner)).initializers.is_empty();
        assert!(runs(".cctor", 0));
        assert!(!runs(".cctor", 1));
        assert!(!runs("Other", 0));
    }

    #[test]
    fn what_is_cut_off_is_no_module() {
        let whole = metadata(".cctor", 0);
        for cut in 0..whole.len() {
            assert!(Metadata::read(&whole[..cut]).is_none(), "{cut}");
        }
        // Numbers that an enemy chose: no row lies outside.
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] = 0xff;
            if let Some(tables) = Metadata::read(&broken) {
                let (mut image, mut budget) = (Executable::default(), Budget::default());
                let all = b"....\x03\0\0\0abc";
                let read = native(&tables, &mut image, &mut budget)
                    .and_then(|()| referred(&tables, &mut image, &mut budget))
                    .and_then(|()| carried(&tables, all, Room::of(all), &mut image, &mut budget));
                let inside = image.resources.iter().all(|one| one.size <= all.len() as u64);
                assert!(inside && (read.is_err() || image.resources.len() <= 2), "{at}");
                assert!(!tables.runs_first() || tables.rows[METHOD] > 0, "{at}");
            }
        }
    }
}
