//! Containers: their members, one by one, within the budget.

mod ar;
mod stream;
mod tar;
mod zip;

use std::io::{self, Read};

use evidence::{BytePath, Node};

use crate::format::Format;
use crate::open::Inspection;

/// Opens all members of a container.
pub(crate) fn members(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    bytes: &[u8],
) {
    match format {
        Format::Zip => zip::members(inspection, node, path, bytes),
        Format::Tar => tar::members(inspection, node, path, bytes),
        Format::Ar => ar::members(inspection, node, path, bytes),
        Format::Gzip => stream::member(inspection, node, path, flate2::read::MultiGzDecoder::new(bytes)),
        Format::Bzip2 => stream::member(inspection, node, path, bzip2::read::MultiBzDecoder::new(bytes)),
        Format::Xz => {
            stream::member(inspection, node, path, liblzma::read::XzDecoder::new_multi_decoder(bytes))
        }
        Format::Zstd => match zstd::stream::read::Decoder::with_buffer(bytes) {
            Ok(mut decoder) => match decoder.window_log_max(27) {
                Ok(()) => stream::member(inspection, node, path, decoder),
                Err(error) => inspection.problem(path, "malformed-zstd", error),
            },
            Err(error) => inspection.problem(path, "malformed-zstd", error),
        },
        Format::Pe | Format::Elf | Format::MachO | Format::Unsupported(_) | Format::Data => {}
    }
}

/// Why a member was not read whole.
enum Unread {
    TooLarge,
    Failed(io::Error),
}

/// Reads a member's bytes, as far as there is room.
fn content(inspection: &mut Inspection, reader: impl Read) -> Result<Vec<u8>, Unread> {
    let room = inspection.budget.room();
    let mut bytes = Vec::new();
    let read = reader.take(room.saturating_add(1)).read_to_end(&mut bytes);
    inspection.budget.pay(bytes.len() as u64);
    match read {
        Err(error) => Err(Unread::Failed(error)),
        Ok(_) if bytes.len() as u64 > room => Err(Unread::TooLarge),
        Ok(_) => Ok(bytes),
    }
}

/// Says why a member was not read.
fn unread(inspection: &mut Inspection, path: &BytePath, format: &str, why: Unread) {
    match why {
        Unread::TooLarge => inspection.problem(path, "budget-exhausted", "too many bytes"),
        Unread::Failed(error) => inspection.problem(path, &format!("malformed-{format}"), error),
    }
}
