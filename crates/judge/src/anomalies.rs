//! Facts about one artifact that honest files do not show, whatever it is compared with.
//!
//! Over 1,339 really signed PE files the bytes after the PKCS#7 structure were at most seven and always zero,
//! there was exactly one certificate entry and nothing after the table: rules on these have had no false
//! positive.

use evidence::tree::CodeSignature;
use evidence::{BytePath, Finding, Node, Subject, Tree};

use crate::codes;

/// Padding to the next multiple of eight (PE format, attribute certificate table).
const PADDING_MAX_BYTES: u64 = 7;

/// Judges every member of a tree by itself.
pub fn anomalies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.root.walk(|path, node| {
        for signature in node.executables.iter().filter_map(|executable| executable.signature.as_ref()) {
            if let Some(because) = hidden_data(signature) {
                findings.push(codes::AUTHENTICODE_HIDDEN_DATA.finding(subject(path, node), because));
            }
            if signature.digest_matches == Some(false) {
                let because = vec!["the digest in the signature is not that of the image".to_owned()];
                findings.push(codes::AUTHENTICODE_MISMATCH.finding(subject(path, node), because));
            }
        }
    });
    findings
}

/// Names a member of a tree as the subject of a finding.
pub fn subject(path: &BytePath, node: &Node) -> Subject {
    Subject { path: Some(path.clone()), digest: node.digest }
}

fn hidden_data(signature: &CodeSignature) -> Option<Vec<String>> {
    let mut because = Vec::new();
    // Apple's tools reserve room behind the signature, and leave it empty.
    let padding_max = if signature.kind == "apple" { signature.trailing_bytes } else { PADDING_MAX_BYTES };
    if signature.trailing_bytes > padding_max || signature.trailing_nonzero {
        because.push(format!(
            "{} bytes follow the PKCS#7 structure inside the certificate table (entropy {}.{:03} bits a byte); padding is at most {PADDING_MAX_BYTES} zero bytes",
            signature.trailing_bytes,
            signature.trailing_entropy_millibits / 1000,
            signature.trailing_entropy_millibits % 1000,
        ));
    }
    if signature.kind == "authenticode" && signature.entries > 1 {
        because.push(format!("the certificate table has {} entries; signers write one", signature.entries));
    }
    if signature.bytes_after_table > 0 {
        because.push(format!("{} bytes follow the certificate table", signature.bytes_after_table));
    }
    if !signature.unknown_attributes.is_empty() {
        let oids: Vec<&str> = signature.unknown_attributes.iter().map(String::as_str).collect();
        because
            .push(format!("the signature has unsigned attributes that no signer uses: {}", oids.join(", ")));
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
    use evidence::tree::Executable;

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
    fn an_honest_signature_is_silent_and_each_trick_is_named() {
        assert_eq!(codes_of(|_| ()), Vec::<String>::new());
        let hidden = ["authenticode-hidden-data"];
        assert_eq!(codes_of(|s| s.trailing_bytes = 8), hidden);
        assert_eq!(codes_of(|s| s.trailing_nonzero = true), hidden);
        assert_eq!(codes_of(|s| s.entries = 2), hidden);
        assert_eq!(codes_of(|s| s.bytes_after_table = 1), hidden);
        assert_eq!(codes_of(|s| s.unknown_attributes.extend(["1.2.3".to_owned()])), hidden);
        assert_eq!(codes_of(|s| s.digest_matches = Some(false)), ["authenticode-mismatch"]);
    }
}
