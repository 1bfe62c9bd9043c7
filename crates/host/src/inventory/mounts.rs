//! File systems that are not entered: those of the kernel, which hold no files that anybody stored, and those of other machines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Types of file systems that the kernel makes up.
const OF_KERNEL: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Types of file systems that lie on other machines.
const OF_NETWORK: &[&str] = &[
    "9p",
    "afs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.sshfs",
    "fuse.rclone",
    "gluster",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
];

/// Tells whether a type of file system holds files that somebody has stored: one that is not entered hides them.
pub fn holds_files(kind: &str) -> bool {
    !OF_KERNEL.contains(&kind)
}

/// Returns the mount points that are not entered, with the reason.
pub(super) fn closed() -> BTreeMap<PathBuf, String> {
    // Without the list every folder is entered: then nothing is left out unsaid.
    let list = fs::read("/proc/self/mountinfo").unwrap_or_default();
    of_list(&list)
}

/// Reads `proc_pid_mountinfo(5)`: the mount point is the fifth field, the type the first behind the lone hyphen.
fn of_list(list: &[u8]) -> BTreeMap<PathBuf, String> {
    let mut closed = BTreeMap::new();
    for line in list.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let Some(hyphen) = fields.iter().position(|field| *field == b"-") else { continue };
        let (Some(point), Some(kind)) = (fields.get(4), fields.get(hyphen + 1)) else { continue };
        let kind = String::from_utf8_lossy(kind).into_owned();
        if OF_KERNEL.contains(&kind.as_str()) || OF_NETWORK.contains(&kind.as_str()) {
            closed.insert(PathBuf::from(OsString::from_vec(unescaped(point))), kind);
        } else if Path::new("/dev") == Path::new(&*String::from_utf8_lossy(point)) {
            closed.insert(PathBuf::from("/dev"), kind);
        }
    }
    closed
}

/// Blanks and backslashes of a mount point are written in octal.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(field.len()), 0);
    while let Some(byte) = field.get(at) {
        let digits = (*byte == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_and_other_machines_are_left_out() {
        let list = b"21 1 0:20 / / rw - ext4 /dev/vda rw\n22 21 0:21 / /proc rw,nosuid shared:1 - proc proc rw\n23 21 0:22 / /mnt/a\\040b rw - nfs4 host:/x rw\n24 21 0:23 / /tmp rw - tmpfs tmpfs rw\ngarbage\n";
        let closed = of_list(list);
        let points: Vec<_> = closed.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(points, ["/mnt/a b", "/proc"]);
    }
}
