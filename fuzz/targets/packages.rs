//! Package databases.
#![no_main]

use inspect::packages;

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
});
