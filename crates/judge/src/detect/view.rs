//! One event seen with all that is known around it: the values of fields.

use std::cell::OnceCell;

use evidence::{BytePath, Event, EventKind};

use super::address::{Address, is_lookalike};
use super::facts::Facts;
use super::fields::Field;
use super::processes::{Process, Processes, command};
use super::roles::{Roles, base};
use super::written::{Written, WrittenFiles};

/// The longest joined command line that is matched.
const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// An event in its surroundings.
pub(super) struct View<'a> {
    pub(super) event: &'a Event,
    pub(super) process: &'a Process,
    pub(super) processes: &'a Processes,
    facts: &'a Facts,
    written: &'a WrittenFiles,
    /// The path that the event leads to.
    pub(super) file: &'a [u8],
    area: OnceCell<&'static str>,
    address: OnceCell<Address<'a>>,
    command: OnceCell<Vec<u8>>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        event: &'a Event,
        processes: &'a Processes,
        written: &'a WrittenFiles,
        facts: &'a Facts,
    ) -> Self {
        Self {
            event,
            process: processes.get(event.process),
            processes,
            facts,
            written,
            file: file(event).map_or(&[], BytePath::as_bytes),
            area: OnceCell::new(),
            address: OnceCell::new(),
            command: OnceCell::new(),
        }
    }

    pub(super) fn address(&self) -> &Address<'a> {
        self.address.get_or_init(|| match (&self.event.target, self.event.kind) {
            (
                Some(target),
                EventKind::Connect
                | EventKind::Bind
                | EventKind::Listen
                | EventKind::Resolve
                | EventKind::Request,
            ) => Address::of(self.event.kind, target.as_bytes()),
            _ => Address::default(),
        })
    }

    fn written(&self) -> Option<&'a Written> {
        self.written.get(self.file)
    }

    /// Tells whether any value of a field satisfies the test. A field without a value satisfies none.
    pub(super) fn any(&self, field: Field, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let event = self.event;
        let mut some = |text: Option<&[u8]>| text.is_some_and(&mut *test);
        let filled = |text: &'a [u8]| Some(text).filter(|text| !text.is_empty());
        let bytes = |path: &'a Option<BytePath>| path.as_ref().map(BytePath::as_bytes);
        match field {
            Field::Path => some(bytes(&event.path)),
            Field::File => some(filled(self.file)),
            Field::Name => some(filled(base(self.file))),
            Field::Target => some(bytes(&event.target)),
            Field::Digest => event.digest.is_some_and(|digest| test(digest.to_string().as_bytes())),
            Field::Detail => some(event.detail.as_deref().map(str::as_bytes)),
            Field::Format => some(event.format.as_deref().map(str::as_bytes)),
            Field::Arguments => event.arguments.iter().any(|argument| test(argument.as_bytes())),
            Field::Environment => event.environment.iter().any(|variable| test(variable.as_bytes())),
            Field::Command if event.kind == EventKind::Exec => {
                test(self.command.get_or_init(|| command(&event.arguments, COMMAND_BYTES_MAX)))
            }
            Field::Command => some(filled(&self.process.command)),
            Field::Program => some(filled(&self.process.program)),
            Field::ProgramName => some(filled(base(&self.process.program))),
            Field::ProgramDigest => {
                self.process.digest.is_some_and(|digest| test(digest.to_string().as_bytes()))
            }
            Field::Parent => some(filled(&self.processes.parent(self.process).program)),
            Field::ParentName => some(filled(base(&self.processes.parent(self.process).program))),
            Field::ParentCommand => some(filled(&self.processes.parent(self.process).command)),
            Field::Ancestors => {
                self.processes.ancestors(event.process).any(|(_, process)| test(&process.program))
            }
            Field::AncestorNames => {
                self.processes.ancestors(event.process).any(|(_, process)| test(base(&process.program)))
            }
            Field::AncestorCommands => {
                self.processes.ancestors(event.process).any(|(_, process)| test(&process.command))
            }
            Field::InputNames => {
                let test = std::cell::RefCell::new(test);
                self.processes
                    .any_upstream(event.process, |process| (test.borrow_mut())(base(&process.program)))
            }
            Field::InputCommands => {
                let test = std::cell::RefCell::new(test);
                self.processes.any_upstream(event.process, |process| (test.borrow_mut())(&process.command))
            }
            Field::Host => some(filled(self.address().host)),
            Field::Domain => some(filled(self.address().domain())),
            Field::Ip => some(self.address().ip.and_then(|_| filled(self.address().host))),
            Field::Family => some(filled(self.address().family)),
            Field::Scope => !self.address().family.is_empty() && test(self.address().scope().as_bytes()),
            Field::HomePath => some(self.facts.home_path(self.file)),
            Field::ProjectPath => some(self.facts.project_path(self.file)),
            Field::Area => test(self.area().as_bytes()),
            Field::Machine => test(self.facts.machine.word().as_bytes()),
            Field::OtherProgram => match event.other {
                Some(other) => some(filled(&self.processes.get(other).program)),
                None => some(bytes(&event.target)),
            },
            _ => false,
        }
    }

    fn area(&self) -> &'static str {
        self.area.get_or_init(|| area(self.file, self.facts))
    }

    /// The roles that a field has.
    pub(super) fn roles(&self, field: Field) -> Roles {
        match field {
            Field::Role => self.process.roles,
            Field::Roles => self.process.roles.with(self.process.inherited),
            Field::ParentRole => self.processes.parent(self.process).roles,
            Field::InputRole | Field::OutputRole => {
                let all = std::cell::Cell::new(Roles::default());
                let gather = |process: &Process| {
                    all.set(all.get().with(process.roles));
                    false
                };
                match field {
                    Field::InputRole => self.processes.any_upstream(self.event.process, gather),
                    _ => self.processes.any_downstream(self.event.process, gather),
                };
                all.get()
            }
            Field::WrittenBy => self.written().map_or(Roles::default(), |written| written.roles),
            _ => Roles::default(),
        }
    }

    /// Whether a flag is set. What is not known is false; rules that need an absent fact are not asked at all.
    pub(super) fn flag(&self, field: Field) -> bool {
        let (event, process) = (self.event, self.process);
        let digest_differs = |files: &Option<
            std::collections::BTreeMap<BytePath, Option<evidence::Digest>>,
        >| {
            let known =
                files.as_ref().zip(file(event)).and_then(|(files, file)| files.get(file)).copied().flatten();
            known.zip(event.digest).is_some_and(|(known, found)| known != found)
        };
        let listed = |files: &Option<std::collections::BTreeMap<BytePath, Option<evidence::Digest>>>| {
            files.as_ref().zip(file(event)).is_some_and(|(files, file)| files.contains_key(file))
        };
        match field {
            Field::Written => self.written().is_some(),
            Field::FromNetwork => self.written().is_some_and(|written| written.from_network),
            Field::InputNetwork => {
                self.processes.any_upstream(event.process, |process| process.connected)
                    || event.detail.as_deref() == Some("socket-input")
            }
            Field::TakesProgram => process.takes_program,
            Field::FeedsProgram => {
                self.processes.any_downstream(event.process, |process| process.takes_program)
            }
            Field::Script => event.kind == EventKind::Read && self.processes.is_script(process, self.file),
            Field::OwnScript => {
                event.path.as_ref().is_some_and(|path| self.processes.is_own_script(process, path.as_bytes()))
            }
            Field::Sibling => self.processes.is_sibling(process, self.file),
            Field::Tracked => listed(&self.facts.tracked),
            Field::TrackedChanged => digest_differs(&self.facts.tracked),
            Field::Owned => listed(&self.facts.owned),
            Field::OwnedChanged => digest_differs(&self.facts.owned),
            Field::AllowedHost => self.facts.allows(self.address().host),
            Field::Lookalike => {
                let host = self.address().host;
                let known = self.facts.hosts.iter().flatten();
                !self.facts.allows(host)
                    && known.map(|known| known.trim_start_matches("*.")).any(|known| {
                        known.len() >= 8
                            && (is_lookalike(host, known.as_bytes())
                                || is_lookalike(self.address().domain(), last_labels(known.as_bytes())))
                    })
            }
            Field::NetworkOver => self.facts.network_over == Some(true),
            Field::OwnFolder => {
                let paths = [&event.path, &event.target];
                let mut paths = paths.into_iter().flatten();
                paths.any(|path| self.facts.own_folders.iter().any(|folder| path.is_below(folder.as_bytes())))
            }
            Field::OtherBelow => event.other.is_some_and(|other| {
                other == event.process
                    || self.processes.ancestors(other).any(|(index, _)| index == event.process)
            }),
            Field::NamesHome => event.arguments.iter().skip(1).any(|argument| {
                let argument = argument.as_bytes();
                let argument = argument.strip_suffix(b"*").unwrap_or(argument);
                let plain = argument.strip_suffix(b"/").unwrap_or(argument);
                argument == b"/" || self.facts.homes.iter().any(|home| home.as_bytes() == plain)
            }),
            _ => false,
        }
    }

    /// The number that a field has.
    pub(super) fn number(&self, field: Field) -> Option<i64> {
        match field {
            Field::Errno => Some(i64::from(self.event.errno)),
            Field::Port => self.address().port.map(i64::from),
            Field::Size => self.event.size.and_then(|size| i64::try_from(size).ok()),
            Field::Status => self.event.status.map(i64::from),
            Field::LabelLength => {
                let labels = self.address().host.split(|byte| *byte == b'.').map(<[u8]>::len);
                if self.address().ip.is_some() {
                    None
                } else {
                    labels.max().and_then(|n| i64::try_from(n).ok())
                }
            }
            _ => None,
        }
    }
}

/// The path that an event leads to.
pub(super) fn file(event: &Event) -> Option<&BytePath> {
    match event.kind {
        EventKind::Rename | EventKind::Link => event.target.as_ref(),
        _ => event.path.as_ref(),
    }
}

fn last_labels(name: &[u8]) -> &[u8] {
    let mut dots = name.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
    dots.nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

fn area(path: &[u8], facts: &Facts) -> &'static str {
    const PLACES: &[(&[u8], &str)] = &[
        (b"/usr/local/", "local"),
        (b"/usr/", "system"),
        (b"/lib", "system"),
        (b"/bin/", "system"),
        (b"/sbin/", "system"),
        (b"/opt/", "local"),
        (b"/etc/", "settings"),
        (b"/proc/", "kernel"),
        (b"/sys/", "kernel"),
        (b"/dev/shm/", "shared-memory"),
        (b"/run/shm/", "shared-memory"),
        (b"/dev/", "kernel"),
        (b"/tmp/", "temporary"),
        (b"/var/tmp/", "temporary"),
    ];
    if facts.project_path(path).is_some() {
        return "project";
    }
    if facts.home_path(path).is_some() {
        return "home";
    }
    PLACES.iter().find(|(start, _)| path.starts_with(start)).map_or("other", |(_, word)| word)
}
