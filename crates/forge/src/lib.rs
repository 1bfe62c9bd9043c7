//! Synthetic, harmless artifacts, byte by byte: what tests and drills attack with and defend.
//!
//! Nothing made here does anything: code sections hold a return instruction, payloads hold random-looking bytes
//! and the words [`MARKER`].

mod authenticode;
mod catalog;
mod der;
mod elf;
pub mod occurrences;
mod pack;
mod package;
mod pe;
mod stuffing;
mod three_cx;

pub use authenticode::{TestSigner, stuff_certificate_table};
pub use catalog::{catalog, catalog_list, image_digest};
pub use elf::elf_executable;
pub use pack::{tar_gz, zip_stored};
pub use pe::{PeImage, PeSection};
pub use stuffing::{Hiding, hide};
pub use three_cx::{Release, ThreeCx};

/// Stands where an attack would have its payload.
pub const MARKER: &[u8] = b"COUNTERSIGN HARMLESS TEST PAYLOAD";

/// Random-looking bytes, the same for the same seed: a splitmix64 stream.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
