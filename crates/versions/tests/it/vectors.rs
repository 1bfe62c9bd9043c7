//! The vectors of osv-scalibr and vers-spec.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde_json::Value;
use versions::Order;
use versions::vers::Range;

fn folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(name);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no test vectors beside the project (`shared/vectors/{name}`)");
        return None;
    }
    Some(folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn sign(order: Option<Ordering>) -> &'static str {
    match order {
        Some(Ordering::Less) => "<",
        Some(Ordering::Equal) => "=",
        Some(Ordering::Greater) => ">",
        None => "?",
    }
}

#[test]
fn every_line_of_version_ordering_holds() {
    let Some(folder) = folder("version-ordering") else { return };
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files(&folder) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let order = Order::of(name.split('-').next().unwrap()).unwrap();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            let [left, expected, right] = words[..] else { continue };
            count += 1;
            for (left, right, expected) in [(left, right, expected), (right, left, turned(expected))] {
                let found = sign(order.compare(left, right));
                if found != expected {
                    wrong.push(format!("{name}: {left} {expected} {right}, found {found}"));
                }
            }
        }
    }
    assert!(count > 35_000, "only {count} lines");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

fn turned(sign: &str) -> &str {
    match sign {
        "<" => ">",
        ">" => "<",
        other => other,
    }
}

#[test]
fn the_comparisons_of_vers_hold() {
    let Some(folder) = folder("vers/tests") else { return };
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files(&folder) {
        let suite: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for test in suite["tests"].as_array().unwrap() {
            let name = path.file_stem().unwrap().to_str().unwrap();
            match differs(test) {
                None => continue,
                Some(Ok(())) => count += 1,
                Some(Err(why)) => wrong.push(format!("{name}: {}: {why}", test["input"])),
            }
        }
    }
    assert!(count > 1900, "only {count} tests");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

/// None for what is not about versions or ranges: the native notations of ranges, which nobody here needs.
fn differs(test: &Value) -> Option<Result<(), String>> {
    let input = &test["input"];
    let versions = || -> Vec<&str> {
        input["versions"].as_array().unwrap().iter().map(|version| version.as_str().unwrap()).collect()
    };
    let order = || Order::of(input["input_scheme"].as_str().unwrap()).unwrap();
    let expect = |good: bool, found: String| Some(if good { Ok(()) } else { Err(found) });
    match test["test_type"].as_str()? {
        "comparison" => {
            let mut sorted = versions();
            sorted.sort_by(|left, right| order().compare(left, right).unwrap_or(Ordering::Equal));
            // The vectors of NuGet expect its words in lower case.
            let expected = test["expected_output"].as_array()?;
            let same = sorted.iter().zip(expected).all(|(found, expected)| {
                expected.as_str().is_some_and(|expected| {
                    *found == expected || order() == Order::Nuget && found.eq_ignore_ascii_case(expected)
                })
            });
            expect(same && sorted.len() == expected.len(), format!("{sorted:?}"))
        }
        "equality" => {
            let versions = versions();
            let equal = order().compare(versions[0], versions[1]).map(Ordering::is_eq);
            expect(equal == test["expected_output"].as_bool(), format!("{equal:?}"))
        }
        "containment" => {
            let range = Range::parse_lenient(input["vers"].as_str()?).map_err(|error| error.to_string());
            let found = range.map(|range| range.contains(input["version"].as_str().unwrap()));
            expect(found == Ok(test["expected_output"].as_bool()), format!("{found:?}"))
        }
        "validate" => {
            let found = Range::parse_lenient(input.as_str()?).map(|range| range.to_string());
            expect(found.as_deref().ok() == test["expected_output"].as_str(), format!("{found:?}"))
        }
        "parse" => {
            let found = Range::parse(input.as_str()?);
            let failure = test["expected_failure"].as_bool().unwrap_or(false);
            let good = match &found {
                Err(_) => failure,
                Ok(range) => {
                    let constraints: Vec<Value> = range
                        .constraints()
                        .iter()
                        .map(|(comparator, version)| serde_json::json!([comparator.sign(), version]))
                        .collect();
                    !failure
                        && test["expected_output"]["scheme"] == range.scheme()
                        && test["expected_output"]["version_constraints"] == Value::from(constraints)
                }
            };
            expect(good, format!("{found:?}"))
        }
        "from_native" => None,
        other => Some(Err(format!("an unknown kind of test: {other}"))),
    }
}
