//! Whether the state of a machine is good enough for what it is for: rules over [facts](evidence::posture), by level.
//!
//! Rules are data (TOML). Those that come with the program are in `posture.default.toml`; a file of one's own adds rules and
//! replaces those with the same `id`. What is not known is not a pass.

use std::collections::BTreeMap;

use evidence::posture::{Fact, Posture, Value};
use evidence::{Finding, Severity, Subject};
use serde::Deserialize;

use crate::codes;
use crate::detect::MachineRole;

/// The rules that come with the program.
pub const DEFAULT: &str = include_str!("posture.default.toml");

/// A set of rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PosturePolicy {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// What it is called.
    pub id: String,
    /// What must be so, in one sentence.
    pub title: String,
    /// The fact that it asks.
    pub fact: String,
    /// What the fact must be.
    pub test: Test,
    /// How bad it is if it is not, by what the machine is for; where a level is missing the rule does not apply.
    #[serde(default)]
    pub levels: BTreeMap<MachineRole, Severity>,
    /// What to do.
    pub hint: String,
}

/// What a fact must be.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Test {
    /// A flag with this value.
    Is(bool),
    /// A number that is no greater.
    AtMost(u64),
    /// A number that is no less.
    AtLeast(u64),
    /// One of these words.
    OneOf(Vec<String>),
    /// A list with nothing but these.
    Only(Vec<String>),
    /// A list with something in it.
    Some,
}

/// What came of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is as it must be.
    Met,
    /// It is not.
    NotMet,
    /// Nobody can say: this is not a pass.
    Unknown,
}

impl Outcome {
    /// Returns the kebab-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not-met",
            Self::Unknown => "unknown",
        }
    }
}

/// A rule, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruled {
    /// The rule.
    pub rule: Rule,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found; absent if the fact is not among those that were collected.
    pub fact: Option<Fact>,
    /// The finding, unless it is met.
    pub finding: Option<Finding>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PosturePolicyError {
    /// Not TOML, or not of this form.
    #[error("malformed posture policy")]
    Toml(#[source] toml::de::Error),
    /// Two rules of one file with one name.
    #[error("two rules are called `{0}`")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Rule>,
}

impl PosturePolicy {
    /// The rules that come with the program.
    ///
    /// # Errors
    /// None, as long as a test reads them.
    pub fn builtin() -> Result<Self, PosturePolicyError> {
        Ok(Self { rules: parse(DEFAULT)? })
    }

    /// Adds the rules of a file; one that is known by its name is replaced, and one without levels is not asked.
    ///
    /// # Errors
    /// What is not understood.
    pub fn with(mut self, text: &str) -> Result<Self, PosturePolicyError> {
        for rule in parse(text)? {
            match self.rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = rule,
                None => self.rules.push(rule),
            }
        }
        Ok(self)
    }

    /// Asks all rules of a level.
    pub fn check(&self, posture: &Posture, level: MachineRole) -> Vec<Ruled> {
        let asked = self.rules.iter().filter_map(|rule| Some((rule, *rule.levels.get(&level)?)));
        asked.map(|(rule, severity)| ask(rule, severity, posture)).collect()
    }
}

fn parse(text: &str) -> Result<Vec<Rule>, PosturePolicyError> {
    let file: File = toml::from_str(text).map_err(PosturePolicyError::Toml)?;
    let mut ids: Vec<&str> = file.rule.iter().map(|rule| rule.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PosturePolicyError::Twice(pair[0].to_owned()));
    }
    Ok(file.rule)
}

fn ask(rule: &Rule, severity: Severity, posture: &Posture) -> Ruled {
    let fact = posture.fact(&rule.fact).cloned();
    let outcome = match &fact {
        Some(fact) => rule.test.holds(&fact.value),
        None => Outcome::Unknown,
    };
    let code = match outcome {
        Outcome::Met => None,
        Outcome::NotMet => Some(&codes::POSTURE_RULE_NOT_MET),
        Outcome::Unknown => Some(&codes::POSTURE_UNKNOWN),
    };
    let finding = code.map(|code| {
        let found = match &fact {
            Some(fact) => format!("{} is {}", rule.fact, fact.value),
            None => format!("there is no fact `{}`", rule.fact),
        };
        let read = fact.iter().filter(|fact| !fact.read.is_empty());
        let mut because = vec![rule.title.clone(), found];
        because.extend(read.map(|fact| format!("read: {}", fact.read.join(", "))));
        let subject = Subject { path: Some(rule.id.as_str().into()), digest: None };
        Finding::new(code.word, severity, code.title, subject, because, rule.hint.as_str())
    });
    Ruled { rule: rule.clone(), outcome, fact, finding }
}

impl Test {
    /// A fact of another shape than the test is about answers nothing.
    fn holds(&self, value: &Value) -> Outcome {
        let met = match (self, value) {
            (Self::Is(wanted), Value::Flag(flag)) => flag == wanted,
            (Self::AtMost(most), Value::Number(number)) => number <= most,
            (Self::AtLeast(least), Value::Number(number)) => number >= least,
            (Self::OneOf(words), Value::Word(word)) => words.contains(word),
            (Self::Only(allowed), Value::List(items)) => items.iter().all(|item| allowed.contains(item)),
            (Self::Some, Value::List(items)) => !items.is_empty(),
            _ => return Outcome::Unknown,
        };
        if met { Outcome::Met } else { Outcome::NotMet }
    }
}

#[cfg(test)]
mod tests {
    use evidence::Timestamp;

    use super::*;

    fn machine(facts: &[(&str, Value)]) -> Posture {
        let facts = facts.iter().map(|(name, value)| Fact {
            name: (*name).to_owned(),
            value: value.clone(),
            read: vec!["/proc/x".into()],
        });
        Posture {
            schema: evidence::posture::SCHEMA.into(),
            host: "b1".into(),
            at: Timestamp::from_unix(0),
            facts: facts.collect(),
        }
    }

    fn outcome(rule: &str, value: Value) -> Outcome {
        let policy = PosturePolicy { rules: vec![] }.with(rule).unwrap();
        policy.check(&machine(&[("x", value)]), MachineRole::Build)[0].outcome
    }

    fn rule(test: &str) -> String {
        format!(
            "[[rule]]\nid = 'r'\ntitle = 't'\nfact = 'x'\ntest = {test}\nlevels = {{ build = 'high' }}\nhint = 'h'\n"
        )
    }

    #[test]
    fn tests_ask_facts_of_their_own_shape() {
        use Outcome::{Met, NotMet, Unknown};
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).to_owned()).collect());
        for (test, value, expected) in [
            ("{ is = true }", Value::Flag(true), Met),
            ("{ is = true }", Value::Flag(false), NotMet),
            ("{ is = true }", Value::Number(1), Unknown),
            ("{ is = true }", Value::Unknown("no".into()), Unknown),
            ("{ at-most = 3 }", Value::Number(3), Met),
            ("{ at-most = 3 }", Value::Number(4), NotMet),
            ("{ at-least = 1 }", Value::Number(0), NotMet),
            ("{ one-of = ['a', 'b'] }", Value::Word("b".into()), Met),
            ("{ one-of = ['a', 'b'] }", Value::Word("c".into()), NotMet),
            ("{ only = [] }", list(&[]), Met),
            ("{ only = [] }", list(&["root"]), NotMet),
            ("{ only = ['root'] }", list(&["root"]), Met),
            ("'some'", list(&["falco"]), Met),
            ("'some'", list(&[]), NotMet),
        ] {
            assert_eq!(outcome(&rule(test), value.clone()), expected, "{test} {value:?}");
        }
    }

    #[test]
    fn what_is_not_collected_is_not_a_pass_and_says_so() {
        let policy = PosturePolicy { rules: vec![] }.with(&rule("{ is = true }")).unwrap();
        let ruled = policy.check(&machine(&[]), MachineRole::Build);
        let finding = ruled[0].finding.as_ref().unwrap();
        assert_eq!((finding.code.as_str(), finding.severity), ("posture-unknown", Severity::High));
        assert!(policy.check(&machine(&[]), MachineRole::Developer).is_empty(), "another level");
    }

    #[test]
    fn ones_own_rules_replace_and_remove() {
        let builtin = PosturePolicy::builtin().unwrap();
        let asked = |policy: &PosturePolicy, id: &str| {
            let ruled = policy.check(&machine(&[]), MachineRole::Sign);
            ruled.into_iter().any(|ruled| ruled.rule.id == id)
        };
        assert!(asked(&builtin, "secure-boot"));
        let own = "[[rule]]\nid = 'secure-boot'\ntitle = 't'\nfact = 'secure-boot'\ntest = { is = true }\nhint = 'h'\n";
        assert!(!asked(&builtin.clone().with(own).unwrap(), "secure-boot"));
        assert!(builtin.clone().with(&format!("{own}{own}")).is_err());
        assert!(builtin.with("[[rule]]\nid = 'x'\nunknown = 1\n").is_err());
    }
}
