//! A caller's memory and paths, seen from outside.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use evidence::BytePath;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::processes::Reach;
use crate::sys;

/// The kernel's limit for a path, with its terminating zero.
pub(super) const PATH_MAX: usize = 4096;

/// File systems whose files are questions to the kernel, not content (`statfs(2)`).
const PSEUDO: &[i64] = &[
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x1cd1,      // devpts
    0x6367_7270, // cgroup2
    0x0027_e0eb, // cgroup
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x4249_4e4d, // binfmt_misc
    0x6265_6570, // configfs
    0x6573_5543, // fusectl
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x1980_0202, // mqueue
    0xf97c_ff8c, // selinux
    0x4341_5d53, // smack
    0x0765_5821, // resctrl
    0x6e73_6673, // namespaces
];

/// Reads a string of the caller; `None` if it is not readable or too long.
pub(super) fn text(thread: i32, address: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 512];
    while bytes.len() < PATH_MAX {
        let read = sys::read_memory(thread, address.checked_add(bytes.len() as u64)?, &mut piece).ok()?;
        let read = &piece[..read];
        if let Some(end) = read.iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(&read[..end]);
            return (bytes.len() < PATH_MAX).then_some(bytes);
        }
        if read.is_empty() {
            return None;
        }
        bytes.extend_from_slice(read);
    }
    None
}

/// Reads a file in `/proc`, which does not say how long it is, with as few calls as may be.
pub(super) fn small_file(path: &str) -> Option<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::with_capacity(8 * 1024);
    while rustix::io::retry_on_intr(|| rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)))
        .ok()?
        > 0
    {
        bytes.reserve(1024);
    }
    Some(bytes)
}

/// Bytes as the operating system's text.
pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// Where a path of a caller begins, and the path as the supervisor can use it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What the supervisor passes to the kernel.
    pub(super) path: PathBuf,
    /// What the caller said, made absolute by words alone; for the record of failed attempts.
    pub(super) said: BytePath,
}

/// Translates a path that a caller gave relative to a folder descriptor. A caller in another root than ours means
/// its own by a leading slash.
pub(super) fn place(thread: i32, reach: Reach, folder: u64, path: &[u8]) -> Option<Place> {
    if path.first() == Some(&b'/') {
        let mut real = own_names(thread, path);
        if reach == Reach::OtherRoot && !real.starts_with(b"/proc/") {
            real = [format!("/proc/{thread}/root").as_bytes(), &real].concat();
        }
        return Some(Place { path: PathBuf::from(OsStr::from_bytes(&real)), said: path.into() });
    }
    let folder = folder as i32; // The kernel takes the low half, too.
    let base = match folder {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
        folder => format!("/proc/{thread}/fd/{folder}"),
    };
    let real = std::fs::read_link(&base).ok()?;
    if real == Path::new("/proc") || real == Path::new("/dev") {
        // Here as well are names by which a process means itself.
        let full = [real.as_os_str().as_bytes(), b"/", path].concat();
        return self::place(thread, reach, u64::MAX, &full);
    }
    let said = if path.is_empty() {
        real.as_os_str().as_bytes().to_vec()
    } else {
        [real.as_os_str().as_bytes(), b"/", path].concat()
    };
    let path =
        if path.is_empty() { PathBuf::from(base) } else { Path::new(&base).join(OsStr::from_bytes(path)) };
    Some(Place { path, said: BytePath::new(said) })
}

/// Rewrites the names by which a process means itself.
fn own_names(thread: i32, path: &[u8]) -> Vec<u8> {
    let folders: [(&[u8], String); 8] = [
        (b"/proc/self", format!("/proc/{thread}")),
        (b"/proc/thread-self", format!("/proc/{thread}/task/{thread}")),
        (b"/dev/fd", format!("/proc/{thread}/fd")),
        (b"/dev/stdin", format!("/proc/{thread}/fd/0")),
        (b"/dev/stdout", format!("/proc/{thread}/fd/1")),
        (b"/dev/stderr", format!("/proc/{thread}/fd/2")),
        (b"/proc/net", format!("/proc/{thread}/net")),
        (b"/proc/mounts", format!("/proc/{thread}/mounts")),
    ];
    for (name, own) in folders {
        if let Some(rest) = path.strip_prefix(name)
            && rest.first().is_none_or(|byte| *byte == b'/')
        {
            return [own.as_bytes(), rest].concat();
        }
    }
    path.to_vec()
}

/// A link by which everybody means himself leads to our own process for us, and for the caller to his: returns what it
/// says. A link to our number is none.
pub(super) fn means_oneself(path: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read_link(path).ok()?;
    if path == Path::new("/etc/mtab") && text == Path::new("../proc/self/mounts") {
        return Some(b"/proc/self/mounts".to_vec());
    }
    let own = ["/proc/self", "/proc/thread-self", "/proc/mounts", "/proc/net"];
    own.iter().any(|own| text.starts_with(own)).then(|| text.into_os_string().into_encoded_bytes())
}

/// Tells whether a path begins in a tree that is mostly not content: then a closer look is needed.
pub(super) fn may_be_pseudo(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    [b"/proc".as_slice(), b"/sys", b"/dev"].iter().any(|tree| {
        bytes.strip_prefix(*tree).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    })
}

/// Tells whether an open file lives on a file system that has no content of its own.
pub(super) fn is_pseudo(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|facts| PSEUDO.contains(&facts.f_type))
}

/// Tells whether a real path lies on a file system without content; most paths need no question.
pub(super) fn is_pseudo_path(path: &BytePath, file: impl AsFd) -> bool {
    may_be_pseudo(Path::new(OsStr::from_bytes(path.as_bytes()))) && is_pseudo(file)
}

/// Returns the real path of an open file, without the kernel's mark for removed ones.
pub(super) fn real_path(file: impl AsFd) -> io::Result<BytePath> {
    use std::os::fd::AsRawFd;
    // The folder is held open, because to find it costs more than to read from it.
    static OWN: OnceLock<OwnedFd> = OnceLock::new();
    let own = match OWN.get() {
        Some(own) => own,
        None => {
            let folder = name_only(Path::new("/proc/self/fd"), true)?;
            OWN.get_or_init(|| folder)
        }
    };
    let number = file.as_fd().as_raw_fd();
    let mut bytes = rustix::fs::readlinkat(own, number.to_string(), Vec::new())?.into_bytes();
    if bytes.ends_with(REMOVED) && rustix::fs::fstat(file)?.st_nlink == 0 {
        bytes.truncate(bytes.len() - REMOVED.len());
    }
    Ok(BytePath::new(bytes))
}

/// What the kernel writes behind the path of a file that has none any more.
const REMOVED: &[u8] = b" (deleted)";

/// Opens only the name of a file: nothing is read and nobody waits.
pub(super) fn name_only(path: &Path, follow: bool) -> rustix::io::Result<OwnedFd> {
    let follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC | follow, Mode::empty())
}

/// Returns the identity of the program that a process runs.
pub(super) fn executable(process: i32) -> Option<(u64, u64)> {
    let stat = rustix::fs::statat(CWD, format!("/proc/{process}/exe"), AtFlags::empty()).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Tells whether this is a file with content.
pub(super) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// A name in a folder that is held open: what it means cannot change under us.
pub(super) struct Named {
    pub(super) folder: OwnedFd,
    pub(super) name: Vec<u8>,
    /// The real path of the folder, and the name.
    pub(super) path: BytePath,
}

/// Opens the folder of a path and separates the last name. Trailing slashes stay with the name: they mean something.
pub(super) fn named(path: &Path) -> Result<Named, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let folder = if start == 0 { Path::new(".") } else { Path::new(OsStr::from_bytes(&bytes[..start])) };
    let folder = name_only(folder, true)?;
    let real = real_path(&folder).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let mut full = real.into_bytes();
    if full.last() != Some(&b'/') {
        full.push(b'/');
    }
    full.extend_from_slice(&bytes[start..end]);
    Ok(Named { folder, name: bytes[start..].to_vec(), path: BytePath::new(full) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_s_names_for_itself_are_rewritten() {
        assert_eq!(own_names(7, b"/proc/self/exe"), b"/proc/7/exe");
        assert_eq!(own_names(7, b"/proc/thread-self/fd"), b"/proc/7/task/7/fd");
        assert_eq!(own_names(7, b"/dev/fd/3"), b"/proc/7/fd/3");
        assert_eq!(own_names(7, b"/dev/stdin"), b"/proc/7/fd/0");
        assert_eq!(own_names(7, b"/proc/net/tcp"), b"/proc/7/net/tcp");
        assert_eq!(own_names(7, b"/proc/selfish"), b"/proc/selfish");
        assert_eq!(own_names(7, b"/usr/lib"), b"/usr/lib");
    }

    #[test]
    fn only_whole_components_are_pseudo() {
        assert!(may_be_pseudo(Path::new("/proc/1/maps")));
        assert!(may_be_pseudo(Path::new("/dev/../etc/passwd")), "a closer look is taken");
        assert!(!may_be_pseudo(Path::new("/develop/a")));
    }

    #[test]
    fn a_string_is_read_across_pages_and_not_beyond() {
        let own = i32::try_from(std::process::id()).unwrap();
        let long = [vec![b'a'; 3000], vec![0]].concat();
        assert_eq!(text(own, long.as_ptr() as u64).unwrap().len(), 3000);
        let endless = vec![b'a'; 9000];
        assert_eq!(text(own, endless.as_ptr() as u64), None);
        assert_eq!(text(own, 8), None);
    }
}
