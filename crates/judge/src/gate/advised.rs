//! What advisories say of a release, at the gate: attacks deny, what is exploited denies where the build used it, and the rest
//! is reported unless the policy asks for more.

use evidence::{Digest, Finding};

use super::weigh::Origin;
use crate::codes;
use crate::matching::{Grade, Ranked, Use};
use crate::policy::Policy;

/// What advisories say of a record.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Advised {
    /// The snapshot that was asked.
    pub snapshot: Option<Digest>,
    /// What is affected.
    pub ranked: Vec<Ranked>,
    /// What else there is to say: stale or missing advisories, bytes that differ, names of others.
    pub others: Vec<Finding>,
}

impl Advised {
    /// Returns the findings, each with what it takes.
    pub(super) fn findings(&self, policy: &Policy) -> Vec<(Finding, Origin)> {
        let of_rank = |ranked: &Ranked| {
            let origin = Origin::Advisory { denies: denies(ranked, policy), two_people: ranked.takes_two() };
            (ranked.finding.clone(), origin)
        };
        // Packages of which no advisories were imported are on every machine: reported.
        let of_other = |finding: &Finding| match finding.code == codes::ADVISORIES_MISSING.word {
            true => (finding.clone(), Origin::Advisory { denies: false, two_people: false }),
            false => (finding.clone(), Origin::Evidence),
        };
        self.ranked.iter().map(of_rank).chain(self.others.iter().map(of_other)).collect()
    }
}

/// Tells whether a finding stands in the way of a release.
fn denies(ranked: &Ranked, policy: &Policy) -> bool {
    let used = ranked.sighting.grade >= Grade::Linked || ranked.sighting.used == Use::Shipped;
    ranked.advisory.malicious || (ranked.priority <= policy.advisories.deny_from && used)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use evidence::Timestamp;

    use super::*;
    use crate::gate::weigh::weigh;
    use crate::gate::{Approved, Weight};
    use crate::matching::{Advisory, Certainty, Exploitation, Sighting, rank};

    const NOW: i64 = 1_000_000;

    struct Found {
        id: &'static str,
        version: &'static str,
        digest: &'static [u8],
        grade: Grade,
        exploited: bool,
        product: &'static str,
        within: &'static str,
    }

    const LINKED: Found = Found {
        id: "CVE-1",
        version: "1.0.0",
        digest: b"bytes",
        grade: Grade::Linked,
        exploited: true,
        product: "app",
        within: "r1",
    };

    fn ranked(found: &Found) -> Ranked {
        let sighting = Sighting {
            package: format!("pkg:npm/a@{}", found.version),
            grade: found.grade,
            used: Use::Build,
            within: found.within.to_owned(),
            product: found.product.to_owned(),
            because: format!("read in {}", found.within),
            path: None,
            digest: Some(Digest::of(found.digest)),
        };
        let since = found.exploited.then_some(1);
        let advisory = Advisory {
            id: found.id.to_owned(),
            aliases: BTreeSet::new(),
            summary: String::new(),
            malicious: found.id.starts_with("MAL-"),
            score: Some((98, "v".to_owned())),
            severity: 0,
            exploitation: Exploitation { since, ..Exploitation::default() },
            certainty: Certainty::Affected,
            by_digest: false,
        };
        rank(vec![(sighting, vec![advisory])]).remove(0)
    }

    fn weight(found: &Found, policy: &str, people: &[&str], approved: &str, expires: i64) -> Weight {
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let advised = Advised { ranked: vec![ranked(found)], ..Advised::default() };
        let approvals: Vec<Approved> = people
            .iter()
            .map(|person| Approved {
                finding: approved.to_owned(),
                person: (*person).to_owned(),
                key: (*person).to_owned(),
                reason: "r".to_owned(),
                evidence: Vec::new(),
                approved: Timestamp::from_unix(NOW - 1),
                expires: Timestamp::from_unix(expires),
            })
            .collect();
        let (finding, origin) = advised.findings(&policy).remove(0);
        weigh(finding, origin, &approvals, &policy, Timestamp::from_unix(NOW)).weight
    }

    #[test]
    fn attacks_deny_and_what_is_exploited_denies_where_it_was_used() {
        let check = |found: Found, policy: &str, expected: Weight| {
            assert_eq!(weight(&found, policy, &[], "", NOW), expected, "{} {:?}", found.id, found.grade);
        };
        check(LINKED, "", Weight::Denies);
        check(Found { grade: Grade::Executed, ..LINKED }, "", Weight::Denies);
        check(Found { grade: Grade::Present, ..LINKED }, "", Weight::Passes);
        check(Found { exploited: false, ..LINKED }, "", Weight::Passes);
        check(Found { exploited: false, ..LINKED }, "advisories.deny_from = \"scored\"", Weight::Denies);
        check(LINKED, "advisories.deny_from = \"malicious\"", Weight::Passes);
        check(LINKED, "deny_from = \"critical\"", Weight::Denies);
        for grade in [Grade::Listed, Grade::Present, Grade::Executed] {
            check(Found { id: "MAL-1", exploited: false, grade, ..LINKED }, "", Weight::Denies);
        }
        check(
            Found { exploited: false, ..LINKED },
            "[findings]\nvulnerable-package = \"deny\"",
            Weight::Denies,
        );
    }

    #[test]
    fn two_people_answer_for_it_until_version_bytes_use_or_time_change() {
        let id = ranked(&LINKED).finding.id;
        let check = |found: Found, people: &[&str], expires: i64, expected: Weight, why: &str| {
            for policy in ["", "machine = \"developer\"", "approvals.persons = 1"] {
                assert_eq!(weight(&found, policy, people, &id, expires), expected, "{why}: {policy}");
            }
        };
        check(
            LINKED,
            &["anna"],
            NOW + 1,
            Weight::AwaitsSecond,
            "one is not enough, whatever the policy says",
        );
        check(LINKED, &["anna", "bob"], NOW + 1, Weight::Approved, "two are");
        check(LINKED, &["anna", "bob"], NOW, Weight::Denies, "it has expired");
        let next = Found { within: "r2", ..LINKED };
        check(next, &["anna", "bob"], NOW + 1, Weight::Approved, "the next record of the same bytes");
        for (found, why) in [
            (Found { version: "1.0.1", ..LINKED }, "another version"),
            (Found { digest: b"other", ..LINKED }, "other bytes"),
            (Found { grade: Grade::Executed, ..LINKED }, "another use"),
            (Found { product: "other", ..LINKED }, "another product"),
            (Found { id: "CVE-2", ..LINKED }, "another advisory"),
        ] {
            check(found, &["anna", "bob"], NOW + 1, Weight::Denies, why);
        }
    }

    #[test]
    fn one_person_answers_for_what_is_neither_and_stale_advisories_deny() {
        let scored = Found { exploited: false, ..LINKED };
        let id = ranked(&scored).finding.id;
        let policy = "advisories.deny_from = \"scored\"";
        assert_eq!(weight(&scored, policy, &["anna"], &id, NOW + 1), Weight::Approved);
        let stale = codes::ADVISORY_INDEX_STALE.finding(evidence::Subject::default(), Vec::new());
        let missing = codes::ADVISORIES_MISSING.finding(evidence::Subject::default(), Vec::new());
        let advised = Advised { others: vec![stale, missing], ..Advised::default() };
        let policy = Policy::parse(b"").unwrap();
        let weights: Vec<Weight> = advised
            .findings(&policy)
            .into_iter()
            .map(|(finding, origin)| weigh(finding, origin, &[], &policy, Timestamp::from_unix(NOW)).weight)
            .collect();
        assert_eq!(weights, [Weight::Denies, Weight::Passes]);
    }
}
