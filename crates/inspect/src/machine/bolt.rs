//! The images that containerd knows: its metadata is a bbolt file (`go.etcd.io/bbolt`, "page.go" and "db.go"), read as it lies.
//!
//! Buckets are trees of pages: branch pages name pages below, leaf pages have keys with values, and a value may be a bucket with a
//! page of its own inside it. `v1/NAMESPACE/images/NAME/target/digest` is what is asked for (containerd, "metadata/buckets.go").

use crate::bytes::{le16, le32, le64, slice};

/// Pages that are visited in one file: they may form circles.
const PAGES_MAX: u32 = 1_000_000;
/// Images that are listed.
const IMAGES_MAX: usize = 100_000;
const META_MAGIC: u32 = 0xED0C_DAED;
const HEADER_BYTES: u64 = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const IS_BUCKET: u32 = 1;

/// An image that containerd knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ContainerdImage {
    /// Who uses it: `k8s.io`, `moby`, `default`.
    pub namespace: String,
    /// Its reference, with a tag or a digest.
    pub name: String,
    /// The digest of its manifest or index: `sha256:…`.
    pub digest: String,
}

/// Lists the images in `meta.db`. The error says what is wrong with the file.
pub fn containerd_images(bytes: &[u8]) -> Result<Vec<ContainerdImage>, &'static str> {
    let mut file = File { bytes, page_bytes: 0, room: PAGES_MAX };
    let root = file.root().ok_or("neither of its two heads is whole")?;
    let mut images = Vec::new();
    let versions = file.bucket(root)?;
    let Some(version) = versions.iter().find(|entry| entry.key == b"v1").and_then(Entry::as_bucket) else {
        return Ok(images);
    };
    for namespace in file.bucket(version)? {
        let Some(inner) = namespace.as_bucket() else { continue };
        let lists = file.bucket(inner)?;
        let Some(list) = lists.iter().find(|entry| entry.key == b"images").and_then(Entry::as_bucket) else {
            continue;
        };
        for image in file.bucket(list)? {
            let Some(inner) = image.as_bucket() else { continue };
            let parts = file.bucket(inner)?;
            let target = parts.iter().find(|entry| entry.key == b"target").and_then(Entry::as_bucket);
            let digest = match target {
                Some(target) => file.bucket(target)?.into_iter().find(|entry| entry.key == b"digest"),
                None => None,
            };
            if images.len() >= IMAGES_MAX {
                return Err("it has too many images");
            }
            images.push(ContainerdImage {
                namespace: text(namespace.key),
                name: text(image.key),
                digest: digest.map(|digest| text(digest.value)).unwrap_or_default(),
            });
        }
    }
    images.sort();
    Ok(images)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..1024).unwrap_or(bytes)).chars().filter(|c| !c.is_control()).collect()
}

struct File<'a> {
    bytes: &'a [u8],
    page_bytes: u64,
    /// Pages that may still be visited.
    room: u32,
}

/// A bucket: a page of the file, or one that lies in a value.
#[derive(Clone, Copy)]
enum Bucket<'a> {
    Page(u64),
    Inline(&'a [u8]),
}

struct Entry<'a> {
    key: &'a [u8],
    value: &'a [u8],
    is_bucket: bool,
}

impl<'a> Entry<'a> {
    fn as_bucket(&self) -> Option<Bucket<'a>> {
        let root = le64(self.value, 0).filter(|_| self.is_bucket)?;
        // Behind the root and a sequence number, a page of its own.
        if root == 0 { self.value.get(16..).map(Bucket::Inline) } else { Some(Bucket::Page(root)) }
    }
}

impl<'a> File<'a> {
    /// The newer of the two heads says where the root is.
    fn root(&mut self) -> Option<Bucket<'a>> {
        let head = |at: u64| {
            let head = slice(self.bytes, at + HEADER_BYTES, 64)?;
            let page_bytes = u64::from(le32(head, 8)?);
            let plausible = (512..=65536).contains(&page_bytes) && page_bytes.is_power_of_two();
            let whole = le32(head, 0)? == META_MAGIC && le64(head, 56)? == fnv1a(&head[..56]);
            (plausible && whole).then_some((le64(head, 48)?, page_bytes, le64(head, 16)?))
        };
        // The second lies behind the first page, whose size may be in a head that is damaged.
        let heads = [0, 4096, 8192, 16384, 65536].into_iter().filter_map(head);
        let (_, page_bytes, root) = heads.max_by_key(|(transaction, ..)| *transaction)?;
        self.page_bytes = page_bytes;
        Some(Bucket::Page(root))
    }

    /// Lists what is in a bucket.
    fn bucket(&mut self, bucket: Bucket<'a>) -> Result<Vec<Entry<'a>>, &'static str> {
        let (mut entries, mut waiting) = (Vec::new(), vec![bucket]);
        while let Some(next) = waiting.pop() {
            self.room = self.room.checked_sub(1).ok_or("its pages form a circle")?;
            let page = match next {
                Bucket::Inline(page) => page,
                Bucket::Page(number) => {
                    let at = number.checked_mul(self.page_bytes).and_then(|at| usize::try_from(at).ok());
                    at.and_then(|at| self.bytes.get(at..)).ok_or("a page lies outside")?
                }
            };
            let (flags, count) = (le16(page, 8), le16(page, 10).ok_or("a page is cut off")?);
            let rows = page.get(16..).ok_or("a page is cut off")?;
            for number in 0..usize::from(count) {
                let row = rows.get(number * 16..).ok_or("a page is cut off")?;
                let field = |at| le32(row, at).map(u64::from).ok_or("a page is cut off");
                match flags {
                    Some(BRANCH) => {
                        waiting.push(Bucket::Page(le64(row, 8).ok_or("a page is cut off")?));
                        if waiting.len() > self.room as usize {
                            return Err("its pages form a circle");
                        }
                    }
                    Some(LEAF) => {
                        let (at, key, value) = (field(4)?, field(8)?, field(12)?);
                        let entry = Entry {
                            key: slice(row, at, key).ok_or("a key lies outside")?,
                            value: slice(row, at + key, value).ok_or("a value lies outside")?,
                            is_bucket: field(0)? & u64::from(IS_BUCKET) != 0,
                        };
                        // A row costs what a page does: a file of leaves that are visited again and again ends.
                        self.room = self.room.checked_sub(1).ok_or("it has too many keys")?;
                        entries.push(entry);
                    }
                    _ => return Err("a page is of another kind"),
                }
            }
        }
        Ok(entries)
    }
}

/// FNV-1a of 64 bits, with which a head is told from half of one.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: a key, a value, and whether that is a bucket.
    fn leaf(rows: &[(&[u8], Vec<u8>, bool)]) -> Vec<u8> {
        let mut page = vec![0_u8; 8];
        page.extend(LEAF.to_le_bytes());
        page.extend(u16::try_from(rows.len()).unwrap().to_le_bytes());
        page.extend([0; 4]);
        let mut data = Vec::new();
        for (number, (key, value, is_bucket)) in rows.iter().enumerate() {
            let at = (rows.len() - number) * 16 + data.len();
            for field in [usize::from(*is_bucket), at, key.len(), value.len()] {
                page.extend(u32::try_from(field).unwrap().to_le_bytes());
            }
            data.extend([key, value.as_slice()].concat());
        }
        page.extend(data);
        page
    }

    fn inline(rows: &[(&[u8], Vec<u8>, bool)]) -> Vec<u8> {
        [vec![0; 16], leaf(rows)].concat()
    }

    fn meta(root: u64, transaction: u64) -> Vec<u8> {
        let mut head = META_MAGIC.to_le_bytes().to_vec();
        [2_u32, 4096, 0].iter().for_each(|field| head.extend(field.to_le_bytes()));
        [root, 0, 0, 0, transaction].iter().for_each(|field| head.extend(field.to_le_bytes()));
        head.extend(fnv1a(&head).to_le_bytes());
        let mut page = vec![0_u8; 16];
        page.extend(head);
        page.resize(4096, 0);
        page
    }

    fn file() -> Vec<u8> {
        let target = inline(&[(b"digest", b"sha256:aa".to_vec(), false), (b"size", vec![1], false)]);
        let image = inline(&[(b"createdat", vec![1], false), (b"target", target, true)]);
        let images = inline(&[(b"docker.io/library/alpine:3", image, true)]);
        let space = inline(&[(b"content", inline(&[]), true), (b"images", images, true)]);
        // The version's bucket is a tree: a branch over two leaves.
        let mut branch = vec![0_u8; 8];
        branch.extend(BRANCH.to_le_bytes());
        branch.extend(2_u16.to_le_bytes());
        branch.extend([0; 4]);
        for page in [4_u64, 5] {
            branch.extend([0; 8]);
            branch.extend(page.to_le_bytes());
        }
        let pages = [
            leaf(&[(b"v1", [3_u64.to_le_bytes(), [0; 8]].concat(), true)]),
            branch,
            leaf(&[(b"default", space, true)]),
            leaf(&[(b"empty", inline(&[]), true), (b"version", vec![3], false)]),
        ];
        let mut file = [meta(9, 1), meta(2, 2)].concat();
        for mut page in pages {
            page.resize(4096, 0);
            file.extend(page);
        }
        file
    }

    #[test]
    fn images_are_found_in_trees_and_inline() {
        let expected = ContainerdImage {
            namespace: "default".into(),
            name: "docker.io/library/alpine:3".into(),
            digest: "sha256:aa".into(),
        };
        assert_eq!(containerd_images(&file()), Ok(vec![expected.clone()]));
        // A newer head that was not written whole does not count.
        let mut torn = file();
        torn[16 + 60] ^= 1;
        assert_eq!(containerd_images(&torn), Ok(vec![expected]));
        torn[4096 + 16 + 60] ^= 1;
        assert!(containerd_images(&torn).is_err());
    }

    #[test]
    fn circles_and_damage_end() {
        let mut circle = file();
        // The branch names itself.
        circle[3 * 4096 + 24..3 * 4096 + 32].copy_from_slice(&3_u64.to_le_bytes());
        assert_eq!(containerd_images(&circle), Err("its pages form a circle"));
        let good = file();
        for at in (0..good.len()).filter(|at| good[*at] != 0) {
            let mut wrong = good.clone();
            wrong[at] ^= 0xff;
            _ = containerd_images(&wrong);
            _ = containerd_images(&good[..at]);
        }
    }
}
