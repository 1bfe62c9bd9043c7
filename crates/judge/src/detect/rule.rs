//! One rule, compiled from its file.

use evidence::Severity;

use super::condition;
use super::correlate::{COUNT_MAX, Correlation, GroupBy, PARTS_MAX, Value, timespan_ns};
use super::expression::{Expression, Kinds};
use super::facts::Need;
use super::fields::{Field, Shape};
use super::form::{CorrelationForm, CorrelationKind, RuleFile, Tests};
use super::selection::{self, Dialect, Own};

/// A compiled rule.
pub struct Rule {
    /// Its name, such as `CRD-001`.
    pub id: String,
    /// The code of its findings.
    pub code: String,
    /// One sentence for people.
    pub title: String,
    /// How bad a match is.
    pub severity: Severity,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// Real attacks that it would have caught.
    pub cases: Vec<String>,
    /// What to do next.
    pub hint: String,
    pub(super) logic: Logic,
    pub(super) allow: Option<Expression>,
    pub(super) needs: Vec<Need>,
    /// Whether it looks at events that failed.
    pub(super) failures: bool,
    pub(super) tests: Option<Tests>,
}

/// What a rule looks for.
pub(super) enum Logic {
    Single(Expression),
    Several(Correlation),
}

impl Rule {
    pub(super) fn kinds(&self) -> Kinds {
        match &self.logic {
            Logic::Single(expression) => expression.kinds(),
            Logic::Several(correlation) => correlation.kinds(),
        }
    }

    /// Puts a rule together; `allow` is what it is silent for.
    pub(super) fn finish(&mut self) {
        let expressions: Vec<&mut Expression> = match &mut self.logic {
            Logic::Single(expression) => vec![expression],
            Logic::Several(correlation) => correlation.parts.iter_mut().collect(),
        };
        for expression in expressions {
            expression.order();
            expression.needs(&mut self.needs);
            self.failures |= expression.names_failures();
        }
        if let Some(allow) = &mut self.allow {
            allow.order();
            allow.needs(&mut self.needs);
        }
    }
}

/// Compiles a rule file.
pub(super) fn compile(file: RuleFile) -> Result<Rule, String> {
    let shown = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !shown(&file.id, b"-") {
        return Err("field `id`: letters, digits and `-` only".to_owned());
    }
    if !shown(&file.code, b"-") || file.code.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("field `code`: a finding code is kebab-case".to_owned());
    }
    if file.tests.matching.is_empty() || file.tests.silent.is_empty() {
        return Err("field `tests`: at least one example each for `match` and `silent`".to_owned());
    }
    let detection: Vec<(&str, &serde_json::Value)> =
        file.detection.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let logic = logic(&detection, file.correlation.as_ref(), &Own)?;
    let mut allows = Vec::new();
    for allow in &file.allow {
        allows.push(selection::compile(allow, &Own).map_err(|reason| format!("field `allow`: {reason}"))?);
    }
    let mut rule = Rule {
        id: file.id,
        code: file.code,
        title: file.title,
        severity: file.severity,
        attack: file.attack,
        cases: file.cases,
        hint: file.hint,
        logic,
        allow: (!allows.is_empty()).then_some(Expression::Any(allows)),
        needs: Vec::new(),
        failures: false,
        tests: Some(file.tests),
    };
    rule.finish();
    Ok(rule)
}

fn logic(
    detection: &[(&str, &serde_json::Value)],
    correlation: Option<&CorrelationForm>,
    dialect: &dyn Dialect,
) -> Result<Logic, String> {
    let condition = detection.iter().find(|(name, _)| *name == "condition").map(|(_, value)| value);
    let Some(form) = correlation else {
        let text = condition.and_then(|value| value.as_str());
        let text = text.ok_or("field `detection`: it has no `condition`, or it is no text")?;
        return Ok(Logic::Single(expression(text, detection, dialect)?));
    };
    let wrong = |reason: String| format!("field `correlation`: {reason}");
    let span =
        timespan_ns(&form.timespan).ok_or_else(|| wrong("`timespan` is written like `60s`".to_owned()))?;
    let mut group = Vec::new();
    for word in &form.group_by {
        group.push(match word.as_str() {
            "process" => GroupBy::Process,
            "step" => GroupBy::Step,
            other => match Field::from_word(other).filter(|field| field.shape() == Shape::Text) {
                Some(field) => GroupBy::Field(field),
                None => return Err(wrong(format!("nothing can be grouped by `{other}`"))),
            },
        });
    }
    let counts = matches!(form.kind, CorrelationKind::EventCount | CorrelationKind::ValueCount);
    let (mut parts, mut count, mut value) = (Vec::new(), 0, Value::Events);
    match (&form.condition, condition) {
        (Some(counted), Some(text)) if counts && form.rules.is_empty() => {
            let text = text.as_str().ok_or("field `detection`: the `condition` is no text")?;
            parts.push(expression(text, detection, dialect)?);
            if counted.gte == 0 || counted.gte > COUNT_MAX {
                return Err(wrong(format!("`gte` is from 1 to {COUNT_MAX}")));
            }
            count = counted.gte;
            value = self::value(form.kind, counted.field.as_deref(), detection, dialect).map_err(wrong)?;
        }
        (None, None) if !counts && (2..=PARTS_MAX).contains(&form.rules.len()) => {
            for text in &form.rules {
                parts.push(expression(text, detection, dialect)?);
            }
        }
        _ if counts => {
            return Err(wrong("a count needs two conditions: of `detection`, and how many".to_owned()));
        }
        _ => return Err(wrong(format!("a temporal rule has 2 to {PARTS_MAX} `rules` and no `condition`"))),
    }
    Ok(Logic::Several(Correlation { kind: form.kind, parts, group, timespan_ns: span, count, value }))
}

fn value(
    kind: CorrelationKind,
    field: Option<&str>,
    detection: &[(&str, &serde_json::Value)],
    dialect: &dyn Dialect,
) -> Result<Value, String> {
    match (kind, field) {
        (CorrelationKind::EventCount, None) => Ok(Value::Events),
        (CorrelationKind::ValueCount, Some("selection")) => {
            let selections =
                detection.iter().filter(|(name, _)| *name != "condition" && !name.starts_with('_'));
            let all = selections.map(|(name, value)| named(name, value, dialect));
            Ok(Value::Selections(all.collect::<Result<_, _>>()?))
        }
        (CorrelationKind::ValueCount, Some(word)) => {
            let field = Field::from_word(word).filter(|field| field.shape() == Shape::Text);
            field.map(Value::Field).ok_or_else(|| format!("the values of `{word}` cannot be counted"))
        }
        (CorrelationKind::ValueCount, None) => Err("`value_count` says which `field`".to_owned()),
        (_, Some(_)) => Err("only `value_count` has a `field`".to_owned()),
        (_, None) => Ok(Value::Events),
    }
}

/// Compiles a condition over named selections.
pub(super) fn expression(
    text: &str,
    detection: &[(&str, &serde_json::Value)],
    dialect: &dyn Dialect,
) -> Result<Expression, String> {
    let names: Vec<&str> =
        detection.iter().map(|(name, _)| *name).filter(|name| *name != "condition").collect();
    condition::compile(text, &names, &|wanted| match detection.iter().find(|(name, _)| *name == wanted) {
        Some((name, value)) if *name != "condition" => named(name, value, dialect),
        _ => Err(format!("field `detection`: there is no selection `{wanted}`")),
    })
}

fn named(name: &str, value: &serde_json::Value, dialect: &dyn Dialect) -> Result<Expression, String> {
    selection::compile(value, dialect).map_err(|reason| format!("field `detection.{name}`: {reason}"))
}
