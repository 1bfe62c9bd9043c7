//! A rule file as it is written; `rules/README.md` explains it.

use std::collections::BTreeMap;

use evidence::Severity;
use serde::Deserialize;
use serde_json::Value;

/// One rule file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub(super) id: String,
    pub(super) code: String,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) attack: Vec<String>,
    #[serde(default)]
    pub(super) cases: Vec<String>,
    pub(super) hint: String,
    pub(super) detection: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) correlation: Option<CorrelationForm>,
    #[serde(default)]
    pub(super) allow: Vec<Value>,
    pub(super) tests: Tests,
}

/// What needs several events, in the words of Sigma's correlations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorrelationForm {
    #[serde(rename = "type")]
    pub(super) kind: CorrelationKind,
    /// The conditions of the parts, for `temporal` and `temporal_ordered`.
    #[serde(default)]
    pub(super) rules: Vec<String>,
    #[serde(rename = "group-by", default)]
    pub(super) group_by: Vec<String>,
    pub(super) timespan: String,
    #[serde(default)]
    pub(super) condition: Option<CountForm>,
}

/// The type of a correlation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CorrelationKind {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
}

/// How many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountForm {
    pub(super) gte: usize,
    /// Whose values are counted; `selection` counts which of the rule's selections matched.
    #[serde(default)]
    pub(super) field: Option<String>,
}

/// Examples that a rule has to match or to leave alone.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tests {
    #[serde(rename = "match")]
    pub(super) matching: Vec<Vec<Step>>,
    pub(super) silent: Vec<Vec<Step>>,
    #[serde(default)]
    pub(super) facts: FactsForm,
}

/// Facts of the examples, where they differ from the usual ones.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct FactsForm {
    pub(super) machine: Option<String>,
    pub(super) network_over: Option<bool>,
    /// Path → content.
    pub(super) tracked: BTreeMap<String, String>,
    /// Path → content.
    pub(super) owned: BTreeMap<String, String>,
    pub(super) hosts: Vec<String>,
}

/// One step of an example: a chain of commands to run, or an event named by its kind.
pub(super) type Step = BTreeMap<String, Value>;
