//! Findings and problems as SARIF 2.1.0 (OASIS Standard), for code scanning and editors.

use std::collections::BTreeMap;

use engine::evidence::{BytePath, Finding, Problem, Severity};
use engine::judge::compare::Comparison;
use serde_json::{Value, json};

/// One log with one run.
pub(super) fn log(comparison: &Comparison) -> Value {
    let rules: BTreeMap<&str, Value> =
        comparison.findings.iter().map(|finding| (finding.code.as_str(), rule(finding))).collect();
    let results: Vec<Value> = comparison.findings.iter().map(result).collect();
    let notifications: Vec<Value> = comparison.problems.iter().map(notification).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "countersign",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            } },
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notifications }],
            "results": results,
            "properties": { "verdict": comparison.verdict.word() },
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    json!({ "id": finding.code, "shortDescription": { "text": finding.title }, "help": { "text": finding.hint } })
}

fn result(finding: &Finding) -> Value {
    let reasons: Vec<String> = finding.because.iter().map(ToString::to_string).collect();
    json!({
        "ruleId": finding.code,
        "level": level(finding.severity),
        "message": { "text": format!("{}: {}", finding.title, reasons.join("; ")) },
        "locations": finding.subject.path.iter().map(location).collect::<Vec<_>>(),
        // Equal from run to run, so that a viewer knows a finding again (section 3.27.17).
        "partialFingerprints": { "countersign/v1": finding.id },
        "properties": { "severity": finding.severity.word() },
    })
}

fn notification(problem: &Problem) -> Value {
    json!({
        "descriptor": { "id": problem.kind },
        "level": "error",
        "message": { "text": problem.detail },
        "locations": [location(&problem.path)],
    })
}

/// `level` knows three degrees (section 3.27.10).
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// A location is a URI reference (RFC 3986): whatever is not unreserved or a separator of paths is encoded.
fn location(path: &BytePath) -> Value {
    let mut uri = String::new();
    for byte in path.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'!' => {
                uri.push(char::from(*byte));
            }
            other => uri += &format!("%{other:02X}"),
        }
    }
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } })
}
