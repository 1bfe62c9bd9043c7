//! Who was on a build machine, from where, which builds ran meanwhile, and what changed.
//!
//! Sessions are put together from what several logs say of them: sshd's line and `wtmp` tell of one login. Pure: events
//! and builds in, sessions out.

use evidence::{BytePath, Finding, MachineEvent, MachineEventKind as Kind, Subject, Timestamp};

use crate::codes;
use crate::detect::MachineRole;

/// Two logs that tell of one login name moments that are at most so many seconds apart.
const SAME_LOGIN_SECONDS: i64 = 5;

/// So many different programs of a session are listed.
const PROGRAMS_MAX: usize = 200;

/// A recorded build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// The record's number.
    pub number: u64,
    /// The product.
    pub product: String,
    /// The release.
    pub release: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// A span of time in which somebody was logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The login.
    pub login: MachineEvent,
    /// When it ended; `None` if nothing says so.
    pub logout: Option<Timestamp>,
    /// The logs that tell of it.
    pub sources: Vec<String>,
    /// What was done with other users' rights by this user meanwhile.
    pub rights: Vec<MachineEvent>,
    /// What this user started meanwhile, where the machine's audit log tells of it.
    pub programs: Programs,
    /// The builds that ran meanwhile.
    pub builds: Vec<Build>,
    /// What changed meanwhile on watched paths, whoever did it.
    pub changes: Vec<MachineEvent>,
}

/// Programs that were started, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Programs {
    /// In the order in which they were first started.
    pub list: Vec<Program>,
    /// Starts of others than these: there are more than can be listed.
    pub more: u64,
}

/// A program with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its path.
    pub path: Option<BytePath>,
    /// Its arguments.
    pub command: Option<BytePath>,
    /// Whose rights it had, if not the user's own.
    pub rights: Option<BytePath>,
    /// When it was first started.
    pub first: Timestamp,
    /// How often.
    pub times: u64,
}

impl Programs {
    fn started(&mut self, event: &MachineEvent) {
        let same = |one: &&mut Program| {
            (&one.path, &one.command, &one.rights) == (&event.program, &event.command, &event.target)
        };
        if let Some(known) = self.list.iter_mut().find(same) {
            known.times += 1;
        } else if self.list.len() < PROGRAMS_MAX {
            self.list.push(Program {
                path: event.program.clone(),
                command: event.command.clone(),
                rights: event.target.clone(),
                first: event.at,
                times: 1,
            });
        } else {
            self.more += 1;
        }
    }
}

/// What is known of a span of time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Who was there.
    pub sessions: Vec<Session>,
    /// Who tried to come in: user, from where, how often.
    pub refused: Vec<(Option<BytePath>, Option<BytePath>, u64)>,
    /// What changed while nobody is known to have been logged in.
    pub changes: Vec<MachineEvent>,
    /// Rights taken on that belong to no session.
    pub rights: Vec<MachineEvent>,
    /// Programs that were started by somebody whose session is not known.
    pub programs: Programs,
    /// Forged entries and gaps.
    pub doubts: Vec<MachineEvent>,
    /// What follows.
    pub findings: Vec<Finding>,
}

impl Session {
    fn covers(&self, from: Timestamp, until: Timestamp) -> bool {
        self.login.at <= until && self.logout.is_none_or(|logout| logout >= from)
    }
}

/// Puts together what happened from `since` to `until`. Events may be in any order.
pub fn presence(
    events: &[MachineEvent],
    builds: &[Build],
    since: Timestamp,
    until: Timestamp,
    machine: MachineRole,
) -> Presence {
    let mut events: Vec<&MachineEvent> = events.iter().filter(|event| event.at <= until).collect();
    events.sort_by_key(|event| event.at);
    let mut sessions = sessions(&events);
    sessions.retain(|session| session.covers(since, until));
    let mut presence = Presence::default();
    for event in events.into_iter().filter(|event| event.at >= since) {
        match event.kind {
            Kind::LoginFailed => {
                let known = presence
                    .refused
                    .iter_mut()
                    .find(|(user, from, _)| (user, from) == (&event.user, &event.from));
                match known {
                    Some((_, _, count)) => *count += 1,
                    None => presence.refused.push((event.user.clone(), event.from.clone(), 1)),
                }
            }
            Kind::Privilege | Kind::PrivilegeFailed => match own(&mut sessions, event) {
                Some(session) => session.rights.push(event.clone()),
                None => presence.rights.push(event.clone()),
            },
            Kind::Executed => match own(&mut sessions, event) {
                Some(session) => session.programs.started(event),
                None => presence.programs.started(event),
            },
            Kind::Changed => {
                let mut alone = true;
                for session in sessions.iter_mut().filter(|one| one.covers(event.at, event.at)) {
                    session.changes.push(event.clone());
                    alone = false;
                }
                if alone {
                    presence.changes.push(event.clone());
                }
                presence.findings.push(path_changed(event, machine));
            }
            Kind::Forged | Kind::Gap => presence.doubts.push(event.clone()),
            Kind::Login | Kind::Logout | Kind::Boot => {}
        }
    }
    for session in &mut sessions {
        let meanwhile = builds.iter().filter(|build| session.covers(build.started, build.finished));
        session.builds = meanwhile.cloned().collect();
        if machine != MachineRole::Developer {
            presence.findings.extend(session.builds.iter().map(|build| during_build(session, build)));
        }
    }
    presence.sessions = sessions;
    presence
}

/// The session of a user in which something happened: on the same terminal, if there are several.
fn own<'a>(sessions: &'a mut [Session], event: &MachineEvent) -> Option<&'a mut Session> {
    sessions
        .iter_mut()
        .filter(|one| one.covers(event.at, event.at) && one.login.user == event.user)
        .max_by_key(|one| one.login.terminal == event.terminal && event.terminal.is_some())
}

/// Puts logins and logouts together.
fn sessions(events: &[&MachineEvent]) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for event in events {
        match event.kind {
            Kind::Login => {
                // Nothing told of its end, but somebody else has its terminal or process now.
                let reused = |session: &&mut Session| {
                    let login = &session.login;
                    let terminal = login.terminal.is_some() && login.terminal == event.terminal;
                    let process = login.process.is_some()
                        && (login.process, &login.source) == (event.process, &event.source);
                    let later = event.at.unix() - login.at.unix() > SAME_LOGIN_SECONDS;
                    session.logout.is_none() && later && (terminal || process)
                };
                for session in sessions.iter_mut().filter(reused) {
                    session.logout = Some(event.at);
                }
                let known = sessions.iter_mut().rev().find(|session| {
                    let login = &session.login;
                    session.logout.is_none()
                        && login.user == event.user
                        && !session.sources.contains(&event.source)
                        && (login.from == event.from || login.from.is_none() || event.from.is_none())
                        && event.at.unix() - login.at.unix() <= SAME_LOGIN_SECONDS
                });
                match known {
                    Some(session) => {
                        session.sources.push(event.source.clone());
                        complete(&mut session.login, event);
                    }
                    None => sessions.push(Session {
                        login: (*event).clone(),
                        logout: None,
                        sources: vec![event.source.clone()],
                        rights: Vec::new(),
                        programs: Programs::default(),
                        builds: Vec::new(),
                        changes: Vec::new(),
                    }),
                }
            }
            Kind::Logout => {
                let ended =
                    sessions.iter_mut().rev().filter(|one| one.logout.is_none()).find(|one| ends(event, one));
                if let Some(session) = ended {
                    session.logout = Some(event.at);
                }
            }
            Kind::Boot => {
                for session in sessions.iter_mut().filter(|session| session.logout.is_none()) {
                    session.logout = Some(event.at);
                }
            }
            _ => {}
        }
    }
    sessions
}

/// Tells whether a logout is the end of a session: the same port, else the same process and user, else the same
/// terminal in `wtmp`.
fn ends(event: &MachineEvent, session: &Session) -> bool {
    let login = &session.login;
    if event.user.is_some() && event.user != login.user {
        return false;
    }
    if event.port.is_some() && login.port.is_some() {
        return (event.port, &event.from) == (login.port, &login.from);
    }
    if event.source == "wtmp" {
        return event.terminal.is_some() && event.terminal == login.terminal;
    }
    event.process.is_some() && event.process == login.process
}

/// What the second log knows and the first does not.
fn complete(login: &mut MachineEvent, other: &MachineEvent) {
    let fill = |into: &mut Option<BytePath>, from: &Option<BytePath>| {
        if into.is_none() {
            into.clone_from(from);
        }
    };
    fill(&mut login.terminal, &other.terminal);
    fill(&mut login.from, &other.from);
    fill(&mut login.method, &other.method);
    fill(&mut login.key, &other.key);
    fill(&mut login.program, &other.program);
    login.port = login.port.or(other.port);
    // `wtmp` has the process of the terminal, sshd's log that of the connection, which also logs the end.
    if login.source == "wtmp" {
        login.process = other.process.or(login.process);
    }
}

fn during_build(session: &Session, build: &Build) -> Finding {
    let login = &session.login;
    let user = login.user.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
    let from = login.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let until =
        session.logout.map_or_else(|| "with no known end".to_owned(), |logout| format!("until {logout}"));
    let because = vec![
        format!("{user} was logged in{from} since {} {until}", login.at),
        format!("r{} was built from {} until {}", build.number, build.started, build.finished),
    ];
    codes::INTERACTIVE_LOGIN_DURING_BUILD.finding(Subject::default(), because)
}

fn path_changed(event: &MachineEvent, machine: MachineRole) -> Finding {
    let digest = event.after.as_ref().and_then(|after| after.digest);
    let before = event.before.as_ref().and_then(|before| before.digest);
    let what = event.detail.as_ref().map_or_else(String::new, ToString::to_string);
    let mut because = vec![format!("{what} at {}", event.at)];
    because.extend(before.map(|before| format!("it was {before}")));
    because.extend(event.program.as_ref().map(|writer| format!("held open for writing by {writer}")));
    let subject = Subject { path: event.path.clone(), digest };
    let found = codes::WATCHED_PATH_CHANGED.finding(subject, because);
    let severity = if machine == MachineRole::Developer { found.severity } else { evidence::Severity::High };
    Finding { severity, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn event(kind: Kind, seconds: i64, source: &str, user: &str) -> MachineEvent {
        let user = (!user.is_empty()).then(|| user.into());
        MachineEvent { user, ..MachineEvent::new(kind, at(seconds), source) }
    }

    fn build(number: u64, started: i64, finished: i64) -> Build {
        Build {
            number,
            product: "p".into(),
            release: String::new(),
            started: at(started),
            finished: at(finished),
        }
    }

    fn scene() -> Vec<MachineEvent> {
        let ssh = |event| MachineEvent { process: Some(7), ..event };
        let from = Some("198.51.100.7".into());
        vec![
            MachineEvent {
                from: from.clone(),
                port: Some(5),
                ..ssh(event(Kind::Login, 100, "auth-log", "alice"))
            },
            MachineEvent {
                from,
                terminal: Some("pts/0".into()),
                process: Some(9),
                ..event(Kind::Login, 101, "wtmp", "alice")
            },
            MachineEvent {
                terminal: Some("pts/0".into()),
                ..event(Kind::Privilege, 120, "auth-log", "alice")
            },
            MachineEvent { path: Some("/usr/bin/cc".into()), ..event(Kind::Changed, 130, "paths", "") },
            ssh(event(Kind::Logout, 200, "auth-log", "alice")),
            MachineEvent { path: Some("/etc/passwd".into()), ..event(Kind::Changed, 300, "paths", "") },
            event(Kind::LoginFailed, 310, "btmp", "root"),
            event(Kind::LoginFailed, 311, "btmp", "root"),
        ]
    }

    #[test]
    fn two_logs_tell_of_one_session_and_what_happened_in_it() {
        let builds = [build(1, 10, 90), build(2, 90, 110), build(3, 150, 400), build(4, 201, 300)];
        let told = presence(&scene(), &builds, at(0), at(1000), MachineRole::Build);
        assert_eq!(told.sessions.len(), 1);
        let session = &told.sessions[0];
        assert_eq!((session.login.at, session.logout), (at(100), Some(at(200))));
        assert_eq!(session.sources, ["auth-log", "wtmp"]);
        assert_eq!(session.builds.iter().map(|build| build.number).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((session.rights.len(), session.changes.len(), told.changes.len()), (1, 1, 1));
        assert_eq!(told.refused, [(Some("root".into()), None, 2)]);
        let codes: Vec<&str> = told.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes.iter().filter(|code| **code == "interactive-login-during-build").count(), 2);
        assert_eq!(codes.iter().filter(|code| **code == "watched-path-changed").count(), 2);
        let mut backwards = scene();
        backwards.reverse();
        // Only events of one second keep their order.
        assert_eq!(presence(&backwards, &builds, at(0), at(1000), MachineRole::Build), told);
    }

    #[test]
    fn programs_are_listed_once_in_the_session_of_who_started_them() {
        let ran = |seconds, user, command: &str| MachineEvent {
            program: Some("/usr/bin/cc".into()),
            command: Some(command.into()),
            ..event(Kind::Executed, seconds, "audit", user)
        };
        let mut events = scene();
        events.extend([
            ran(110, "alice", "cc a.c"),
            ran(111, "alice", "cc a.c"),
            ran(112, "alice", "cc b.c"),
        ]);
        events.extend([ran(113, "bob", "cc c.c"), ran(250, "alice", "cc late.c")]);
        let told = presence(&events, &[], at(0), at(1000), MachineRole::Build);
        let of = |programs: &Programs| {
            let one =
                |one: &Program| (one.command.as_ref().unwrap().to_string(), one.first.unix(), one.times);
            programs.list.iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(of(&told.sessions[0].programs), [("cc a.c".into(), 110, 2), ("cc b.c".into(), 112, 1)]);
        assert_eq!(of(&told.programs), [("cc c.c".into(), 113, 1), ("cc late.c".into(), 250, 1)]);
        let many: Vec<MachineEvent> = (0..300).map(|number| ran(120, "alice", &number.to_string())).collect();
        let told = presence(&[scene(), many].concat(), &[], at(0), at(1000), MachineRole::Build);
        let programs = &told.sessions[0].programs;
        assert_eq!((programs.list.len(), programs.more), (PROGRAMS_MAX, 300 - PROGRAMS_MAX as u64));
    }

    #[test]
    fn spans_are_cut_and_people_may_work_on_their_own_machines() {
        let builds = [build(2, 90, 110)];
        let told = presence(&scene(), &builds, at(150), at(250), MachineRole::Developer);
        assert_eq!((told.sessions.len(), told.findings.len(), told.refused.len()), (1, 0, 0));
        assert_eq!(presence(&scene(), &builds, at(201), at(250), MachineRole::Build).sessions.len(), 0);
        assert_eq!(presence(&scene(), &builds, at(0), at(99), MachineRole::Build), Presence::default());
    }

    #[test]
    fn a_session_whose_end_nobody_told_ends_when_its_terminal_is_used_again() {
        let on = |event, terminal: &str| MachineEvent { terminal: Some(terminal.into()), ..event };
        let events = [
            on(event(Kind::Login, 1, "wtmp", "a"), "pts/0"),
            on(event(Kind::Login, 50, "wtmp", "b"), "pts/1"),
            on(event(Kind::Login, 90, "wtmp", "c"), "pts/0"),
        ];
        let told = presence(&events, &[], at(0), at(99), MachineRole::Build);
        let ends: Vec<Option<Timestamp>> = told.sessions.iter().map(|session| session.logout).collect();
        assert_eq!(ends, [Some(at(90)), None, None]);
    }

    #[test]
    fn a_start_of_the_machine_ends_all_sessions() {
        let events = [event(Kind::Login, 1, "wtmp", "a"), event(Kind::Boot, 5, "wtmp", "")];
        let told = presence(&events, &[], at(0), at(9), MachineRole::Build);
        assert_eq!(told.sessions[0].logout, Some(at(5)));
    }
}
