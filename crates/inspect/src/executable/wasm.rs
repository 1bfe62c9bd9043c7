//! WebAssembly modules (W3C WebAssembly Core Specification 2.0, section 5.5) and components (their sections only).

use evidence::Digest;
use evidence::tree::{Entry, Executable, Section};

use super::{Malformed, Room, Unreadable, text};
use crate::budget::Budget;
use crate::entropy::entropy_millibits;

const HEADER_BYTES: usize = 8;
/// The first 16 bits of the version word's upper half: a component (Component Model, `Binary.md`).
const LAYER_COMPONENT: u8 = 1;

const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
const EXPORT: u8 = 7;
const START: u8 = 8;
const CODE: u8 = 10;

/// Names of the sections of a module by their number.
const NAMES: &[&str] = &[
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data-count",
    "tag",
];

pub(super) fn read(
    bytes: &[u8],
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    let component = bytes.get(6).is_some_and(|layer| *layer == LAYER_COMPONENT);
    let kind = if component { "component" } else { "library" };
    let mut image = Executable { machine: "wasm32".into(), kind: kind.into(), ..Executable::default() };
    let mut room = Room::of(bytes);
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        budget.symbol()?;
        let mut reader = Reader { bytes, at };
        let id = reader.byte().ok_or(Unreadable::Other("a section has no number"))?;
        let content = reader.sized().ok_or(Unreadable::Other("a section is cut off"))?;
        at = reader.at;
        room.take(content)?;
        image.sections.push(Section {
            name: name(id, content, component),
            size: content.len() as u64,
            digest: Digest::of(content),
            entropy_millibits: entropy_millibits(content),
            writable: false,
            executable: !component && id == CODE,
            slack_nonzero_bytes: 0,
        });
        if component {
            continue;
        }
        let read = match id {
            IMPORT => imports(content, &mut image, budget),
            EXPORT => exports(content, &mut image, budget),
            START => start(content, &mut image),
            CUSTOM => custom(content, &mut image, budget),
            _ => Ok(()),
        };
        malformed.note(read);
    }
    Ok(image)
}

fn name(id: u8, content: &[u8], component: bool) -> String {
    if id == CUSTOM {
        return Reader { bytes: content, at: 0 }.sized().map_or_else(|| "custom".to_owned(), text);
    }
    match NAMES.get(usize::from(id)) {
        Some(name) if !component => (*name).to_owned(),
        _ => format!("section-{id}"),
    }
}

/// Two names each, and what is imported; the library is the module that it is from.
fn imports(content: &[u8], image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    const CUT: Unreadable = Unreadable::Other("the imports are cut off");
    let mut reader = Reader { bytes: content, at: 0 };
    for _ in 0..reader.number().ok_or(CUT)? {
        budget.symbol()?;
        let module = text(reader.sized().ok_or(CUT)?);
        let field = text(reader.sized().ok_or(CUT)?);
        match reader.byte().ok_or(CUT)? {
            // A function, by its type.
            0 => _ = reader.number().ok_or(CUT)?,
            // A table: the type of its elements, and limits.
            1 => {
                reader.byte().ok_or(CUT)?;
                reader.limits().ok_or(CUT)?;
            }
            2 => reader.limits().ok_or(CUT)?,
            // A global: its type, and whether it changes.
            3 => {
                reader.byte().ok_or(CUT)?;
                reader.byte().ok_or(CUT)?;
            }
            // A tag: an attribute and a type.
            4 => {
                reader.byte().ok_or(CUT)?;
                reader.number().ok_or(CUT)?;
            }
            _ => return Err(Unreadable::Other("an import is of an unknown kind")),
        }
        image.imports.insert(format!("{module}!{field}"));
        image.libraries.insert(module);
    }
    Ok(())
}

fn exports(content: &[u8], image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    const CUT: Unreadable = Unreadable::Other("the exports are cut off");
    let mut reader = Reader { bytes: content, at: 0 };
    for _ in 0..reader.number().ok_or(CUT)? {
        budget.symbol()?;
        image.exports.insert(text(reader.sized().ok_or(CUT)?));
        reader.byte().ok_or(CUT)?;
        reader.number().ok_or(CUT)?;
    }
    Ok(())
}

/// The function that runs as soon as the module is instantiated.
fn start(content: &[u8], image: &mut Executable) -> Result<(), Unreadable> {
    let number =
        Reader { bytes: content, at: 0 }.number().ok_or(Unreadable::Other("the start is cut off"))?;
    image.kind = "executable".into();
    image.initializers.insert("start".into(), 1);
    image.entry =
        Some(Entry { address: u64::from(number), section: Some("code".into()), bytes: String::new() });
    Ok(())
}

/// What the tool conventions define: who made the module, its build id, where its debugging facts are.
fn custom(content: &[u8], image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    let mut reader = Reader { bytes: content, at: 0 };
    match reader.sized().ok_or(Unreadable::Other("a custom section has no name"))? {
        b"producers" => producers(&mut reader, image, budget),
        b"build_id" => {
            image.build_id = reader.sized().map(super::hex);
            Ok(())
        }
        b"external_debug_info" => {
            image.debug_path = reader.sized().map(text);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Fields of values with versions (WebAssembly tool conventions, `ProducersSection.md`).
fn producers(reader: &mut Reader, image: &mut Executable, budget: &mut Budget) -> Result<(), Unreadable> {
    const CUT: Unreadable = Unreadable::Other("the producers are cut off");
    for _ in 0..reader.number().ok_or(CUT)? {
        let field = reader.sized().ok_or(CUT)?;
        for _ in 0..reader.number().ok_or(CUT)? {
            budget.symbol()?;
            let tool = text(reader.sized().ok_or(CUT)?);
            let version = text(reader.sized().ok_or(CUT)?);
            if field == b"processed-by" {
                image.compilers.insert(format!("{tool} {version}").trim_end().to_owned());
            }
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Reads an unsigned number of at most 32 bits (LEB128).
    fn number(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    /// Reads bytes behind their number.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.number()?).ok()?;
        let content = self.bytes.get(self.at..self.at.checked_add(size)?)?;
        self.at += size;
        Some(content)
    }

    /// Skips the limits of a table or memory: with 64-bit sizes they do not fit, and are not read.
    fn limits(&mut self) -> Option<()> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 != 0 {
            self.number()?;
        }
        Some(())
    }
}
