//! What is in a file. Every input is an enemy's: nothing is executed, no `unsafe`, no network, and all work is paid
//! from a [`Budget`].
//!
//! Nothing here fails on content. What cannot be read is a [`Problem`](evidence::Problem) beside the result; what
//! the facts mean is for `judge` to say.
//!
//! | module | what it reads |
//! |---|---|
//! | `format` | what a file says it is |
//! | `unpack` | archives: zip, tar, cpio, ar (and so deb), rpm, 7z, cab, xar, asar |
//! | | streams: gzip, bzip2, xz, lzma, lzip, zstd, lz4, brotli, pbzx |
//! | | installers: MSI and other compound files, NSIS, Inno Setup; what is attached to a program or any other file |
//! | | images: ISO 9660, squashfs, Apple disk images, HFS+, APFS; OCI layouts and `docker save` |
//! | `executable` | PE with Authenticode, ELF, Mach-O with code signatures, WebAssembly |
//! | `content` | what bytes show in any format: types, hosts, hidden and encoded parts, hooks, capabilities |
//! | [`detached`] | signatures in files of their own |
//! | `contrast`, `extract` | two versions of a member side by side |
//! | [`packages`] | which package a file of a machine belongs to |
//! | [`catalog`] | which packages a file speaks of |
//! | [`offered`] | lists of packages that repositories offer |
//! | [`locks`] | whether a lock file has what its manifest asks for |
//! | [`sbom`] | bills of materials of other makers |
//! | [`machine`] | what a machine's logs say of who came and went |

mod base64;
mod budget;
mod bytes;
pub mod catalog;
mod content;
mod contrast;
pub mod detached;
mod entropy;
mod executable;
mod extract;
mod format;
pub mod locks;
pub mod machine;
pub mod offered;
mod open;
pub mod packages;
mod room;
pub mod sbom;
mod source;
mod unpack;

pub use budget::{Budget, RATIO_FREE_BYTES};
pub use contrast::contrast;
pub use format::{Format, format};
pub use open::{
    Entry, Input, Matcher, Opened, Twins, Wishes, catalog_file, catalog_folder, catalog_path, extract,
    folder, open, open_file, open_with,
};
pub use unpack::zip_files;
