//! What sshd, sudo, su and login say (OpenSSH's `auth.c`, sudo's `logging.c`, util-linux's `su` and `login`, Linux-PAM).
//!
//! Who connects chooses the user name, so addresses are looked for from the right, where the service wrote them.

use evidence::{BytePath, MachineEvent, MachineEventKind as Kind, Timestamp};

/// Reads a message of a service, if it is about a login or rights. `source` says which log it stands in.
pub(super) fn message(
    source: &str,
    at: Timestamp,
    program: &[u8],
    process: Option<u64>,
    text: &[u8],
) -> Option<MachineEvent> {
    let said = match program {
        // OpenSSH 9.8 split the daemon into several programs.
        b"sshd" | b"sshd-session" | b"sshd-auth" => sshd(text),
        b"sudo" => sudo(text),
        b"su" => su(text),
        b"login" => login(text),
        _ => None,
    }?;
    let name = if program.starts_with(b"sshd") { b"sshd" } else { program };
    Some(MachineEvent { at, source: source.to_owned(), program: Some(name.into()), process, ..said })
}

fn of(kind: Kind) -> MachineEvent {
    MachineEvent::new(kind, Timestamp::from_unix(0), "")
}

fn some(bytes: &[u8]) -> Option<BytePath> {
    (!bytes.is_empty()).then(|| bytes.into())
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = find(text, at)?;
    Some((&text[..found], &text[found + at.len()..]))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn cut_last<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = text.windows(at.len()).rposition(|window| window == at)?;
    Some((&text[..found], &text[found + at.len()..]))
}

/// Takes `… from ADDRESS port PORT` apart, from the right.
fn from_port(text: &[u8]) -> Option<(&[u8], MachineEvent)> {
    let (rest, port) = cut_last(text, b" port ")?;
    let (rest, address) = cut_last(rest, b" from ")?;
    // What follows the number is the service's (`ssh2: ED25519 SHA256:…`).
    let (port, after) = cut(port, b" ").unwrap_or((port, b""));
    let key = cut(after, b"ssh2: ").and_then(|(_, key)| some(key));
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    if address.contains(&b' ') {
        return None;
    }
    Some((rest, MachineEvent { from: some(address), port: Some(port), key, ..of(Kind::Gap) }))
}

fn sshd(text: &[u8]) -> Option<MachineEvent> {
    if let Some(rest) = text.strip_prefix(b"Accepted ") {
        // Who is let in has an account, whose name has no spaces; a certificate's name behind it can be anything.
        let (method, rest) = cut(rest, b" for ")?;
        let (user, rest) = cut(rest, b" from ")?;
        let (address, rest) = cut(rest, b" port ")?;
        let (port, rest) = cut(rest, b" ").unwrap_or((rest, b""));
        let event = MachineEvent { method: some(method), user: some(user), ..of(Kind::Login) };
        let port = std::str::from_utf8(port).ok()?.parse().ok()?;
        let key = rest.strip_prefix(b"ssh2: ").and_then(some);
        return Some(MachineEvent { from: some(address), port: Some(port), key, ..event });
    }
    if let Some(rest) = text.strip_prefix(b"Failed ") {
        let (rest, event) = from_port(rest)?;
        let (method, user) = cut(rest, b" for ")?;
        let unknown = user.strip_prefix(b"invalid user ");
        let detail = unknown.map(|_| "unknown-user".into());
        let user = some(unknown.unwrap_or(user));
        return Some(MachineEvent { kind: Kind::LoginFailed, method: some(method), user, detail, ..event });
    }
    if let Some(rest) = text.strip_prefix(b"Invalid user ") {
        let (user, event) = from_port(rest)?;
        let detail = Some("unknown-user".into());
        return Some(MachineEvent { kind: Kind::LoginFailed, user: some(user), detail, ..event });
    }
    if let Some(rest) = text.strip_prefix(b"Disconnected from user ") {
        let (rest, port) = cut_last(rest, b" port ")?;
        let (user, address) = cut_last(rest, b" ")?;
        let port = std::str::from_utf8(port).ok()?.parse().ok()?;
        let event = MachineEvent { user: some(user), from: some(address), ..of(Kind::Logout) };
        return Some(MachineEvent { port: Some(port), ..event });
    }
    let rest = text.strip_prefix(b"pam_unix(sshd:session): session closed for user ")?;
    Some(MachineEvent { user: some(rest), ..of(Kind::Logout) })
}

fn login(text: &[u8]) -> Option<MachineEvent> {
    if let Some(rest) = text.strip_prefix(b"pam_unix(login:session): session closed for user ") {
        return Some(MachineEvent { user: some(rest), ..of(Kind::Logout) });
    }
    if let Some(rest) = text.strip_prefix(b"pam_unix(login:session): session opened for user ") {
        // `alice(uid=1000) by LOGIN(uid=0)`; older ones without the number.
        let (user, _) = cut_last(rest, b" by ")?;
        let user = cut(user, b"(uid=").map_or(user, |(user, _)| user);
        return Some(MachineEvent { user: some(user), ..of(Kind::Login) });
    }
    if let Some(rest) = text.strip_prefix(b"ROOT LOGIN ON ") {
        let (terminal, from) = cut(rest, b" FROM ").unwrap_or((rest, b""));
        let user = Some("root".into());
        return Some(MachineEvent { user, terminal: some(terminal), from: some(from), ..of(Kind::Login) });
    }
    if let Some(rest) = text.strip_prefix(b"LOGIN ON ") {
        let (terminal, user) = cut(rest, b" BY ")?;
        let (user, from) = cut_last(user, b" FROM ").unwrap_or((user, b""));
        let event = MachineEvent { user: some(user), terminal: some(terminal), ..of(Kind::Login) };
        return Some(MachineEvent { from: some(from), ..event });
    }
    // `FAILED LOGIN 1 FROM tty1 FOR alice, Authentication failure`
    let rest = text.strip_prefix(b"FAILED LOGIN ")?;
    let (_, rest) = cut(rest, b" FROM ")?;
    let (terminal, user) = cut(rest, b" FOR ")?;
    let user = cut_last(user, b", ").map_or(user, |(user, _)| user);
    let user = some(user.strip_suffix(b"'").and_then(|user| user.strip_prefix(b"'")).unwrap_or(user));
    Some(MachineEvent { user, terminal: some(terminal), ..of(Kind::LoginFailed) })
}

fn su(text: &[u8]) -> Option<MachineEvent> {
    // util-linux: `(to root) alice on pts/0`, `FAILED SU (to root) alice on pts/0`.
    let (kind, rest) = match text.strip_prefix(b"FAILED SU ") {
        Some(rest) => (Kind::PrivilegeFailed, rest),
        None => (Kind::Privilege, text),
    };
    if let Some(rest) = rest.strip_prefix(b"(to ") {
        let (target, rest) = cut(rest, b") ")?;
        let (user, terminal) = cut_last(rest, b" on ")?;
        let event = MachineEvent { user: some(user), target: some(target), ..of(kind) };
        return Some(MachineEvent { terminal: some(terminal), ..event });
    }
    // shadow: `Successful su for root by alice`, `FAILED su for root by alice`.
    let (kind, rest) = match text.strip_prefix(b"Successful su for ") {
        Some(rest) => (Kind::Privilege, rest),
        None => (Kind::PrivilegeFailed, text.strip_prefix(b"FAILED su for ")?),
    };
    let (target, user) = cut(rest, b" by ")?;
    Some(MachineEvent { user: some(user), target: some(target), ..of(kind) })
}

/// `alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`, with a reason before `TTY` if it was refused.
fn sudo(text: &[u8]) -> Option<MachineEvent> {
    let (user, rest) = cut(text, b" : ")?;
    let user = some(user.trim_ascii());
    if let Some(command) = rest.strip_prefix(b"(command continued) ") {
        let detail = Some("continued".into());
        return Some(MachineEvent { user, command: some(command), detail, ..of(Kind::Privilege) });
    }
    let (facts, command) = cut(rest, b"COMMAND=")?;
    let (reason, facts) = match find(facts, b"TTY=") {
        Some(0) => (&b""[..], facts),
        Some(at) => (facts[..at].strip_suffix(b" ; ")?, &facts[at..]),
        None => (&b""[..], facts),
    };
    let kind = if reason.is_empty() { Kind::Privilege } else { Kind::PrivilegeFailed };
    let value = |name: &[u8]| {
        let (_, rest) = cut(facts, name)?;
        some(cut(rest, b" ; ").map_or(rest, |(value, _)| value))
    };
    // A folder's name is whatever somebody called it, and can look like what follows it.
    let twice = find(command, b" ; COMMAND=").is_some()
        || cut(facts, b"USER=").is_some_and(|(_, rest)| find(rest, b"USER=").is_some());
    let detail = if twice { Some("ambiguous".into()) } else { some(reason) };
    let (target, terminal) = (value(b"; USER="), value(b"TTY="));
    let target = target.map(|target| target.as_bytes().trim_ascii().into());
    Some(MachineEvent { user, target, terminal, command: some(command), detail, ..of(kind) })
}
