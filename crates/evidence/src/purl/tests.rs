//! The vectors of purl-spec, and cases of our own.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Where the test vectors of the field lie, beside the project.
fn vectors() -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/purl/tests");
    folder.is_dir().then_some(folder)
}

fn parts(value: &Value) -> Parts {
    let text = |key: &str| value[key].as_str().unwrap_or("").to_owned();
    Parts {
        kind: text("type"),
        namespace: text("namespace"),
        name: text("name"),
        version: text("version"),
        qualifiers: value["qualifiers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned()))
            .collect(),
        subpath: text("subpath"),
    }
}

/// What differs from what a vector expects.
fn differs(test: &Value) -> Option<String> {
    let lenient = test["test_group"] == "recommended";
    let made = match (test["test_type"].as_str()?, lenient) {
        ("build", false) => Purl::build(parts(&test["input"])),
        ("build", true) => Purl::build_lenient(parts(&test["input"])),
        (_, false) => Purl::parse(test["input"].as_str()?),
        (_, true) => Purl::parse_lenient(test["input"].as_str()?),
    };
    let made = match (made, test["expected_failure"].as_bool()?) {
        (Err(_), true) => return None,
        (Ok(purl), true) => return Some(format!("taken as {purl}")),
        (Err(error), false) => return Some(error.to_string()),
        (Ok(purl), false) => purl,
    };
    let expected = &test["expected_output"];
    if let Some(text) = expected.as_str() {
        return (made.to_string() != text).then(|| format!("{made}, not {text}"));
    }
    let wanted = parts(expected);
    let got = Parts {
        kind: made.kind.clone(),
        namespace: made.namespace.clone().unwrap_or_default(),
        name: made.name.clone(),
        version: made.version.clone().unwrap_or_default(),
        qualifiers: made.qualifiers.clone().into_iter().collect(),
        subpath: made.subpath.clone().unwrap_or_default(),
    };
    let mut sorted = wanted;
    sorted.qualifiers.sort();
    (got != sorted).then(|| format!("{got:?}, not {sorted:?}"))
}

/// Contradicts the standard and the vectors of `gem` and `rpm`, where the same thing must be refused
/// (docs/advisories.md).
const EXCEPTIONS: &[&str] =
    &["pkg:Maven/org.apache.xmlgraphics/batik-anim@1.9.1?type=pom&repositorY_url=repo.spring.io/release"];

#[test]
fn all_vectors_of_purl_spec_pass() {
    let Some(folder) = vectors() else {
        eprintln!("SKIPPED: no test vectors beside the project (`shared/vectors/purl`)");
        return;
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for part in ["spec", "types"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let suite: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for test in suite["tests"].as_array().unwrap() {
                count += 1;
                if EXCEPTIONS.contains(&test["input"].as_str().unwrap_or("")) && test["test_type"] == "parse"
                {
                    assert!(differs(test).is_some(), "no exception any more: {}", test["input"]);
                    continue;
                }
                if let Some(why) = differs(test) {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    wrong.push(format!("{name} {} {}: {why}", test["test_type"], test["input"]));
                }
            }
        }
    }
    assert!(count > 500, "only {count} vectors were found");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_people_write_is_mended() {
    for (text, canonical) in [
        ("pkg:npm/@babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
        ("pkg:npm/%40babel%2Fcore@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
        ("pkg:golang/stdlib@1.22.1", "pkg:golang/stdlib@1.22.1"),
        ("pkg:deb/bash@5.2?Arch=amd64", "pkg:deb/bash@5.2?arch=amd64"),
        ("PKG:PyPI/Foo_Bar@1.0RC1", "pkg:pypi/foo-bar@1.0rc1"),
    ] {
        assert_eq!(Purl::parse_lenient(text).unwrap().to_string(), canonical);
    }
}

#[test]
fn what_is_none_is_refused() {
    for text in [
        "",
        "pkg:",
        "pkg:npm",
        "pkg:npm/",
        "pkg:npm/a%",
        "pkg:npm/a%ff",
        "npm/a",
        "pkg:1/a",
        "pkg:npm/a?k=1&k=2",
    ] {
        assert!(Purl::parse(text).is_err(), "{text}");
        assert!(Purl::parse_lenient(text).is_err(), "{text}");
    }
    assert_eq!(Purl::parse_lenient(&format!("pkg:npm/{}", "a".repeat(LENGTH_MAX))), Err(Error::Length));
}

#[test]
fn only_a_slash_parts_the_name_of_a_repository() {
    let name = Purl::parse_lenient("pkg:npm/a%00b").unwrap();
    assert_eq!(name.to_string(), "pkg:npm/a%00b");
    assert_ne!(name.identity(), Purl::parse_lenient("pkg:npm/a/b").unwrap().identity());
}

proptest! {
    #[test]
    fn the_canonical_form_reads_back(text in "pkg:(npm|deb|pypi|generic|oci)/([a-zA-Z@%/.+ é-]{0,12}/)?[ -~é]{1,24}") {
        for purl in [Purl::parse(&text), Purl::parse_lenient(&text)].into_iter().flatten() {
            let written = purl.to_string();
            let again = Purl::parse_lenient(&written).unwrap();
            prop_assert_eq!(again.to_string(), written);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,64}") {
        drop(Purl::parse(&text));
        drop(Purl::parse_lenient(&text));
    }
}
