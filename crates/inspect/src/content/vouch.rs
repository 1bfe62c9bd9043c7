//! Members that vouch for others by their digests: the manifest of a signed Java archive, Sigstore bundles and in-toto
//! statements beside a file, lists of checksums. What they say is held against the members that are there.

use std::collections::BTreeMap;

use evidence::tree::{CodeSignature, Content, Stale, Uncovered};
use evidence::{BytePath, Digest, Node};
use serde_json::Value;

use crate::base64::decode;
use crate::executable::{Trusted, detached};

/// No such document is larger; the manifest of a large archive has a megabyte.
const DOCUMENT_MAX_BYTES: usize = 16 << 20;
/// All of one container together.
const HELD_MAX_BYTES: usize = 64 << 20;
/// Members that a signature leaves out, written out.
const UNCOVERED_MAX: usize = 64;

const MANIFEST: &[u8] = b"META-INF/MANIFEST.MF";
/// Endings of signatures of Java archives (JAR File Specification, "Signed JAR File").
const BLOCKS: [&[u8]; 3] = [b".RSA", b".EC", b".DSA"];
/// Endings of documents that stand beside what they are about.
const BESIDE: [&[u8]; 8] = [
    b".sigstore.json",
    b".sigstore",
    b".intoto.jsonl",
    b".intoto.json",
    b".publish.attestation",
    b".provenance",
    b".sha256",
    b".sha256sum",
];
/// Names of lists of checksums of a folder.
const LISTS: [&[u8]; 5] =
    [b"SHA256SUMS", b"sha256sums.txt", b"sha256sum.txt", b"SHASUMS256.txt", b"checksums.txt"];

/// Documents of one container.
#[derive(Default)]
pub(super) struct Vouchers {
    documents: BTreeMap<Vec<u8>, Vec<u8>>,
    held_bytes: usize,
}

/// Tells whether a member of this name may be such a document.
pub(super) fn is_wanted(name: &BytePath) -> bool {
    let (path, base) = (name.as_bytes(), super::base(name));
    path == MANIFEST
        || is_block(path)
        || path.starts_with(b"META-INF/") && path.ends_with(b".SF")
        || BESIDE.iter().any(|ending| base.ends_with(ending))
        || LISTS.contains(&base)
}

impl Vouchers {
    /// Takes a member, if it is such a document.
    pub(super) fn take(&mut self, name: &BytePath, bytes: &[u8]) {
        let path = name.as_bytes();
        if is_wanted(name)
            && bytes.len() <= DOCUMENT_MAX_BYTES
            && self.held_bytes + bytes.len() <= HELD_MAX_BYTES
        {
            self.held_bytes += bytes.len();
            self.documents.insert(path.to_vec(), bytes.to_vec());
        }
    }

    /// Writes into the members what does not fit, and returns the container's own signature.
    pub(super) fn judge(&self, members: &mut [Node], trusted: &Trusted) -> Option<CodeSignature> {
        let mut stated: BTreeMap<Vec<u8>, (Vec<u8>, Vec<Digest>)> = BTreeMap::new();
        for (path, bytes) in &self.documents {
            for (about, digests) in about(path, bytes) {
                let row = stated.entry(about).or_insert_with(|| (path.clone(), Vec::new()));
                row.1.extend(digests);
            }
        }
        for member in members.iter_mut().filter(|_| !stated.is_empty()) {
            // Folders are listed, and documents do not vouch for themselves.
            let Some(digest) = member.digest.filter(|_| member.link.is_none()) else { continue };
            if let Some((document, digests)) = stated.get(member.name.as_bytes())
                && !digests.is_empty()
                && !digests.contains(&digest)
            {
                let source = BytePath::from(document.as_slice()).to_string();
                let reason = "it has another digest for this member".to_owned();
                member.content.get_or_insert_with(Content::default).stale =
                    Some(Stale { source, reason, idle: false });
            }
        }
        self.archive(members, trusted)
    }

    /// Reads the signature of a Java archive: over the signature file, which names the digest of the manifest.
    fn archive(&self, members: &[Node], trusted: &Trusted) -> Option<CodeSignature> {
        let manifest = self.documents.get(MANIFEST)?;
        let (block, structure) = self.documents.iter().find(|(path, _)| is_block(path))?;
        let stem = &block[..block.iter().rposition(|byte| *byte == b'.')?];
        let file = self.documents.get(&[stem, b".SF"].concat())?;
        let mut facts = detached(structure, file, trusted)?;
        facts.kind = "jar".into();
        facts.table_bytes = structure.len() as u64;
        facts.entries = 1;
        let stated = sections(file).into_iter().next()?.get("SHA-256-Digest-Manifest").cloned();
        facts.digest_matches =
            stated.and_then(|text| digest(&text)).map(|stated| stated == Digest::of(manifest));
        facts.image_digest = Some(Digest::of(manifest).to_string());
        facts.flags.insert("v1".to_owned());
        let later =
            sections(file).into_iter().next()?.get("X-Android-APK-Signed").cloned().unwrap_or_default();
        let numbers = later.split(',').map(str::trim).filter(|number| matches!(*number, "2" | "3"));
        facts.missing_schemes = numbers.map(|number| format!("v{number}")).collect();
        let listed: Vec<Vec<u8>> = sections(manifest)
            .into_iter()
            .filter_map(|section| section.get("Name").cloned())
            .map(String::into_bytes)
            .collect();
        let listed: std::collections::BTreeSet<&[u8]> = listed.iter().map(Vec::as_slice).collect();
        let left_out = members.iter().filter(|member| {
            let path = member.name.as_bytes();
            !path.starts_with(b"META-INF/") && !path.ends_with(b"/") && !listed.contains(path)
        });
        facts.uncovered = left_out
            .take(UNCOVERED_MAX)
            .map(|member| Uncovered {
                place: format!("member `{}`", member.name),
                offset: 0,
                size: member.size,
                entropy_millibits: 0,
                tag: None,
            })
            .collect();
        Some(facts)
    }
}

fn is_block(path: &[u8]) -> bool {
    path.starts_with(b"META-INF/") && BLOCKS.iter().any(|ending| path.ends_with(ending))
}

/// Lists what a document says: paths of members, and the SHA-256 that each may have.
fn about(path: &[u8], bytes: &[u8]) -> Vec<(Vec<u8>, Vec<Digest>)> {
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let folder = &path[..path.len() - base.len()];
    if path == MANIFEST {
        let rows = sections(bytes).into_iter().filter_map(|section| {
            let digest = digest(section.get("SHA-256-Digest")?)?;
            Some((section.get("Name")?.clone().into_bytes(), vec![digest]))
        });
        return rows.collect();
    }
    if LISTS.contains(&base) {
        return checksums(bytes)
            .into_iter()
            .map(|(name, digest)| ([folder, &name].concat(), vec![digest]))
            .collect();
    }
    let Some(ending) = BESIDE.iter().find(|ending| base.ends_with(ending)) else { return Vec::new() };
    let beside = path[..path.len() - ending.len()].to_vec();
    let digests = if ending.starts_with(b".sha256") {
        let alone = || Some(String::from_utf8_lossy(bytes).split_whitespace().next()?.to_owned());
        alone().and_then(|text| format!("sha256:{text}").parse().ok()).into_iter().collect()
    } else {
        statements(bytes)
    };
    vec![(beside, digests)]
}

/// Sections of a manifest: names and values, lines continued by a blank joined (JAR File Specification, "Notes on Manifest
/// and Signature Files").
fn sections(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace("\n ", "");
    text.split("\n\n")
        .map(|section| {
            let pairs = section.lines().filter_map(|line| line.split_once(": "));
            pairs.map(|(name, value)| (name.trim_start().to_owned(), value.to_owned())).collect()
        })
        .collect()
}

/// Rows of `sha256sum`: a digest, two characters, a name.
fn checksums(bytes: &[u8]) -> Vec<(Vec<u8>, Digest)> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| {
            let (digest, name) = line.split_once(' ')?;
            let name = name.trim_start_matches([' ', '*']).trim_start_matches("./");
            Some((name.as_bytes().to_vec(), format!("sha256:{digest}").parse().ok()?))
        })
        .collect()
}

/// Digests of what a Sigstore bundle, a DSSE envelope or a PEP 740 attestation is about.
fn statements(bytes: &[u8]) -> Vec<Digest> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    // One document, or one a line.
    let whole = serde_json::from_str::<Value>(&text).ok();
    let documents: Vec<Value> = match whole {
        Some(whole) => vec![whole],
        None => text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    for document in &documents {
        found.extend(
            document
                .pointer("/messageSignature/messageDigest/digest")
                .and_then(Value::as_str)
                .and_then(digest),
        );
        let inside = ["/dsseEnvelope/payload", "/payload"].iter().filter_map(|place| document.pointer(place));
        let attested = document
            .pointer("/attestation_bundles")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|bundle| bundle.get("attestations")?.as_array())
            .flatten()
            .chain(std::iter::once(document))
            .filter_map(|attestation| attestation.pointer("/envelope/statement"));
        for payload in inside.chain(attested).filter_map(Value::as_str) {
            let statement =
                decode(payload.as_bytes()).and_then(|json| serde_json::from_slice::<Value>(&json).ok());
            let subjects = statement.as_ref().and_then(|statement| statement.get("subject")?.as_array());
            let digests = subjects
                .into_iter()
                .flatten()
                .filter_map(|subject| subject.pointer("/digest/sha256")?.as_str());
            found.extend(digests.filter_map(|hex| format!("sha256:{hex}").parse::<Digest>().ok()));
        }
    }
    found
}

/// Reads a SHA-256 in base64.
fn digest(text: &str) -> Option<Digest> {
    let bytes: [u8; 32] = decode(text.as_bytes())?.try_into().ok()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64::encode_url as base64;

    fn judged(documents: &[(&str, &str)], member: &str, content: &str) -> Option<String> {
        let mut vouchers = Vouchers::default();
        for (name, bytes) in documents {
            vouchers.take(&(*name).into(), bytes.as_bytes());
        }
        let mut members = [Node::leaf(member.into(), "data", Digest::of(content.as_bytes()), 1)];
        vouchers.judge(&mut members, &Trusted::default());
        members[0].content.as_ref()?.stale.as_ref().map(|stale| stale.source.clone())
    }

    fn hex(content: &str) -> String {
        Digest::of(content.as_bytes()).hex()
    }

    #[test]
    fn what_lists_and_statements_say_is_held_against_the_members() {
        let list = format!("{}  a.bin\n{} *b.bin\n", hex("A"), hex("B"));
        let cases: Vec<(String, String)> = vec![
            ("dist/SHA256SUMS".into(), list),
            ("dist/a.bin.sha256".into(), format!("{}  a.bin\n", hex("A"))),
            (
                "dist/a.bin.sigstore.json".into(),
                format!(
                    r#"{{"messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"{}"}}}}}}"#,
                    base64(Digest::of(b"A").as_bytes())
                ),
            ),
            ("dist/a.bin.intoto.jsonl".into(), {
                let statement =
                    format!(r#"{{"subject":[{{"name":"x","digest":{{"sha256":"{}"}}}}]}}"#, hex("A"));
                format!("{{\"payload\":\"{}\"}}\n{{}}\n", base64(statement.as_bytes()))
            }),
            ("dist/a.bin.publish.attestation".into(), {
                let statement =
                    format!(r#"{{"subject":[{{"name":"a.bin","digest":{{"sha256":"{}"}}}}]}}"#, hex("A"));
                format!(
                    r#"{{"version":1,"envelope":{{"statement":"{}","signature":""}}}}"#,
                    base64(statement.as_bytes())
                )
            }),
        ];
        for (name, document) in &cases {
            let documents = [(name.as_str(), document.as_str())];
            assert_eq!(judged(&documents, "dist/a.bin", "A"), None, "{name}");
            assert_eq!(judged(&documents, "dist/a.bin", "other"), Some(name.clone()));
            assert_eq!(judged(&documents, "elsewhere/a.bin", "other"), None, "{name}");
        }
    }

    #[test]
    fn a_document_that_says_nothing_vouches_for_nothing() {
        for document in ["", "{}", "{\"payload\":\"!\"}", "no digest"] {
            for name in ["a.sigstore.json", "a.sha256", "SHA256SUMS"] {
                assert_eq!(judged(&[(name, document)], "a", "A"), None);
            }
        }
    }

    #[test]
    fn the_manifest_of_an_archive_is_held_against_its_members() {
        let manifest = |content: &str| {
            format!(
                "Manifest-Version: 1.0\r\n\r\nName: org/example/with/a/long/nam\r\n e/A.class\r\nSHA-256-Digest: {}\r\n\r\n",
                base64(Digest::of(content.as_bytes()).as_bytes())
            )
        };
        let path = "org/example/with/a/long/name/A.class";
        assert_eq!(judged(&[("META-INF/MANIFEST.MF", &manifest("A"))], path, "A"), None);
        assert_eq!(
            judged(&[("META-INF/MANIFEST.MF", &manifest("A"))], path, "B"),
            Some("META-INF/MANIFEST.MF".to_owned())
        );
    }
}
