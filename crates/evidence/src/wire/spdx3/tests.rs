//! The bytes of a bill with everything in it, as they were before the graph was written in a stream.

use std::sync::Arc;

use super::write;
use crate::bom::{Algorithm, Bom, Evidence, Hash, Kind, Package, Property, State};
use crate::wire::bill::Style;

fn package(name: &str, licences: &[&str]) -> Package {
    Package {
        purl: Some(format!("pkg:npm/{name}@1").into()),
        name: name.into(),
        version: "1".into(),
        licences: licences.iter().map(|licence| Arc::from(*licence)).collect(),
        ..Package::default()
    }
}

fn written(bom: &Bom) -> String {
    let mut out = Vec::new();
    let style = Style { timestamp: None, tool_version: "0".to_owned() };
    write(bom, &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_bytes_of_a_bill_are_those_of_the_first_release() {
    let mut packages = vec![
        package("a", &["MIT"]),
        package("b", &["Apache-2.0 OR MIT", "Our \"own\" licence"]),
        package("c", &[]),
        package("d", &["MIT"]),
        package("e", &["LicenseRef-theirs AND BSD-3-Clause"]),
    ];
    packages[0].supplier = Some("Maker\n <m@example.org>".into());
    packages[1].supplier = Some("Other".into());
    packages[3].supplier = packages[0].supplier.clone();
    packages[0].hashes.extend(Hash::new(Algorithm::Sha256, &"ab".repeat(32)));
    packages[0].hashes.extend(Hash::new(Algorithm::Sha1, &"cd".repeat(20)));
    packages[1].cpes.push("cpe:2.3:a:b:b:1:*:*:*:*:*:*:*".into());
    packages[1].kind = Kind::Model;
    packages[2].purl = None;
    packages[2].version = "".into();
    packages[2].state = State::Declared;
    packages[2].namespace = "scope".into();
    for path in ["x/é\\1", "y"] {
        packages[2].evidence.push(Evidence { path: Arc::new(path.into()), by: "reader".into() });
    }
    packages[4].properties.push(Property { name: "p".into(), value: "line\nnext".into() });
    let mut bom = Bom {
        subject: package("whole", &["ISC"]),
        packages,
        relations: vec![(0, 1), (0, 2), (2, 4), (3, 0)],
        direct: vec![0, 3],
        tools: vec!["other 2\u{7}".into()],
        authors: vec!["Ann".into(), "Bob".into()],
        made: Some("2026-01-31T12:00:00Z".into()),
        properties: Vec::new(),
    };
    bom.subject.kind = Kind::Application;
    assert_eq!(written(&bom), include_str!("whole.json"));
}

#[test]
fn a_bill_of_nothing_has_no_relations() {
    let text = written(&Bom::default());
    assert!(text.contains("\"name\":\"unnamed\"") && !text.contains("Relationship"), "{text}");
}
