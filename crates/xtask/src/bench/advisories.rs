//! `bench advisories`: building, opening and asking the advisory index; a bill of a million components; one advisory against 10^8
//! occurrences. Each line says what
//! was to be reached.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{children_cpu, median};

const ROUNDS: usize = 5;
/// Components of the large bill.
const COMPONENTS: u64 = 1_000_000;

pub(super) fn run() -> Result<()> {
    let shared = crate::root().join("../shared/advisories");
    ensure!(shared.is_dir(), "the advisories are not beside the project (`shared/advisories`)");
    let program = build()?;
    let scratch = tempfile::tempdir()?;
    let names = scratch.path().join("npm.txt");
    let unpacked = Command::new("gzip").args(["-dc"]).arg(shared.join("names/npm.txt.gz")).output()?;
    ensure!(unpacked.status.success(), "gzip cannot unpack the names");
    std::fs::write(&names, unpacked.stdout)?;
    let mut import = Vec::new();
    let mut last = BTreeMap::new();
    for round in 0..3 {
        let index = store(scratch.path(), round);
        let before = children_cpu()?;
        last = numbers(&program, &["import".as_ref(), index.as_os_str(), shared.as_os_str()])?;
        import.push(children_cpu()? - before);
    }
    println!("{:<58} {:>14} {:>14}", "work", "measured", "reach");
    let line = |work: &str, measured: String, reach: &str| println!("{work:<58} {measured:>14} {reach:>14}");
    let records = last.get("records").context("no records")?;
    line(&format!("build the index of {records} documents, CPU"), format!("{:.2} s", median(&import)), "5 s");
    line("… on disk", format!("{:.1} MB", last.get("bytes").context("no bytes")? / 1e6), "60 MB");
    let index = store(scratch.path(), 0);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(numbers(&program, &["match".as_ref(), index.as_os_str(), names.as_os_str()])?);
    }
    let of = |name: &str| -> Result<f64> {
        let values: Option<Vec<f64>> = rounds.iter().map(|round| round.get(name).copied()).collect();
        Ok(median(&values.with_context(|| format!("no {name}"))?))
    };
    line("open the index", format!("{:.3} ms", of("open_us")? / 1e3), "1 ms");
    line(
        &format!("match {} npm packages, first time", of("packages")?),
        format!("{:.2} ms", of("match_cold_us")? / 1e3),
        "5 ms",
    );
    line("… again", format!("{:.2} ms", of("match_warm_us")? / 1e3), "5 ms");
    line("… resident, at most", format!("{:.1} MB", of("resident_kb")? / 1e3), "20 MB");
    let bill = scratch.path().join("bill.cdx.json");
    let bytes = write_bill(&bill, COMPONENTS)?;
    let whole = index.parent().context("no store")?.to_path_buf();
    let asked = numbers(&program, &["bill".as_ref(), whole.as_os_str(), bill.as_os_str()])?;
    let of_bill = |name: &str| asked.get(name).copied().with_context(|| format!("no {name}"));
    let work = format!("a bill of {COMPONENTS} components, {:.0} MB: match", bytes as f64 / 1e6);
    line(&work, format!("{:.1} s", of_bill("bill_ms")? / 1e3), "");
    line("… resident, at most", format!("{:.0} MB", of_bill("resident_kb")? / 1e3), "500 MB");
    line("… of which affected", format!("{:.0}", of_bill("affected")?), "");
    ensure!(of_bill("packages")? as u64 == COMPONENTS, "packages are missing");
    let found = numbers(&program, &["occurrences".as_ref(), "101000000".as_ref()])?;
    let value = |name: &str| found.get(name).copied().with_context(|| format!("no {name}"));
    line(
        &format!("one advisory against {:.0} occurrences, p99, warm", value("occurrences")?),
        format!("{:.3} ms", value("one_p99_ms")?),
        "10 ms",
    );
    line("… median", format!("{:.4} ms", value("one_p50_ms")?), "");
    line("a worm of 800 packages against the same", format!("{:.1} ms", value("worm_ms")?), "1 s");
    line("… builds that it touches", format!("{:.0}", value("worm_assets")?), "");
    line("… the occurrences on disk", format!("{:.1} MB", value("written_bytes")? / 1e6), "");
    Ok(())
}

/// Where a round keeps its index.
fn store(scratch: &Path, round: usize) -> PathBuf {
    scratch.join(format!("store-{round}")).join("advisories")
}

/// Writes a bill as large as the largest that were seen: each component with hash, licence and references. Returns its size.
fn write_bill(path: &Path, components: u64) -> Result<u64> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    write!(
        out,
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"type":"application","name":"app","version":"1"}}}},"components":["#
    )?;
    for number in 0..components {
        let comma = if number == 0 { "" } else { "," };
        write!(
            out,
            r#"{comma}{{"type":"library","bom-ref":"pkg:npm/component-{number}@1.{}.0","name":"component-{number}","version":"1.{}.0","purl":"pkg:npm/component-{number}@1.{}.0","licenses":[{{"license":{{"id":"Apache-2.0"}}}}],"hashes":[{{"alg":"SHA-256","content":"{number:064x}"}}],"properties":[{{"name":"origin","value":"a lock file"}}]}}"#,
            number % 9,
            number % 9,
            number % 9
        )?;
    }
    out.write_all(b"]}")?;
    out.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

fn build() -> Result<PathBuf> {
    super::must(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--quiet",
                "--package",
                "countersign-engine",
                "--example",
                "advisories",
            ])
            .current_dir(crate::root()),
    )?;
    let metadata = crate::metadata()?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    Ok(Path::new(target).join("release/examples/advisories"))
}

fn numbers(program: &Path, arguments: &[&std::ffi::OsStr]) -> Result<BTreeMap<String, f64>> {
    let output = crate::command(program).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}
