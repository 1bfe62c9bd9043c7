//! Installers whose data lies behind their program: NSIS and Inno Setup. Each shows its files under the paths where they are
//! installed, and NSIS its script as `#script`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use evidence::BytePath;
use nsis::NsisInstaller;

use crate::bytes::{le16, le32};
use crate::unpack::Container;

/// In front of the data of every NSIS installer, after its flags.
const NSIS_MARK: &[u8] = b"\xef\xbe\xad\xdeNullsoftInst";
const NSIS_ALIGN: usize = 512;
/// Begins the headers of every Inno Setup installer, with its version behind.
const INNO_MARK: &[u8] = b"Inno Setup Setup Data (";
/// The script and its texts; the largest real ones have a few megabytes.
const NSIS_HEADER_MAX_BYTES: u32 = 64 << 20;
/// The text that is written of a script.
const SCRIPT_MAX_BYTES: usize = 64 << 20;

/// Opens an installer; `false` if it is none.
pub(super) fn members(container: &mut Container, bytes: &[u8], overlay: &[u8]) -> bool {
    if let Some(header) = overlay.chunks(NSIS_ALIGN).find(|chunk| chunk.get(4..20) == Some(NSIS_MARK)) {
        nsis(container, bytes, le32(header, 20).unwrap_or(u32::MAX));
        return true;
    }
    if !may_be_inno(bytes) {
        return false;
    }
    match inno::Inno::new(Cursor::new(bytes)) {
        Ok(installer) => {
            inno(container, bytes, installer);
            true
        }
        Err(inno::error::InnoError::NotInnoFile) => false,
        Err(error) => {
            container.problem("malformed-inno", error);
            true
        }
    }
}

/// Tells whether an image has the mark of Inno Setup's data, and no more directories than there are (PE format, "Optional
/// Header Data Directories"): the reader believes their number.
fn may_be_inno(bytes: &[u8]) -> bool {
    let directories = le32(bytes, 0x3c).and_then(|pe| {
        let optional = (pe as usize).checked_add(24)?;
        let at = if le16(bytes, optional)? == 0x20b { 108 } else { 92 };
        le32(bytes, optional.checked_add(at)?)
    });
    directories.is_some_and(|count| count <= 16)
        && bytes.windows(INNO_MARK.len()).any(|window| window == INNO_MARK)
}

fn nsis(container: &mut Container, bytes: &[u8], header_bytes: u32) {
    if header_bytes > NSIS_HEADER_MAX_BYTES {
        return container.problem("malformed-nsis", "its script has an impossible size");
    }
    let (room, _) = container.inspection.budget.room(bytes.len() as u64);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let installer = match NsisInstaller::builder(bytes).max_decompressed_size(room).parse() {
        Ok(installer) => installer,
        Err(error) => return container.problem("malformed-nsis", error),
    };
    container.inspection.budget.pay(installer.solid_data().len() as u64);
    if !container.admit() {
        return;
    }
    let mut script = String::new();
    for entry in installer.entries() {
        match entry {
            Ok(entry) => installer.write_entry(&mut script, &entry),
            Err(error) => container.problem("malformed-nsis", error),
        }
        script.push('\n');
        if script.len() > SCRIPT_MAX_BYTES {
            container.problem("budget-exhausted", "the script's text is too long");
            break;
        }
    }
    container.bytes("#script".into(), script.as_bytes());
    drop(script);
    // A file may be installed by several parts of the script.
    let mut taken = BTreeSet::new();
    let mut names = Names::default();
    for file in installer.files() {
        let (file, name) = match file.and_then(|file| file.dest_path().map(|name| (file, name))) {
            Ok(found) => found,
            Err(error) => {
                container.problem("malformed-nsis", error);
                continue;
            }
        };
        let name = name.to_string();
        if !taken.insert((name.clone(), file.data_block_offset())) {
            continue;
        }
        if !container.admit() {
            return;
        }
        let name = names.unique(&name);
        match file.decompress() {
            Ok(content) => {
                container.bytes(name, &content);
            }
            Err(nsis::Error::OutputTooLarge { .. }) => {
                container.member_problem(&name, "budget-exhausted", "too many bytes");
            }
            Err(error) => container.member_problem(&name, "malformed-nsis", error),
        }
    }
}

fn inno(container: &mut Container, bytes: &[u8], mut installer: inno::Inno<Cursor<&[u8]>>) {
    if installer.encryption_header().is_some_and(|header| header.encryption_use().as_str() == "Full") {
        return container.problem("encrypted-member", "its files cannot be read without a password");
    }
    // A file that lies before the one that was read last makes its chunk be unpacked again: that is paid in advance.
    let (room, what) = container.inspection.budget.stream_room(bytes.len() as u64);
    let (mut work, mut chunk, mut position) = (0_u64, None, 0);
    let mut seen = BTreeSet::new();
    let mut files = installer.streaming_files(|entry| {
        let location = entry.file_location();
        let (start, size) = (location.file().offset(), location.file().size());
        let from = if chunk == Some(*location.chunk()) && position <= start { position } else { 0 };
        let is_new = seen.insert((entry.file().destination().map(str::to_owned), entry.location_index()));
        if is_new && work <= room {
            work = work.saturating_add(start - from).saturating_add(size);
            (chunk, position) = (Some(*location.chunk()), start.saturating_add(size));
        }
        is_new && work <= room
    });
    let mut names = Names::default();
    while let Some(next) = files.next() {
        if !container.admit() {
            return;
        }
        match next {
            Ok((entry, reader)) => {
                let name = names.unique(entry.file().destination().unwrap_or("#file"));
                match container.content(reader, bytes.len() as u64) {
                    Ok(content) => {
                        let member =
                            container.inspection.member(container.node, container.path, name, &content);
                        container.push(member);
                    }
                    Err(error) => container.failed_member(&name, &error),
                }
            }
            Err(error) => container.problem("malformed-inno", error),
        }
    }
    drop(files);
    if work > room {
        container.inspection.exhausted(container.path, what);
    }
}

/// Names given so far: of two files for one path, one is installed, by condition. The second is called `PATH#2`.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn unique(&mut self, name: &str) -> BytePath {
        let count = self.0.entry(name.to_owned()).or_default();
        *count += 1;
        if *count == 1 { BytePath::from(name) } else { BytePath::from(format!("{name}#{count}")) }
    }
}
