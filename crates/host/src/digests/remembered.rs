//! Digests that outlive a build, so that an unchanged toolchain is not hashed twice.
//!
//! A digest is remembered under everything that the kernel says of the file: device, inode, size, and the times of
//! the last change of content and status, of which the latter cannot be set. One write moves no such time: a store
//! through a shared mapping that was dirty already. So a digest is remembered only where no such mapping could be:
//!
//! - the kernel granted a read lease when it was hashed (`fcntl(2)`, `F_SETLEASE`): nobody had it open for writing or
//!   mapped so; or the file belongs to root, only root may write it, and we are not root;
//! - it lies on a file system of a disk that stamps the first store through a new mapping (not on tmpfs, which does
//!   not, nor on one of another machine);
//! - the machine has not been started anew since: devices may have other numbers then.
//!
//! Whoever keeps the file must see to it that nobody else writes it: `engine` seals it with a key.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use evidence::Digest;
use rustix::fs::Stat;

use super::{FORMATS, Stamp};
use crate::sys;

/// File systems whose times can be relied upon (`statfs(2)`): ext2 to ext4, XFS, Btrfs, F2FS, overlay over these.
const DISKS: &[i64] = &[0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x794C_7630];
/// A toolchain has some ten thousand files; more are forgotten.
const DIGESTS_MAX: usize = 200_000;
const FIRST_LINE: &str = "urn:countersign:digests:v1";

/// Digests by what the kernel says of the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remembered(BTreeMap<Stamp, (Digest, Option<&'static str>)>);

/// Why a written set of digests is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotRemembered {
    /// It is from before the machine was last started.
    #[error("the machine was started anew")]
    OtherBoot,
    /// It does not have its form.
    #[error("malformed")]
    Malformed,
}

impl Remembered {
    pub(super) fn get(&self, stamp: &Stamp) -> Option<(Digest, Option<&'static str>)> {
        self.0.get(stamp).copied()
    }

    pub(super) fn insert(&mut self, stamp: Stamp, digest: Digest, format: Option<&'static str>) {
        if self.0.len() < DIGESTS_MAX {
            self.0.insert(stamp, (digest, format));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what another build has learned; what is newer replaces what is older.
    pub fn merge(&mut self, newer: Self) {
        for (stamp, (digest, format)) in newer.0 {
            // Of a file that has changed the old stamp is of no more use.
            let from = Stamp { size: 0, modified: (i64::MIN, 0), changed: (i64::MIN, 0), ..stamp };
            let old: Vec<Stamp> = self
                .0
                .range(from..)
                .map(|(old, _)| *old)
                .take_while(|old| old.file() == stamp.file())
                .collect();
            for old in old {
                self.0.remove(&old);
            }
            self.insert(stamp, digest, format);
        }
    }

    /// Writes them as text: a first line, the boot, then one line for each file.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\n{}\n", boot());
        for (stamp, (digest, format)) in &self.0 {
            let Stamp { device, inode, size, modified, changed } = stamp;
            text += &format!(
                "{device} {inode} {size} {} {} {} {} {digest} {}\n",
                modified.0,
                modified.1,
                changed.0,
                changed.1,
                format.unwrap_or("-")
            );
        }
        text.into_bytes()
    }

    /// Reads what [`encode`](Self::encode) has written since the machine was started.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotRemembered> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotRemembered::Malformed)?;
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(NotRemembered::Malformed);
        }
        if lines.next().is_none_or(|written| written.is_empty() || written != boot()) {
            return Err(NotRemembered::OtherBoot);
        }
        let mut remembered = Self::default();
        for line in lines.take(DIGESTS_MAX) {
            let (stamp, digest, format) = entry(line).ok_or(NotRemembered::Malformed)?;
            remembered.0.insert(stamp, (digest, format));
        }
        Ok(remembered)
    }
}

fn entry(line: &str) -> Option<(Stamp, Digest, Option<&'static str>)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<i128>().ok();
    let mut natural = || number().and_then(|number| u64::try_from(number).ok());
    let (device, inode, size) = (natural()?, natural()?, natural()?);
    let mut time = || Some((i64::try_from(number()?).ok()?, i64::try_from(number()?).ok()?));
    let (modified, changed) = (time()?, time()?);
    let digest = words.next()?.parse().ok()?;
    let format = match words.next()? {
        "-" => None,
        word => Some(*FORMATS.iter().find(|format| **format == word)?),
    };
    words.next().is_none().then_some((Stamp { device, inode, size, modified, changed }, digest, format))
}

/// Names the time since the machine was started; an empty name, which matches nothing, if it is not told.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().into())
}

/// Tells whether no write to a file that has just been hashed can have gone unseen.
pub(super) fn may_be_remembered(file: BorrowedFd<'_>, stat: &Stat) -> bool {
    if !rustix::fs::fstatfs(file).is_ok_and(|facts| DISKS.contains(&facts.f_type)) {
        return false;
    }
    match sys::try_read_lease(file) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            let others_may_write = stat.st_mode & 0o022 != 0;
            stat.st_uid == 0 && !others_may_write && rustix::process::geteuid().as_raw() != 0
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::super::Digests;
    use super::*;

    fn content(digests: &mut Digests, path: &std::path::Path) -> super::super::Content {
        let file = fs::File::open(path).unwrap();
        digests.content(&file, &rustix::fs::fstat(&file).unwrap()).unwrap()
    }

    /// A file on a disk that is old enough to be vouched for.
    fn settled() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("tool");
        fs::write(&path, b"\x7fELF tool").unwrap();
        std::thread::sleep(Duration::from_millis(60));
        (folder, path)
    }

    #[test]
    fn what_is_learned_is_written_and_read_again() {
        let (_folder, path) = settled();
        let mut digests = Digests::default();
        let first = content(&mut digests, &path);
        let learned = digests.learned();
        assert_eq!(learned.len(), 1);
        let written = learned.encode();
        assert_eq!(Remembered::decode(&written).unwrap(), learned);
        let mut later = Digests::with(learned);
        assert_eq!(content(&mut later, &path), first);
        assert_eq!(later.learned().len(), 1, "what was of use is kept");
        for cut in 0..written.len() {
            // Never a panic; a cut between lines is a shorter set.
            if let Ok(some) = Remembered::decode(&written[..cut]) {
                assert!(some.len() <= 1);
            }
        }
        let elsewhere = String::from_utf8(written).unwrap().replacen(&boot(), "another", 1);
        assert_eq!(Remembered::decode(elsewhere.as_bytes()), Err(NotRemembered::OtherBoot));
    }

    #[test]
    fn a_changed_file_is_hashed_anew_whatever_its_times() {
        let (_folder, path) = settled();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut digests = Digests::default();
        let first = content(&mut digests, &path);
        let learned = digests.learned();
        fs::write(&path, b"\x7fELF evil").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        let second = content(&mut Digests::with(learned.clone()), &path);
        assert_ne!(second.digest, first.digest);
        std::thread::sleep(Duration::from_millis(60));
        let mut newer = Digests::default();
        content(&mut newer, &path);
        let mut all = learned;
        all.merge(newer.learned());
        assert_eq!(all.len(), 1, "one digest for one file");
    }

    #[test]
    fn a_file_that_somebody_may_write_unseen_is_not_remembered() {
        let (_folder, path) = settled();
        let writer = fs::File::options().append(true).open(&path).unwrap();
        let mut digests = Digests::default();
        content(&mut digests, &path);
        assert!(digests.learned().is_empty(), "open for writing: a mapping may be dirty");
        drop(writer);
        let file = fs::File::open(&path).unwrap();
        assert!(may_be_remembered(file.as_fd(), &rustix::fs::fstat(&file).unwrap()));
    }
}
