//! Files that become code or memory of a process: `mmap`, `mprotect`, `memfd_create`.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};

use super::caller;
use super::supervisor::{Answer, Caller, Supervisor, descriptor_path};
use crate::digests::Content;
use crate::sys::{self, Mapping};

/// Mappings that look like files and are not: memory that processes share.
const MEMORY: &[&[u8]] = &[b"/dev/zero", b"/SYSV", b"/anon_hugepage", b"[", b"anon_inode:"];

impl Supervisor<'_, '_> {
    /// A file is mapped as code, or so that it can be written through memory.
    pub(super) fn map(&mut self, caller: Caller, protection: u64, flags: u64, descriptor: u64) -> Answer {
        let link = format!("/proc/{}/fd/{}", caller.thread, (descriptor & 0xFFFF_FFFF) as i32);
        let shared = flags & (libc::MAP_SHARED as u64) != 0;
        if !shared && self.mapped_again(caller, &link) {
            return Answer::GoOn;
        }
        let Ok(entry) = rustix::fs::statat(CWD, &link, AtFlags::SYMLINK_NOFOLLOW) else {
            return self.unknown_descriptor(caller);
        };
        let Ok(name) = caller::name_only(Path::new(&link), true) else {
            return self.unknown_descriptor(caller);
        };
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            return self.unresolved(caller.index);
        };
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        if !caller::is_regular(&stat) {
            return Answer::GoOn; // A device: that it was opened is told.
        }
        // The mode of the link in `/proc` is how the file is open.
        if shared && entry.st_mode & 0o200 != 0 {
            self.shared(caller, &real, (stat.st_dev, stat.st_ino));
        }
        if protection & (libc::PROT_EXEC as u64) != 0 {
            let content = self.content_of(&descriptor_path(&name), &stat);
            self.seen.mapped(&stat, &real);
            self.mapped(caller, real, content);
        }
        Answer::GoOn
    }

    /// The file was mapped before and has not changed: nothing more is asked.
    fn mapped_again(&mut self, caller: Caller, link: &str) -> bool {
        let Ok(stat) = rustix::fs::stat(link) else { return false };
        let Some(content) = self.digests.known(&stat) else { return false };
        let Some(real) = self.seen.mapped_path(&stat).cloned() else { return false };
        if self.still_waiting(caller) {
            self.mapped(caller, real, Some(content));
        }
        true
    }

    /// Stores through such a mapping leave the file's times alone: nothing but its bytes tells of them.
    fn shared(&mut self, caller: Caller, real: &BytePath, identity: (u64, u64)) {
        let news = self.digests.distrust(identity);
        if !self.written.files.contains(&identity) {
            // The descriptor came from elsewhere.
            self.wrote(caller.index, real.clone(), Some(identity));
        } else if news {
            self.written.paths.insert(real.clone());
        }
    }

    /// A mapping that is there already is made code.
    pub(super) fn protect(&mut self, caller: Caller, start: u64, length: u64) -> Answer {
        let end = start.saturating_add(length);
        let Ok(maps) = fs::File::open(format!("/proc/{}/maps", caller.pid)) else {
            return self.unresolved(caller.index);
        };
        let mut at = start;
        while let Some(found) = sys::file_mapping(&maps, at).filter(|found| found.start < end) {
            at = found.end;
            self.made_code(caller, found);
        }
        Answer::GoOn
    }

    fn made_code(&mut self, caller: Caller, found: Mapping) {
        if found.code || MEMORY.iter().any(|memory| found.name.starts_with(memory)) {
            return;
        }
        let path = BytePath::new(found.name.strip_suffix(b" (deleted)").unwrap_or(&found.name));
        let name = caller::name_only(Path::new(caller::os(path.as_bytes())), false).ok();
        let same = name.and_then(|name| {
            let stat = rustix::fs::fstat(&name).ok()?;
            (stat.st_ino == found.inode).then_some((name, stat))
        });
        let content = same.and_then(|(name, stat)| self.content_of(&descriptor_path(&name), &stat));
        if content.is_none() && !path.as_bytes().starts_with(b"/memfd:") {
            self.gap(caller.index, "map-unreadable");
        }
        self.mapped(caller, path, content);
    }

    fn mapped(&mut self, caller: Caller, path: BytePath, content: Option<Content>) {
        if let Some(content) = content
            && !self.inputs.contains_key(&path)
            && !self.written.files.contains(&content.stamp.file())
        {
            self.inputs.insert(path.clone(), content);
        }
        self.emit(Event {
            path: Some(path),
            digest: content.map(|content| content.digest),
            size: content.map(|content| content.stamp.size),
            format: content.and_then(|content| content.format).map(str::to_owned),
            ..Event::new(EventKind::Map, caller.index)
        });
    }

    /// Hashes what a path in `/proc` leads to; what was hashed already needs no opening.
    fn content_of(&mut self, path: &str, stat: &Stat) -> Option<Content> {
        if let Some(known) = self.digests.known(stat) {
            return Some(known);
        }
        let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(CWD, path, quick, Mode::empty()).ok()?;
        self.digests.content(file.as_fd(), stat).ok()
    }

    /// A descriptor that is not there the kernel refuses; one that we may not see is a gap.
    pub(super) fn unknown_descriptor(&mut self, caller: Caller) -> Answer {
        if fs::read_dir(format!("/proc/{}/fd", caller.thread)).is_ok() {
            return Answer::GoOn;
        }
        self.unresolved(caller.index)
    }

    pub(super) fn memory_file(&mut self, caller: Caller, name: u64) -> Answer {
        let Some(text) = caller::text(caller.thread, name) else { return self.unreadable(caller, name) };
        self.emit(Event { target: Some(BytePath::new(text)), ..Event::new(EventKind::Memory, caller.index) });
        Answer::GoOn
    }
}
