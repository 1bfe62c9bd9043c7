//! Where an address of an image lies in its file. Sorted, so that an enemy's many sections cost little each time.

use object::LittleEndian as LE;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile};

/// The parts of a file that are mapped: relative address, and the bytes from there to the end of the part.
pub(super) struct Map<'a> {
    parts: Vec<(u32, &'a [u8])>,
}

impl<'a> Map<'a> {
    pub(super) fn of<H: ImageNtHeaders>(bytes: &'a [u8], file: &PeFile<'a, H>) -> Self {
        let headers = file.nt_headers().optional_header().size_of_headers() as usize;
        let mut parts = vec![(0, bytes.get(..headers).unwrap_or_default())];
        parts.extend(file.section_table().iter().map(|section| {
            // Section data may be longer in the file than it is mapped: the loader maps whole pages.
            let start = section.pointer_to_raw_data.get(LE) as usize;
            let size = section.size_of_raw_data.get(LE) as usize;
            let end = start.saturating_add(size).min(bytes.len());
            (section.virtual_address.get(LE), bytes.get(start..end).unwrap_or_default())
        }));
        parts.sort_by_key(|(address, _)| *address);
        Self { parts }
    }

    /// Returns what is mapped from an address on.
    pub(super) fn at(&self, address: u32) -> Option<&'a [u8]> {
        let after = self.parts.partition_point(|(start, _)| *start <= address);
        let (start, data) = self.parts.get(after.checked_sub(1)?)?;
        data.get((address - start) as usize..).filter(|data| !data.is_empty())
    }

    /// Returns the text that ends with a zero.
    pub(super) fn text(&self, address: u32) -> Option<&'a [u8]> {
        let data = self.at(address)?;
        memchr::memchr(0, data).map(|end| &data[..end])
    }

    pub(super) fn number(&self, address: u32) -> Option<u32> {
        self.at(address)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn wide(&self, address: u32) -> Option<u64> {
        self.at(address)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}
