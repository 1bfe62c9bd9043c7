//! Metadata of repositories as dnf, libdnf5 and zypper keep it: `primary` says what there is, `updateinfo` what is for security.

use std::path::Path;

use inspect::offered::{Offered, rpm_primary, rpm_security, unpacked};

use super::{List, Manager, Versions, bytes, files};
use crate::inventory::Root;

/// Folders with one for each repository, and in that `repodata`.
const CACHES: [&str; 4] = ["var/cache/libdnf5", "var/cache/dnf", "var/cache/yum", "var/cache/zypp/raw"];

pub(super) struct Dnf;

impl Manager for Dnf {
    fn databases(&self) -> &'static [&'static str] {
        &[
            "usr/lib/sysimage/rpm/rpmdb.sqlite",
            "var/lib/rpm/rpmdb.sqlite",
            "usr/lib/sysimage/rpm/Packages.db",
            "var/lib/rpm/Packages.db",
            "var/lib/rpm/Packages",
        ]
    }

    fn versions(&self) -> Versions {
        Versions::Rpm
    }

    fn lists(&self) -> &'static str {
        "/var/cache/libdnf5, /var/cache/dnf, /var/cache/zypp"
    }

    fn offers(&self, root: &Root) -> Result<Vec<List>, String> {
        let mut lists = Vec::new();
        for cache in CACHES {
            for repository in files(root, cache)? {
                let name = repository.file_name().unwrap_or_default().to_owned();
                for path in files(root, Path::new(cache).join(name).join("repodata"))? {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    // `DIGEST-primary.xml.zst`.
                    if name.contains("primary.xml") {
                        lists.push(List { path, is_security: false, read: primary });
                    } else if name.contains("updateinfo.xml") {
                        lists.push(List { path, is_security: true, read: security });
                    }
                }
            }
        }
        if !lists.is_empty() && !lists.iter().any(|list| !list.is_security) {
            return Err("of the repositories only the lists of security updates are there".to_owned());
        }
        Ok(lists)
    }

    fn touched(&self) -> &'static [&'static str] {
        &["var/cache/dnf/expired_repos.json", "var/cache/dnf/last_makecache"]
    }
}

type Reader = fn(&mut dyn std::io::BufRead, &mut dyn FnMut(Offered)) -> std::io::Result<()>;

fn primary(path: &Path, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    all(path, rpm_primary, take)
}

fn security(path: &Path, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    all(path, rpm_security, take)
}

fn all(path: &Path, read: Reader, take: &mut dyn FnMut(Offered)) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", path.display());
    let bytes = bytes(path)?;
    if path.extension().is_some_and(|end| end == "xml") {
        return read(&mut bytes.as_slice(), take).map_err(failed);
    }
    read(&mut unpacked(&bytes).map_err(failed)?, take).map_err(failed)
}
