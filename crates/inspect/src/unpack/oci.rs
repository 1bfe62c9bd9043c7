//! Container images: the OCI image layout (OCI Image Format Specification 1.1) and what `docker save` writes. What the
//! manifests say of blobs, layers and their uncompressed content is compared with what is there; deletions in layers are
//! marked.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{BytePath, Node};
use serde_json::Value;

/// Manifests and configurations are smaller; registries refuse manifests above 4 MiB.
const DOCUMENT_MAX_BYTES: usize = 4 << 20;
const DOCUMENTS_MAX_BYTES: usize = 64 << 20;
const MANIFESTS_MAX: usize = 1000;
const BLOBS: &str = "blobs/sha256/";
/// Deletes the file of the name that follows ("Image Layer Filesystem Changeset", "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Deletes all that lower layers have in the folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an image is told from: the JSON documents of an archive or folder that may be one.
#[derive(Default)]
pub(crate) struct Documents {
    texts: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

/// A problem of one member.
pub(crate) type Finding = (BytePath, &'static str, &'static str);

impl Documents {
    /// Keeps a member's content if it may be a document of an image.
    pub(crate) fn note(&mut self, name: &BytePath, content: &[u8]) {
        let Ok(name) = std::str::from_utf8(plain(name.as_bytes())) else { return };
        let may_be =
            name.starts_with(BLOBS) || name.ends_with(".json") && !name.contains('/') || name == "oci-layout";
        let is_json = matches!(content.first(), Some(b'{' | b'['));
        let fits = content.len() <= DOCUMENT_MAX_BYTES && self.bytes + content.len() <= DOCUMENTS_MAX_BYTES;
        if may_be && is_json && fits {
            self.bytes += content.len();
            self.texts.insert(name.to_owned(), content.to_vec());
        }
    }

    /// Compares the members of an image with what its documents say, and marks the deletions in its layers. Does nothing where
    /// there is no image. Returns the layers of each image too, lowest first.
    pub(crate) fn check(&self, node: &mut Node) -> (Vec<Finding>, Vec<Vec<String>>) {
        let layout = self.texts.contains_key("oci-layout");
        let saved = self.json("manifest.json").filter(|saved| {
            saved.as_array().is_some_and(|images| images.iter().any(|image| image.get("Layers").is_some()))
        });
        if !layout && saved.is_none() {
            return (Vec::new(), Vec::new());
        }
        let places = node
            .members
            .iter()
            .enumerate()
            .filter_map(|(place, member)| {
                Some((std::str::from_utf8(plain(member.name.as_bytes())).ok()?.to_owned(), place))
            })
            .collect();
        let mut image = Image { documents: self, node, places, findings: Vec::new(), orders: Vec::new() };
        image.blobs();
        if let Some(saved) = &saved {
            image.saved(saved);
        }
        if let Some(index) = self.json("index.json").filter(|_| layout) {
            image.layout(index);
        }
        image.findings.sort();
        image.findings.dedup();
        image.orders.sort();
        image.orders.dedup();
        (image.findings, image.orders)
    }

    fn json(&self, name: &str) -> Option<Value> {
        serde_json::from_slice(self.texts.get(name)?).ok()
    }
}

struct Image<'a> {
    documents: &'a Documents,
    node: &'a mut Node,
    /// Members by name.
    places: BTreeMap<String, usize>,
    findings: Vec<Finding>,
    /// The layers of each image, lowest first.
    orders: Vec<Vec<String>>,
}

impl Image<'_> {
    fn find(&mut self, name: &str, kind: &'static str, detail: &'static str) {
        self.findings.push((BytePath::from(name), kind, detail));
    }

    fn member(&self, name: &str) -> Option<&Node> {
        self.node.members.get(*self.places.get(name)?)
    }

    /// A blob's name is its digest.
    fn blobs(&mut self) {
        let wrong: Vec<String> = self
            .places
            .keys()
            .filter(|name| {
                let digest =
                    self.member(name).and_then(|member| member.digest.filter(|_| member.format != "symlink"));
                name.strip_prefix(BLOBS)
                    .is_some_and(|hex| !hex.is_empty() && digest.is_some_and(|digest| digest.hex() != *hex))
            })
            .cloned()
            .collect();
        for name in wrong {
            self.find(&name, "digest-mismatch", "the blob's digest is not its name");
        }
    }

    /// Follows `manifest.json` of `docker save`: configurations and layers by name.
    fn saved(&mut self, saved: &Value) {
        for image in saved.as_array().into_iter().flatten() {
            let config = image.get("Config").and_then(Value::as_str).unwrap_or_default();
            let hex = config.strip_suffix(".json").filter(|hex| hex.len() == 64 && !hex.contains('/'));
            let digest = self.member(config).and_then(|member| member.digest);
            if let (Some(hex), Some(digest)) = (hex, digest)
                && digest.hex() != hex
            {
                self.find(config, "digest-mismatch", "the configuration's digest is not its name");
            }
            let layers: Vec<String> =
                texts(image.get("Layers")).into_iter().map(|layer| self.target(layer)).collect();
            self.layers(config, &layers);
        }
    }

    /// Old archives have each layer once, and links to it.
    fn target(&self, layer: String) -> String {
        let link = self
            .member(&layer)
            .filter(|member| member.format == "symlink")
            .and_then(|member| member.link.clone());
        let link = link.and_then(|link| String::from_utf8(link.into_bytes()).ok());
        link.and_then(|link| link.strip_prefix("../").map(str::to_owned)).unwrap_or(layer)
    }

    /// Follows `index.json` of a layout to manifests, configurations and layers.
    fn layout(&mut self, index: Value) {
        let (mut waiting, mut seen) = (vec![index], BTreeSet::new());
        while let Some(document) = waiting.pop() {
            for descriptor in document.get("manifests").and_then(Value::as_array).into_iter().flatten() {
                let Some(blob) = self.descriptor(descriptor) else { continue };
                if seen.len() < MANIFESTS_MAX && seen.insert(blob.clone()) {
                    waiting.extend(self.documents.json(&blob));
                }
            }
            let config = document.get("config").and_then(|config| self.descriptor(config));
            let descriptors = document.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut layers = Vec::new();
            for descriptor in &descriptors {
                match self.descriptor(descriptor) {
                    Some(blob) => {
                        self.media_type(descriptor, &blob);
                        layers.push(blob);
                    }
                    // A layer that is elsewhere has addresses.
                    None if descriptor.get("urls").is_some() => layers.push(String::new()),
                    None => {
                        self.find(
                            "index.json",
                            "missing-member",
                            "a manifest names a layer that is not there",
                        );
                        layers.push(String::new());
                    }
                }
            }
            if let Some(config) = config {
                self.layers(&config, &layers);
            }
        }
    }

    /// Returns the name of the blob that a descriptor describes, if it is there, after comparing its size.
    fn descriptor(&mut self, descriptor: &Value) -> Option<String> {
        let hex = descriptor.get("digest")?.as_str()?.strip_prefix("sha256:")?;
        let name = format!("{BLOBS}{hex}");
        let size = self.member(&name)?.size;
        if descriptor.get("size").and_then(Value::as_u64) != Some(size) {
            self.find(&name, "size-mismatch", "its descriptor gives another size");
        }
        Some(name)
    }

    fn media_type(&mut self, descriptor: &Value, blob: &str) {
        let said = descriptor.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        let expected = if said.ends_with("gzip") {
            "gzip"
        } else if said.ends_with("zstd") {
            "zstd"
        } else if said.ends_with(".tar") {
            "tar"
        } else {
            return;
        };
        if self.member(blob).is_some_and(|member| member.format != expected) {
            self.find(blob, "media-type-mismatch", "its media type says another format");
        }
    }

    /// Compares the layers with the `diff_ids` of a configuration, and marks the deletions in them.
    fn layers(&mut self, config: &str, layers: &[String]) {
        self.orders.push(layers.to_vec());
        let config = self.documents.json(config);
        let ids = config.as_ref().and_then(|config| config.get("rootfs")?.get("diff_ids"));
        let ids = ids.map(|ids| texts(Some(ids)));
        if ids.as_ref().is_some_and(|ids| ids.len() != layers.len()) {
            self.find("manifest.json", "digest-mismatch", "the configuration has another number of layers");
        }
        for (number, layer) in layers.iter().enumerate() {
            let Some(place) = self.places.get(layer).copied() else { continue };
            let Some(archive) = self.node.members.get_mut(place).and_then(archive) else { continue };
            mark(archive);
            let digest = archive.digest.map(|digest| digest.to_string());
            if let (Some(ids), Some(digest)) = (&ids, digest)
                && ids.get(number) != Some(&digest)
            {
                self.find(
                    layer,
                    "digest-mismatch",
                    "the layer's content is not the one of the configuration",
                );
            }
        }
    }
}

/// Finds the tar archive of a layer, which may be compressed.
fn archive(layer: &mut Node) -> Option<&mut Node> {
    if layer.format == "tar" {
        return Some(layer);
    }
    layer.members.iter_mut().find(|member| member.format == "tar")
}

fn mark(archive: &mut Node) {
    for member in &mut archive.members {
        let name = member.name.file_name();
        if name == OPAQUE {
            member.format = "opaque".to_owned();
        } else if name.starts_with(WHITEOUT) {
            member.format = "whiteout".to_owned();
        }
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

fn plain(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}
