//! Windows cabinets ([MS-CAB]): folders of blocks, which are stored, MSZIP or LZX. Each folder is unpacked once, front to
//! back.

mod lzx;
mod signature;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};

use evidence::BytePath;

use self::lzx::Lzx;
use super::Container;
use crate::bytes::{le16, le32, slice, until_zero};

const FLAG_PREVIOUS: u16 = 1;
const FLAG_NEXT: u16 = 2;
const FLAG_RESERVE: u16 = 4;
/// A file that began in the cabinet before this one, or goes on in the next (`CFFILE.iFolder`).
const CONTINUED: u16 = 0xfffd;
/// The most that one block unpacks to (`CFDATA.cbUncomp`).
const BLOCK_MAX_BYTES: usize = 32_768;
/// `CFFILE.szName` has at most 256 bytes; some writers go beyond.
const NAME_MAX_BYTES: usize = 1024;

/// A cabinet's headers.
struct Cabinet<'a> {
    bytes: &'a [u8],
    folders: Vec<Folder>,
    /// Reserved bytes in front of each block's data.
    block_reserve: u64,
    files: Vec<File>,
    /// Bytes of blocks that may still be read: folders that share blocks would read more than there is.
    unread: Cell<u64>,
}

struct Folder {
    start: u64,
    blocks: u16,
    compression: u16,
}

struct File {
    name: Vec<u8>,
    size: u64,
    offset: u64,
    folder: u16,
}

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let names = std::mem::take(&mut container.inspection.cabinet_names);
    container.node.signature = signature::read(bytes, &container.inspection.trusted).map(Box::new);
    let Some(mut cabinet) = Cabinet::read(bytes) else {
        return container.malformed("its headers lead outside");
    };
    if cabinet.files.iter().any(|file| super::is_catalog_name(&file.name)) {
        container.inspection.siblings.expect_catalog();
    }
    cabinet.files.sort_by_key(|file| (file.folder, file.offset));
    let mut files = cabinet.files.as_slice();
    while let Some(first) = files.first() {
        let count = files.iter().take_while(|file| file.folder == first.folder).count();
        let (of_folder, rest) = files.split_at(count);
        files = rest;
        if !folder(container, &cabinet, of_folder, &names) {
            return;
        }
    }
}

/// Opens the files of one folder; `false` when the budget is spent.
fn folder(
    container: &mut Container,
    cabinet: &Cabinet,
    files: &[File],
    names: &BTreeMap<Vec<u8>, BytePath>,
) -> bool {
    let number = files.first().map_or(0, |file| file.folder);
    let Some(folder) = cabinet.folders.get(usize::from(number)) else {
        for file in files {
            let name = BytePath::new(file.name.clone());
            let detail = match number {
                CONTINUED.. => "it goes on in another cabinet",
                _ => "its folder does not exist",
            };
            container.malformed_member(&name, detail);
        }
        return true;
    };
    let blocks = Blocks { cabinet, at: folder.start, left: folder.blocks };
    let packed = cabinet.bytes.len() as u64;
    let mut reader = match Unpacked::new(folder.compression, blocks) {
        Ok(reader) => io::BufReader::new(reader),
        Err(error) => {
            container.problem("unsupported-compression", error);
            return true;
        }
    };
    let mut position = 0;
    for file in files {
        if !container.admit() {
            return false;
        }
        let name = names.get(&file.name).cloned().unwrap_or_else(|| BytePath::new(file.name.clone()));
        let Some(gap) = file.offset.checked_sub(position) else {
            container.member_problem(&name, "overlapping-members", "it shares bytes with another file");
            continue;
        };
        let skipped = match io::copy(&mut reader.by_ref().take(gap), &mut io::sink()) {
            Ok(skipped) => skipped,
            Err(error) => {
                container.failed_member(&name, &error);
                return true;
            }
        };
        container.inspection.budget.pay(skipped);
        if let Err(error) =
            container.once(name.clone(), file.size, packed, &mut reader.by_ref().take(file.size))
        {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                container.malformed_member(&name, "its folder ends before it");
            } else {
                container.failed_member(&name, &error);
            }
            // The folder cannot be told apart from here on.
            return true;
        }
        position = file.offset.saturating_add(file.size);
    }
    true
}

impl<'a> Cabinet<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let flags = le16(bytes, 30)?;
        let (folder_count, file_count) = (le16(bytes, 26)?, le16(bytes, 28)?);
        let mut at = 36_u64;
        let (mut folder_reserve, mut block_reserve) = (0, 0);
        if flags & FLAG_RESERVE != 0 {
            let header_reserve = le16(bytes, 36)?;
            (folder_reserve, block_reserve) = (u64::from(*bytes.get(38)?), u64::from(*bytes.get(39)?));
            at = 40 + u64::from(header_reserve);
        }
        // Names of the neighbours: cabinet and disk.
        let names = 2 * (u32::from(flags & FLAG_PREVIOUS != 0) + u32::from(flags & FLAG_NEXT != 0));
        for _ in 0..names {
            let name = until_zero(bytes.get(usize::try_from(at).ok()?..)?);
            at += name.len() as u64 + 1;
        }
        let mut folders = Vec::new();
        for _ in 0..folder_count {
            let folder = slice(bytes, at, 8)?;
            folders.push(Folder {
                start: u64::from(le32(folder, 0)?),
                blocks: le16(folder, 4)?,
                compression: le16(folder, 6)?,
            });
            at += 8 + folder_reserve;
        }
        let mut files = Vec::new();
        let mut at = u64::from(le32(bytes, 16)?);
        for _ in 0..file_count {
            let fixed = slice(bytes, at, 16)?;
            let rest = bytes.get(usize::try_from(at + 16).ok()?..)?;
            let name = until_zero(rest.get(..NAME_MAX_BYTES).unwrap_or(rest));
            files.push(File {
                name: name.to_vec(),
                size: u64::from(le32(fixed, 0)?),
                offset: u64::from(le32(fixed, 4)?),
                folder: le16(fixed, 8)?,
            });
            at += 16 + name.len() as u64 + 1;
        }
        Some(Self { bytes, folders, block_reserve, files, unread: Cell::new(bytes.len() as u64) })
    }
}

/// The blocks of a folder, one after the other.
struct Blocks<'a> {
    cabinet: &'a Cabinet<'a>,
    at: u64,
    left: u16,
}

/// One block's packed bytes and the number of bytes they unpack to.
struct Block<'a> {
    packed: &'a [u8],
    size: usize,
}

impl<'a> Blocks<'a> {
    fn next(&mut self) -> io::Result<Option<Block<'a>>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let outside = || io::Error::other("a block lies outside");
        let bytes = self.cabinet.bytes;
        let header = slice(bytes, self.at, 8).ok_or_else(outside)?;
        let (sum, packed, size) = (le32(header, 0), le16(header, 4), le16(header, 6));
        let (Some(sum), Some(packed), Some(size)) = (sum, packed, size) else { return Err(outside()) };
        let start = self.at + 8 + self.cabinet.block_reserve;
        let data = slice(bytes, start, u64::from(packed)).ok_or_else(outside)?;
        // The sum covers the sizes and the reserved bytes as well; zero says that there is none.
        let covered = slice(bytes, self.at + 8, self.cabinet.block_reserve).ok_or_else(outside)?;
        let expected = checksum(data, checksum(covered, checksum(&header[4..8], 0)));
        let usual = checksum(&header[4..8], checksum(data, 0));
        if sum != 0 && sum != usual && sum != expected {
            return Err(io::Error::other("a block's checksum is wrong"));
        }
        if usize::from(size) > BLOCK_MAX_BYTES {
            return Err(io::Error::other("a block is too large"));
        }
        let unread = self.cabinet.unread.get().checked_sub(8 + u64::from(packed));
        self.cabinet.unread.set(unread.ok_or_else(|| io::Error::other("folders share blocks"))?);
        self.at = start + u64::from(packed);
        Ok(Some(Block { packed: data, size: usize::from(size) }))
    }
}

/// Sums words ([MS-CAB] 3.1); the last bytes count from the highest of the three down.
fn checksum(bytes: &[u8], seed: u32) -> u32 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder().iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    words.fold(seed, |sum, word| sum ^ le32(word, 0).unwrap_or(0)) ^ rest
}

/// A folder's bytes.
struct Unpacked<'a> {
    blocks: Blocks<'a>,
    method: Method,
    out: Vec<u8>,
    given: usize,
}

enum Method {
    Stored,
    Mszip,
    Lzx(Box<Lzx>),
}

impl<'a> Unpacked<'a> {
    fn new(compression: u16, blocks: Blocks<'a>) -> Result<Self, String> {
        let method = match (compression & 0xf, compression >> 8 & 0x1f) {
            (0, _) => Method::Stored,
            (1, _) => Method::Mszip,
            (3, window @ 15..=21) => Method::Lzx(Box::new(Lzx::new(window.into()))),
            (2, _) => return Err("Quantum compression is not opened".to_owned()),
            _ => return Err(format!("compression {compression:#06x} is not known")),
        };
        Ok(Self { blocks, method, out: Vec::new(), given: 0 })
    }

    /// Unpacks the next block; the last one's bytes stay as the history of MSZIP.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(block) = self.blocks.next()? else { return Ok(false) };
        self.out = match &mut self.method {
            Method::Stored if block.packed.len() == block.size => block.packed.to_vec(),
            Method::Stored => return Err(io::Error::other("a stored block has two sizes")),
            Method::Mszip => mszip(&block, &self.out)?,
            Method::Lzx(lzx) => lzx.block(block.packed, block.size).map_err(io::Error::other)?,
        };
        self.given = 0;
        Ok(true)
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let ready = self.out.get(self.given..).unwrap_or(b"");
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}

/// Unpacks one MSZIP block ([MS-MCI]): `CK` and Deflate, with the block before as history. The history is given as a stored
/// Deflate block in front, so that any inflater will do.
fn mszip(block: &Block, history: &[u8]) -> io::Result<Vec<u8>> {
    let packed = block.packed.strip_prefix(b"CK").ok_or_else(|| io::Error::other("a block has no mark"))?;
    let length = u16::try_from(history.len()).map_err(|_| io::Error::other("a block is too large"))?;
    let mut front = vec![0];
    front.extend(length.to_le_bytes());
    front.extend((!length).to_le_bytes());
    front.extend_from_slice(history);
    let front = if history.is_empty() { Vec::new() } else { front };
    let mut out = Vec::new();
    let limit = (history.len() + block.size + 1) as u64;
    flate2::read::DeflateDecoder::new(front.as_slice().chain(packed)).take(limit).read_to_end(&mut out)?;
    if out.len() != history.len() + block.size {
        return Err(io::Error::other("a block has another size than its header says"));
    }
    out.drain(..history.len());
    Ok(out)
}
