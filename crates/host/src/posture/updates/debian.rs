//! Lists of apt, plain or compressed (`Acquire::GzipIndexes`, `apt.conf(5)`).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use inspect::offered::{Offered, unpacked};

use super::{List, Manager, Versions, bytes, files};
use crate::inventory::Root;

const LISTS: &str = "var/lib/apt/lists";
/// One list that is larger is not read.
const LIST_MAX_BYTES: u64 = 512 << 20;
const LINE_MAX_BYTES: u64 = 1 << 20;

pub(super) struct Apt;

impl Manager for Apt {
    fn databases(&self) -> &'static [&'static str] {
        &["var/lib/dpkg/status"]
    }

    fn versions(&self) -> Versions {
        Versions::Debian
    }

    fn lists(&self) -> &'static str {
        "/var/lib/apt/lists"
    }

    fn offers(&self, root: &Root) -> Result<Vec<List>, String> {
        let lists = files(root, LISTS)?.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let (_, end) = name.rsplit_once("_Packages")?;
            // What cannot be read must not be passed over: its reader says so.
            let read = if end.is_empty() { plain } else { packed };
            Some(List { is_security: name.contains("ecurity"), path, read })
        });
        Ok(lists.collect())
    }

    fn touched(&self) -> &'static [&'static str] {
        &[
            "var/lib/apt/lists/partial",
            "var/lib/apt/periodic/update-success-stamp",
            "var/cache/apt/pkgcache.bin",
        ]
    }
}

fn plain(path: &Path, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    each(path, &mut BufReader::new(file), take)
}

fn packed(path: &Path, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    let bytes = bytes(path)?;
    let mut reader = unpacked(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    each(path, &mut reader, take)
}

/// Calls for each package of a list (`deb-control(5)`).
fn each(path: &Path, reader: &mut dyn BufRead, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut reader = reader.take(LIST_MAX_BYTES);
    let (mut package, mut line) = (Offered::default(), Vec::new());
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        let text = String::from_utf8_lossy(&line);
        if read == 0 || text.trim_end().is_empty() {
            if !package.name.is_empty() {
                take(std::mem::take(&mut package));
            }
            if read == 0 {
                break;
            }
        }
        if let Some((name, value)) = text.trim_end().split_once(": ") {
            let field = match name {
                "Package" => &mut package.name,
                "Version" => &mut package.version,
                "Architecture" => &mut package.architecture,
                _ => continue,
            };
            value.trim().clone_into(field);
        }
    }
    if reader.limit() == 0 { Err(format!("{} is too large", path.display())) } else { Ok(()) }
}
