//! What somebody wants to know beyond the facts of every file.

use std::rc::Rc;
use std::sync::Arc;

use super::matcher::Matcher;
use super::twins::Twins;
use crate::executable;

/// What is asked of an inspection beyond the facts of every file.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Certificates in DER: signatures of Windows images, installer databases, cabinets and Java archives are followed to them.
    pub roots: Vec<Vec<u8>>,
    /// Certificates in DER: the timestamps of these are followed to them.
    pub timestamp_roots: Vec<Vec<u8>>,
    /// Windows catalogs: what each is called, and its bytes. They are asked for images without a signature of their own.
    pub catalogs: Vec<(String, Vec<u8>)>,
    /// Rules that are put to the bytes of the artifact and of each member.
    pub matcher: Option<Arc<dyn Matcher>>,
    /// Shared with the opening of the artifact that this one is compared with: what both have is read once.
    pub twins: Option<Arc<Twins>>,
}

impl Wishes {
    /// Adds the certificates of a file: in PEM (RFC 7468), one or several, or one in DER. Says how many there were.
    pub fn add_roots(&mut self, file: &[u8]) -> usize {
        add_certificates(&mut self.roots, file)
    }

    /// Adds a Windows catalog; `false` if it is none.
    pub fn add_catalog(&mut self, name: &str, file: &[u8]) -> bool {
        let is_read = executable::Catalog::read(file, &executable::Trusted::default()).is_some();
        if is_read {
            self.catalogs.push((name.to_owned(), file.to_vec()));
        }
        is_read
    }

    pub(super) fn catalogs(&self, trusted: &executable::Trusted) -> executable::Catalogs {
        let read = self
            .catalogs
            .iter()
            .filter_map(|(name, file)| Some((name.clone(), executable::Catalog::read(file, trusted)?)));
        executable::Catalogs(Rc::new(read.collect()))
    }

    /// Adds the certificates of a file as roots of timestamps.
    pub fn add_timestamp_roots(&mut self, file: &[u8]) -> usize {
        add_certificates(&mut self.timestamp_roots, file)
    }
}

fn add_certificates(list: &mut Vec<Vec<u8>>, file: &[u8]) -> usize {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let before = list.len();
    if file.starts_with(b"\x30") {
        list.push(file.to_vec());
    } else {
        let text = String::from_utf8_lossy(file);
        let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split("-----END").next());
        list.extend(blocks.filter_map(|block| crate::base64::decode(block.as_bytes())));
    }
    list.retain(|der| executable::is_certificate(der));
    list.len() - before
}
