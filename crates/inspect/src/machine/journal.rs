//! Lines of `journalctl -o json` (systemd.journal-fields(7)): one JSON object each.
//!
//! Unlike a text log, the journal tells who wrote an entry: `_UID` and `_EXE` are the kernel's word. An entry in the name of
//! a service that another program wrote is a forgery.

use evidence::{BytePath, MachineEvent, MachineEventKind, Timestamp};
use serde_json::{Map, Value};

use super::LINE_MAX_BYTES;
use super::messages::message;

/// Where distributions install programs.
const PLACES: &[&str] = &["/usr/", "/bin/", "/sbin/", "/lib/", "/nix/store/", "/run/wrappers/"];

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
    let user = number("_UID");
    let exe = entry.get("_EXE").and_then(field);
    let forged = |exe: Option<Vec<u8>>| {
        let by = exe.map_or_else(String::new, |exe| format!(" with {}", BytePath::new(exe)));
        let user = user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
        let detail = Some(format!("written by user {user}{by}").into());
        Some(MachineEvent { kind: MachineEventKind::Forged, detail, ..event.clone() })
    };
    match writer(&program, exe.as_deref(), user) {
        Writer::Service => Some(event),
        // sshd's part that runs with the user's own rights says goodbye; the part that root runs says so, too.
        Writer::Unknown if event.kind == MachineEventKind::Logout => None,
        Writer::Other if event.kind == MachineEventKind::Logout && exe.is_none() => None,
        Writer::Unknown if program.starts_with(b"sshd") => forged(None),
        Writer::Unknown => Some(MachineEvent { detail: Some("writer-unknown".into()), ..event }),
        Writer::Other => forged(exe),
    }
}

/// Who wrote an entry, by the kernel's word.
enum Writer {
    Service,
    /// The process was gone before the journal could look at it.
    Unknown,
    Other,
}

/// Tells who wrote an entry in the name of a program. sudo and su run with the rights of who starts them, so the user
/// tells nothing there, and the program does; sshd and login are root's.
fn writer(program: &[u8], exe: Option<&[u8]>, user: Option<i64>) -> Writer {
    let everyones = matches!(program, b"sudo" | b"su");
    if let Some(exe) = exe {
        let name = exe.rsplit(|byte| *byte == b'/').next().unwrap_or(exe);
        let same = name == program || (name.starts_with(b"sshd") && program.starts_with(b"sshd"));
        // Nobody but root puts programs there.
        let installed = PLACES.iter().any(|place| exe.starts_with(place.as_bytes()));
        if !same || !installed {
            return Writer::Other;
        }
    }
    match user {
        Some(0) | None => Writer::Service,
        Some(_) if everyones && exe.is_some() => Writer::Service,
        // Only the parts of sshd that are not root's: what they may say is judged by what it is.
        Some(_) if everyones || (exe.is_some() && program.starts_with(b"sshd")) => Writer::Unknown,
        Some(_) => Writer::Other,
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
    fn who_wrote_it_decides_what_it_is() {
        let read = |program: &str, user: &str, exe: &str, text: &str| {
            let entry = serde_json::json!({
                "__REALTIME_TIMESTAMP": "1", "_UID": user, "_EXE": exe, "SYSLOG_IDENTIFIER": program, "MESSAGE": text,
            });
            journal_line(entry.to_string().as_bytes()).map(|event| event.kind)
        };
        let sudo = "alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id";
        let login = "Accepted password for alice from 198.51.100.7 port 5 ssh2";
        let logout = "Disconnected from user alice 198.51.100.7 port 5";
        for (program, user, exe, text, kind) in [
            ("sudo", "1000", "/usr/bin/sudo", sudo, Some(MachineEventKind::Privilege)),
            ("sudo", "0", "/usr/bin/logger", sudo, Some(MachineEventKind::Forged)),
            ("sudo", "1000", "/home/a/sudo", sudo, Some(MachineEventKind::Forged)),
            ("sshd-session", "0", "/usr/lib/openssh/sshd-session", login, Some(MachineEventKind::Login)),
            ("sshd", "0", "/usr/sbin/sshd", login, Some(MachineEventKind::Login)),
            ("sshd", "0", "/usr/sbin/sshd", logout, Some(MachineEventKind::Logout)),
            ("sshd", "1000", "/usr/sbin/sshd", logout, None),
            ("sshd", "1000", "/usr/bin/logger", login, Some(MachineEventKind::Forged)),
        ] {
            assert_eq!(read(program, user, exe, text), kind, "{program} {user} {exe}");
        }
        // Somebody's own server says what it likes: it is no login here.
        assert_eq!(read("sshd", "1000", "/usr/sbin/sshd", login), Some(MachineEventKind::Forged));
    }

    #[test]
    fn damage_is_no_event() {
        for end in 0..LINE.len() {
            assert_eq!(journal_line(&LINE.as_bytes()[..end]), None);
        }
        assert_eq!(journal_line(LINE.replace("1768381872123456", "x").as_bytes()), None);
    }
}
