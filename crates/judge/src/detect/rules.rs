//! The compiled set of rules.

use std::sync::LazyLock;

use evidence::{Digest, EventKind, Hasher};

use super::expression::position;
use super::rule::{self, Rule};
use super::{builtin, yaml};

/// The most rules of one set.
pub(super) const RULES_MAX: usize = 4096;

/// A compiled set of rules.
pub struct Rules {
    rules: Vec<Rule>,
    /// For each kind of event the rules that may match it, and those that look at it even if it failed.
    by_kind: Vec<(Vec<u32>, Vec<u32>)>,
    digest: Digest,
}

/// A rule that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("rule file `{file}`: {reason}")]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// What is wrong, with the field named.
    pub reason: String,
}

static BUILTIN: LazyLock<Rules> = LazyLock::new(|| {
    let files: Vec<(&str, &[u8])> =
        builtin::FILES.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    #[expect(clippy::expect_used, reason = "a test compiles the same text")]
    Rules::parse(&files).expect("the built-in rules are compiled by a test")
});

impl Rules {
    /// Returns the rules that come with the program.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Compiles rule files, each given with its name.
    pub fn parse(files: &[(&str, &[u8])]) -> Result<Self, RuleError> {
        let mut rules = Vec::with_capacity(files.len());
        let mut hasher = Hasher::new();
        for (name, bytes) in files {
            let wrong = |reason: String| RuleError { file: (*name).to_owned(), reason };
            rules.push(yaml::read(bytes).and_then(rule::compile).map_err(wrong)?);
            hasher.update(Digest::of(bytes).as_bytes());
        }
        Self::of(rules, hasher.finish())
    }

    pub(super) fn of(rules: Vec<Rule>, digest: Digest) -> Result<Self, RuleError> {
        if rules.len() > RULES_MAX {
            return Err(RuleError {
                file: String::new(),
                reason: format!("there are more than {RULES_MAX} rules"),
            });
        }
        let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RuleError {
                file: pair[0].to_owned(),
                reason: "field `id`: two rules have it".to_owned(),
            });
        }
        let mut by_kind = vec![(Vec::new(), Vec::new()); EventKind::ALL.len()];
        for (at, rule) in (0..).zip(&rules) {
            for kind in EventKind::ALL.into_iter().filter(|kind| rule.kinds().has(*kind)) {
                let (good, failed) = &mut by_kind[position(kind)];
                good.push(at);
                if rule.failures || attempt_is_enough(kind) {
                    failed.push(at);
                }
            }
        }
        Ok(Self { rules, by_kind, digest })
    }

    /// Returns the rules that come with the program, and others; one with the same id takes the place of ours.
    pub fn builtin_and(files: &[(&str, &[u8])]) -> Result<Self, RuleError> {
        let ours: Vec<(&str, &[u8])> =
            builtin::FILES.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let ours = Self::parse(&ours)?;
        if files.is_empty() { Ok(ours) } else { ours.with(Self::parse(files)?) }
    }

    /// Adds other rules; one with the same id takes the place of ours.
    pub fn with(self, other: Self) -> Result<Self, RuleError> {
        let mut rules = self.rules;
        rules.retain(|rule| other.rules.iter().all(|new| new.id != rule.id));
        rules.extend(other.rules);
        let mut hasher = Hasher::new();
        hasher.update(self.digest.as_bytes());
        hasher.update(other.digest.as_bytes());
        Self::of(rules, hasher.finish())
    }

    /// Names the set: the digest over the digests of its files, in order.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    pub(super) fn get(&self, at: u32) -> &Rule {
        &self.rules[at as usize]
    }

    pub(super) fn for_kind(&self, kind: EventKind, failed: bool) -> &[u32] {
        let (all, failures) = &self.by_kind[position(kind)];
        if failed { failures } else { all }
    }
}

/// Kinds for which a rule need not name `errno`: who tries to reach another machine or process has shown enough.
fn attempt_is_enough(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Connect
            | EventKind::Bind
            | EventKind::Listen
            | EventKind::Resolve
            | EventKind::Request
            | EventKind::Reach
            | EventKind::Namespace
            | EventKind::Refused
            | EventKind::Gap
    )
}
