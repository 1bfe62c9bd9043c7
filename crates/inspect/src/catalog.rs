//! Which packages a file speaks of: lock files, manifests, package databases, programs, archives, models.
//!
//! A [`Cataloger`] reads one sort of document and nothing else: what it says stands in [`Found`], and what it could not read
//! is a problem there. [`ALL`] names every cataloger. [`Scan`] takes files one by one, each from where it comes (a folder, an
//! archive, an image), and [`Scan::finish`] puts together what they said: the same package twice is one with two pieces of
//! evidence, names of dependencies are followed to packages, and what lies in caches and test fixtures is marked so.
//!
//! | module | documents |
//! |---|---|
//! | `system`, `rpm`, `unix` | dpkg, apk, rpm, pacman, Homebrew; `os-release`; models |
//! | `jar`, `dotnet`, `mobile`, `beam`, `native`, `languages` | archives of Java; .NET; Swift, Dart, CocoaPods; Elixir, Erlang; C and C++; R, Lua, Perl, Haskell, OCaml, Julia, Conda |
//! | `pipelines` | actions, images, providers, charts |
//! | `program` | what compilers write into programs; version strings of C libraries; .NET assemblies, programs for Windows |
//! | `nix`, `desktop`, `apple`, `windows` | Nix; snap, Flatpak; bundles and receipts of macOS; the registry of Windows |
//! | `package_file`, `manifest` | `.deb`, `.rpm`, `.apk`; manifests without a lock file |
//! | `cargo`, `npm`, `yarn`, `python`, `golang`, `java`, `php`, `ruby` | lock files, manifests, installed packages |

mod apple;
mod beam;
mod cargo;
mod desktop;
mod dotnet;
mod found;
mod golang;
mod hive;
mod image;
mod jar;
mod java;
mod kept;
mod languages;
mod licence;
mod lines;
mod loose;
mod manifest;
mod mobile;
mod native;
mod nix;
mod npm;
mod package_file;
mod patterns;
mod php;
mod pipelines;
mod place;
mod plist;
mod program;
mod purl;
mod python;
mod rpm;
mod ruby;
mod scan;
mod sqlite;
mod system;
mod unix;
mod windows;
mod yarn;

#[cfg(test)]
mod tests;

use evidence::BytePath;

pub(crate) use dotnet::specified;
pub use found::{Found, Stated, System};
pub(crate) use image::{Image, drop_replaced};
pub use kept::{Bytes, put_bytes, put_number};
pub use lines::base64;
pub(crate) use lines::{Fields, property, unquoted, yaml};
pub(crate) use loose::{Either as Whole, List, Text};
pub(crate) use package_file::of_tar;
pub use patterns::{Candidates, candidates, may_want};
pub(crate) use plist::dictionaries;
pub use program::{Content, is_library_name, read_program};
pub use scan::{Catalog, Reading, Scan};

/// A document larger than this is a problem, not read.
pub const DOCUMENT_MAX_BYTES: u64 = 256 << 20;

/// Packages of one document; what goes beyond is a problem.
const PACKAGES_MAX: usize = 2_000_000;

/// Reads one sort of document.
pub struct Cataloger {
    /// Kebab-case name: what evidence says.
    pub name: &'static str,
    /// The files that it wants.
    wants: &'static [Pattern],
    read: fn(&Input, &mut Found),
}

/// Which files a cataloger wants. Names are compared as they are.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// A file of this name.
    Name(&'static str),
    /// A path that ends with these components.
    End(&'static str),
    /// A file whose name has this extension, without the dot, in lower case.
    Extension(&'static str),
    /// A file of any name in a folder that ends with these components.
    Folder(&'static str),
    /// A file whose name begins and ends so.
    Around(&'static str, &'static str),
}

/// A document to be read.
pub struct Input<'a> {
    /// Where it is, as text: what is not UTF-8 is escaped.
    pub path: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

impl Input<'_> {
    /// The name of the file.
    fn name(&self) -> &str {
        self.path.rsplit(['/', '!']).next().unwrap_or(self.path)
    }

    /// The content as text; bytes that are not UTF-8 become replacement characters.
    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes))
    }
}

/// All catalogers.
pub const ALL: &[&[Cataloger]] = &[
    system::CATALOGERS,
    cargo::CATALOGERS,
    npm::CATALOGERS,
    yarn::CATALOGERS,
    python::CATALOGERS,
    golang::CATALOGERS,
    java::CATALOGERS,
    php::CATALOGERS,
    ruby::CATALOGERS,
    rpm::CATALOGERS,
    unix::CATALOGERS,
    jar::CATALOGERS,
    dotnet::CATALOGERS,
    mobile::CATALOGERS,
    beam::CATALOGERS,
    native::CATALOGERS,
    languages::CATALOGERS,
    pipelines::CATALOGERS,
    nix::CATALOGERS,
    desktop::CATALOGERS,
    apple::CATALOGERS,
    windows::CATALOGERS,
    package_file::CATALOGERS,
    manifest::CATALOGERS,
];

impl Cataloger {
    /// How much of a file it needs: of models of gigabytes, the beginning.
    pub fn most_bytes(&self) -> u64 {
        match self.name {
            unix::MODEL => MODEL_HEAD_BYTES,
            name if package_file::NAMES.contains(&name) => package_file::HEAD_BYTES,
            _ => DOCUMENT_MAX_BYTES,
        }
    }

    /// Whether the beginning of a file is enough.
    pub fn wants_beginning(&self) -> bool {
        self.most_bytes() < DOCUMENT_MAX_BYTES
    }
}

/// The beginning of a model.
const MODEL_HEAD_BYTES: u64 = 1 << 20;

/// Reads a document by one cataloger.
pub fn read(cataloger: &Cataloger, path: &BytePath, bytes: &[u8]) -> Found {
    let mut found = Found::default();
    (cataloger.read)(&Input { path: &path.to_string(), bytes }, &mut found);
    found
}
