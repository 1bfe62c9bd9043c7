//! The index against a plain, slow reading of the OSV rules, over every shared record.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use feeds::Package;
use feeds::affected::Outcome;
use feeds::documents;
use feeds::index::{Builder, Segment};
use serde_json::Value;
use versions::Order;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Plain {
    Not,
    Unknown,
    Affected,
}

/// The schema's `IsVulnerable`, word for word, with *unknown* where it has no answer.
fn plain(entries: &[&Value], order: Option<Order>, version: &str) -> Plain {
    if version.is_empty() {
        return Plain::Unknown;
    }
    let all = entries.iter().map(|entry| plain_entry(entry, order, version));
    all.max().unwrap_or(Plain::Not)
}

fn plain_entry(entry: &Value, order: Option<Order>, version: &str) -> Plain {
    let equal = |one: &str| {
        one == version || order.and_then(|order| order.compare(one, version)) == Some(Ordering::Equal)
    };
    let versions: Vec<&str> = strings(&entry["versions"]).collect();
    if versions.iter().any(|listed| equal(listed)) {
        return Plain::Affected;
    }
    let (mut found, mut compared, mut passed) = (Plain::Not, false, false);
    for range in entry["ranges"].as_array().into_iter().flatten() {
        let order = match range["type"].as_str() {
            Some("SEMVER") => Some(Order::Semver),
            Some("ECOSYSTEM") => order,
            _ => {
                passed = true;
                continue;
            }
        };
        compared = true;
        found = found.max(plain_range(range["events"].as_array().map_or(&[], Vec::as_slice), order, version));
    }
    if passed && !compared && versions.is_empty() { Plain::Unknown } else { found }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn plain_range(events: &[Value], order: Option<Order>, version: &str) -> Plain {
    if events.len() == 1 && events[0]["introduced"] == "0" {
        return Plain::Affected;
    }
    let Some(order) = order else { return Plain::Unknown };
    let mut sorted: Vec<(&str, &str)> = Vec::new();
    let mut limits = Vec::new();
    for event in events {
        for kind in ["introduced", "fixed", "last_affected", "limit"] {
            let Some(at) = event[kind].as_str() else { continue };
            let zero = kind == "introduced" && at == "0";
            if !zero && at != "*" && order.compare(at, at).is_none() {
                return Plain::Unknown;
            }
            if kind == "limit" { limits.push(at) } else { sorted.push((kind, at)) }
        }
    }
    if order.compare(version, version).is_none() {
        return Plain::Unknown;
    }
    let compare = |one: &str, other: &str| match (one, other) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        _ => order.compare(one, other).unwrap(),
    };
    if !limits.is_empty() && !limits.iter().any(|limit| *limit == "*" || compare(version, limit).is_lt()) {
        return Plain::Not;
    }
    let rank = |kind: &str| ["introduced", "fixed", "last_affected"].iter().position(|known| *known == kind);
    for at in 1..sorted.len() {
        for place in (1..=at).rev() {
            let (before, after) = (sorted[place - 1], sorted[place]);
            if compare(before.1, after.1).then(rank(before.0).cmp(&rank(after.0))).is_gt() {
                sorted.swap(place - 1, place);
            }
        }
    }
    let mut vulnerable = false;
    for (kind, at) in sorted {
        match kind {
            "introduced" if at == "0" || order.compare(version, at).unwrap().is_ge() => vulnerable = true,
            "fixed" if order.compare(version, at).unwrap().is_ge() => vulnerable = false,
            "last_affected" if order.compare(version, at).unwrap().is_gt() => vulnerable = false,
            _ => {}
        }
    }
    if vulnerable { Plain::Affected } else { Plain::Not }
}

/// Versions at and around every bound, and some that are none.
fn candidates(entries: &[&Value]) -> Vec<String> {
    let mut all = vec![
        "0".to_owned(),
        "1.0.0".to_owned(),
        "99999.0.0".to_owned(),
        "not a version".to_owned(),
        String::new(),
    ];
    for entry in entries {
        all.extend(strings(&entry["versions"]).take(3).map(str::to_owned));
        for event in entry["ranges"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|range| range["events"].as_array())
            .flatten()
        {
            for at in event.as_object().into_iter().flatten().filter_map(|(_, at)| at.as_str()).take(8) {
                all.extend([
                    at.to_owned(),
                    format!("{at}.1"),
                    format!("{at}-rc.1"),
                    format!("v{at}"),
                    format!("{at}+b"),
                ]);
            }
        }
    }
    all.sort();
    all.dedup();
    all.truncate(60);
    all
}

fn sources() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/advisories");
    let mut files = Vec::new();
    for folder in ["osv", "osv-jsonl"] {
        if let Ok(entries) = std::fs::read_dir(shared.join(folder)) {
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

#[test]
fn the_index_says_what_the_rules_say() {
    let files = sources();
    if files.is_empty() {
        eprintln!("SKIPPED: no advisories beside the project (`shared/advisories`)");
        return;
    }
    let (mut asked, mut records) = (0_u64, 0_u64);
    let (mut answers, mut wrong) = ([0_u64; 3], Vec::new());
    for file in files {
        let (mut builder, mut plain_records, mut problems) =
            (Builder::default(), BTreeMap::new(), Vec::new());
        documents::read(
            &file,
            &mut |document| {
                let record = feeds::osv::read(document.bytes).unwrap();
                let value: Value = serde_json::from_slice(document.bytes).unwrap();
                plain_records.insert(record.id.clone(), value["affected"].clone());
                builder.add(record, 0);
            },
            &mut problems,
        );
        assert_eq!(problems, []);
        let (bytes, counts) = builder.write();
        assert_eq!(counts.records, plain_records.len());
        let segment = Segment::open(bytes).unwrap();
        segment.verify().unwrap();
        for (id, affected) in &plain_records {
            records += 1;
            let number = segment
                .find(id)
                .into_iter()
                .find(|number| segment.id(*number).as_deref() == Some(id))
                .unwrap();
            let mut packages: BTreeMap<Package, Vec<&Value>> = BTreeMap::new();
            for entry in affected.as_array().into_iter().flatten() {
                let (Some(ecosystem), Some(name)) =
                    (entry["package"]["ecosystem"].as_str(), entry["package"]["name"].as_str())
                else {
                    continue;
                };
                packages.entry(Package::new(ecosystem, name, "")).or_default().push(entry);
            }
            for (package, entries) in packages {
                let order = Order::of(&package.ecosystem);
                // What says nothing at all matches nothing.
                let speaks = entries.iter().any(|entry| {
                    ["ranges", "versions"]
                        .iter()
                        .any(|key| entry[key].as_array().is_some_and(|list| !list.is_empty()))
                });
                for version in candidates(&entries) {
                    asked += 1;
                    let expected = if speaks { plain(&entries, order, &version) } else { Plain::Not };
                    let asked = Package { version: version.clone(), ..package.clone() };
                    let hits = segment.matches(&asked);
                    let found = hits.iter().filter(|hit| hit.record == number).map(|hit| match hit.outcome {
                        Outcome::NotAffected => Plain::Not,
                        Outcome::Undetermined(_) => Plain::Unknown,
                        Outcome::Affected => Plain::Affected,
                    });
                    let found = found.max().unwrap_or(Plain::Not);
                    answers[found as usize] += 1;
                    if found != expected {
                        wrong.push(format!("{id} {} {version:?}: {found:?}, not {expected:?}", package.name));
                    }
                }
            }
        }
    }
    eprintln!("{records} records, {asked} questions: {answers:?} not affected, unknown, affected");
    assert!(records > 300_000 && answers.iter().all(|count| *count > 10_000), "{records} {answers:?}");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}
