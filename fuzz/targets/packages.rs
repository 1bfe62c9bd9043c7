//! Package databases, lock files and manifests, bills of materials. The first byte chooses the cataloger.
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
    packages::python_record(bytes).count();
    let path = evidence::BytePath::from(bytes);
    packages::cargo_registry(&path);
    packages::npm_manifest(&path);
    sbom::read(bytes);
    let Some((choice, document)) = bytes.split_first() else { return };
    let catalogers: Vec<_> = catalog::ALL.iter().copied().flatten().collect();
    let cataloger = catalogers[usize::from(*choice) % catalogers.len()];
    let found = catalog::read(cataloger, &"a.dist-info/METADATA".into(), document);
    let mut scan = catalog::Scan::new();
    let by = cataloger.name.to_owned();
    scan.take(catalog::Reading { path: "node_modules/a/package.json".into(), by, found });
    scan.finish();
});
