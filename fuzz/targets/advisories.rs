//! Advisories, exploitation data, statements, version orders, package URLs, and the index over them.
#![no_main]

use feeds::Package;
use feeds::enrichment::{Columns, Enrichment};
use feeds::index::{Builder, Segment};
use versions::Order;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = feeds::osv::read(bytes) {
        let packages: Vec<Package> = record.affected.iter().map(|affected| affected.package.clone()).collect();
        let mut builder = Builder::default();
        builder.add(record, 0);
        let segment = Segment::open(builder.write().0).expect("what was written can be opened");
        segment.verify().expect("what was written is whole");
        let mut again = Builder::default();
        again.absorb(&segment, &|_| false).expect("what was written can be taken apart");
        Segment::open(again.write().0).expect("and put together again");
        for package in packages {
            segment.matches(&Package { version: "1.2.3".to_owned(), ..package });
        }
        assert!(segment.advisory(0).is_some());
    }
    if let Ok(segment) = Segment::open(bytes) {
        segment.matches(&Package::new("npm", "a", "1.0.0"));
        segment.find("A-1");
        segment.advisory(0);
        Builder::default().absorb(&segment, &|_| false);
    }
    Columns::open(bytes).map(|columns| columns.find("CVE-2021-44228"));
    let text = String::from_utf8_lossy(bytes);
    if let Ok(document) = serde_json::from_slice(bytes) {
        Enrichment::default().read_exploited(&document);
        let mut statements = feeds::vex::read(&document, "fuzz").unwrap_or_default();
        if let Some(envelope) = feeds::vex::envelope(&document)
            && let Ok(payload) = serde_json::from_slice(&envelope.payload)
        {
            statements.extend(feeds::vex::read(&payload, "fuzz").unwrap_or_default());
        }
        let named: Vec<evidence::Purl> = statements
            .iter()
            .flat_map(|one| one.products.iter().chain(&one.components))
            .map(|text| evidence::Purl::parse_lenient(text).expect("what was read is canonical"))
            .collect();
        let book = feeds::vex::Book::new(statements);
        for purl in named {
            book.about(&purl, None);
            book.about(&purl, Some(&purl));
            Package::of_purl(&purl).map(|package| book.of_package(&package).len());
        }
    }
    feeds::mirror::Changes::read(&text, Some(evidence::Timestamp::from_unix(0)));
    Enrichment::default().read_csv(&text, &mut |_, _| {});
    for purl in [evidence::Purl::parse(&text), evidence::Purl::parse_lenient(&text)].into_iter().flatten() {
        let written = purl.to_string();
        assert_eq!(evidence::Purl::parse_lenient(&written).map(|again| again.to_string()), Ok(written));
    }
    versions::vers::Range::parse_lenient(&text).ok().map(|range| range.contains("1.2.3"));
    let (left, right) = text.split_once('\n').unwrap_or((&text, "1.0"));
    for order in Order::ALL {
        assert_eq!(order.compare(left, right), order.compare(right, left).map(std::cmp::Ordering::reverse));
    }
});
