//! Large documents for `bench sbom`: lock files of 10 MB, and a bill of a million components that is written in another form.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

const LOCK_BYTES: u64 = 10 << 20;
const COMPONENTS: u32 = 1_000_000;

/// What is measured: a name, the file, and the arguments before and behind it.
pub(super) const ROWS: &[(&str, &str, &[&str], &[&str])] = &[
    ("npm-lock", "package-lock.json", &["sbom"], &["--all", "--no-cache"]),
    ("cargo-lock", "Cargo.lock", &["sbom"], &["--all", "--no-cache"]),
    ("yarn-lock", "yarn.lock", &["sbom"], &["--all", "--no-cache"]),
    ("to-spdx", "bill.json", &["sbom", "convert"], &["--format", "spdx-json"]),
    ("to-spdx3", "bill.json", &["sbom", "convert"], &["--format", "spdx3-json"]),
];

/// Makes the documents, once.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    lock(
        &folder.join("package-lock.json"),
        "{\"lockfileVersion\":3,\"packages\":{\"\":{}",
        "}}",
        |out, number| {
            write!(
                out,
                ",\"node_modules/p{number}\":{{\"version\":\"1.{number}.0\",\"integrity\":\"sha512-{}==\",\"dependencies\":{{\"p{}\":\"^1\"}}}}",
                "A".repeat(86),
                number / 2
            )
        },
    )?;
    lock(&folder.join("Cargo.lock"), "version = 4\n", "", |out, number| {
        write!(
            out,
            "[[package]]\nname = \"p{number}\"\nversion = \"1.{number}.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{number:064x}\"\ndependencies = [\n \"p{}\",\n]\n\n",
            number / 2
        )
    })?;
    lock(&folder.join("yarn.lock"), "# yarn lockfile v1\n\n", "", |out, number| {
        write!(
            out,
            "p{number}@^1:\n  version \"1.{number}.0\"\n  integrity sha512-{}==\n  dependencies:\n    p{} \"^1\"\n\n",
            "A".repeat(86),
            number / 2
        )
    })?;
    bill(&folder.join("bill.json"))
}

/// Writes entries until there are ten megabytes.
fn lock(
    path: &Path,
    begin: &str,
    end: &str,
    entry: impl Fn(&mut Vec<u8>, u32) -> std::io::Result<()>,
) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = begin.as_bytes().to_vec();
    let mut number = 1;
    while (bytes.len() as u64) < LOCK_BYTES {
        entry(&mut bytes, number)?;
        number += 1;
    }
    bytes.extend_from_slice(end.as_bytes());
    Ok(fs::write(path, bytes)?)
}

/// A component has a purl, a licence, a digest, and every second one a dependency.
fn bill(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let part = path.with_extension("part");
    let mut out = BufWriter::new(File::create(&part)?);
    let purl = |number: u32| format!("pkg:npm/package-{number}@1.{}.{}", number % 100, number % 7);
    out.write_all(b"{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"version\":1,\"metadata\":{\"component\":{\"type\":\"application\",\"name\":\"large\",\"version\":\"1\"}},\"components\":[")?;
    for number in 0..COMPONENTS {
        let comma = if number > 0 { "," } else { "" };
        let (purl, minor, patch) = (purl(number), number % 100, number % 7);
        write!(
            out,
            "{comma}{{\"type\":\"library\",\"bom-ref\":\"{purl}\",\"name\":\"package-{number}\",\"version\":\"1.{minor}.{patch}\",\"purl\":\"{purl}\",\"licenses\":[{{\"license\":{{\"id\":\"MIT\"}}}}],\"hashes\":[{{\"alg\":\"SHA-256\",\"content\":\"{number:064x}\"}}]}}"
        )?;
    }
    out.write_all(b"],\"dependencies\":[")?;
    for number in (0..COMPONENTS).step_by(2) {
        let comma = if number > 0 { "," } else { "" };
        write!(out, "{comma}{{\"ref\":\"{}\",\"dependsOn\":[\"{}\"]}}", purl(number), purl(number / 2))?;
    }
    out.write_all(b"]}")?;
    out.flush()?;
    drop(out);
    Ok(fs::rename(part, path)?)
}
