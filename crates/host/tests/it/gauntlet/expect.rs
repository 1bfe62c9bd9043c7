//! What a case has to show, as data.

use std::path::Path;

use evidence::record::Exit;
use evidence::{BytePath, Digest, Event, EventKind};

use crate::tracing::Traced;

#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// An event of this kind on a path in the test's folder.
    On(EventKind, &'static str),
    /// … with the digest of this content.
    Content(EventKind, &'static str, &'static str),
    /// … with this detail.
    Detail(EventKind, &'static str, &'static str),
    /// The same, whether it was done or failed: not all file systems can do everything.
    Tried(EventKind, &'static str, &'static str),
    /// An event of this kind, anywhere, with this detail.
    How(EventKind, &'static str),
    /// An event of this kind whose target begins so.
    Target(EventKind, &'static str),
    /// A rename or link in the test's folder.
    To(EventKind, &'static str, &'static str),
    /// A program was started with this first argument.
    Started(&'static str),
    /// No program was started with this first argument.
    NotStarted(&'static str),
    /// The recorder refused it: by this name, or for this reason.
    Refused(&'static str),
    /// The record is incomplete for this reason.
    Gap(&'static str),
    /// Nothing is said to be missing for this reason.
    NoGap(&'static str),
    /// The record is complete, and nothing speaks against the build.
    Whole,
    /// An attempt on this path, anywhere, failed with this error.
    Failed(EventKind, &'static str, u16),
    /// Nothing of this kind happened on this path.
    Not(EventKind, &'static str),
    /// The program itself is content.
    Went,
    /// A file was read, or the record says that something was not seen: it depends on our own rights.
    ReadOrGap(&'static str),
}

impl Expect {
    pub(super) fn holds(&self, seen: &Traced, folder: &Path) -> bool {
        let completeness = &seen.trace.completeness;
        let at = |name: &str| BytePath::new(folder.join(name).as_os_str().as_encoded_bytes());
        let any = |kind, test: &dyn Fn(&Event) -> bool| seen.of(kind).any(test);
        match *self {
            Self::On(kind, name) => any(kind, &|event| event.path == Some(at(name))),
            Self::Content(kind, name, content) => any(kind, &|event| {
                event.path == Some(at(name)) && event.digest == Some(Digest::of(content.as_bytes()))
            }),
            Self::Detail(kind, name, detail) => {
                any(kind, &|event| event.path == Some(at(name)) && event.detail.as_deref() == Some(detail))
            }
            Self::Tried(kind, name, detail) => seen.events.iter().any(|event| {
                event.kind == kind && event.path == Some(at(name)) && event.detail.as_deref() == Some(detail)
            }),
            Self::How(kind, detail) => any(kind, &|event| event.detail.as_deref() == Some(detail)),
            Self::Target(kind, target) => any(kind, &|event| {
                event.target.as_ref().is_some_and(|found| found.as_bytes().starts_with(target.as_bytes()))
            }),
            Self::To(kind, from, to) => {
                any(kind, &|event| event.path == Some(at(from)) && event.target == Some(at(to)))
            }
            Self::Started(argument) => any(EventKind::Exec, &|event| {
                event.arguments.get(1).is_some_and(|first| first.as_bytes() == argument.as_bytes())
            }),
            Self::NotStarted(argument) => !Self::Started(argument).holds(seen, folder),
            Self::Refused(what) => seen.events.iter().any(|event| {
                event.kind == EventKind::Refused
                    && event.errno != 0
                    && (event.target.as_ref().is_some_and(|target| target.as_bytes() == what.as_bytes())
                        || event.detail.as_deref() == Some(what))
            }),
            Self::Gap(reason) => completeness.gaps.contains_key(reason),
            Self::NoGap(reason) => !completeness.gaps.contains_key(reason),
            Self::Whole => {
                completeness.gaps.is_empty()
                    && (completeness.unresolved, completeness.dropped, completeness.refused) == (0, 0, 0)
            }
            Self::Failed(kind, path, errno) => seen.events.iter().any(|event| {
                let on = event.path.as_ref().is_some_and(|found| found.as_bytes() == path.as_bytes());
                event.kind == kind && on && event.errno == errno
            }),
            Self::Not(kind, name) => !any(kind, &|event| event.path == Some(at(name))),
            Self::ReadOrGap(name) => {
                Self::On(EventKind::Read, name).holds(seen, folder) || completeness.unresolved > 0
            }
            Self::Went => seen.trace.exit == Exit::Code(0),
        }
    }
}
