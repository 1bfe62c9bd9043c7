//! Findings and machine events in the Open Cybersecurity Schema Framework (OCSF 1.4): what security teams' systems read.
//!
//! Classes: Detection Finding (2004), Authentication (3002), Authorize Session (3003), File System Activity (1001), Process Activity (1007), and the
//! Base Event (0) for what has no class. Times are milliseconds since 1970.

use serde_json::{Map, Value, json};

use crate::machine::FileState;
use crate::{BytePath, Finding, MachineEvent, MachineEventKind as Kind, Severity, Timestamp};

/// The version of the schema.
const VERSION: &str = "1.4.0";

/// Who tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reporter {
    /// The machine's name.
    pub host: String,
    /// Version of the program.
    pub version: String,
}

impl Reporter {
    fn event(&self, class: u32, activity: u32, severity: u32, at: Timestamp) -> Map<String, Value> {
        let Value::Object(event) = json!({
            "class_uid": class, "category_uid": class / 1000, "activity_id": activity,
            "type_uid": class * 100 + activity, "severity_id": severity, "time": at.unix().saturating_mul(1000),
            "metadata": {
                "version": VERSION,
                "product": { "name": "Countersign", "vendor_name": "Countersign", "version": self.version },
            },
            "device": { "hostname": self.host, "type_id": 1 },
        }) else {
            return Map::new();
        };
        event
    }
}

/// Writes a finding; `at` is when it was found.
pub fn finding(finding: &Finding, reporter: &Reporter, at: Timestamp) -> Value {
    let severity = match finding.severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    };
    let mut event = reporter.event(2004, 1, severity, at);
    event.insert(
        "finding_info".into(),
        json!({
            "uid": finding.id, "title": finding.title, "types": [finding.code], "desc": finding.because.join("; "),
            "created_time": at.unix().saturating_mul(1000),
        }),
    );
    event.insert("status_id".into(), 1.into());
    event.insert("message".into(), finding.title.clone().into());
    event.insert("remediation".into(), json!({ "desc": finding.hint }));
    if let Some(path) = &finding.subject.path {
        let mut resource = json!({ "type": "file", "name": path });
        if let Some(digest) = &finding.subject.digest {
            resource["uid"] = digest.to_string().into();
        }
        event.insert("resources".into(), json!([resource]));
    }
    Value::Object(event)
}

/// Writes a machine event.
pub fn machine_event(told: &MachineEvent, reporter: &Reporter) -> Value {
    let failed = matches!(told.kind, Kind::LoginFailed | Kind::PrivilegeFailed);
    let (class, activity, severity) = match told.kind {
        Kind::Login => (3002, 1, 1),
        Kind::LoginFailed => (3002, 1, 2),
        Kind::Logout => (3002, 2, 1),
        Kind::Privilege => (3003, 1, 1),
        Kind::PrivilegeFailed => (3003, 1, 3),
        Kind::Executed => (1007, 1, 1),
        Kind::Changed => (1001, file_activity(told), 3),
        Kind::Forged => (0, 99, 4),
        Kind::Gap => (0, 99, 3),
        Kind::Boot => (0, 99, 1),
    };
    let mut event = reporter.event(class, activity, severity, told.at);
    event.insert("message".into(), told.kind.word().into());
    if class / 1000 == 3 {
        event.insert("status_id".into(), if failed { 2 } else { 1 }.into());
        event.insert("user".into(), json!({ "name": text(&told.user) }));
        event.insert("service".into(), json!({ "name": text(&told.program) }));
    }
    if let Some(from) = &told.from {
        let from = from.to_string();
        let place = if from.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "hostname" };
        let mut endpoint = json!({ (place): from });
        if let Some(port) = told.port {
            endpoint["port"] = port.into();
        }
        event.insert("src_endpoint".into(), endpoint);
    }
    if class == 3003 {
        event.insert("privileges".into(), json!([text(&told.target)]));
    }
    if let Some(path) = told.path.as_ref().filter(|_| class == 1001) {
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let mut file = json!({ "name": name, "path": path, "type_id": 1 });
        if let Some(state) = told.after.as_ref().or(told.before.as_ref()) {
            file["size"] = state.size.into();
            file["hashes"] = hashes(state);
        }
        event.insert("file".into(), file);
        event.insert("actor".into(), json!({ "process": { "name": text(&told.program) } }));
    }
    if class == 1007 {
        let name = told.program.as_ref().map(|path| String::from_utf8_lossy(path.file_name()).into_owned());
        let rights = told.target.as_ref().or(told.user.as_ref());
        let mut process = json!({ "name": name, "user": { "name": rights } });
        if let Some(program) = &told.program {
            process["file"] = json!({ "name": name, "path": program, "type_id": 1 });
        }
        if let Some(pid) = told.process {
            process["pid"] = pid.into();
        }
        if let Some(command) = &told.command {
            process["cmd_line"] = command.to_string().into();
        }
        event.insert("process".into(), process);
        event.insert("actor".into(), json!({ "user": { "name": text(&told.user) } }));
    }
    // What the schema has no place for, in our own words.
    event.insert("unmapped".into(), json!({ "countersign": told }));
    Value::Object(event)
}

fn file_activity(told: &MachineEvent) -> u32 {
    match told.detail.as_ref().map(BytePath::as_bytes) {
        Some(b"created") => 1,
        Some(b"removed") => 4,
        Some(b"attributes") => 6,
        _ => 3,
    }
}

fn hashes(state: &FileState) -> Value {
    let hash = state
        .digest
        .map(|digest| json!({ "algorithm_id": 3, "algorithm": "SHA-256", "value": digest.hex() }));
    Value::Array(hash.into_iter().collect())
}

fn text(value: &Option<BytePath>) -> String {
    value.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subject;

    #[test]
    fn every_event_has_what_its_class_requires() {
        let reporter = Reporter { host: "b".into(), version: "1".into() };
        let at = Timestamp::from_unix(1_768_381_872);
        let found = Finding::new("x", Severity::High, "t", Subject::default(), vec![], "h");
        let kinds = [
            Kind::Login,
            Kind::Logout,
            Kind::LoginFailed,
            Kind::Privilege,
            Kind::PrivilegeFailed,
            Kind::Executed,
            Kind::Boot,
            Kind::Changed,
            Kind::Forged,
            Kind::Gap,
        ];
        let mut events = vec![finding(&found, &reporter, at)];
        events.extend(kinds.map(|kind| {
            let path = Some("/usr/bin/cc".into());
            machine_event(&MachineEvent { path, ..MachineEvent::new(kind, at, "s") }, &reporter)
        }));
        for event in events {
            let (class, activity) =
                (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
            assert_eq!(event["type_uid"], class * 100 + activity);
            assert_eq!(event["category_uid"], class / 1000);
            assert_eq!(event["time"], 1_768_381_872_000_u64);
            assert_eq!(event["metadata"]["version"], VERSION);
            let required: &[&str] = match class {
                2004 => &["finding_info"],
                3002 => &["user", "service"],
                3003 => &["user", "privileges"],
                1001 => &["file", "actor", "device"],
                1007 => &["process", "actor", "device"],
                _ => &[],
            };
            assert!(required.iter().all(|name| !event[*name].is_null()), "{event}");
        }
    }
}
