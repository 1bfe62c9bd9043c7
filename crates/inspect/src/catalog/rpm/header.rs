//! One header as rpm stores it (`rpm-headers`): two counts, an index of tags, and the data that they point into.

use evidence::bom::State;

use super::super::found::{Found, Stated};
use crate::bytes::{be32, until_zero};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENCE: u32 = 1014;
const ARCHITECTURE: u32 = 1022;
const SOURCE: u32 = 1044;
const PROVIDES: u32 = 1047;
const REQUIRES: u32 = 1049;
const SHA256: u32 = 273;

const ENTRY_BYTES: usize = 16;
const ENTRIES_MAX: u32 = 100_000;
const NAMES_MAX: usize = 50_000;

struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(blob: &'a [u8]) -> Option<Self> {
        let (count, size) = (be32(blob, 0)?, be32(blob, 4)?);
        if count > ENTRIES_MAX {
            return None;
        }
        let end = 8 + usize::try_from(count).ok()? * ENTRY_BYTES;
        let data = blob.get(end..end.checked_add(usize::try_from(size).ok()?)?)?;
        Some(Self { index: blob.get(8..end)?, data })
    }

    /// Finds a tag: its type, its data from where it begins, its count.
    fn tag(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let entry = self.index.chunks_exact(ENTRY_BYTES).find(|entry| be32(entry, 0) == Some(tag))?;
        let at = usize::try_from(be32(entry, 8)?).ok()?;
        Some((be32(entry, 4)?, self.data.get(at..)?, usize::try_from(be32(entry, 12)?).ok()?))
    }

    fn text(&self, tag: u32) -> Option<String> {
        // A text, a list of texts, or one for each language.
        let (kind, data, _) = self.tag(tag)?;
        matches!(kind, 6 | 8 | 9).then(|| String::from_utf8_lossy(until_zero(data)).into_owned())
    }

    fn texts(&self, tag: u32) -> Vec<String> {
        let Some((8, data, count)) = self.tag(tag) else { return Vec::new() };
        let list = data.split(|byte| *byte == 0).take(count.min(NAMES_MAX));
        list.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

/// Takes the package that a header describes, which is known so. Returns whether it is a header at all.
pub(in crate::catalog) fn read(blob: &[u8], state: State, found: &mut Found) -> bool {
    let Some(header) = Header::of(blob) else { return false };
    let (Some(name), Some(version)) = (header.text(NAME), header.text(VERSION)) else { return false };
    // Keys of signers are kept as if they were packages.
    if name == "gpg-pubkey" {
        return true;
    }
    let release = header.text(RELEASE).unwrap_or_default();
    let full = if release.is_empty() { version } else { format!("{version}-{release}") };
    let epoch = header.tag(EPOCH).and_then(|(_, data, _)| be32(data, 0)).filter(|epoch| *epoch > 0);
    let mut stated = Stated::new("rpm", name, full, state)
        .qualified("arch", header.text(ARCHITECTURE).unwrap_or_default())
        .qualified("epoch", epoch.map(|epoch| epoch.to_string()).unwrap_or_default())
        .qualified("upstream", header.text(SOURCE).unwrap_or_default());
    stated.supplier = header.text(VENDOR).filter(|vendor| !vendor.is_empty() && vendor != "(none)");
    stated.licence(&header.text(LICENCE).unwrap_or_default());
    if let Some(digest) = header.text(SHA256) {
        // Of the header: of its content by the digests in it.
        stated = stated.with("header-sha256", digest);
    }
    stated.provides = header.texts(PROVIDES);
    let Some(place) = found.take(stated) else { return true };
    let mut needs = header.texts(REQUIRES);
    needs.retain(|name| !name.starts_with("rpmlib("));
    needs.sort();
    needs.dedup();
    found.needs.extend(needs.into_iter().map(|name| (place, name)));
    true
}
