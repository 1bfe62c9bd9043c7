//! Facts about one artifact that honest files do not show, whatever it is compared with.
//!
//! Over 1,339 really signed PE files the bytes after the PKCS#7 structure were at most seven and always zero,
//! there was exactly one certificate entry and nothing after the table: rules on these have had no false
//! positive.

use evidence::tree::CodeSignature;
use evidence::{BytePath, Finding, Node, Severity, Subject, Tree};

use crate::codes;

/// Padding to the next multiple of eight (PE format, attribute certificate table).
const PADDING_MAX_BYTES: u64 = 7;

/// The largest honest ones had 1,954 bytes (certificate), 10,336 (unsigned attribute) and 20,640 (table).
const CERTIFICATE_MAX_BYTES: u64 = 8 << 10;
const ATTRIBUTE_MAX_BYTES: u64 = 32 << 10;
const TABLE_MAX_BYTES: u64 = 64 << 10;

/// Judges every member of a tree by itself.
pub fn anomalies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.root.walk(|path, node| {
        let of_images = node.executables.iter().filter_map(|executable| executable.signature.as_ref());
        for signature in of_images.chain(node.signature.as_deref()) {
            // A Java archive may have members that its signature leaves out: `compare` tells if some are new.
            if signature.kind != "jar"
                && let Some(because) = hidden_data(signature)
            {
                findings.push(codes::AUTHENTICODE_HIDDEN_DATA.finding(subject(path, node), because));
            }
            if is_detached(signature) {
                if signature.signature_valid == Some(false) {
                    let signer = signature.signer.as_deref().unwrap_or("an unnamed key");
                    let because = vec![format!(
                        "the {} signature beside it, made with {signer}, does not verify over these bytes",
                        signature.kind
                    )];
                    findings.push(codes::DETACHED_SIGNATURE_MISMATCH.finding(subject(path, node), because));
                }
                continue;
            }
            let mut because = Vec::new();
            if signature.digest_matches == Some(false) {
                because.push("the digest in the signature is not that of the image".to_owned());
            }
            if signature.page_hashes_match == Some(false) {
                because.push("the page hashes in the signature are not those of the image".to_owned());
            }
            if signature.signature_valid == Some(false) {
                because.push("the signature does not verify with the signer's certificate".to_owned());
            }
            if signature.chain_valid == Some(false) {
                because.push("a certificate of its chain is not signed by the next".to_owned());
            }
            for scheme in &signature.missing_schemes {
                because.push(format!(
                    "it says that it is signed by scheme {scheme} too, and no such signature is there"
                ));
            }
            if signature.timestamp_valid == Some(false) {
                because.push("its timestamp is not for this signature, or does not verify".to_owned());
            }
            if !because.is_empty() {
                findings.push(codes::AUTHENTICODE_MISMATCH.finding(subject(path, node), because));
            }
            let mut because = Vec::new();
            if signature.leads_to_root == Some(false) {
                let chain = signature.chain.join(" → ");
                because.push(format!("the chain `{chain}` leads to none of the given roots"));
            }
            if signature.timestamp_leads_to_root == Some(false) {
                let maker = signature.timestamp_signer.as_deref().unwrap_or("an unnamed certificate");
                because.push(format!(
                    "its timestamp, made by `{maker}`, leads to none of the given roots of timestamps"
                ));
            }
            if signature.valid_when_signed == Some(false) {
                let at = signature.signed_at.as_deref().unwrap_or_default();
                because.push(format!("a certificate of the chain was not valid at {at}, when it signed"));
            }
            if !because.is_empty() {
                findings.push(codes::SIGNER_UNTRUSTED.finding(subject(path, node), because));
            }
        }
        if let Some(stale) = node.content.as_ref().and_then(|content| content.stale.as_ref()) {
            let because = vec![format!("`{}`: {}", stale.source, stale.reason)];
            let severity = if stale.idle { Severity::High } else { codes::MEMBER_MISMATCH.severity };
            let code = codes::Code { severity, ..codes::MEMBER_MISMATCH };
            findings.push(code.finding(subject(path, node), because));
        }
    });
    findings
}

/// Tells whether a signature lies in a file of its own.
fn is_detached(signature: &CodeSignature) -> bool {
    matches!(signature.kind.as_str(), "openpgp" | "minisign")
}

/// Names a member of a tree as the subject of a finding.
pub fn subject(path: &BytePath, node: &Node) -> Subject {
    Subject { path: Some(path.clone()), digest: node.digest }
}

/// Collects what the signature does not cover. A vendor's tag is no reason: it is known by its content.
fn hidden_data(signature: &CodeSignature) -> Option<Vec<String>> {
    let mut because: Vec<String> = signature
        .uncovered
        .iter()
        .filter(|place| place.tag.is_none())
        .map(|place| {
            format!(
                "{} bytes at offset {}: {} (entropy {}.{:03} bits a byte)",
                place.size,
                place.offset,
                place.place,
                place.entropy_millibits / 1000,
                place.entropy_millibits % 1000
            )
        })
        .collect();
    let tagged = signature.uncovered.iter().any(|place| place.tag.is_some());
    if signature.kind == "authenticode" && !tagged {
        // Facts of records that do not name places yet.
        if because.is_empty() && (signature.trailing_bytes > PADDING_MAX_BYTES || signature.trailing_nonzero)
        {
            because.push(format!(
                "{} bytes follow the PKCS#7 structure inside the certificate table",
                signature.trailing_bytes
            ));
        }
        if because.is_empty() && signature.bytes_after_table > 0 {
            because.push(format!("{} bytes follow the certificate table", signature.bytes_after_table));
        }
        if signature.entries > 1 {
            because
                .push(format!("the certificate table has {} entries; signers write one", signature.entries));
        }
        if signature.unknown_entries > 0 {
            because.push(format!(
                "{} entries of the certificate table are of an unknown type",
                signature.unknown_entries
            ));
        }
    }
    if !signature.unknown_attributes.is_empty() && !tagged {
        let oids: Vec<&str> = signature.unknown_attributes.iter().map(String::as_str).collect();
        because
            .push(format!("the signature has unsigned attributes that no signer uses: {}", oids.join(", ")));
    }
    for (what, size, most) in [
        ("certificate", signature.largest_certificate_bytes, CERTIFICATE_MAX_BYTES),
        ("unsigned attribute", signature.largest_attribute_bytes, ATTRIBUTE_MAX_BYTES),
        (
            "certificate table",
            if signature.kind == "apple" { 0 } else { signature.table_bytes },
            TABLE_MAX_BYTES,
        ),
    ] {
        if size > most {
            because.push(format!("a {what} of {size} bytes; honest ones stay far below {most}"));
        }
    }
    if because.is_empty() {
        return None;
    }
    if signature.digest_matches == Some(true) {
        because
            .push("the embedded signature still matches, because it does not cover these bytes".to_owned());
    }
    Some(because)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Digest;
    use evidence::tree::{Executable, Uncovered};

    fn codes_of(change: impl FnOnce(&mut CodeSignature)) -> Vec<String> {
        let mut signature = CodeSignature {
            kind: "authenticode".into(),
            digest_matches: Some(true),
            entries: 1,
            trailing_bytes: 7,
            ..CodeSignature::default()
        };
        change(&mut signature);
        let mut node = Node::leaf("a.dll".into(), "pe", Digest::of(b"a"), 1);
        node.executables.push(Executable { signature: Some(signature), ..Executable::default() });
        anomalies(&Tree { root: node, problems: vec![] }).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_member_that_is_not_what_another_says_is_named() {
        let mut node = Node::leaf("a.pyc".into(), "data", Digest::of(b"a"), 1);
        let of = |node: &Node| anomalies(&Tree { root: node.clone(), problems: vec![] }).len();
        assert_eq!(of(&node), 0);
        let stale = evidence::tree::Stale { source: "a.py".into(), reason: "no".into(), idle: false };
        for (idle, severity) in [(false, Severity::Critical), (true, Severity::High)] {
            let stale = evidence::tree::Stale { idle, ..stale.clone() };
            node.content = Some(evidence::tree::Content { stale: Some(stale), ..Default::default() });
            let found = anomalies(&Tree { root: node.clone(), problems: vec![] });
            assert_eq!((found[0].code.as_str(), found[0].severity), ("member-mismatch", severity));
        }
    }

    #[test]
    fn an_honest_signature_is_silent_and_each_trick_is_named() {
        assert_eq!(codes_of(|_| ()), Vec::<String>::new());
        let hidden = ["authenticode-hidden-data"];
        assert_eq!(codes_of(|s| s.trailing_bytes = 8), hidden);
        assert_eq!(codes_of(|s| s.trailing_nonzero = true), hidden);
        assert_eq!(codes_of(|s| s.entries = 2), hidden);
        assert_eq!(codes_of(|s| s.bytes_after_table = 1), hidden);
        assert_eq!(codes_of(|s| s.unknown_attributes.extend(["1.2.3".to_owned()])), hidden);
        assert_eq!(codes_of(|s| s.unknown_entries = 1), hidden);
        assert_eq!(codes_of(|s| s.largest_certificate_bytes = 8193), hidden);
        assert_eq!(codes_of(|s| s.largest_attribute_bytes = 40_000), hidden);
        assert_eq!(codes_of(|s| s.table_bytes = 70_000), hidden);
        let place = |tag: Option<&str>| Uncovered {
            place: "behind the PKCS#7".into(),
            offset: 1,
            size: 90,
            entropy_millibits: 4000,
            tag: tag.map(str::to_owned),
        };
        assert_eq!(codes_of(|s| s.uncovered.push(place(None))), hidden);
        assert_eq!(
            codes_of(|s| {
                s.trailing_bytes = 90;
                s.trailing_nonzero = true;
                s.uncovered.push(place(Some("Omaha")));
            }),
            Vec::<String>::new()
        );
        // Apple's tools reserve room and leave it empty.
        assert_eq!(
            codes_of(|s| {
                s.kind = "apple".into();
                s.trailing_bytes = 18_000;
            }),
            Vec::<String>::new()
        );
        for kind in ["openpgp", "minisign"] {
            let beside = |valid: Option<bool>| {
                move |s: &mut CodeSignature| {
                    *s = CodeSignature {
                        kind: kind.into(),
                        signature_valid: valid,
                        ..CodeSignature::default()
                    };
                }
            };
            assert_eq!(codes_of(beside(Some(false))), ["detached-signature-mismatch"]);
            assert_eq!(codes_of(beside(Some(true))), Vec::<String>::new());
            assert_eq!(codes_of(beside(None)), Vec::<String>::new());
        }
        assert_eq!(codes_of(|s| s.leads_to_root = Some(false)), ["signer-untrusted"]);
        assert_eq!(codes_of(|s| s.valid_when_signed = Some(false)), ["signer-untrusted"]);
        assert_eq!(codes_of(|s| s.timestamp_leads_to_root = Some(false)), ["signer-untrusted"]);
        let trusted = |s: &mut CodeSignature| {
            (s.leads_to_root, s.valid_when_signed, s.page_hashes_match) =
                (Some(true), Some(true), Some(true));
            (s.timestamp_valid, s.timestamp_leads_to_root) = (Some(true), Some(true));
        };
        assert_eq!(codes_of(trusted), Vec::<String>::new());
        for change in [
            (|s: &mut CodeSignature| s.digest_matches = Some(false)) as fn(&mut CodeSignature),
            |s| s.signature_valid = Some(false),
            |s| s.page_hashes_match = Some(false),
            |s| s.chain_valid = Some(false),
            |s| s.timestamp_valid = Some(false),
            |s| s.missing_schemes.extend(["v3".to_owned()]),
        ] {
            assert_eq!(codes_of(change), ["authenticode-mismatch"]);
        }
    }
}
