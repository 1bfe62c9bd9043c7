//! Windows catalogs among the members of a container: images that they list are signed by them.

use std::collections::BTreeMap;

use evidence::tree::{Content, Stale};
use evidence::{BytePath, Digest, Node};

use crate::executable::{CATALOG_MAX_BYTES, Catalog, ImageDigests};

/// Catalogs of one container together.
const CATALOGS_MAX_BYTES: usize = 2 * CATALOG_MAX_BYTES;

/// What catalogs and images of one container say.
#[derive(Default)]
pub(super) struct Listed {
    /// Whether there is a catalog, or will be.
    pub(super) expected: bool,
    /// By the path of the image.
    pub(super) images: BTreeMap<BytePath, ImageDigests>,
    catalogs: Vec<(BytePath, Catalog)>,
    bytes: usize,
}

impl Listed {
    /// Keeps a catalog; `false` if there are too many.
    pub(super) fn catalog(&mut self, name: &BytePath, list: Catalog, bytes: usize) -> bool {
        self.expected = true;
        self.bytes = self.bytes.saturating_add(bytes);
        let fits = self.bytes <= CATALOGS_MAX_BYTES;
        if fits {
            self.catalogs.push((name.clone(), list));
        }
        fits
    }

    /// Writes into images without a signature the one of the catalog that lists them, and into members of which a catalog beside or above
    /// them says something else that it does.
    pub(super) fn judge(&self, members: &mut [Node]) {
        for member in members.iter_mut().filter(|_| !self.catalogs.is_empty()) {
            let path = member.name.as_bytes().to_vec();
            let image = self.images.get(&member.name);
            if let (Some(image), [executable]) = (image, &mut member.executables[..])
                && executable.signature.is_none()
            {
                let mut lists = self.catalogs.iter();
                executable.signature = lists.find_map(|(name, list)| list.of_image(image, &name.to_string()));
            }
            let known = digests(member, image);
            let above = self.catalogs.iter().filter(|(name, _)| path.starts_with(folder(name.as_bytes())));
            let against =
                above.filter(|(_, list)| list.contradicts(&path, &known)).map(|(name, _)| name).next();
            let lists_it = |(_, list): &(BytePath, Catalog)| known.iter().any(|digest| list.lists(digest));
            if let Some(source) = against
                && !self.catalogs.iter().any(lists_it)
            {
                let reason = "the catalog has another digest for this member".to_owned();
                let stale = Stale { source: source.to_string(), reason, idle: false };
                member.content.get_or_insert_with(Content::default).stale = Some(stale);
            }
        }
    }
}

fn folder(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
    &path[..end]
}

/// What a catalog may have of a member: digests of the image, and of all bytes.
fn digests(member: &Node, image: Option<&ImageDigests>) -> Vec<Vec<u8>> {
    let mut known: Vec<Vec<u8>> = image.map_or_else(Vec::new, |image| image.0.to_vec());
    let signed = member.executables.iter().filter_map(|one| one.signature.as_ref()?.image_digest.as_ref());
    known.extend(
        signed.filter_map(|text| text.parse::<Digest>().ok()).map(|digest| digest.as_bytes().to_vec()),
    );
    // Of an image the digest of all bytes says nothing unless that of the image is known as well.
    if member.executables.is_empty() || !known.is_empty() {
        known.extend(member.digest.map(|digest| digest.as_bytes().to_vec()));
    }
    known
}
