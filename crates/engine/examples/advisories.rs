//! What `cargo xtask bench advisories` runs, one measurement a call: `import`, `match`, `bill`,
//! `occurrences`. Prints names and numbers.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement, for developers"
)]

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use evidence::Timestamp;
use feeds::index::{Builder, Segment};
use feeds::snapshot::{Import, Opened, import};
use feeds::{Package, Snapshot, osv};
use host::Mapped;
use store::occurrences::{Found, Occurrences, Role};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["import", index, shared] => import_all(Path::new(index), Path::new(shared)),
        ["match", index, names] => match_all(Path::new(index), Path::new(names)),
        ["bill", store, path] => bill(Path::new(store), path),
        ["occurrences", count] => occurrences(count.parse().expect("a number")),
        _ => println!("usage: import INDEX SHARED | match INDEX NAMES | bill STORE SBOM | occurrences COUNT"),
    }
}

fn import_all(index: &Path, shared: &Path) {
    let inputs: Vec<(String, PathBuf)> =
        ["osv", "osv-jsonl", "kev", "epss"].map(|name| (name.to_owned(), shared.join(name))).to_vec();
    let now = Timestamp::from_unix(1_795_651_200);
    let listed = Default::default();
    let opened = &Opened::unasked;
    let options = Import { inputs: &inputs, now, replace: false, may_shrink: false, listed: &listed, opened };
    let imported = import(index, &options).expect("an import");
    println!("records {}", imported.kinds["osv"]);
    let snapshot = Snapshot::open(index, &Mapped::open).unwrap().unwrap();
    println!("bytes {}", snapshot.manifest().bytes());
}

fn match_all(index: &Path, names: &Path) {
    let file = std::fs::File::open(names).unwrap();
    let packages: Vec<Package> = std::io::BufReader::new(file)
        .lines()
        .map(|line| line.unwrap())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(1_445)
        .map(|name| Package::new("npm", &name, "1.2.3"))
        .collect();
    let began = Instant::now();
    let snapshot = Snapshot::open(index, &Mapped::open).unwrap().unwrap();
    println!("open_us {}", began.elapsed().as_micros());
    for round in ["cold", "warm"] {
        let began = Instant::now();
        let mut affected = 0;
        for package in &packages {
            affected += snapshot.matches(package).len();
        }
        println!("match_{round}_us {}", began.elapsed().as_micros());
        println!("hits {affected}");
    }
    println!("packages {}", packages.len());
    resident();
}

fn resident() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines().filter(|line| line.starts_with("VmHWM:")) {
        println!("resident_kb {}", line.split_whitespace().nth(1).unwrap());
    }
}

/// What `advisories match` does with a bill, and what it takes.
fn bill(store: &Path, path: &str) {
    let now = Timestamp::from_unix(1_795_651_200);
    let options =
        engine::Matching { names: None, max_age_days: Some(3650), vex_max_days: None, snapshot: None, now };
    let began = Instant::now();
    let matched = engine::match_advisories(store, None, &[path.to_owned()], &options).unwrap();
    println!("bill_ms {}", began.elapsed().as_millis());
    println!("packages {}", matched.packages);
    println!("affected {}", matched.ranked.len());
    println!("problems {}", matched.problems.len());
    resident();
}

/// One advisory about versions 0 to 4 of a package.
fn advisory(number: u32) -> osv::Record {
    let document = format!(
        r#"{{"id": "BENCH-{number}", "modified": "2026-01-01T00:00:00Z", "affected": [{{"package": {{"ecosystem": "npm",
        "name": "package-{number}"}}, "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "0"}}, {{"fixed": "1.5.0"}}]}}]}}]}}"#
    );
    osv::read(document.as_bytes()).unwrap()
}

fn occurrences(count: u64) {
    let began = Instant::now();
    let mut all = Occurrences::default();
    for run in forge::occurrences::runs(count) {
        let package = Package::new("npm", &format!("package-{}", run.package), "");
        let role = if run.executed { Role::Executed } else { Role::Shipped };
        all.add(&package.key(), &format!("1.{}.0", run.version), role, run.releases);
    }
    println!("occurrences {}", all.len());
    println!("assets {}", all.assets());
    println!("build_ms {}", began.elapsed().as_millis());
    println!("written_bytes {}", all.write().len());
    let mut builder = Builder::default();
    (0..forge::occurrences::PACKAGES).for_each(|number| builder.add(advisory(number), 0));
    let segment = Segment::open(builder.write().0).unwrap();
    let ask = |number: u32| {
        let name = format!("package-{number}");
        let mut found = Found::default();
        for (version, seen) in all.versions(&Package::new("npm", &name, "").key()) {
            if !segment.matches(&Package::new("npm", &name, version)).is_empty() {
                seen.add_to(&mut found);
            }
        }
        found
    };
    // Only those that touch something count: the others are answered at once.
    let (mut times, mut touched) = (Vec::new(), 0);
    for number in 0..forge::occurrences::PACKAGES {
        let began = Instant::now();
        let found = ask(number);
        if !found.is_empty() {
            times.push(began.elapsed().as_secs_f64() * 1e3);
            touched += 1;
        }
    }
    times.sort_by(f64::total_cmp);
    println!("one_p50_ms {:.4}", times[times.len() / 2]);
    println!("one_p99_ms {:.4}", times[times.len() * 99 / 100]);
    println!("touched {touched}");
    let began = Instant::now();
    let mut worm = Found::default();
    (0..800).map(|step| step * 25).for_each(|number| worm.join(&ask(number)));
    println!("worm_ms {:.3}", began.elapsed().as_secs_f64() * 1e3);
    println!("worm_assets {}", worm.count(Role::Shipped) + worm.count(Role::Executed));
}
