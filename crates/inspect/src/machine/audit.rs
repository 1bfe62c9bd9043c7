//! Lines of the kernel's audit log (`audit.log`): logins and the ends of sessions, `USER_LOGIN` and `USER_END`.
//!
//! Untrusted text in them is quoted, or written in hexadecimal where quoting would not do (audit-userspace,
//! `audit_value_needs_encoding`), so fields can be told apart. What users run (`EXECVE`) is not read.

use evidence::{BytePath, MachineEvent, MachineEventKind as Kind, Timestamp};

use super::LINE_MAX_BYTES;

/// Reads one line, if it is about a login.
pub fn audit_line(line: &[u8]) -> Option<MachineEvent> {
    let text = std::str::from_utf8(line.get(..LINE_MAX_BYTES).unwrap_or(line)).ok()?;
    let (kind, rest) = text.strip_prefix("type=")?.split_once(" msg=audit(")?;
    let (seconds, rest) = rest.split_once('.')?;
    let (head, rest) = rest.split_once(" msg='")?;
    // Behind the quote, auditd writes the names that belong to the numbers.
    let (fields, names) = rest.split_once('\'').unwrap_or((rest, ""));
    let at = Timestamp::from_unix(seconds.parse().ok()?);
    let field = |name: &str| value(fields, name).filter(|value| !matches!(*value, "?" | "(none)" | ""));
    let succeeded = field("res") == Some("success");
    let kind = match (kind, succeeded) {
        ("USER_LOGIN", true) => Kind::Login,
        ("USER_LOGIN", false) => Kind::LoginFailed,
        ("USER_END", true) => Kind::Logout,
        _ => return None,
    };
    let program = unquoted(field("exe")?)?;
    let name = program.file_name();
    let program = if name.starts_with(b"sshd") { b"sshd" } else { name };
    // Sessions of cron and systemd's own are nobody's.
    if !matches!(program, b"sshd" | b"login") {
        return None;
    }
    let named = value(names.trim_start_matches('\x1d'), "ID").and_then(unquoted);
    let user = named.or_else(|| field("acct").and_then(unquoted));
    let user = user.or_else(|| field("id").map(|id| format!("uid {id}").into()));
    let from = field("addr").or_else(|| field("hostname")).map(BytePath::from);
    let terminal = field("terminal")
        .filter(|terminal| *terminal != "ssh")
        .map(|text| BytePath::from(text.strip_prefix("/dev/").unwrap_or(text)));
    let process = value(head, "pid").and_then(|pid| pid.parse().ok());
    Some(MachineEvent {
        program: Some(program.into()),
        process,
        user,
        from,
        terminal,
        ..MachineEvent::new(kind, at, "audit")
    })
}

fn value<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// A quoted text, or one in hexadecimal.
fn unquoted(value: &str) -> Option<BytePath> {
    if let Some(text) = value.strip_prefix('"') {
        return Some(text.strip_suffix('"')?.into());
    }
    let digits = value.as_bytes();
    let pairs = digits.chunks_exact(2);
    if digits.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect::<Option<Vec<u8>>>().map(BytePath::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = "type=USER_LOGIN msg=audit(1768381872.243:24287): pid=3538 uid=0 auid=1000 ses=4 subj=unconfined msg='op=login id=1000 exe=\"/usr/sbin/sshd\" hostname=198.51.100.7 addr=198.51.100.7 terminal=/dev/pts/0 res=success'\x1dUID=\"root\" AUID=\"alice\" ID=\"alice\"";
    const FAILED: &str = "type=USER_LOGIN msg=audit(1768381872.243:24288): pid=3539 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=28756E6B6E6F776E207573657229 exe=\"/usr/sbin/sshd\" hostname=? addr=203.0.113.9 terminal=ssh res=failed'";
    const END: &str = "type=USER_END msg=audit(1768381900.000:24290): pid=3538 uid=0 auid=1000 ses=4 msg='op=PAM:session_close grantors=pam_unix acct=\"alice\" exe=\"/usr/sbin/sshd\" hostname=198.51.100.7 addr=198.51.100.7 terminal=ssh res=success'";

    #[test]
    fn logins_and_ends_of_sessions_are_read() {
        let login = audit_line(LOGIN.as_bytes()).unwrap();
        assert_eq!((login.kind, login.process, login.at.unix()), (Kind::Login, Some(3538), 1_768_381_872));
        assert_eq!((login.user, login.terminal), (Some("alice".into()), Some("pts/0".into())));
        assert_eq!(login.from, Some("198.51.100.7".into()));
        let plain = audit_line(LOGIN.split('\x1d').next().unwrap().as_bytes()).unwrap();
        assert_eq!(plain.user, Some("uid 1000".into()));
        let failed = audit_line(FAILED.as_bytes()).unwrap();
        assert_eq!((failed.kind, failed.user), (Kind::LoginFailed, Some("(unknown user)".into())));
        let end = audit_line(END.as_bytes()).unwrap();
        assert_eq!((end.kind, end.process, end.user), (Kind::Logout, Some(3538), Some("alice".into())));
        assert_eq!(audit_line(END.replace("sbin/sshd", "sbin/cron").as_bytes()), None);
    }

    #[test]
    fn damage_is_no_event() {
        for line in [LOGIN, FAILED, END] {
            for end in 0..line.len() {
                audit_line(&line.as_bytes()[..end]);
            }
        }
        assert_eq!(
            audit_line(b"type=USER_LOGIN msg=audit(x.1:1): pid=1 msg='exe=\"/usr/sbin/sshd\" res=success'"),
            None
        );
        assert_eq!(audit_line(b"\xff"), None);
    }
}
