//! Packages in the releases of made-up products: runs of releases that have one version, as real products have.

use std::ops::Range;

/// A run: a package, a version, and the releases that have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Number of the package.
    pub package: u32,
    /// Number of its version.
    pub version: u32,
    /// Whether it ran in a build, rather than being shipped.
    pub executed: bool,
    /// The releases.
    pub releases: Range<u32>,
}

/// Packages that there are.
pub const PACKAGES: u32 = 20_000;
/// Versions of each.
pub const VERSIONS: u32 = 10;
/// Packages in one release.
const COMPONENTS: u32 = 100;
/// Releases of one product.
const RELEASES: u32 = 10_000;

/// Makes runs of so many occurrences in all, always the same ones.
pub fn runs(occurrences: u64) -> impl Iterator<Item = Run> {
    let products = u32::try_from(occurrences / u64::from(COMPONENTS * RELEASES)).unwrap_or(u32::MAX).max(1);
    (0..products).flat_map(|product| {
        (0..COMPONENTS).flat_map(move |component| {
            let package = scattered(product, component) % PACKAGES;
            let length = RELEASES / VERSIONS;
            (0..VERSIONS).map(move |version| {
                let start = product * RELEASES + version * length;
                let executed = component % 10 == 0;
                Run { package, version, executed, releases: start..start + length }
            })
        })
    })
}

/// Spreads numbers over all of 32 bits (the finaliser of MurmurHash3).
fn scattered(one: u32, other: u32) -> u32 {
    let mut value = one.wrapping_mul(0x9e37_79b9) ^ other;
    value = (value ^ (value >> 16)).wrapping_mul(0x85eb_ca6b);
    value = (value ^ (value >> 13)).wrapping_mul(0xc2b2_ae35);
    value ^ (value >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_were_asked_for() {
        let count: u64 = runs(10_000_000).map(|run| u64::from(run.releases.end - run.releases.start)).sum();
        assert_eq!(count, 10_000_000);
    }
}
