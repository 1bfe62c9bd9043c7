//! Container images.

use evidence::Digest;
use inspect::{Budget, folder};

use crate::samples::{gzip, tar};
use crate::{find, kinds, open};

/// The files of an OCI layout with two layers, of which the second deletes.
fn layout() -> Vec<(String, Vec<u8>)> {
    let layers = [
        tar(&[("etc/passwd", b"root"), ("bin/x", b"content")], true),
        tar(&[("etc/.wh.passwd", b""), ("bin/.wh..wh..opq", b"")], true),
    ];
    let ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, ids.join(",")).into_bytes();
    let packed = layers.map(|layer| gzip(&layer));
    let descriptor = |kind: &str, bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{}","size":{}}}"#,
            Digest::of(bytes),
            bytes.len()
        )
    };
    let list: Vec<String> = packed.iter().map(|layer| descriptor("layer.v1.tar+gzip", layer)).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", &config),
        list.join(",")
    )
    .into_bytes();
    let index =
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor("manifest.v1+json", &manifest));
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    vec![
        ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".into(), index.into_bytes()),
        blob(&manifest),
        blob(&config),
        blob(&packed[0]),
        blob(&packed[1]),
    ]
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    tar(&files, true)
}

#[test]
fn an_image_layout_is_compared_with_its_documents() {
    let files = layout();
    let tree = open("image.tar", &packed(&files));
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "!bin/x").digest, Some(Digest::of(b"content")));
    assert_eq!(
        (find(&tree, "!etc/.wh.passwd").format, find(&tree, "!bin/.wh..wh..opq").format),
        ("whiteout".into(), "opaque".into())
    );
    let contents = files.iter().map(|(name, bytes)| (name.as_str().into(), Ok(crate::entry(bytes))));
    let on_disk = folder(&"image".into(), contents, &mut Budget::default());
    assert_eq!(on_disk.problems, []);
    assert_eq!(find(&on_disk, "!etc/.wh.passwd").format, "whiteout");
    // A layer is exchanged, under the name of the old one; then also in the manifest, but not in the configuration.
    let other = gzip(&tar(&[("bin/x", b"replaced")], true));
    let mut swapped = files.clone();
    swapped[4].1 = other.clone();
    let found = open("image.tar", &packed(&swapped));
    assert!(
        kinds(&found).contains(&"digest-mismatch") && kinds(&found).contains(&"size-mismatch"),
        "{found:?}"
    );
    let mut renamed = files.clone();
    let (old, new) = (Digest::of(&files[4].1), Digest::of(&other));
    let manifest = String::from_utf8(files[2].1.clone()).unwrap();
    let manifest = manifest
        .replace(&old.hex(), &new.hex())
        .replace(&format!("\"size\":{}", files[4].1.len()), &format!("\"size\":{}", other.len()));
    let index = String::from_utf8(files[1].1.clone())
        .unwrap()
        .replace(&Digest::of(&files[2].1).hex(), &Digest::of(manifest.as_bytes()).hex());
    let index =
        index.replace(&format!("\"size\":{}", files[2].1.len()), &format!("\"size\":{}", manifest.len()));
    renamed[1].1 = index.into_bytes();
    renamed[2] = (format!("blobs/sha256/{}", Digest::of(manifest.as_bytes()).hex()), manifest.into_bytes());
    renamed[4] = (format!("blobs/sha256/{}", new.hex()), other);
    let found = open("image.tar", &packed(&renamed));
    assert_eq!(kinds(&found), ["digest-mismatch"]);
    assert!(found.problems[0].detail.contains("configuration"));
    let mut missing = files;
    missing.truncate(5);
    assert_eq!(kinds(&open("image.tar", &packed(&missing))), ["missing-member"]);
}

#[test]
fn what_docker_saves_is_compared_with_its_configuration() {
    let layer = tar(&[("bin/x", b"content"), (".wh.old", b"")], true);
    let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, Digest::of(&layer)).into_bytes();
    let name = format!("{}.json", Digest::of(&config).hex());
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":["x:1"],"Layers":["abc/layer.tar"]}}]"#);
    let save = |layer: &[u8], config: &[u8]| {
        tar(
            &[("abc/layer.tar", layer), (name.as_str(), config), ("manifest.json", manifest.as_bytes())],
            true,
        )
    };
    let tree = open("image.tar", &save(&layer, &config));
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "!.wh.old").format, "whiteout");
    let other = tar(&[("bin/x", b"replaced")], true);
    assert_eq!(kinds(&open("image.tar", &save(&other, &config))), ["digest-mismatch"]);
    let changed = String::from_utf8(config).unwrap().replace("rootfs", "rootfs2");
    assert_eq!(kinds(&open("image.tar", &save(&layer, changed.as_bytes()))), ["digest-mismatch"]);
}
