//! Indexes of apk: `APKINDEX.*.tar.gz` in its cache (`apk-cache(5)`), which is in memory only where no cache was set up.

use std::path::Path;

use inspect::offered::{Offered, apk_index};

use super::{List, Manager, Versions, bytes, files};
use crate::inventory::Root;

/// The cache of a system in memory, and that of one on a disk.
const CACHES: [&str; 2] = ["etc/apk/cache", "var/cache/apk"];

pub(super) struct Apk;

impl Manager for Apk {
    fn databases(&self) -> &'static [&'static str] {
        &["lib/apk/db/installed", "usr/lib/apk/db/installed"]
    }

    fn versions(&self) -> Versions {
        Versions::Alpine
    }

    fn lists(&self) -> &'static str {
        "/var/cache/apk"
    }

    fn offers(&self, root: &Root) -> Result<Vec<List>, String> {
        let mut lists = Vec::new();
        for cache in CACHES {
            lists.extend(files(root, cache)?.into_iter().filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("APKINDEX.") && name.ends_with(".tar.gz")
            }));
        }
        lists.sort();
        lists.dedup();
        Ok(lists.into_iter().map(|path| List { path, is_security: false, read: index }).collect())
    }

    fn touched(&self) -> &'static [&'static str] {
        &[]
    }
}

fn index(path: &Path, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    apk_index(&bytes(path)?, take).map_err(|error| format!("{}: {error}", path.display()))
}
