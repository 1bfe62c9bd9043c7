//! File systems and swap areas that are not on an encrypted device (`proc_pid_mountinfo(5)`, the device mapper's `uuid`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use evidence::posture::Fact;

use super::{Found, NOT_LIVE, fact, list};
use crate::inventory::Root;

/// File systems on block devices that keep data.
const ON_DEVICES: &[&str] =
    &["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat", "ntfs3"];
/// File systems that encrypt by themselves, or not, and do not say so here.
const UNSURE: &[&str] = &["zfs", "bcachefs"];
/// Places that the boot loader reads before anything can be opened.
const BEFORE_KEYS: &[&str] = &["/boot", "/boot/efi", "/efi"];
/// How deep devices lie on devices.
const DEPTH_MAX: usize = 16;

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    let read = ["/proc/self/mountinfo", "/proc/swaps", "/sys/dev/block"];
    vec![fact("unencrypted-mounts", unencrypted(root), &read)]
}

fn unencrypted(root: &Root) -> Found {
    if !root.is_live() {
        return Err(NOT_LIVE.to_owned());
    }
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut looked_at = 0;
    for mount in read("/proc/self/mountinfo")?.lines().filter_map(Mount::parse) {
        if UNSURE.contains(&mount.kind) {
            return Err(format!("{} is {}: whether it is encrypted is not told", mount.at, mount.kind));
        }
        if mount.at == "/" && mount.kind == "overlay" {
            return Err("the root file system is a container's: the disk is its host's".to_owned());
        }
        if !ON_DEVICES.contains(&mount.kind) || BEFORE_KEYS.contains(&mount.at.as_str()) {
            continue;
        }
        looked_at += 1;
        let device = if mount.device.starts_with("0:") {
            // Btrfs shows a number of its own; its device has the real one.
            device_of(&mount.source).ok_or_else(|| format!("{}: its device is not known", mount.at))?
        } else {
            mount.device.to_owned()
        };
        if seen.insert(device.clone()) && !is_encrypted(&device, DEPTH_MAX)? {
            found.push(mount.at);
        }
    }
    for line in read("/proc/swaps")?.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(path), Some(kind)) = (words.next(), words.next()) else { continue };
        // A file lies on a file system above; compressed memory is no disk.
        if kind != "partition" || path.starts_with("/dev/zram") {
            continue;
        }
        let device = device_of(path).ok_or_else(|| format!("{path}: its device is not known"))?;
        if !is_encrypted(&device, DEPTH_MAX)? {
            found.push(format!("swap {path}"));
        }
    }
    if looked_at == 0 {
        return Err("no file system on a disk is mounted".to_owned());
    }
    Ok(list(found))
}

struct Mount<'a> {
    device: &'a str,
    at: String,
    kind: &'a str,
    source: String,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let mut after = after.split(' ');
        let (kind, source) = (after.next()?, after.next()?);
        Some(Self { device: before.get(2)?, at: unescape(before.get(4)?), kind, source: unescape(source) })
    }
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    ["040", "011", "012", "134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, character)| text.replace(&format!("\\{code}"), character))
}

fn device_of(path: &str) -> Option<String> {
    let number = fs::metadata(path).ok()?.rdev();
    (number != 0).then(|| format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
}

/// A device is encrypted if it is a mapping of dm-crypt, or all devices that it lies on are.
fn is_encrypted(device: &str, depth: usize) -> Result<bool, String> {
    let place = Path::new("/sys/dev/block").join(device);
    if depth == 0 || !place.exists() {
        return Err(format!("the device {device} cannot be looked at"));
    }
    if fs::read_to_string(place.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return Ok(true);
    }
    let below = fs::read_dir(place.join("slaves")).into_iter().flatten().flatten();
    let mut count = 0;
    for entry in below {
        let number = fs::read_to_string(entry.path().join("dev"))
            .map_err(|error| format!("{}: {error}", entry.path().display()))?;
        count += 1;
        if !is_encrypted(number.trim(), depth - 1)? {
            return Ok(false);
        }
    }
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let line = "36 35 98:0 / /mnt/my\\040disk rw,noatime master:1 - ext4 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(
            (mount.device, mount.at.as_str(), mount.kind, mount.source.as_str()),
            ("98:0", "/mnt/my disk", "ext4", "/dev/root")
        );
        assert!(Mount::parse("36 35 98:0 / /mnt rw").is_none());
    }
}
