//! Which comes first, and why.

use std::collections::BTreeSet;

use evidence::Severity;

use super::*;

fn advisory(id: &str) -> Advisory {
    Advisory {
        id: id.to_owned(),
        aliases: BTreeSet::new(),
        summary: "s".to_owned(),
        malicious: id.starts_with("MAL-"),
        score: None,
        severity: 0,
        exploitation: Exploitation::default(),
        certainty: Certainty::Affected,
        by_digest: false,
    }
}

fn sighting(package: &str, grade: Grade, used: Use) -> Sighting {
    Sighting {
        package: package.to_owned(),
        grade,
        used,
        within: "r1".to_owned(),
        product: "app".to_owned(),
        because: "b".to_owned(),
        path: None,
        digest: None,
    }
}

#[test]
fn the_first_thing_that_differs_decides() {
    let exploited = Advisory {
        exploitation: Exploitation { since: Some(1), ..Exploitation::default() },
        ..advisory("CVE-3")
    };
    let ransomware = Advisory {
        exploitation: Exploitation { since: Some(1), ransomware: true, ..Exploitation::default() },
        ..advisory("CVE-4")
    };
    let likely = Advisory {
        exploitation: Exploitation { epss: Some(0.2), ..Exploitation::default() },
        ..advisory("CVE-5")
    };
    let scored = |tenths| Advisory { score: Some((tenths, "v".to_owned())), ..advisory("CVE-6") };
    let doubtful = Advisory { certainty: Certainty::Doubtful("why"), ..advisory("MAL-7") };
    let list = |package: &str, grade, advisory| (sighting(package, grade, Use::Build), vec![advisory]);
    let ranked = rank(vec![
        list("unscored", Grade::Executed, advisory("CVE-8")),
        list("doubtful", Grade::Executed, doubtful),
        list("scored", Grade::Listed, scored(98)),
        list("scored-low", Grade::Executed, scored(50)),
        list("likely", Grade::Listed, likely),
        list("exploited", Grade::Executed, exploited),
        list("ransomware", Grade::Listed, ransomware),
        list("malicious", Grade::Present, advisory("MAL-2")),
        list("ran", Grade::Executed, advisory("MAL-1")),
    ]);
    let order: Vec<(&str, &str)> =
        ranked.iter().map(|one| (one.sighting.package.as_str(), one.finding.code.as_str())).collect();
    assert_eq!(
        order,
        [
            ("ran", "malicious-package-executed"),
            ("malicious", "malicious-package"),
            ("ransomware", "exploited-package"),
            ("exploited", "exploited-package"),
            ("likely", "vulnerable-package"),
            ("scored", "vulnerable-package"),
            ("scored-low", "vulnerable-package"),
            ("unscored", "vulnerable-package"),
            ("doubtful", "advisory-undetermined"),
        ]
    );
    let severities: Vec<Severity> = ranked[5..8].iter().map(|one| one.finding.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::Medium, Severity::High]);
    assert!(ranked.iter().all(|one| !one.inputs.is_empty()));
}

#[test]
fn a_malicious_package_that_only_a_product_lists_did_not_run() {
    let ranked = rank(vec![(sighting("p", Grade::Executed, Use::Shipped), vec![advisory("MAL-1")])]);
    assert_eq!(ranked[0].priority, Priority::Malicious);
}

#[test]
fn advisories_about_one_thing_are_one_finding() {
    let named = |id: &str, aliases: &[&str]| Advisory {
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ..advisory(id)
    };
    let chain =
        vec![named("A-1", &["CVE-1"]), named("A-2", &["CVE-2"]), named("GHSA-1", &["CVE-1", "CVE-2"])];
    let ranked = rank(vec![(sighting("p", Grade::Listed, Use::Listed), chain)]);
    assert_eq!(ranked.len(), 1);
    assert_eq!(ranked[0].advisory.id, "GHSA-1");
    let apart = vec![named("A-1", &["CVE-1"]), named("A-2", &["CVE-2"])];
    assert_eq!(rank(vec![(sighting("p", Grade::Listed, Use::Listed), apart)]).len(), 2);
}

#[test]
fn a_score_of_tomorrow_makes_no_other_finding() {
    let id = |epss| {
        let exploitation = Exploitation { epss: Some(epss), ..Exploitation::default() };
        let advisory = Advisory { exploitation, ..advisory("CVE-1") };
        rank(vec![(sighting("p", Grade::Listed, Use::Listed), vec![advisory])])[0].finding.id.clone()
    };
    assert_eq!(id(0.01), id(0.02));
}

#[test]
fn names_within_one_edit_are_found() {
    let popular = Popular::new(["lodash", "react", "left-pad", "ab"]);
    for (name, like) in [
        ("lodahs", "lodash"),
        ("loadsh", "lodash"),
        ("lodas", "lodash"),
        ("lodashs", "lodash"),
        ("lodasx", "lodash"),
    ] {
        assert_eq!(popular.like(name), Some(like), "{name}");
    }
    for name in ["lodash", "react", "underscore", "ac", "reactive"] {
        assert_eq!(popular.like(name), None, "{name}");
    }
}
