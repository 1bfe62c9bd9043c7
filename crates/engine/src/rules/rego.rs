//! Rego, by `regorus`: the files are modules of `package countersign`; each text in `deny` is a reason.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

/// How long all rules together may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More reasons are not listed.
const REASONS_MAX: usize = 1000;

/// Asks the modules; the reasons come in the order of their texts.
pub(super) fn denials(modules: &[(&str, &str)], input: &serde_json::Value) -> Result<Vec<String>, String> {
    let mut engine = Engine::new();
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: PATIENCE,
        check_interval: NonZeroU32::MIN,
    });
    engine.set_strict_builtin_errors(true);
    for (name, text) in modules {
        let package = engine.add_policy((*name).to_owned(), (*text).to_owned());
        let package = package.map_err(|error| format!("`{name}` cannot be read: {error}"))?;
        if package != "data.countersign" {
            return Err(format!(
                "`{name}` is `{package}`, and rules are looked for in `package countersign`"
            ));
        }
    }
    engine.set_input_json(&input.to_string()).map_err(|error| error.to_string())?;
    let said = engine.eval_rule("data.countersign.deny".to_owned());
    let said = said.map_err(|error| format!("the rules could not be asked: {error}"))?;
    let texts: Vec<&Value> = match &said {
        Value::Set(set) => set.iter().collect(),
        Value::Array(list) => list.iter().collect(),
        other => return Err(format!("`deny` is no set of texts but {other}")),
    };
    let mut reasons = Vec::new();
    for text in texts.into_iter().take(REASONS_MAX) {
        match text {
            Value::String(reason) => reasons.push(reason.to_string()),
            other => return Err(format!("`deny` has {other}, which is no text")),
        }
    }
    reasons.sort();
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: &str = "package countersign\nimport rego.v1\n\
        deny contains sprintf(\"%s is not ours\", [input.artifact.name]) if not startswith(input.artifact.name, \"app\")\n";

    fn ask(text: &str, name: &str) -> Result<Vec<String>, String> {
        denials(&[("a.rego", text)], &json!({"artifact": {"name": name}}))
    }

    #[test]
    fn each_text_in_deny_is_a_reason() {
        assert_eq!(ask(RULE, "app.exe"), Ok(vec![]));
        assert_eq!(ask(RULE, "evil.exe"), Ok(vec!["evil.exe is not ours".to_owned()]));
        let both =
            [("a.rego", RULE), ("b.rego", "package countersign\nimport rego.v1\ndeny contains \"never\"\n")];
        let said = denials(&both, &json!({"artifact": {"name": "x"}}));
        assert_eq!(said, Ok(vec!["never".to_owned(), "x is not ours".to_owned()]));
    }

    #[test]
    fn a_rule_that_gives_no_answer_is_no_yes() {
        for (text, words) in [
            ("package countersign\nimport rego.v1\nallow if true\n", "could not be asked"),
            ("package other\nimport rego.v1\ndeny contains \"x\"\n", "package countersign"),
            ("package countersign\ndeny = ", "cannot be read"),
            ("package countersign\nimport rego.v1\ndeny := true\n", "no set of texts"),
            ("package countersign\nimport rego.v1\ndeny contains 7\n", "no text"),
            (
                "package countersign\nimport rego.v1\ndeny contains \"x\" if to_number(input.artifact.name) > 1\n",
                "could not be asked",
            ),
        ] {
            let said = ask(text, "x");
            assert!(said.as_ref().is_err_and(|why| why.contains(words)), "{text}: {said:?}");
        }
    }

    #[test]
    fn a_rule_that_does_not_end_is_ended() {
        let text = "package countersign\nimport rego.v1\n\
            deny contains \"x\" if { some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a * b < 0 }\n";
        let begun = std::time::Instant::now();
        assert!(ask(text, "x").is_err());
        assert!(begun.elapsed() < PATIENCE * 3);
    }
}
