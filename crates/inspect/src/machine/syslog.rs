//! Lines of `auth.log` and `secure`: the traditional form (RFC 3164, without year and zone) and rsyslog's with RFC 3339
//! times.

use evidence::{MachineEvent, Timestamp};

use super::LINE_MAX_BYTES;
use super::messages::message;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// What traditional lines leave out.
pub struct Clock<'a> {
    /// Now: a line is from the year that makes it the latest one not in the future.
    pub now: Timestamp,
    /// Turns seconds of local time, counted as if it were UTC, into seconds since 1970.
    pub to_utc: &'a dyn Fn(i64) -> i64,
}

/// Reads one line, if it is about a login or rights.
pub fn syslog_line(line: &[u8], clock: &Clock) -> Option<MachineEvent> {
    let line = line.get(..LINE_MAX_BYTES).unwrap_or(line);
    let (at, rest) = rfc3339(line).or_else(|| traditional(line, clock))?;
    let (_host, rest) = word(rest)?;
    let (tag, text) = word(rest)?;
    let tag = tag.strip_suffix(b":")?;
    let (program, process) = match tag.iter().position(|byte| *byte == b'[') {
        Some(at) => (&tag[..at], std::str::from_utf8(tag[at + 1..].strip_suffix(b"]")?).ok()?.parse().ok()),
        None => (tag, None),
    };
    message("auth-log", at, program, process, text)
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    Some((&text[..end], text[end..].trim_ascii_start()))
}

fn rfc3339(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (time, rest) = word(line)?;
    let time = std::str::from_utf8(time).ok().filter(|time| time.len() >= 20)?;
    Some((time.parse().ok()?, rest))
}

fn traditional<'a>(line: &'a [u8], clock: &Clock) -> Option<(Timestamp, &'a [u8])> {
    let (month, rest) = word(line)?;
    let month = MONTHS.iter().position(|name| name.as_bytes() == month)? + 1;
    let (day, rest) = word(rest)?;
    let (time, rest) = word(rest)?;
    let (day, time) = (std::str::from_utf8(day).ok()?, std::str::from_utf8(time).ok()?);
    let this_year: i32 = clock.now.to_string().get(..4)?.parse().ok()?;
    // A day ahead is a clock or zone that differs; more is last year.
    (0..=1).find_map(|back| {
        let text = format!("{:04}-{month:02}-{day:0>2}T{time}Z", this_year - back);
        let local: Timestamp = text.parse().ok()?;
        let at = (clock.to_utc)(local.unix());
        (at <= clock.now.unix() + DAY).then(|| (Timestamp::from_unix(at), rest))
    })
}

#[cfg(test)]
mod tests {
    use evidence::MachineEventKind as Kind;

    use super::*;

    fn read(line: &str) -> Option<MachineEvent> {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        syslog_line(line.as_bytes(), &Clock { now, to_utc: &|local| local - 3600 })
    }

    fn text(value: &Option<evidence::BytePath>) -> String {
        value.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[track_caller]
    fn check(line: &str, kind: Kind, user: &str, target: &str, from: &str, detail: &str) -> MachineEvent {
        let event = read(line).unwrap_or_else(|| panic!("not read: {line}"));
        let told =
            (event.kind, text(&event.user), text(&event.target), text(&event.from), text(&event.detail));
        assert_eq!(told, (kind, user.into(), target.into(), from.into(), detail.into()), "{line}");
        event
    }

    #[test]
    fn logins_over_the_network() {
        let event = check(
            "2026-01-14T10:11:12.123456+01:00 build1 sshd[4711]: Accepted publickey for alice from 198.51.100.7 port 50322 ssh2: ED25519 SHA256:Zm9vYmFy",
            Kind::Login,
            "alice",
            "",
            "198.51.100.7",
            "",
        );
        assert_eq!((event.process, event.port), (Some(4711), Some(50322)));
        assert_eq!(
            (text(&event.method), text(&event.key)),
            ("publickey".into(), "ED25519 SHA256:Zm9vYmFy".into())
        );
        assert_eq!(event.at.to_string(), "2026-01-14T09:11:12Z");
        check(
            "Jan 14 10:11:12 b sshd-session[9]: Accepted password for root from 2001:db8::1 port 22 ssh2",
            Kind::Login,
            "root",
            "",
            "2001:db8::1",
            "",
        );
        check(
            "Jan 14 10:11:12 b sshd[1]: Failed password for invalid user admin from 203.0.113.9 port 1 ssh2",
            Kind::LoginFailed,
            "admin",
            "",
            "203.0.113.9",
            "unknown-user",
        );
        check(
            "Jan 14 10:11:12 b sshd[1]: pam_unix(sshd:session): session closed for user alice",
            Kind::Logout,
            "alice",
            "",
            "",
            "",
        );
        check(
            "Jan 14 10:11:12 b sshd[1]: Disconnected from user alice 198.51.100.7 port 50322",
            Kind::Logout,
            "alice",
            "",
            "198.51.100.7",
            "",
        );
    }

    /// Who connects chooses the name: it cannot choose the address.
    #[test]
    fn a_user_name_cannot_pretend_to_come_from_elsewhere() {
        check(
            "Jan 14 10:11:12 b sshd[1]: Invalid user alice from 192.0.2.1 port 7 from 203.0.113.9 port 1",
            Kind::LoginFailed,
            "alice from 192.0.2.1 port 7",
            "",
            "203.0.113.9",
            "unknown-user",
        );
        check(
            "Jan 14 10:11:12 b sshd[1]: Failed none for invalid user x for root from 192.0.2.1 port 7 ssh2 from 203.0.113.9 port 1 ssh2",
            Kind::LoginFailed,
            "x for root from 192.0.2.1 port 7 ssh2",
            "",
            "203.0.113.9",
            "unknown-user",
        );
        assert_eq!(
            read("Jan 14 10:11:12 b app[1]: sshd[1]: Accepted password for a from 192.0.2.1 port 7 ssh2"),
            None
        );
    }

    #[test]
    fn rights() {
        let event = check(
            "Jan 14 10:11:12 b sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id -u",
            Kind::Privilege,
            "alice",
            "root",
            "",
            "",
        );
        assert_eq!((text(&event.terminal), text(&event.command)), ("pts/0".into(), "/usr/bin/id -u".into()));
        check(
            "Jan 14 10:11:12 b sudo[7]: eve : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
            Kind::PrivilegeFailed,
            "eve",
            "root",
            "",
            "user NOT in sudoers",
        );
        check(
            "Jan 14 10:11:12 b sudo[7]: eve : TTY=pts/1 ; PWD=/tmp/a ; USER=eve ; COMMAND=ls ; USER=root ; COMMAND=/bin/sh",
            Kind::Privilege,
            "eve",
            "eve",
            "",
            "ambiguous",
        );
        check("Jan 14 10:11:12 b su[7]: (to root) alice on pts/0", Kind::Privilege, "alice", "root", "", "");
        check(
            "Jan 14 10:11:12 b su[7]: FAILED SU (to root) eve on pts/0",
            Kind::PrivilegeFailed,
            "eve",
            "root",
            "",
            "",
        );
        check(
            "Jan 14 10:11:12 b login[7]: pam_unix(login:session): session opened for user bob(uid=7) by LOGIN(uid=0)",
            Kind::Login,
            "bob",
            "",
            "",
            "",
        );
        check(
            "Jan 14 10:11:12 b login[7]: FAILED LOGIN 1 FROM tty1 FOR bob, Authentication failure",
            Kind::LoginFailed,
            "bob",
            "",
            "",
            "",
        );
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_in_the_future() {
        assert_eq!(
            read("Jan  5 10:11:12 b su[7]: (to root) a on x").unwrap().at.to_string(),
            "2026-01-05T09:11:12Z"
        );
        assert_eq!(
            read("Dec 31 23:59:59 b su[7]: (to root) a on x").unwrap().at.to_string(),
            "2025-12-31T22:59:59Z"
        );
        assert_eq!(read("Feb 30 10:11:12 b su[7]: (to root) a on x"), None);
    }

    #[test]
    fn damage_is_no_event() {
        let line = b"Jan 14 10:11:12 b sudo[7]: eve : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh";
        let clock = Clock { now: Timestamp::from_unix(1_800_000_000), to_utc: &|local| local };
        for end in 0..line.len() {
            syslog_line(&line[..end], &clock);
            let mut broken = line.to_vec();
            broken[end] = 0xFF;
            syslog_line(&broken, &clock);
        }
        for text in ["", " ", "Jan", "Jan 14 10:11:12 b sshd[", "Jan 14 10:11:12 b sshd[]:  "] {
            assert_eq!(read(text), None);
        }
    }
}
