use std::fs;
use std::io::Read;
use std::path::Path;

use evidence::{BytePath, Digest, Timestamp};
use store::{
    ApprovalRow, DirectoryVault, Fact, FileRow, Heads, Index, MemoryHeads, MemoryVault, RecordRow,
    SqliteHeads, SqliteIndex, StoreError, StoreLock, TileDirectory, Vault,
};
use tlog::Tiles;

fn vault_contract(vault: &dyn Vault) {
    let digest = vault.put_bytes(b"content").unwrap();
    assert_eq!(digest, Digest::of(b"content"));
    assert_eq!(vault.put_bytes(b"content").unwrap(), digest, "putting twice is no error");
    assert_eq!(vault.read(&digest, 7).unwrap(), b"content");
    assert!(matches!(vault.read(&digest, 6), Err(StoreError::TooLarge { limit: 6, .. })));
    assert!(matches!(vault.read(&Digest::of(b"other"), 9), Err(StoreError::NoObject(_))));
    let mut bytes = Vec::new();
    vault.open(&digest).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"content");
    assert_eq!(vault.list().unwrap(), [digest]);
}

#[test]
fn both_vaults_keep_the_contract() {
    vault_contract(&MemoryVault::default());
    let folder = tempfile::tempdir().unwrap();
    vault_contract(&DirectoryVault::create(folder.path()).unwrap());
}

#[test]
fn changed_objects_are_never_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let vault = DirectoryVault::create(folder.path()).unwrap();
    let digest = vault.put_bytes(b"content").unwrap();
    let path = vault.path(&digest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"c0ntent").unwrap();
    assert!(matches!(vault.read(&digest, 100), Err(StoreError::Corrupt { .. })));
    assert!(vault.open(&digest).unwrap().read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_put_that_never_ended_leaves_nothing_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let vault = DirectoryVault::create(folder.path()).unwrap();
    fs::write(folder.path().join("tmp/put-abandoned"), b"half").unwrap();
    assert_eq!(vault.list().unwrap(), []);
    assert_eq!(vault.sweep().unwrap(), 1);
    assert_eq!(vault.sweep().unwrap(), 0);
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    assert!(vault.put(&mut b"some".chain(Failing)).is_err());
    assert_eq!(vault.list().unwrap(), []);
    assert_eq!(vault.sweep().unwrap(), 0, "a failed put cleans up after itself");
}

#[test]
fn a_missing_vault_is_not_made_up() {
    assert!(matches!(DirectoryVault::open_at(Path::new("/nonexistent")), Err(StoreError::Missing(_))));
}

fn heads_contract(heads: &dyn Heads) {
    assert_eq!(heads.load("a").unwrap(), None);
    heads.replace("a", None, b"1").unwrap();
    assert!(matches!(heads.replace("a", None, b"2"), Err(StoreError::Conflict(_))));
    assert!(matches!(heads.replace("a", Some(b"0"), b"2"), Err(StoreError::Conflict(_))));
    heads.replace("a", Some(b"1"), b"2").unwrap();
    assert_eq!(heads.load("a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(heads.load("b").unwrap(), None);
}

#[test]
fn heads_change_only_from_what_the_writer_saw() {
    heads_contract(&MemoryHeads::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads.db");
    heads_contract(&SqliteHeads::create(&path).unwrap());
    assert_eq!(SqliteHeads::open(&path).unwrap().load("a").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(SqliteHeads::open(&folder.path().join("absent.db")).is_err());
    fs::write(folder.path().join("bad.db"), [7; 5000]).unwrap();
    assert!(SqliteHeads::open(&folder.path().join("bad.db")).and_then(|heads| heads.load("a")).is_err());
}

#[test]
fn one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let first = StoreLock::acquire(&path).unwrap();
    let (sent, received) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let lock = StoreLock::acquire(&path).unwrap();
        sent.send(()).unwrap();
        drop(lock);
    });
    assert!(received.recv_timeout(std::time::Duration::from_millis(50)).is_err());
    drop(first);
    second.join().unwrap();
}

#[test]
fn tiles_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = TileDirectory::open(folder.path()).unwrap();
    assert_eq!(tiles.read("tile/0/000").unwrap(), None);
    tiles.write("tile/0/000", b"hashes").unwrap();
    assert_eq!(tiles.read("tile/0/000").unwrap().as_deref(), Some(&b"hashes"[..]));
}

fn facts() -> Vec<Fact> {
    let at = Timestamp::from_unix(1_000);
    let digest = Digest::of(b"record");
    vec![
        Fact::Entry {
            log_index: 0,
            kind: "record".into(),
            statement: digest,
            time: at,
            subjects: vec![Digest::of(b"out")],
        },
        Fact::Record(RecordRow {
            number: 1,
            digest,
            log_index: 0,
            product: "demo".into(),
            release: "1".into(),
            outcome: "exit 0".into(),
            complete: true,
            started: at,
            finished: at,
        }),
        Fact::File(FileRow {
            record: 1,
            path: BytePath::new(b"/\xff".to_vec()),
            role: "source".into(),
            digest: Digest::of(b"in"),
        }),
        Fact::Output { record: 1, path: BytePath::from("out"), digest: Digest::of(b"out") },
        Fact::Signature { artifact: Digest::of(b"out"), log_index: 0, record: 1, product: "demo".into() },
        Fact::Approval(ApprovalRow { finding: "f-1".into(), expires: at, log_index: 0 }),
        Fact::Named { log_index: 0, name: "product:demo".into() },
    ]
}

#[test]
fn the_index_answers_and_is_rebuilt_at_will() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let index = SqliteIndex::open(&path).unwrap();
    assert_eq!(index.position().unwrap(), 0);
    for _ in 0..2 {
        index.apply(&facts()).unwrap();
        index.apply(&facts()).unwrap();
        assert_eq!(index.position().unwrap(), 1);
        assert_eq!(index.records().unwrap().len(), 1);
        assert_eq!(index.latest().unwrap().unwrap().number, 1);
        assert_eq!(index.records_with_output(&Digest::of(b"out")).unwrap().len(), 1);
        assert_eq!(index.sightings(&Digest::of(b"in")).unwrap()[0].path.as_bytes(), b"/\xff");
        assert_eq!(index.signed_records("demo").unwrap(), [1]);
        assert_eq!(index.approvals().unwrap().len(), 1);
        assert_eq!(index.entries_about(&Digest::of(b"out")).unwrap().len(), 1);
        index.clear().unwrap();
        assert_eq!(index.position().unwrap(), 0);
        assert!(index.records().unwrap().is_empty());
    }
    drop(index);
    fs::write(&path, [1; 4096]).unwrap();
    let error = SqliteIndex::open(&path).and_then(|index| index.position()).err().unwrap();
    assert!(error.is_rebuildable(), "{error}");
}
