//! Lines of `journalctl -o json` (systemd.journal-fields(7)): one JSON object each.
//!
//! Unlike a text log, the journal tells who wrote an entry: `_UID` is the kernel's word. An entry in the name of a
//! service that is not root's is a forgery.

use evidence::{MachineEvent, MachineEventKind, Timestamp};
use serde_json::{Map, Value};

use super::LINE_MAX_BYTES;
use super::messages::message;

/// Reads one line, if it is about a login or rights.
pub fn journal_line(line: &[u8]) -> Option<MachineEvent> {
    if line.len() > LINE_MAX_BYTES {
        return None;
    }
    let entry: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let number = |name: &str| entry.get(name)?.as_str()?.parse::<i64>().ok();
    let at = Timestamp::from_unix(number("__REALTIME_TIMESTAMP")? / 1_000_000);
    let program = field(entry.get("SYSLOG_IDENTIFIER").or_else(|| entry.get("_COMM"))?)?;
    let process = number("_PID").or_else(|| number("SYSLOG_PID")).and_then(|pid| u64::try_from(pid).ok());
    let text = field(entry.get("MESSAGE")?)?;
    let event = message("journal", at, &program, process, &text)?;
    match number("_UID") {
        Some(user) if user != 0 => {
            let detail = Some(format!("written by user {user}").into());
            Some(MachineEvent { kind: MachineEventKind::Forged, detail, ..event })
        }
        _ => Some(event),
    }
}

/// Returns the cursor of an entry: where to go on reading.
pub fn journal_cursor(line: &[u8]) -> Option<String> {
    let entry: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let cursor = entry.get("__CURSOR")?.as_str().filter(|cursor| cursor.len() <= 1024)?;
    Some(cursor.to_owned())
}

/// A text, or the bytes of one that is not UTF-8.
fn field(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(bytes) => {
            bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"__REALTIME_TIMESTAMP":"1768381872123456","_UID":"0","_PID":"4711","SYSLOG_IDENTIFIER":"sshd","_COMM":"sshd","_HOSTNAME":"b","MESSAGE":"Accepted publickey for alice from 198.51.100.7 port 50322 ssh2: ED25519 SHA256:x"}"#;

    #[test]
    fn entries_of_services_are_read_and_those_of_others_are_forged() {
        let event = journal_line(LINE.as_bytes()).unwrap();
        assert_eq!((event.kind, event.process), (MachineEventKind::Login, Some(4711)));
        assert_eq!(event.at.to_string(), "2026-01-14T09:11:12Z");
        let forged = journal_line(LINE.replace("\"_UID\":\"0\"", "\"_UID\":\"1000\"").as_bytes()).unwrap();
        assert_eq!(forged.kind, MachineEventKind::Forged);
        let bytes = LINE
            .replace(
                "\"Accepted publickey for alice from 198.51.100.7 port 50322 ssh2: ED25519 SHA256:x\"",
                "[40,116,111,32,114,41,32,255,32,111,110,32,120]",
            )
            .replace("sshd", "su");
        assert_eq!(journal_line(bytes.as_bytes()).unwrap().user.unwrap().as_bytes(), b"\xff");
    }

    #[test]
    fn damage_is_no_event() {
        for end in 0..LINE.len() {
            assert_eq!(journal_line(&LINE.as_bytes()[..end]), None);
        }
        assert_eq!(journal_line(LINE.replace("1768381872123456", "x").as_bytes()), None);
    }
}
