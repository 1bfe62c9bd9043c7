//! Packages in archives and images: by layer, without what a layer above replaces or deletes.

use evidence::BytePath;
use forge::zip_stored;
use inspect::{Budget, catalog_file, catalog_folder, catalog_path};

use crate::samples::{gzip, tar};

const DEBIAN: &[u8] = b"ID=debian\nVERSION_ID=12\n";

fn status(packages: &[(&str, &str)]) -> Vec<u8> {
    let rows = packages.iter().map(|(name, version)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    });
    rows.collect::<String>().into_bytes()
}

fn purls(bom: &evidence::Bom) -> Vec<String> {
    bom.packages.iter().filter_map(|package| package.purl.as_deref().map(str::to_owned)).collect()
}

/// The layers of an image: a base, an update, and one that deletes.
fn layers() -> [Vec<u8>; 3] {
    let package = br#"{"name":"a","version":"1.0.0"}"#;
    let gone = br#"{"name":"gone","version":"1.0.0"}"#;
    let emptied = br#"{"name":"emptied","version":"1.0.0"}"#;
    [
        tar(
            &[
                ("etc/os-release", DEBIAN),
                ("var/lib/dpkg/status", &status(&[("bash", "5.1"), ("old", "1")])),
                ("app/node_modules/a/package.json", package),
                ("app/node_modules/gone/package.json", gone),
                ("opt/node_modules/emptied/package.json", emptied),
            ],
            true,
        ),
        tar(&[("var/lib/dpkg/status", &status(&[("bash", "5.2")]))], true),
        tar(&[("app/node_modules/.wh.gone", b""), ("opt/.wh..wh..opq", b"")], true),
    ]
}

const EXPECTED: [&str; 2] = ["pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12", "pkg:npm/a@1.0.0"];

#[test]
fn of_an_image_that_was_saved_the_upper_layer_counts() {
    let [base, update, deletes] = layers();
    let manifest =
        br#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":["1/layer.tar","2/layer.tar","3/layer.tar"]}]"#;
    let image = tar(
        &[
            ("manifest.json", manifest),
            ("c.json", br#"{"rootfs":{"type":"layers"}}"#),
            ("1/layer.tar", &base),
            ("2/layer.tar", &update),
            ("3/layer.tar", &deletes),
        ],
        true,
    );
    let (_, scan) = catalog_file(&"image.tar".into(), &image, &mut Budget::default());
    let catalog = scan.finish();
    assert_eq!(purls(&catalog.bom), EXPECTED);
    let bash = catalog.bom.packages.iter().find(|package| package.name.as_ref() == "bash").unwrap();
    assert_eq!(bash.evidence[0].path.to_string(), "image.tar!2/layer.tar!var/lib/dpkg/status");
    // The same, of a file that is read where it lies.
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &image).unwrap();
    let (tree, scan) = catalog_path(&"image.tar".into(), file, &mut Budget::default()).unwrap();
    assert_eq!(scan.finish(), catalog);
    assert_eq!(tree.root.digest, Some(evidence::Digest::of(&image)));
    // Without a manifest it is no image: everything in it is named.
    let plain = tar(&[("1/layer.tar", &base), ("2/layer.tar", &update)], true);
    let (_, scan) = catalog_file(&"x.tar".into(), &plain, &mut Budget::default());
    assert_eq!(scan.finish().bom.packages.len(), 7);
}

#[test]
fn a_large_layer_is_read_as_it_passes() {
    let status = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5\n";
    let filler = vec![7; 3 << 20];
    let layer = tar(&[("filler", filler.as_slice()), ("var/lib/dpkg/status", status)], true);
    let digest = evidence::Digest::of(&layer);
    let image = |said: &str| {
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["sha256:{said}"]}}}}"#);
        let manifest = br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["1/layer.tar"]}]"#;
        let files: [(&str, &[u8]); 3] =
            [("manifest.json", manifest), ("c.json", config.as_bytes()), ("1/layer.tar", &layer)];
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &tar(&files, true)).unwrap();
        catalog_path(&"i.tar".into(), file, &mut Budget::default()).unwrap()
    };
    let (tree, scan) = image(&digest.hex());
    assert_eq!(tree.problems, []);
    let packages = scan.finish().bom.packages;
    assert_eq!(packages[0].evidence[0].path.to_string(), "i.tar!1/layer.tar!var/lib/dpkg/status");
    // Its digest is compared all the same.
    assert_eq!(image(&"0".repeat(64)).0.problems[0].kind, "digest-mismatch");
}

#[test]
fn of_a_layout_in_a_folder_the_upper_layer_counts() {
    let layers = layers().map(|layer| gzip(&layer));
    let name = |bytes: &[u8]| evidence::Digest::of(bytes).hex();
    let descriptor = |bytes: &[u8], kind: &str| {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":{}}}"#, name(bytes), bytes.len())
    };
    let config = br#"{"rootfs":{"type":"layers"}}"#.to_vec();
    let list: Vec<String> =
        layers.iter().map(|layer| descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip")).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor(&config, "application/vnd.oci.image.config.v1+json"),
        list.join(",")
    )
    .into_bytes();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor(&manifest, "application/vnd.oci.image.manifest.v1+json")
    )
    .into_bytes();
    let mut files: Vec<(String, Vec<u8>)> = [&config, &manifest]
        .into_iter()
        .chain(&layers)
        .map(|bytes| (format!("blobs/sha256/{}", name(bytes)), bytes.clone()))
        .collect();
    files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    files.push(("index.json".into(), index));
    files.sort();
    let contents = files.into_iter().map(|(name, bytes)| (BytePath::from(name), Ok(crate::entry(&bytes))));
    let (_, scan) = catalog_folder(&"layout".into(), contents, &mut Budget::default());
    assert_eq!(purls(&scan.finish().bom), EXPECTED);
}

#[test]
fn packages_inside_archives_inside_archives_are_found() {
    let wheel =
        zip_stored(&[("x-1.dist-info/METADATA", &b"Metadata-Version: 2.1\nName: x\nVersion: 1\n\n"[..])])
            .unwrap();
    let outer = gzip(&tar(
        &[
            ("wheels/x-1-py3-none-any.whl", &wheel),
            ("Cargo.lock", b"[[package]]\nname = \"c\"\nversion = \"1.0.0\"\n"),
        ],
        true,
    ));
    let (_, scan) = catalog_file(&"release.tar.gz".into(), &outer, &mut Budget::default());
    let catalog = scan.finish();
    assert_eq!(purls(&catalog.bom), ["pkg:cargo/c@1.0.0", "pkg:pypi/x@1"]);
    assert_eq!(
        catalog.bom.packages[1].evidence[0].path.to_string(),
        "release.tar.gz!release.tar!wheels/x-1-py3-none-any.whl!x-1.dist-info/METADATA"
    );
}
