//! Lines of the kernel's audit log (`audit.log`): logins and the ends of sessions (`USER_LOGIN`, `USER_END`), and the programs that
//! were started in them (`SYSCALL` with `EXECVE`), where the machine's rules ask for those.
//!
//! Untrusted text in them is quoted, or written in hexadecimal where quoting would not do (audit-userspace,
//! `audit_value_needs_encoding`), so fields can be told apart.

use std::collections::VecDeque;

use evidence::{BytePath, MachineEvent, MachineEventKind as Kind, Timestamp};

use super::LINE_MAX_BYTES;

/// So many started programs wait for their arguments; the kernel writes both together, so it is one for each processor.
const OPEN_MAX: usize = 64;
/// So many bytes of the arguments of one program are kept.
const ARGUMENTS_MAX_BYTES: usize = 4096;
/// A login that nobody made: what the machine starts by itself.
const UNSET: &str = "4294967295";

/// Reads the lines of an audit log in their order.
#[derive(Default, Debug)]
pub struct AuditLog {
    /// Programs of which the arguments come in another line of the same number.
    open: VecDeque<(String, MachineEvent)>,
}

impl AuditLog {
    /// Reads one line. A program is told once its arguments are known.
    pub fn line(&mut self, line: &[u8]) -> Option<MachineEvent> {
        let text = std::str::from_utf8(line.get(..LINE_MAX_BYTES).unwrap_or(line)).ok()?;
        let (kind, rest) = text.strip_prefix("type=")?.split_once(" msg=audit(")?;
        match kind {
            "SYSCALL" => {
                let (stamp, fields) = rest.split_once("): ")?;
                let started = started(stamp, fields)?;
                self.open.push_back((stamp.to_owned(), started));
                // Of the oldest nothing more is to come.
                if self.open.len() > OPEN_MAX { self.open.pop_front().map(|(_, event)| event) } else { None }
            }
            "EXECVE" => {
                let (stamp, fields) = rest.split_once("):")?;
                let at = self.open.iter().position(|(open, _)| open == stamp)?;
                let (_, event) = self.open.remove(at)?;
                let (command, whole) = arguments(fields);
                let detail = (!whole).then(|| "arguments-cut".into());
                Some(MachineEvent { command: Some(command), detail, ..event })
            }
            "USER_LOGIN" | "USER_END" => came_or_went(kind, rest),
            _ => None,
        }
    }

    /// Returns the programs whose arguments did not come.
    pub fn rest(&mut self) -> Vec<MachineEvent> {
        self.open.drain(..).map(|(_, event)| event).collect()
    }
}

/// A login, a refused one, or the end of a session.
fn came_or_went(kind: &str, rest: &str) -> Option<MachineEvent> {
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
    let named = named(names, "ID");
    let user = named.or_else(|| field("acct").and_then(unquoted));
    let user = user.or_else(|| field("id").map(|id| format!("uid {id}").into()));
    let from = field("addr").or_else(|| field("hostname")).map(BytePath::from);
    let terminal = field("terminal").filter(|terminal| *terminal != "ssh").map(terminal_name);
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

/// A program that somebody started who had logged in (`SYSCALL` of `execve` or `execveat`).
fn started(stamp: &str, fields: &str) -> Option<MachineEvent> {
    let (seconds, _) = stamp.split_once('.')?;
    let at = Timestamp::from_unix(seconds.parse().ok()?);
    let (fields, names) = fields.split_once('\x1d').unwrap_or((fields, ""));
    let field = |name: &str| value(fields, name);
    let call = (field("arch")?, field("syscall")?);
    // x86-64, i386, aarch64 (linux/audit.h and the tables of calls).
    let starts =
        matches!(call, ("c000003e", "59" | "322") | ("40000003", "11" | "358") | ("c00000b7", "221" | "281"));
    let login = field("auid").filter(|login| *login != UNSET && *login != "-1")?;
    if !starts || field("success") != Some("yes") {
        return None;
    }
    let user = named(names, "AUID").unwrap_or_else(|| format!("uid {login}").into());
    let rights = field("euid").filter(|rights| *rights != login);
    let target = rights.map(|rights| named(names, "EUID").unwrap_or_else(|| format!("uid {rights}").into()));
    let terminal = field("tty").filter(|terminal| *terminal != "(none)").map(terminal_name);
    Some(MachineEvent {
        program: Some(unquoted(field("exe")?)?),
        process: field("pid").and_then(|pid| pid.parse().ok()),
        user: Some(user),
        target,
        terminal,
        ..MachineEvent::new(Kind::Executed, at, "audit")
    })
}

/// The arguments of an `EXECVE` line, with spaces between, and whether they are all.
fn arguments(fields: &str) -> (BytePath, bool) {
    let mut words: Vec<u8> = Vec::new();
    let mut read = 0_u64;
    let mut count = None;
    for field in fields.split([' ', '\x1d']) {
        let Some((name, text)) = field.split_once('=') else { continue };
        if name == "argc" {
            count = text.parse::<u64>().ok();
        }
        // `a2`, or `a2[0]` and `a2[1]` for the parts of a long one; `a2_len` is its length.
        let Some(number) = name.strip_prefix('a') else { continue };
        let (number, part) =
            number.split_once('[').map_or((number, None), |(number, part)| (number, Some(part)));
        if number.parse::<u64>().is_err() {
            continue;
        }
        let Some(text) = unquoted(text) else { continue };
        if part.is_none_or(|part| part == "0]") {
            read += 1;
            if read > 1 {
                words.push(b' ');
            }
        }
        words.extend_from_slice(text.as_bytes());
        if words.len() > ARGUMENTS_MAX_BYTES {
            words.truncate(ARGUMENTS_MAX_BYTES);
            return (BytePath::new(words), false);
        }
    }
    (BytePath::new(words), count == Some(read))
}

fn terminal_name(text: &str) -> BytePath {
    BytePath::from(text.strip_prefix("/dev/").unwrap_or(text))
}

/// A name that auditd wrote behind a line, for a number in it.
fn named(names: &str, name: &str) -> Option<BytePath> {
    value(names.trim_start_matches('\x1d'), name).and_then(unquoted)
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

    const STARTED: &str = "type=SYSCALL msg=audit(1768381950.010:24300): arch=c000003e syscall=59 success=yes exit=0 a0=5 a1=6 a2=7 a3=8 items=2 ppid=3600 pid=3601 auid=1000 uid=1000 gid=1000 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=4 comm=\"sudo\" exe=\"/usr/bin/sudo\" subj=unconfined key=\"exec\"\x1dARCH=x86_64 SYSCALL=execve AUID=\"alice\" UID=\"alice\" EUID=\"root\"";
    const ARGUMENTS: &str =
        "type=EXECVE msg=audit(1768381950.010:24300): argc=3 a0=\"sudo\" a1=\"-s\" a2=6120622063";

    fn line(line: &[u8]) -> Option<MachineEvent> {
        AuditLog::default().line(line)
    }

    #[test]
    fn a_program_is_told_with_its_arguments_and_by_whom() {
        let mut log = AuditLog::default();
        assert_eq!(log.line(STARTED.as_bytes()), None);
        // Other events come between.
        let other = STARTED.replace("24300", "24301").replace("pid=3601", "pid=3602");
        assert_eq!(log.line(other.as_bytes()), None);
        let event = log.line(ARGUMENTS.as_bytes()).unwrap();
        assert_eq!((event.kind, event.process, event.at.unix()), (Kind::Executed, Some(3601), 1_768_381_950));
        assert_eq!((event.user, event.target), (Some("alice".into()), Some("root".into())));
        assert_eq!((event.program, event.terminal), (Some("/usr/bin/sudo".into()), Some("pts0".into())));
        assert_eq!((event.command, event.detail), (Some("sudo -s a b c".into()), None));
        assert_eq!(log.line(ARGUMENTS.as_bytes()), None, "it was told already");
        let rest = log.rest();
        assert_eq!(rest.iter().map(|event| event.process).collect::<Vec<_>>(), [Some(3602)]);
        assert_eq!(log.rest(), []);
    }

    #[test]
    fn what_is_not_a_started_program_of_somebody_is_left_out() {
        for (what, other) in [
            ("syscall=59", "syscall=2"),
            ("success=yes", "success=no"),
            ("auid=1000", "auid=4294967295"),
            ("arch=c000003e", "arch=c00000b7"),
        ] {
            let mut log = AuditLog::default();
            log.line(STARTED.replace(what, other).as_bytes());
            assert_eq!(log.line(ARGUMENTS.as_bytes()), None, "{other}");
        }
        let mut log = AuditLog::default();
        log.line(STARTED.split('\x1d').next().unwrap().replace("euid=0", "euid=1000").as_bytes());
        let plain = log.line(ARGUMENTS.as_bytes()).unwrap();
        assert_eq!((plain.user, plain.target), (Some("uid 1000".into()), None));
    }

    #[test]
    fn long_arguments_are_put_together_and_cut() {
        let parts = " argc=2 a0=\"cc\" a1_len=9 a1[0]=\"one\" a1[1]=\"two\"";
        assert_eq!(arguments(parts), ("cc onetwo".into(), true));
        assert_eq!(arguments(" argc=3 a0=\"cc\" a1=\"x\""), ("cc x".into(), false));
        let long = format!(" argc=1 a0=\"{}\"", "x".repeat(5000));
        let (words, whole) = arguments(&long);
        assert_eq!((words.as_bytes().len(), whole), (ARGUMENTS_MAX_BYTES, false));
    }

    #[test]
    fn no_more_wait_than_there_may_be() {
        let mut log = AuditLog::default();
        let told: Vec<MachineEvent> = (0..OPEN_MAX + 3)
            .filter_map(|number| log.line(STARTED.replace("24300", &number.to_string()).as_bytes()))
            .collect();
        assert_eq!((told.len(), log.rest().len()), (3, OPEN_MAX));
    }

    #[test]
    fn logins_and_ends_of_sessions_are_read() {
        let login = line(LOGIN.as_bytes()).unwrap();
        assert_eq!((login.kind, login.process, login.at.unix()), (Kind::Login, Some(3538), 1_768_381_872));
        assert_eq!((login.user, login.terminal), (Some("alice".into()), Some("pts/0".into())));
        assert_eq!(login.from, Some("198.51.100.7".into()));
        let plain = line(LOGIN.split('\x1d').next().unwrap().as_bytes()).unwrap();
        assert_eq!(plain.user, Some("uid 1000".into()));
        let failed = line(FAILED.as_bytes()).unwrap();
        assert_eq!((failed.kind, failed.user), (Kind::LoginFailed, Some("(unknown user)".into())));
        let end = line(END.as_bytes()).unwrap();
        assert_eq!((end.kind, end.process, end.user), (Kind::Logout, Some(3538), Some("alice".into())));
        assert_eq!(line(END.replace("sbin/sshd", "sbin/cron").as_bytes()), None);
    }

    #[test]
    fn damage_is_no_event() {
        for whole in [LOGIN, FAILED, END, STARTED, ARGUMENTS] {
            for end in 0..whole.len() {
                line(&whole.as_bytes()[..end]);
            }
        }
        assert_eq!(
            line(b"type=USER_LOGIN msg=audit(x.1:1): pid=1 msg='exe=\"/usr/sbin/sshd\" res=success'"),
            None
        );
        assert_eq!(line(b"\xff"), None);
    }
}
