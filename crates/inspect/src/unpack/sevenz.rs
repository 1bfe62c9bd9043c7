//! 7z archives. The structures are read by the `sevenz-rust2` crate, under a limit of memory; each solid block is unpacked
//! once, front to back.

use std::io::Cursor;

use evidence::BytePath;
use sevenz_rust2::{Archive, ArchiveEntry, BlockDecoder, Error, Password};

use super::Container;

/// For headers, dictionaries and models, each; `7z -mx=9` needs 64 MiB.
const MEMORY_MAX_KIB: usize = 512 << 10;
/// The attributes have a Unix mode in their upper half (7-Zip's `FILE_ATTRIBUTE_UNIX_EXTENSION`).
const ATTRIBUTE_UNIX: u32 = 0x8000;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let mut source = Cursor::new(bytes);
    let password = Password::empty();
    let archive = match Archive::read_with_memory_limit(&mut source, &password, MEMORY_MAX_KIB) {
        Ok(archive) => archive,
        Err(error) if is_encrypted(&error) => {
            return container.problem("encrypted-member", "the directory cannot be read without a password");
        }
        Err(error) => return container.malformed(error),
    };
    for (number, file) in archive.files.iter().enumerate() {
        let is_encrypted = archive.is_file_encrypted(number);
        if file.has_stream() && !is_encrypted {
            continue;
        }
        if !container.admit() {
            return;
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
    for block in 0..archive.blocks.len() {
        let decoder =
            BlockDecoder::new_with_memory_limit(1, MEMORY_MAX_KIB, block, &archive, &password, &mut source);
        let mut spent = false;
        let read = decoder.for_each_entries(&mut |file, reader| {
            if !file.has_stream() {
                return Ok(true);
            }
            spent = !container.admit();
            Ok(!spent && member(container, file, reader, bytes.len() as u64))
        });
        match read {
            _ if spent => return,
            Ok(_) => {}
            Err(error) if is_encrypted(&error) => {}
            Err(Error::UnsupportedCompressionMethod(method)) => {
                container.problem("unsupported-compression", format!("method {method} is not known"));
            }
            Err(error) => container.malformed(error),
        }
    }
}

/// Takes one member; `false` if the rest of its block is not to be unpacked.
fn member(
    container: &mut Container,
    file: &ArchiveEntry,
    reader: &mut dyn std::io::Read,
    packed: u64,
) -> bool {
    let name = BytePath::from(file.name());
    match container.content(reader, packed) {
        Ok(content) if mode_of_kind(file) == 0o120_000 => {
            container.leaf(name, "symlink", Some(BytePath::new(content))).mode = mode(file);
        }
        Ok(content) => {
            let member = container.inspection.member(container.node, container.path, name, &content);
            container.push(member).mode = mode(file);
        }
        Err(error) => {
            container.failed_member(&name, &error);
            return false;
        }
    }
    true
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
