//! Making, renaming, linking and removing names.

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::caller::{self, Named, Place};
use super::opens::{code, is_folder};
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor, Written, descriptor_path};

/// A path as a caller gives it: the folder's descriptor and the text's address.
pub(super) type Given = (u64, u64);

impl Supervisor<'_, '_> {
    pub(super) fn place_of(&mut self, caller: Caller, given: Given) -> Result<Place, Answer> {
        let Some(path) = caller::text(caller.thread, given.1) else {
            return Err(self.unreadable(caller, given.1));
        };
        let Some(place) = caller::place(caller.thread, caller.reach, given.0, &path) else {
            return Err(self.unresolved(caller.index));
        };
        if !self.still_waiting(caller) {
            return Err(Answer::Gone);
        }
        Ok(place)
    }

    /// Opens the folder of a path that will be changed, unless it is ours.
    fn named_of(&mut self, caller: Caller, kind: EventKind, given: Given) -> Result<Named, Answer> {
        let place = self.place_of(caller, given)?;
        match caller::named(&place.path) {
            // A folder above what is ours can be moved away, and nothing else that would harm it can be done to it.
            Ok(named)
                if self.is_protected(&named.path)
                    || (kind == EventKind::Rename && self.holds_protected(&named.path)) =>
            {
                Err(self.refuse(caller.index, named.path, "protected"))
            }
            Ok(named) => Ok(named),
            Err(error) => Err(self.failed(caller, kind, &place, error, caller.reach == Reach::Same)),
        }
    }

    /// Does in a caller's place what it asked for, records it, and answers.
    pub(super) fn done(
        &mut self,
        caller: Caller,
        event: Event,
        act: impl FnOnce() -> Result<(), Errno>,
        then: impl FnOnce(&mut Written),
    ) -> Answer {
        let mut event = event;
        if caller.reach != Reach::Same {
            then(&mut self.written);
            self.emit(event);
            return Answer::GoOn;
        }
        let result = act();
        match result {
            Ok(()) => then(&mut self.written),
            Err(error) => event.errno = code(error),
        }
        self.emit(event);
        Answer::Result(result.err().map_or(0, Errno::raw_os_error))
    }

    pub(super) fn rename(&mut self, caller: Caller, from: Given, to: Given, flags: u64) -> Answer {
        let named = self.named_of(caller, EventKind::Rename, from);
        let from = match named {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let to = match self.named_of(caller, EventKind::Rename, to) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let flags = RenameFlags::from_bits_retain((flags & 0xFFFF_FFFF) as u32);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let folder = is_folder(&from.folder, &from.name);
        let back = exchange.then(|| is_folder(&to.folder, &to.name));
        let event = Event {
            path: Some(from.path.clone()),
            target: Some(to.path.clone()),
            ..Event::new(EventKind::Rename, caller.index)
        };
        // Both files get another status by this, whatever other names they have.
        let status = [&from, &to].map(|named| {
            rustix::fs::statat(&named.folder, named.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok()
        });
        if status.iter().flatten().any(|stat| !caller::is_regular(stat)) {
            self.seen.forget();
        }
        let act = || {
            rustix::fs::renameat_with(
                &from.folder,
                from.name.as_slice(),
                &to.folder,
                to.name.as_slice(),
                flags,
            )
        };
        let answer = self.done(caller, event, act, |written| {
            written.touched.extend(status.into_iter().flatten().map(|stat| (stat.st_dev, stat.st_ino)));
            written.moved(&from.path, &to.path, folder);
            if let Some(folder) = back {
                written.moved(&to.path, &from.path, folder);
                written.add(&to.path, folder);
            }
        });
        if matches!(answer, Answer::Result(0)) {
            let (from, to) = (from.path.as_bytes(), to.path.as_bytes());
            self.inputs.retain(|path, _| !path.is_below(from) && !path.is_below(to));
        }
        answer
    }

    pub(super) fn unlink(&mut self, caller: Caller, given: Given, flags: u64) -> Answer {
        let flags = AtFlags::from_bits_retain((flags & 0xFFFF_FFFF) as u32);
        let named = match self.named_of(caller, EventKind::Unlink, given) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let event = Event { path: Some(named.path.clone()), ..Event::new(EventKind::Unlink, caller.index) };
        // The other names of the same file get another status by this.
        let stat = rustix::fs::statat(&named.folder, named.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        let act = || rustix::fs::unlinkat(&named.folder, named.name.as_slice(), flags);
        let answer = self.done(caller, event, act, |written| {
            written.touched.extend(stat.map(|stat| (stat.st_dev, stat.st_ino)));
        });
        if matches!(answer, Answer::Result(0)) {
            self.inputs.remove(&named.path);
        }
        answer
    }

    pub(super) fn link(&mut self, caller: Caller, from: Given, to: Given, flags: u64) -> Answer {
        let place = match self.place_of(caller, from) {
            Ok(place) => place,
            Err(answer) => return answer,
        };
        let to = match self.named_of(caller, EventKind::Link, to) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let given = AtFlags::from_bits_retain((flags & 0xFFFF_FFFF) as u32);
        let follow = given.intersects(AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH);
        let name = match caller::name_only(&place.path, follow) {
            Ok(name) => name,
            Err(error) => {
                return self.failed(caller, EventKind::Link, &place, error, caller.reach == Reach::Same);
            }
        };
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            return self.unresolved(caller.index);
        };
        if self.is_protected(&real) {
            return self.refuse(caller.index, real, "protected");
        }
        let event = Event {
            path: Some(real),
            target: Some(to.path.clone()),
            ..Event::new(EventKind::Link, caller.index)
        };
        if !caller::is_regular(&stat) {
            self.seen.forget();
        }
        let flags = if follow { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
        let act = || rustix::fs::linkat(CWD, &place.path, &to.folder, to.name.as_slice(), flags);
        self.done(caller, event, act, |written| {
            written.add(&to.path, false);
            written.touched.insert((stat.st_dev, stat.st_ino));
        })
    }

    pub(super) fn mkdir(&mut self, caller: Caller, at: Given, mode: u64) -> Answer {
        let named = match self.named_of(caller, EventKind::Mkdir, at) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let event = Event { path: Some(named.path.clone()), ..Event::new(EventKind::Mkdir, caller.index) };
        let (mode, mask) = (Mode::from_raw_mode((mode & 0o7777) as u32), self.mask(caller));
        let make = || rustix::fs::mkdirat(&named.folder, named.name.as_slice(), mode);
        self.done(caller, event, || under(mask, make), |_| {})
    }

    /// A file, named pipe, socket or device is made.
    pub(super) fn mknod(&mut self, caller: Caller, at: Given, mode: u64, device: u64) -> Answer {
        let named = match self.named_of(caller, EventKind::Write, at) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let raw = (mode & 0xFFFF) as u32;
        let kind = match FileType::from_raw_mode(raw) {
            _ if raw & libc::S_IFMT == 0 => FileType::RegularFile,
            kind => kind,
        };
        let event = Event { path: Some(named.path.clone()), ..Event::new(EventKind::Write, caller.index) };
        self.seen.forget();
        let (mode, mask) = (Mode::from_raw_mode(raw & 0o7777), self.mask(caller));
        let name = named.name.as_slice();
        let make = || rustix::fs::mknodat(&named.folder, name, kind, mode, device & 0xFFFF_FFFF);
        let answer =
            self.done(caller, event, || under(mask, make), |written| written.add(&named.path, false));
        if kind == FileType::Fifo
            && matches!(answer, Answer::Result(0))
            && let Ok(stat) = rustix::fs::statat(&named.folder, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            self.own_pipes.insert((stat.st_dev, stat.st_ino));
        }
        answer
    }

    pub(super) fn symlink(&mut self, caller: Caller, text: u64, at: Given) -> Answer {
        let address = text;
        let Some(text) = caller::text(caller.thread, address) else {
            return self.unreadable(caller, address);
        };
        let named = match self.named_of(caller, EventKind::Symlink, at) {
            Ok(named) => named,
            Err(answer) => return answer,
        };
        let event = Event {
            path: Some(named.path.clone()),
            target: Some(BytePath::new(text.clone())),
            ..Event::new(EventKind::Symlink, caller.index)
        };
        self.seen.forget();
        let act = || rustix::fs::symlinkat(text.as_slice(), &named.folder, named.name.as_slice());
        self.done(caller, event, act, |_| {})
    }

    pub(super) fn truncate(&mut self, caller: Caller, path: u64, length: u64) -> Answer {
        let place = match self.place_of(caller, (libc::AT_FDCWD as u64, path)) {
            Ok(place) => place,
            Err(answer) => return answer,
        };
        let (name, real, stat) = match self.identity(caller, &place.path, true) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        if caller::is_pseudo_path(&real, &name) {
            return Answer::Result(libc::EINVAL); // Files of the kernel have no length.
        }
        let identity = (stat.st_dev, stat.st_ino);
        let event = Event { path: Some(real.clone()), ..Event::new(EventKind::Write, caller.index) };
        let act = || {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = rustix::fs::openat(CWD, descriptor_path(&name), flags, Mode::empty())?;
            rustix::fs::ftruncate(&file, length)
        };
        self.done(caller, event, act, |written| {
            written.add(&real, false);
            written.files.insert(identity);
        })
    }
}

/// Makes something under the caller's mask; the recorder's own comes back.
pub(super) fn under<T>(mask: Mode, make: impl FnOnce() -> T) -> T {
    let before = rustix::process::umask(mask);
    let made = make();
    rustix::process::umask(before);
    made
}

impl Written {
    fn add(&mut self, path: &BytePath, folder: bool) {
        if folder {
            self.folders.insert(path.clone());
        } else {
            self.paths.insert(path.clone());
        }
    }

    fn moved(&mut self, from: &BytePath, to: &BytePath, folder: bool) {
        for set in [&mut self.paths, &mut self.folders] {
            let below: Vec<BytePath> = set
                .range(from.clone()..)
                .take_while(|path| path.as_bytes().starts_with(from.as_bytes()))
                .filter(|path| path.is_below(from.as_bytes()))
                .cloned()
                .collect();
            for path in below {
                set.remove(&path);
                set.insert(BytePath::new(
                    [to.as_bytes(), &path.as_bytes()[from.as_bytes().len()..]].concat(),
                ));
            }
        }
        self.add(to, folder);
    }
}
