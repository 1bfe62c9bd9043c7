//! Package databases, lock files and manifests, bills of materials. The first byte chooses the cataloger, the second where
//! the document lies.
#![no_main]

use inspect::{catalog, packages, sbom};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for package in packages::dpkg_status(bytes, "debian") {
        package.purl();
    }
    packages::dpkg_list(bytes).count();
    packages::distribution(bytes);
    packages::npm_package(bytes);
    packages::python_metadata(bytes);
    packages::studio_extension(bytes);
    inspect::offered::apk_index(bytes, &mut |_| {}).ok();
    inspect::offered::rpm_primary(&mut &*bytes, &mut |_| {}).ok();
    inspect::offered::rpm_security(&mut &*bytes, &mut |_| {}).ok();
    packages::python_record(bytes).count();
    let path = evidence::BytePath::from(bytes);
    packages::cargo_registry(&path);
    packages::npm_manifest(&path);
    sbom::read(bytes);
    catalog::read_program(&bytes);
    let Some(([choice, place], document)) = bytes.split_first_chunk::<2>() else { return };
    let catalogers: Vec<_> = catalog::ALL.iter().copied().flatten().collect();
    let cataloger = catalogers[usize::from(*choice) % catalogers.len()];
    let path = evidence::BytePath::from(PATHS[usize::from(*place) % PATHS.len()]);
    let found = catalog::read(cataloger, &path, document);
    let mut kept = Vec::new();
    found.keep(&mut kept);
    assert_eq!(catalog::Found::kept(&kept).as_ref(), Some(&found), "what a cache keeps is what was found");
    catalog::Found::kept(document);
    let mut scan = catalog::Scan::new();
    scan.take(catalog::Reading { path, by: cataloger.name.to_owned(), found });
    scan.finish();
});

/// Where catalogers that look at their place believe a document.
const PATHS: &[&str] = &[
    "a.dist-info/METADATA",
    "node_modules/a/package.json",
    "var/lib/dpkg/status",
    "var/lib/pacman/local/a/desc",
    "Cellar/a/1/INSTALL_RECEIPT.json",
    "gems/specifications/a.gemspec",
    ".opam-switch/packages/a.1/opam",
    "conda-meta/a.json",
    "rocks-5.4/a/a.rockspec",
    "a-1.jar",
    "luarocks.lock",
    "a.pkl",
    "a.safetensors",
    "nix/store/0c5fxrwqvbyl2sicd9fr2w5w3j3sx1wl-profile/manifest.json",
    "nix/store/0c5fxrwqvbyl2sicd9fr2w5w3j3sx1wl-profile/manifest.nix",
    "snap/a/1/meta/snap.yaml",
    "flatpak/app/a/x86_64/stable/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/metadata",
    "A.app/Contents/Info.plist",
    "var/db/receipts/a.plist",
    "requirements/base.txt",
    "control.deb",
];
