//! Reading Sigma rules for Linux into the same compiled form.
//!
//! What a recorder of builds cannot know (users, sessions, current folders) is not guessed at: such a rule is left
//! out, and [`Sigma::unsupported`] says why. Sigma compares without regard to case, so these rules do too.

use std::collections::BTreeMap;

use evidence::{Digest, Hasher, Severity};
use serde::Deserialize;
use serde_json::Value;

use super::expression::{Expression, Kinds, Test};
use super::fields::Field;
use super::rule::{Logic, Rule, expression};
use super::rules::{RuleError, Rules};
use super::selection::Dialect;
use super::yaml;
use evidence::EventKind;

/// The code of all findings of Sigma rules.
const CODE: &str = "sigma-rule-matched";

/// Sigma rules, compiled as far as possible.
pub struct Sigma {
    /// Those that can be evaluated, ids as in their files.
    pub rules: Rules,
    /// Those that cannot.
    pub unsupported: Vec<Unsupported>,
}

/// A Sigma rule that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// The file.
    pub file: String,
    /// The rule's title, if it could be read.
    pub title: String,
    /// Everything that stands in the way.
    pub reasons: Vec<String>,
}

/// A Sigma rule as written. Unknown keys are the rule's own affair (`custom` attributes are allowed), so they are
/// not refused here; what changes the meaning is all named.
#[derive(Deserialize)]
struct File {
    title: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    tags: Vec<String>,
    logsource: LogSource,
    #[serde(default)]
    detection: BTreeMap<String, Value>,
    #[serde(default)]
    correlation: Option<Value>,
}

#[derive(Default, Deserialize)]
struct LogSource {
    #[serde(default)]
    category: String,
    #[serde(default)]
    product: String,
    #[serde(default)]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    ProcessCreation,
    FileEvent,
    NetworkConnection,
    DnsQuery,
}

impl Category {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "process_creation" => Some(Self::ProcessCreation),
            "file_event" => Some(Self::FileEvent),
            "network_connection" => Some(Self::NetworkConnection),
            "dns_query" => Some(Self::DnsQuery),
            _ => None,
        }
    }

    fn kinds(self) -> Kinds {
        let kinds: &[EventKind] = match self {
            Self::ProcessCreation => &[EventKind::Exec],
            Self::FileEvent => &[EventKind::Write, EventKind::Rename, EventKind::Link, EventKind::Symlink],
            Self::NetworkConnection => &[EventKind::Connect, EventKind::Request],
            Self::DnsQuery => &[EventKind::Resolve],
        };
        kinds.iter().fold(Kinds::NONE, |kinds, kind| kinds.with(Kinds::of(*kind)))
    }
}

impl Dialect for Category {
    fn field(&self, word: &str) -> Result<Field, String> {
        let field = match (self, word) {
            (_, "Image") => Field::Program,
            (Self::ProcessCreation, "CommandLine") => Field::Command,
            (Self::ProcessCreation, "ParentImage") => Field::Parent,
            (Self::ProcessCreation, "ParentCommandLine") => Field::ParentCommand,
            (Self::FileEvent, "TargetFilename") => Field::File,
            (Self::NetworkConnection, "DestinationHostname") => Field::Host,
            (Self::NetworkConnection, "DestinationIp") => Field::Ip,
            (Self::NetworkConnection, "DestinationPort") => Field::Port,
            (Self::NetworkConnection, "Protocol") => Field::Family,
            (Self::DnsQuery, "QueryName") => Field::Host,
            _ => return Err(format!("the recorder does not know `{word}`")),
        };
        Ok(field)
    }

    fn folds(&self) -> bool {
        true
    }
}

/// Reads Sigma rule files, each given with its name. Fails only if the rules that are supported cannot be put
/// together (two with one id).
pub fn read(files: &[(&str, &[u8])]) -> Result<Sigma, RuleError> {
    let (mut rules, mut unsupported, mut hasher) = (Vec::new(), Vec::new(), Hasher::new());
    for (name, bytes) in files {
        hasher.update(Digest::of(bytes).as_bytes());
        let mut left_out = |title: String, reasons: Vec<String>| {
            unsupported.push(Unsupported { file: (*name).to_owned(), title, reasons });
        };
        match yaml::read::<File>(bytes) {
            Err(reason) => left_out(String::new(), vec![reason]),
            Ok(file) => match compile(name, &file) {
                Ok(rule) => rules.push(rule),
                Err(reasons) => left_out(file.title, reasons),
            },
        }
    }
    Ok(Sigma { rules: Rules::of(rules, hasher.finish())?, unsupported })
}

fn compile(name: &str, file: &File) -> Result<Rule, Vec<String>> {
    let mut reasons = Vec::new();
    if file.logsource.product != "linux" {
        reasons.push(format!("product `{}`, not `linux`", file.logsource.product));
    }
    if !file.logsource.service.is_empty() {
        reasons.push(format!("the log of service `{}` is not recorded", file.logsource.service));
    }
    if file.correlation.is_some() {
        reasons.push("correlations of Sigma rules are not supported".to_owned());
    }
    let category = Category::from_word(&file.logsource.category);
    let Some(category) = category else {
        reasons.push(format!("the category `{}` is not recorded", file.logsource.category));
        return Err(reasons);
    };
    if file.detection.contains_key("timeframe") {
        reasons.push("`timeframe` is not supported".to_owned());
    }
    // Of all selections, so that a rule says everything that stands in its way at once.
    let detection = connections_begun_here(file, category);
    for (selection, value) in
        detection.iter().filter(|(name, _)| !matches!(name.as_str(), "condition" | "timeframe"))
    {
        if let Err(reason) = super::selection::compile(value, &category) {
            reasons.push(format!("field `detection.{selection}`: {reason}"));
        }
    }
    let pairs: Vec<(&str, &Value)> = detection.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let condition = match file.detection.get("condition") {
        Some(Value::String(text)) => expression(text, &pairs, &category),
        // A list of conditions: any of them.
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| expression(item.as_str().unwrap_or_default(), &pairs, &category))
            .collect::<Result<Vec<_>, _>>()
            .map(Expression::Any),
        _ => Err("it has no condition".to_owned()),
    };
    let condition = match condition {
        Ok(condition) if reasons.is_empty() => condition,
        Ok(_) => return Err(reasons),
        Err(reason) => {
            if !reasons.iter().any(|known| known.ends_with(&reason)) {
                reasons.push(reason);
            }
            return Err(reasons);
        }
    };
    let mut rule = Rule {
        id: if file.id.is_empty() { name.to_owned() } else { file.id.clone() },
        code: CODE.to_owned(),
        title: format!("a Sigma rule matched: {}", file.title),
        severity: severity(&file.level),
        attack: file.tags.iter().filter_map(|tag| technique(tag)).collect(),
        cases: Vec::new(),
        hint: "read the rule, then the processes that led here".to_owned(),
        logic: Logic::Single(Expression::All(vec![
            Expression::Test(Test::Kind(category.kinds())),
            condition,
        ])),
        allow: None,
        needs: Vec::new(),
        failures: false,
        tests: None,
    };
    rule.finish();
    Ok(rule)
}

/// `Initiated: true` is what every connection that a recorder sees is; it is taken out, and nothing else is.
fn connections_begun_here(file: &File, category: Category) -> BTreeMap<String, Value> {
    let mut detection = file.detection.clone();
    if category == Category::NetworkConnection {
        for value in detection.values_mut() {
            if let Value::Object(map) = value
                && map.len() > 1
                && matches!(map.get("Initiated"), Some(given) if given.as_bool() == Some(true) || given.as_str() == Some("true"))
            {
                map.remove("Initiated");
            }
        }
    }
    detection
}

fn severity(level: &str) -> Severity {
    match level {
        "informational" => Severity::Info,
        "low" => Severity::Low,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => Severity::Medium,
    }
}

fn technique(tag: &str) -> Option<String> {
    let rest = tag.strip_prefix("attack.")?;
    let is_technique = rest.starts_with('t') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    is_technique.then(|| rest.to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
