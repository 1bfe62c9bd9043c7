//! Names that look like popular ones: by the lists that were imported, or by those of a folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use evidence::{Finding, Subject};
use feeds::Snapshot;
use feeds::documents::NAME_LISTS;
use judge::codes;
use judge::matching::Popular;

use super::targets::Named;
use crate::error::{Error, Result};

const LIST_MAX_BYTES: u64 = 256 << 20;

/// Popular names, each list read when it is first asked for.
pub(super) struct Names {
    folder: Option<PathBuf>,
    known: BTreeMap<&'static str, Popular>,
    /// Why a list could not be read.
    pub(super) failed: Option<Error>,
}

impl Names {
    /// Takes a folder of lists; without one, those of the snapshot count.
    pub(super) fn of(folder: Option<PathBuf>) -> Self {
        Self { folder, known: BTreeMap::new(), failed: None }
    }

    /// Tells whether a package is called almost like a popular one.
    pub(super) fn like<D: AsRef<[u8]>>(
        &mut self,
        snapshot: &Snapshot<D>,
        named: &Named<'_>,
    ) -> Option<Finding> {
        let (_, list) = NAME_LISTS.iter().find(|(kind, _)| *kind == named.purl.kind())?;
        if !self.known.contains_key(list) {
            let popular = match &self.folder {
                Some(folder) => read(folder, list),
                None => Ok(snapshot.popular(list).map(of_text).unwrap_or_default()),
            };
            let popular = popular.unwrap_or_else(|error| {
                self.failed.get_or_insert(error);
                Popular::default()
            });
            self.known.insert(list, popular);
        }
        let name = match named.purl.namespace() {
            Some(namespace) => format!("{namespace}/{}", named.purl.name()),
            None => named.purl.name().to_owned(),
        };
        let like = self.known.get(list)?.like(&name)?;
        let sighting = &named.sighting;
        let because = vec![
            format!("`{name}` is within one edit of `{like}`"),
            format!("{} in {}: {}", sighting.grade.word(), sighting.within, sighting.because),
        ];
        let subject = Subject { path: Some(sighting.package.as_str().into()), digest: sighting.digest };
        Some(codes::NAME_LIKE_POPULAR.finding(subject, because))
    }
}

fn of_text(text: &str) -> Popular {
    Popular::new(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')))
}

/// Reads a list, one name a line; an ecosystem without one has no popular names.
fn read(folder: &Path, list: &str) -> Result<Popular> {
    for name in [format!("{list}.txt"), format!("{list}.txt.gz")] {
        let path = folder.join(&name);
        let fail = |source| Error::Read { path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(fail)?,
        };
        let mut text = String::new();
        let read = if name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(file).take(LIST_MAX_BYTES).read_to_string(&mut text)
        } else {
            file.take(LIST_MAX_BYTES).read_to_string(&mut text)
        };
        read.map_err(fail)?;
        return Ok(of_text(&text));
    }
    Ok(Popular::default())
}
