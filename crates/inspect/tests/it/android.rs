//! Signatures of Android packages, made by `apksigner`.

use std::fs;
use std::path::Path;
use std::process::Command;

use evidence::tree::CodeSignature;

use crate::open;

/// Makes packages, each signed by other schemes: `all`, `v2`, `v3`, `twice` (two signers), `ec`, `other` (another key).
const PACKAGES: &str = "
    for name in k other; do
        keytool -genkeypair -alias $name -keyalg RSA -keystore ks -storepass changeit -dname \"CN=Signer $name, O=Example\" >/dev/null 2>&1
    done
    keytool -genkeypair -alias ec -keyalg EC -groupname secp256r1 -keystore ks -storepass changeit -dname 'CN=Signer ec, O=Example' >/dev/null 2>&1
    sign() {
        out=$1; key=$2; shift 2
        apksigner sign --ks ks --ks-pass pass:changeit --ks-key-alias $key --min-sdk-version 24 --v4-signing-enabled false \"$@\" --out $out.apk plain.apk
    }
    sign all k --v1-signing-enabled true
    sign v2 k --v1-signing-enabled false --v3-signing-enabled false
    sign v3 k --v1-signing-enabled false --v2-signing-enabled false --min-sdk-version 28
    sign both k --v1-signing-enabled false
    sign ec ec --v1-signing-enabled false
    sign other other --v1-signing-enabled false
    apksigner sign --ks ks --ks-pass pass:changeit --ks-key-alias k --next-signer --ks ks --ks-pass pass:changeit --ks-key-alias other \
        --min-sdk-version 24 --v1-signing-enabled false --v3-signing-enabled false --v4-signing-enabled false --out twice.apk plain.apk
";

/// Makes them with a member of some size; the content is cut into chunks of a mebibyte.
fn packages(size: usize) -> tempfile::TempDir {
    let keep = tempfile::tempdir().unwrap();
    let large = forge::noise(1, size);
    let members: [(&str, &[u8]); 2] = [("AndroidManifest.xml", b"<manifest/>"), ("classes.dex", &large)];
    fs::write(keep.path().join("plain.apk"), forge::zip_stored(&members).unwrap()).unwrap();
    let output = Command::new("sh").args(["-ec", PACKAGES]).current_dir(keep.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    keep
}

fn signature(name: &str, bytes: &[u8]) -> CodeSignature {
    *open(name, bytes).root.signature.unwrap_or_else(|| panic!("{name} has no signature"))
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(format!("{name}.apk"))).unwrap()
}

/// Where the signing block is: begin and end.
fn block(bytes: &[u8]) -> (usize, usize) {
    let end = bytes.windows(16).rposition(|window| window == b"APK Sig Block 42").unwrap() + 16;
    let size = u64::from_le_bytes(*bytes[end - 24..].first_chunk().unwrap()) as usize;
    (end - size - 8, end)
}

/// Writes another block, and mends the offset of the directory.
fn with_block(bytes: &[u8], pairs: &[u8]) -> Vec<u8> {
    let (start, end) = block(bytes);
    let mut out = bytes[..start].to_vec();
    if !pairs.is_empty() {
        let size = ((pairs.len() + 24) as u64).to_le_bytes();
        out.extend([&size[..], pairs, &size[..], b"APK Sig Block 42"].concat());
    }
    let directory = out.len() as u32;
    out.extend(&bytes[end..]);
    let record = out.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    out[record + 16..record + 20].copy_from_slice(&directory.to_le_bytes());
    out
}

/// The pairs of the block, each whole.
fn pairs(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let (start, end) = block(bytes);
    let (mut at, mut found) = (start + 8, Vec::new());
    while at < end - 24 {
        let length = u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        let id = u32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap());
        found.push((id, bytes[at..at + 8 + length].to_vec()));
        at += 8 + length;
    }
    found
}

fn pair(id: u32, value: &[u8]) -> Vec<u8> {
    [&((value.len() + 4) as u64).to_le_bytes()[..], &id.to_le_bytes(), value].concat()
}

#[test]
fn each_scheme_verifies_and_changed_content_is_seen() {
    let keep = packages(1_100_000);
    let at = keep.path();
    assert!(open("plain.apk", &read(at, "plain")).root.signature.is_none());
    for (name, schemes, signers) in [
        ("all", &["v1", "v2", "v3"][..], 2),
        ("v2", &["v2"], 1),
        ("v3", &["v3"], 1),
        ("both", &["v2", "v3"], 2),
        ("ec", &["v2", "v3"], 2),
        ("twice", &["v2"], 2),
    ] {
        let bytes = read(at, name);
        let tree = open(name, &bytes);
        assert_eq!(tree.problems, [], "{name}");
        assert!(!tree.root.members.iter().any(|member| member.name.as_bytes().starts_with(b"#")), "{name}");
        let facts = tree.root.signature.as_deref().unwrap();
        assert_eq!((facts.kind.as_str(), facts.organisation.as_deref()), ("apk", Some("Example")), "{name}");
        assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)), "{name}");
        assert_eq!(facts.flags.iter().map(String::as_str).collect::<Vec<_>>(), schemes, "{name}");
        assert_eq!(
            (facts.entries, &facts.uncovered[..], facts.missing_schemes.len()),
            (signers, &[][..], 0),
            "{name}"
        );
        let (start, end) = block(&bytes);
        let record = bytes.len() - 22;
        // In the contents, the directory, and the end record but the field that leads to the block.
        let of_content = [40, 1_048_575, 1_048_576, start - 1, end + 20, record + 8, record + 10];
        for place in of_content {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let tree = open(name, &changed);
            let seen = tree.root.signature.is_none_or(|facts| facts.digest_matches == Some(false));
            assert!(seen || !tree.problems.is_empty(), "{name}: a change at {place} is not seen");
        }
    }
    let (one, other) = (signature("a", &read(at, "both")), signature("a", &read(at, "other")));
    assert!(one.identifier.is_some() && one.identifier != other.identifier);
}

#[test]
fn every_changed_byte_of_the_block_is_seen() {
    let keep = packages(3000);
    for (name, schemes) in [("v2", &["v2"][..]), ("v3", &["v3"]), ("ec", &["v2", "v3"])] {
        let bytes = read(keep.path(), name);
        let (start, end) = block(&bytes);
        for place in (start..end).step_by(7) {
            let mut changed = bytes.clone();
            changed[place] ^= 0x21;
            let tree = open(name, &changed);
            let Some(facts) = tree.root.signature.as_deref().filter(|facts| facts.kind == "apk") else {
                continue;
            };
            let seen = facts.digest_matches == Some(false)
                || facts.signature_valid != Some(true)
                || !facts.uncovered.is_empty()
                || !facts.missing_schemes.is_empty()
                || facts.flags.iter().map(String::as_str).ne(schemes.iter().copied());
            assert!(seen, "{name}: a change at {} of the block is not seen", place - start);
        }
    }
}

#[test]
fn a_scheme_that_was_taken_away_is_named() {
    let keep = packages(3000);
    let at = keep.path();
    // The whole block: the signature of the archive says that there were others.
    let all = read(at, "all");
    let stripped = signature("a.apk", &with_block(&all, &[]));
    assert_eq!(stripped.kind, "jar");
    assert_eq!((stripped.digest_matches, stripped.signature_valid), (Some(true), Some(true)));
    assert_eq!(stripped.missing_schemes.into_iter().collect::<Vec<_>>(), ["v2", "v3"]);
    // The later scheme alone: the earlier one says that it was there.
    for name in ["all", "both"] {
        let bytes = read(at, name);
        let kept: Vec<u8> = pairs(&bytes)
            .into_iter()
            .filter(|(id, _)| *id != 0xf053_68c0)
            .flat_map(|(_, pair)| pair)
            .collect();
        let facts = signature("a.apk", &with_block(&bytes, &kept));
        assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)), "{name}");
        assert_eq!(facts.missing_schemes.into_iter().collect::<Vec<_>>(), ["v3"], "{name}");
    }
}

#[test]
fn what_else_stands_in_the_block_is_named() {
    let keep = packages(3000);
    let bytes = read(keep.path(), "v2");
    let own: Vec<u8> = pairs(&bytes).into_iter().flat_map(|(_, pair)| pair).collect();
    let hidden = forge::noise(5, 3000);
    let with = |extra: Vec<u8>| signature("a.apk", &with_block(&bytes, &[own.clone(), extra].concat()));
    let facts = with(pair(0x1234_5678, &hidden));
    assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)));
    let places: Vec<_> = facts.uncovered.iter().map(|one| (one.place.as_str(), one.size, &one.tag)).collect();
    assert_eq!(places, [("pair 0x12345678 of the signing block", 3000, &None)]);
    assert!(facts.uncovered[0].entropy_millibits > 7000);
    // Padding that is none.
    assert_eq!(with(pair(0x4272_6577, b"not zero")).uncovered.len(), 1);
    assert_eq!(with(pair(0x4272_6577, &[0; 50])).uncovered, []);
    // What a store writes is named by what it is, as long as it is short.
    assert_eq!(with(pair(0x504b_4453, &hidden)).uncovered[0].tag.as_deref(), Some("dependency information"));
    assert_eq!(with(pair(0x504b_4453, &forge::noise(6, 20_000))).uncovered[0].tag, None);
    // A signer that cannot be read is one that did not sign.
    assert_eq!(with(pair(0xf053_68c0, &hidden)).signature_valid, Some(false));
    let broken = [own, pair(1, b"x")[..10].to_vec()].concat();
    let facts = signature("a.apk", &with_block(&bytes, &broken));
    assert_eq!(
        (facts.signature_valid, facts.uncovered[0].place.as_str()),
        (Some(false), "a broken pair of the signing block")
    );
}
