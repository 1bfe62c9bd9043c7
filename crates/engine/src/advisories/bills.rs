//! `advisories follow`: products by their bills of materials. From then on every new advisory is matched with them.

use std::collections::BTreeSet;
use std::path::Path;

use evidence::bom::Place;
use evidence::{Digest, Followed, Purl, Timestamp};
use store::Heads;

use crate::World;
use crate::error::{Error, Result};
use crate::world::store_error;

/// The cell that holds the digest of the newest one.
const HEAD: &str = "followed";
/// So many are followed back from the newest.
const FOLLOWED_MAX: usize = 1_000_000;

/// What was taken in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The product's release.
    pub followed: Followed,
    /// Whether it was followed already.
    pub known: bool,
}

/// Takes a product's release in by its bill. Product and release are what the bill says, unless somebody says otherwise.
///
/// Order: the list of packages, the document, then the cell. A crash before the last leaves objects that nothing names.
pub fn follow(world: &World, path: &Path, product: Option<&str>, release: Option<&str>) -> Result<Taken> {
    let bill = crate::digest_of(path)?;
    let file =
        std::fs::File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let (document, problems) = inspect::sbom::read_names(file);
    let bom = document.map(|document| document.bom).ok_or_else(|| Error::NoBill {
        path: path.to_path_buf(),
        detail: problems.first().map(|problem| problem.detail.clone()).unwrap_or_default(),
    })?;
    let subject = &bom.subject;
    let name = product.unwrap_or(&subject.name).to_owned();
    if name.is_empty() {
        return Err(Error::NoTarget(format!(
            "`{}` does not say what it is of: name it with --product",
            path.display()
        )));
    }
    let release = release.unwrap_or(&subject.version).to_owned();
    let counts = bom.packages.iter().filter(|one| !matches!(one.place, Place::Fixture | Place::Cache));
    let packages: BTreeSet<String> = counts
        .filter_map(|one| Purl::parse_lenient(one.purl.as_deref()?).ok())
        .map(|purl| purl.to_string())
        .collect();
    let count = packages.len() as u64;
    let list = packages.into_iter().collect::<Vec<_>>().join("\n");
    let lock = world.lock()?;
    let newest = world.heads.load(HEAD).map_err(store_error)?;
    let known = followed(world)?.into_iter().map(|(_, one)| one);
    let mut same = known.filter(|one| one.product == name && one.release == release && one.bill == bill);
    if let Some(followed) = same.next() {
        return Ok(Taken { followed, known: true });
    }
    let made = bom.made.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let followed = Followed {
        schema: evidence::wire::schema("followed"),
        product: name,
        release,
        made: made.filter(|made| *made <= world.now()).unwrap_or_else(|| world.now()),
        added: world.now(),
        bill,
        packages: world.put(list.as_bytes())?,
        count,
        previous: newest.as_deref().map(digest).transpose()?,
    };
    let digest = world.put_document(&followed)?;
    world.heads.replace(HEAD, newest.as_deref(), digest.to_string().as_bytes()).map_err(store_error)?;
    drop(lock);
    Ok(Taken { followed, known: false })
}

fn digest(bytes: &[u8]) -> Result<Digest> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.parse().map_err(|error| Error::Store(Box::new(error)))
}

/// All that is followed, newest first.
pub fn followed(world: &World) -> Result<Vec<(Digest, Followed)>> {
    let mut next = world.heads.load(HEAD).map_err(store_error)?.as_deref().map(digest).transpose()?;
    let mut found = Vec::new();
    while let Some(at) = next.filter(|_| found.len() < FOLLOWED_MAX) {
        let one: Followed = world.document("followed product", &at)?;
        next = one.previous;
        found.push((at, one));
    }
    Ok(found)
}
