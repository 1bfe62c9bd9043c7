//! Rock Ridge (IEEE P1282 draft 1.12) in the system use fields of directory records (SUSP, IEEE P1281).

use std::borrow::Cow;
use std::io;

use crate::bytes::le32;
use crate::source::Source;

use super::SECTOR_BYTES;

/// Fields of one record, continued ones included.
const FIELDS_MAX: usize = 200;
const CONTINUATIONS_MAX: usize = 16;

/// What the fields of one record say.
#[derive(Default)]
pub(super) struct RockRidge {
    pub(super) name: Option<Vec<u8>>,
    /// `st_mode`.
    pub(super) mode: Option<u32>,
    pub(super) link: Vec<u8>,
    /// Where the folder is that this record stands for.
    pub(super) child: Option<u32>,
    pub(super) is_relocated: bool,
    pub(super) is_compressed: bool,
}

impl RockRidge {
    pub(super) fn read(image: &Source, system_use: &[u8], skip: usize) -> io::Result<Self> {
        let mut found = Self::default();
        let mut whole = Cow::Borrowed(system_use.get(skip..).unwrap_or(b""));
        let (mut fields, mut continuations) = (0, 0);
        let mut link_goes_on = false;
        loop {
            let mut next = None;
            let mut area = &*whole;
            while let Some((kind, content)) = field(&mut area) {
                fields += 1;
                if fields > FIELDS_MAX || kind == *b"ST" {
                    return Ok(found);
                }
                match &kind {
                    b"NM" => found.add_name(content),
                    b"PX" => found.mode = le32(content, 0),
                    b"SL" => link_goes_on = found.add_link(content, link_goes_on),
                    b"CL" => found.child = le32(content, 0),
                    b"RE" => found.is_relocated = true,
                    b"ZF" => found.is_compressed = true,
                    b"CE" => next = continuation(image, content)?,
                    _ => {}
                }
            }
            continuations += 1;
            match next {
                Some(more) if continuations <= CONTINUATIONS_MAX => whole = more,
                _ => return Ok(found),
            }
        }
    }

    /// Returns the permission bits.
    pub(super) fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o7777)
    }

    /// Flags 2 and 4 stand for the folder itself and its parent, which are not listed.
    fn add_name(&mut self, content: &[u8]) {
        if let Some((flags, part)) = content.split_first()
            && flags & 6 == 0
        {
            self.name.get_or_insert_default().extend_from_slice(part);
        }
    }

    /// Adds the components of a link's target; tells whether the last one goes on in the next field.
    fn add_link(&mut self, content: &[u8], mut goes_on: bool) -> bool {
        let mut components = content.get(1..).unwrap_or(b"");
        while let [flags, length, rest @ ..] = components {
            let length = usize::from(*length).min(rest.len());
            let (part, rest) = rest.split_at(length);
            components = rest;
            if !self.link.is_empty() && !goes_on && !self.link.ends_with(b"/") {
                self.link.push(b'/');
            }
            self.link.extend_from_slice(match flags & 0x0e {
                2 => b".",
                4 => b"..",
                8 => b"/",
                _ => part,
            });
            goes_on = flags & 1 != 0;
        }
        goes_on
    }
}

/// Takes one field: its two letters and its content.
fn field<'a>(area: &mut &'a [u8]) -> Option<([u8; 2], &'a [u8])> {
    let length = usize::from(*area.get(2)?);
    let content = area.get(4..length)?;
    let kind = [area[0], area[1]];
    *area = area.get(length..).unwrap_or(b"");
    Some((kind, content))
}

/// Finds the area in which the fields go on (SUSP 5.1): block, offset and length, each in both byte orders.
fn continuation<'a>(image: &Source<'a>, content: &[u8]) -> io::Result<Option<Cow<'a, [u8]>>> {
    let (Some(block), Some(offset), Some(length)) = (le32(content, 0), le32(content, 8), le32(content, 16))
    else {
        return Ok(None);
    };
    let length = u64::from(length).min(SECTOR_BYTES) as usize;
    image.exactly(u64::from(block) * SECTOR_BYTES + u64::from(offset), length)
}
