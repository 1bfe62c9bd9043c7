//! Authenticode of an installer database: a stream with the signature, over all other streams. The layout is that of
//! `osslsigncode` and of Wine's `dlls/wintrust`.

use std::borrow::Cow;

use evidence::tree::CodeSignature;

use super::super::{CompoundFile, Stream};
use crate::executable::{Trusted, of_database};

const SIGNATURE: &[u8] = b"\x05DigitalSignature";
/// The digest of what the directory says, where the signer wanted that to be covered too.
const OF_DIRECTORY: &[u8] = b"\x05MsiDigitalSignatureEx";

/// Reads the signature, if there is one.
pub(super) fn read(file: &CompoundFile, trusted: &Trusted) -> Option<CodeSignature> {
    let at_root =
        |name: &[u8]| file.streams.iter().find(|stream| stream.storage.is_empty() && stream.name == name);
    let structure = file.content(at_root(SIGNATURE)?).ok()?;
    let contents = covered(file, at_root(OF_DIRECTORY));
    let parts = contents.as_ref().map(|contents| contents.iter().map(Cow::as_ref).collect::<Vec<_>>());
    Some(of_database(&structure, parts.as_deref(), trusted))
}

/// Collects what the digest goes over: the directory's digest, the streams in the order of their names in UTF-16, the class of
/// the root. Databases have no storages in storages; of one that has them nothing is said.
fn covered<'a>(file: &'a CompoundFile, of_directory: Option<&Stream>) -> Option<Vec<Cow<'a, [u8]>>> {
    let mut streams: Vec<(Vec<u8>, &Stream)> = Vec::new();
    for stream in &file.streams {
        let name = String::from_utf8_lossy(&stream.name);
        if !stream.storage.is_empty() || name.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        if stream.name != SIGNATURE && stream.name != OF_DIRECTORY {
            streams.push((name.encode_utf16().flat_map(u16::to_le_bytes).collect(), stream));
        }
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    let mut contents = Vec::new();
    if let Some(stream) = of_directory {
        contents.push(file.content(stream).ok()?);
    }
    for (_, stream) in streams {
        contents.push(file.content(stream).ok()?);
    }
    contents.push(Cow::Borrowed(&file.class));
    Some(contents)
}
