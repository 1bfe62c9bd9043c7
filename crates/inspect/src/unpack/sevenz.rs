//! 7z archives. The structures are read by the `sevenz-rust2` crate, under a limit of memory; each solid block is unpacked
//! once, front to back.

use std::io::{self, Cursor, Read, Seek};

use evidence::BytePath;
use sevenz_rust2::{Archive, ArchiveEntry, BlockDecoder, Coder, Error, Password};

use super::Container;
use crate::budget::Exhausted;
use crate::bytes::le32;
use crate::source::Source;

/// For headers, dictionaries and models, each; `7z -mx=9` needs 64 MiB.
const MEMORY_MAX_KIB: usize = 160 << 10;
/// The attributes have a Unix mode in their upper half (7-Zip's `FILE_ATTRIBUTE_UNIX_EXTENSION`).
const ATTRIBUTE_UNIX: u32 = 0x8000;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let packed = source.length().unwrap_or(u64::MAX);
    match source {
        Source::Held(bytes) => read(container, Cursor::new(*bytes), packed),
        Source::Far(_) => read(container, source.reader(), packed),
    }
}

fn read(container: &mut Container, mut source: impl Read + Seek, packed: u64) -> io::Result<()> {
    let password = Password::empty();
    let archive = match Archive::read_with_memory_limit(&mut source, &password, MEMORY_MAX_KIB) {
        Ok(archive) => archive,
        Err(error) if is_encrypted(&error) => {
            container.problem("encrypted-member", "the directory cannot be read without a password");
            return Ok(());
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    for (number, file) in archive.files.iter().enumerate() {
        let is_encrypted = archive.is_file_encrypted(number);
        if file.has_stream() && !is_encrypted {
            continue;
        }
        if !container.admit() {
            return Ok(());
        }
        let name = BytePath::from(file.name());
        let word = if is_encrypted {
            container.member_problem(
                &name,
                "encrypted-member",
                "its content cannot be read without a password",
            );
            "encrypted"
        } else if file.is_directory() {
            "directory"
        } else if file.is_anti_item() {
            "other"
        } else {
            container.bytes(name, b"").mode = mode(file);
            continue;
        };
        let member = container.leaf(name, word, None);
        member.mode = mode(file);
        if is_encrypted {
            (member.digest, member.size) = (None, file.size());
        }
    }
    for (block, facts) in archive.blocks.iter().enumerate() {
        let mut hold = container.inspection.room.hold();
        if !container.inspection.grow(&mut hold, facts.coders.iter().map(memory).sum()) {
            let what = Exhausted("the decoder of a block needs too much memory");
            container.inspection.exhausted(container.path, what);
            continue;
        }
        let decoder =
            BlockDecoder::new_with_memory_limit(1, MEMORY_MAX_KIB, block, &archive, &password, &mut source);
        let mut spent = false;
        let read = decoder.for_each_entries(&mut |file, reader| {
            if !file.has_stream() {
                return Ok(true);
            }
            spent = !container.admit();
            Ok(!spent && member(container, file, reader, packed))
        });
        match read {
            _ if spent => return Ok(()),
            Ok(_) => {}
            Err(error) if is_encrypted(&error) => {}
            Err(Error::UnsupportedCompressionMethod(method)) => {
                container.problem("unsupported-compression", format!("method {method} is not known"));
            }
            Err(error) => container.failed(&io::Error::other(error)),
        }
    }
    Ok(())
}

/// How much memory a coder needs: dictionaries of LZMA and LZMA2, models of PPMd (7-Zip, `Methods.txt`).
fn memory(coder: &Coder) -> u64 {
    let properties = coder.properties();
    let window = match (coder.encoder_method_id(), properties) {
        (b"\x21", [bits, ..]) => Some(u64::from(2 | bits & 1) << (bits.min(&40) / 2 + 11)),
        (b"\x03\x01\x01" | b"\x03\x04\x01", _) => le32(properties, 1).map(u64::from),
        // Zstandard does not say it here; `-mx` goes up to 8 MiB.
        (b"\x04\xf7\x11\x01", _) => Some(8 << 20),
        _ => None,
    };
    window.unwrap_or(0) + (1 << 20)
}

/// Takes one member; `false` if the rest of its block is not to be unpacked.
fn member(container: &mut Container, file: &ArchiveEntry, reader: &mut dyn Read, packed: u64) -> bool {
    let name = BytePath::from(file.name());
    let taken = if mode_of_kind(file) == 0o120_000 {
        container.content(reader, packed).map(|target| {
            container.leaf(name.clone(), "symlink", Some(BytePath::from(&*target))).mode = mode(file);
        })
    } else {
        container.once(name.clone(), file.size(), packed, reader).map(|member| member.mode = mode(file))
    };
    if let Err(error) = &taken {
        container.failed_member(&name, error);
    }
    taken.is_ok()
}

fn mode_of_kind(file: &ArchiveEntry) -> u32 {
    let attributes = file.windows_attributes();
    if attributes & ATTRIBUTE_UNIX == 0 { 0 } else { attributes >> 16 & 0o170_000 }
}

fn mode(file: &ArchiveEntry) -> Option<u32> {
    let attributes = file.windows_attributes();
    (attributes & ATTRIBUTE_UNIX != 0).then_some(attributes >> 16 & 0o7777)
}

fn is_encrypted(error: &Error) -> bool {
    match error {
        Error::PasswordRequired => true,
        Error::UnsupportedCompressionMethod(method) => method.contains("AES"),
        _ => false,
    }
}
