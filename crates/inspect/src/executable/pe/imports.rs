//! Imports and delay imports (PE Format, "The .idata Section", "Delay-Load Import Tables").
//!
//! Names are looked up by address in the whole image: tools that rename libraries put them into other sections.

use evidence::tree::Executable;
use object::pe::{IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, IMAGE_DIRECTORY_ENTRY_IMPORT};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile};

use super::super::{Unreadable, text};
use super::Map;
use crate::budget::Budget;

const DESCRIPTOR_BYTES: u32 = 20;
const DELAY_DESCRIPTOR_BYTES: u32 = 32;
/// A name of a library or symbol is cut here.
const NAME_MAX: usize = 4096;

pub(super) fn read<H: ImageNtHeaders>(
    file: &PeFile<H>,
    map: &Map,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let Some(mut at) = directory(file, IMAGE_DIRECTORY_ENTRY_IMPORT) else { return Ok(()) };
    loop {
        let field = |offset: u32| map.number(at.saturating_add(offset));
        let (Some(names), Some(library), Some(addresses)) = (field(0), field(12), field(16)) else {
            return Err(Unreadable::Other("the import table lies outside the image"));
        };
        if library == 0 || addresses == 0 {
            return Ok(());
        }
        budget.symbol()?;
        let library = name(map, library, "the name of an imported library lies outside the image")?;
        let first = if names == 0 { addresses } else { names };
        symbols::<H>(file, map, first, &library, image, budget)?;
        image.libraries.insert(library);
        at = at.saturating_add(DESCRIPTOR_BYTES);
    }
}

pub(super) fn delayed<H: ImageNtHeaders>(
    file: &PeFile<H>,
    map: &Map,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let Some(mut at) = directory(file, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT) else { return Ok(()) };
    loop {
        let field = |offset: u32| map.number(at.saturating_add(offset));
        let (Some(flags), Some(library), Some(names)) = (field(0), field(4), field(16)) else {
            return Err(Unreadable::Other("the delay import table lies outside the image"));
        };
        if library == 0 {
            return Ok(());
        }
        budget.symbol()?;
        // Old linkers wrote addresses of memory, not relative ones (attribute 0).
        let base = if flags & 1 == 0 { file.nt_headers().optional_header().image_base() } else { 0 };
        let relative =
            |address: u32| u32::try_from(u64::from(address).saturating_sub(base)).unwrap_or(address);
        let library = name(map, relative(library), "the name of a delayed library lies outside the image")?;
        symbols::<H>(file, map, relative(names), &library, image, budget)?;
        image.delayed_libraries.insert(library.clone());
        image.libraries.insert(library);
        at = at.saturating_add(DELAY_DESCRIPTOR_BYTES);
    }
}

fn directory<H: ImageNtHeaders>(file: &PeFile<H>, entry: usize) -> Option<u32> {
    let (address, _) = file.data_directory(entry)?.address_range();
    (address != 0).then_some(address)
}

fn name(map: &Map, address: u32, problem: &'static str) -> Result<String, Unreadable> {
    let bytes = map.text(address).ok_or(Unreadable::Other(problem))?;
    Ok(text(bytes.get(..NAME_MAX).unwrap_or(bytes)))
}

/// Reads the list of names or ordinals at an address, up to its zero.
fn symbols<H: ImageNtHeaders>(
    file: &PeFile<H>,
    map: &Map,
    first: u32,
    library: &str,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let wide = file.nt_headers().is_type_64();
    let mut at = first;
    loop {
        let (entry, is_ordinal, width) = if wide {
            let entry = map.wide(at);
            (entry, entry.is_some_and(|entry| entry >> 63 == 1), 8)
        } else {
            let entry = map.number(at).map(u64::from);
            (entry, entry.is_some_and(|entry| entry >> 31 == 1), 4)
        };
        let entry = entry.ok_or(Unreadable::Other("a list of imported symbols lies outside the image"))?;
        if entry == 0 {
            return Ok(());
        }
        budget.symbol()?;
        let symbol = if is_ordinal {
            format!("#{}", entry & 0xffff)
        } else {
            // Two bytes of hint stand before the name.
            let address = u32::try_from(entry).ok().and_then(|address| address.checked_add(2));
            let address = address.ok_or(Unreadable::Other("an imported symbol has an address beyond all"))?;
            name(map, address, "the name of an imported symbol lies outside the image")?
        };
        budget.facts((library.len() + symbol.len()) as u64)?;
        image.imports.insert(format!("{library}!{symbol}"));
        at = at.saturating_add(width);
    }
}
