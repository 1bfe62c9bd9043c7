//! The index: what people search for, derived from log and vault, thrown away and rebuilt at will.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use evidence::{BytePath, Digest, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::error::StoreError;

/// One derived fact.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// An entry of the log. Applying it moves the position behind it.
    Entry {
        /// Its index.
        log_index: u64,
        /// What its statement is.
        kind: String,
        /// Digest of the signed bytes.
        statement: Digest,
        /// The moment that it names.
        time: Timestamp,
        /// What it is about.
        subjects: Vec<Digest>,
    },
    /// A record.
    Record(RecordRow),
    /// A file that a record saw.
    File(FileRow),
    /// An output of a record.
    Output {
        /// The record's number.
        record: u64,
        /// Its path.
        path: BytePath,
        /// Its digest.
        digest: Digest,
    },
    /// A release signature.
    Signature {
        /// The artifact.
        artifact: Digest,
        /// Index of the statement.
        log_index: u64,
        /// The record that it comes from.
        record: u64,
        /// The product.
        product: String,
    },
    /// An approval.
    Approval(ApprovalRow),
    /// A name by which an entry of the log is looked for: `key:…`, `identity:…`, `product:…`.
    Named {
        /// The entry.
        log_index: u64,
        /// The name.
        name: String,
    },
}

/// A record, as listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordRow {
    /// Its number.
    pub number: u64,
    /// Digest of the document.
    pub digest: Digest,
    /// Index of its statement in the log.
    pub log_index: u64,
    /// The product.
    pub product: String,
    /// The release.
    pub release: String,
    /// How it ended, in words.
    pub outcome: String,
    /// Whether it may lead to a signature.
    pub complete: bool,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// A file that a record saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRow {
    /// The record's number.
    pub record: u64,
    /// Its path.
    pub path: BytePath,
    /// The part it played.
    pub role: String,
    /// Its digest.
    pub digest: Digest,
}

/// An approval, as listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalRow {
    /// The finding.
    pub finding: String,
    /// From when on it no longer holds.
    pub expires: Timestamp,
    /// Index of the statement in the log.
    pub log_index: u64,
}

/// A release signature, as listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureRow {
    /// The record that it comes from.
    pub record: u64,
    /// The product.
    pub product: String,
    /// The artifact.
    pub artifact: Digest,
    /// Index of the statement in the log.
    pub log_index: u64,
    /// When it was signed, as the statement says.
    pub signed: Timestamp,
}

/// An entry of the log, as listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRow {
    /// Its index.
    pub log_index: u64,
    /// What its statement is.
    pub kind: String,
    /// Digest of the signed bytes.
    pub statement: Digest,
}

/// What can be asked of an index.
pub trait Index {
    /// Applies the facts of one entry, all or none.
    fn apply(&self, facts: &[Fact]) -> Result<(), StoreError>;
    /// Forgets everything.
    fn clear(&self) -> Result<(), StoreError>;
    /// Returns the index of the first log entry that has not been applied.
    fn position(&self) -> Result<u64, StoreError>;
    /// Lists all records, oldest first.
    fn records(&self) -> Result<Vec<RecordRow>, StoreError>;
    /// Lists the records that have an output with this digest, oldest first.
    fn records_with_output(&self, digest: &Digest) -> Result<Vec<RecordRow>, StoreError>;
    /// Lists where records saw these bytes.
    fn sightings(&self, digest: &Digest) -> Result<Vec<FileRow>, StoreError>;
    /// Lists the numbers of the records of a product of which an output was signed.
    fn signed_records(&self, product: &str) -> Result<Vec<u64>, StoreError>;
    /// Lists all release signatures, oldest first.
    fn signatures(&self) -> Result<Vec<SignatureRow>, StoreError>;
    /// Lists all approvals.
    fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError>;
    /// Lists the entries of one kind, oldest first.
    fn entries_of(&self, kind: &str) -> Result<Vec<EntryRow>, StoreError>;
    /// Lists the entries about these bytes.
    fn entries_about(&self, digest: &Digest) -> Result<Vec<EntryRow>, StoreError>;

    /// Returns one record.
    fn record(&self, number: u64) -> Result<Option<RecordRow>, StoreError> {
        Ok(self.records()?.into_iter().find(|row| row.number == number))
    }

    /// Lists the entries of a name, in order; at most `count` from an entry on.
    fn entries_named(&self, name: &str, from: u64, count: u32) -> Result<Vec<EntryRow>, StoreError>;

    /// Returns the newest record.
    fn latest(&self) -> Result<Option<RecordRow>, StoreError> {
        Ok(self.records()?.pop())
    }
}

/// Changes whenever the tables do; an index of another version is rebuilt.
const VERSION: i64 = 2;

const TABLES: &str = "
    CREATE TABLE entry (log_index INTEGER PRIMARY KEY, kind TEXT NOT NULL, statement TEXT NOT NULL, time INTEGER NOT NULL) STRICT;
    CREATE TABLE subject (digest TEXT NOT NULL, log_index INTEGER NOT NULL, PRIMARY KEY (digest, log_index)) STRICT, WITHOUT ROWID;
    CREATE TABLE record (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, log_index INTEGER NOT NULL, product TEXT NOT NULL,
        release TEXT NOT NULL, outcome TEXT NOT NULL, complete INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL) STRICT;
    CREATE TABLE file (digest TEXT NOT NULL, record INTEGER NOT NULL, path BLOB NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (digest, record, path, role)) STRICT, WITHOUT ROWID;
    CREATE TABLE output (digest TEXT NOT NULL, record INTEGER NOT NULL, path BLOB NOT NULL,
        PRIMARY KEY (digest, record, path)) STRICT, WITHOUT ROWID;
    CREATE TABLE signature (artifact TEXT NOT NULL, log_index INTEGER NOT NULL, record INTEGER NOT NULL, product TEXT NOT NULL,
        PRIMARY KEY (artifact, log_index)) STRICT, WITHOUT ROWID;
    CREATE TABLE approval (finding TEXT NOT NULL, expires INTEGER NOT NULL, log_index INTEGER NOT NULL,
        PRIMARY KEY (finding, log_index)) STRICT, WITHOUT ROWID;
    CREATE TABLE named (name TEXT NOT NULL, log_index INTEGER NOT NULL, PRIMARY KEY (name, log_index)) STRICT, WITHOUT ROWID;
";

const FORGET: &str =
    "DELETE FROM entry; DELETE FROM subject; DELETE FROM record; DELETE FROM file; DELETE FROM output;
    DELETE FROM signature; DELETE FROM approval; DELETE FROM named;";

/// An index in a SQLite file.
pub struct SqliteIndex {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl SqliteIndex {
    /// Opens an index, or makes an empty one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = StoreError::database(path);
        let connection = Connection::open(path).map_err(&fail)?;
        // Derived data: speed before durability, it is rebuilt if it is lost.
        connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 10000").map_err(&fail)?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&fail)?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(&fail)?;
        if found == 0 && tables == 0 {
            let make = format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT");
            connection.execute_batch(&make).map_err(&fail)?;
        } else if found != VERSION {
            return Err(StoreError::IndexVersion { path: path.to_path_buf(), found, wanted: VERSION });
        }
        Ok(Self { path: path.to_path_buf(), connection: Mutex::new(connection) })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        run(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner))
            .map_err(StoreError::database(&self.path))
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row) -> rusqlite::Result<Option<T>>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(parameters, |row| read(row))?;
            rows.collect::<rusqlite::Result<Vec<Option<T>>>>()
        })?;
        rows.into_iter()
            .collect::<Option<Vec<T>>>()
            .ok_or_else(|| StoreError::Value { path: self.path.clone() })
    }
}

const RECORD: &str =
    "SELECT number, digest, log_index, product, release, outcome, complete, started, finished FROM record";

impl Index for SqliteIndex {
    fn apply(&self, facts: &[Fact]) -> Result<(), StoreError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            facts.iter().try_for_each(|fact| insert(&transaction, fact))?;
            transaction.commit()
        })
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.with(|connection| connection.execute_batch(&format!("BEGIN IMMEDIATE; {FORGET} COMMIT")))
    }

    fn position(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(log_index) + 1, 0) FROM entry";
        self.with(|connection| connection.query_row(sql, [], |row| row.get(0)))
    }

    fn records(&self) -> Result<Vec<RecordRow>, StoreError> {
        self.rows(&format!("{RECORD} ORDER BY number"), [], record_row)
    }

    fn records_with_output(&self, digest: &Digest) -> Result<Vec<RecordRow>, StoreError> {
        let sql =
            format!("{RECORD} WHERE number IN (SELECT record FROM output WHERE digest = ?1) ORDER BY number");
        self.rows(&sql, [digest.hex()], record_row)
    }

    fn sightings(&self, digest: &Digest) -> Result<Vec<FileRow>, StoreError> {
        let sql = "SELECT record, path, role, digest FROM file WHERE digest = ?1 ORDER BY record, path";
        self.rows(sql, [digest.hex()], |row| {
            let Some(digest) = digest_of(row, 3)? else { return Ok(None) };
            let path: Vec<u8> = row.get(1)?;
            Ok(Some(FileRow { record: row.get(0)?, path: BytePath::new(path), role: row.get(2)?, digest }))
        })
    }

    fn signed_records(&self, product: &str) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT DISTINCT record FROM signature WHERE product = ?1 ORDER BY record";
        self.rows(sql, [product], |row| row.get(0).map(Some))
    }

    fn signatures(&self) -> Result<Vec<SignatureRow>, StoreError> {
        let sql = "SELECT record, product, artifact, log_index, time FROM signature JOIN entry USING (log_index) \
                   ORDER BY log_index";
        self.rows(sql, [], |row| {
            let Some(artifact) = digest_of(row, 2)? else { return Ok(None) };
            Ok(Some(SignatureRow {
                record: row.get(0)?,
                product: row.get(1)?,
                artifact,
                log_index: row.get(3)?,
                signed: Timestamp::from_unix(row.get(4)?),
            }))
        })
    }

    fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        self.rows("SELECT finding, expires, log_index FROM approval ORDER BY log_index", [], |row| {
            let expires = Timestamp::from_unix(row.get(1)?);
            Ok(Some(ApprovalRow { finding: row.get(0)?, expires, log_index: row.get(2)? }))
        })
    }

    fn entries_about(&self, digest: &Digest) -> Result<Vec<EntryRow>, StoreError> {
        let sql = "SELECT log_index, kind, statement FROM entry JOIN subject USING (log_index) \
                   WHERE digest = ?1 ORDER BY log_index";
        self.rows(sql, [digest.hex()], entry_row)
    }

    fn entries_of(&self, kind: &str) -> Result<Vec<EntryRow>, StoreError> {
        let sql = "SELECT log_index, kind, statement FROM entry WHERE kind = ?1 ORDER BY log_index";
        self.rows(sql, [kind], entry_row)
    }

    fn entries_named(&self, name: &str, from: u64, count: u32) -> Result<Vec<EntryRow>, StoreError> {
        let sql = "SELECT log_index, kind, statement FROM entry JOIN named USING (log_index) \
                   WHERE name = ?1 AND log_index >= ?2 ORDER BY log_index LIMIT ?3";
        self.rows(sql, params![name, from, count], entry_row)
    }
}

fn insert(connection: &Connection, fact: &Fact) -> rusqlite::Result<()> {
    let run = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(parameters).map(drop)
    };
    match fact {
        Fact::Entry { log_index, kind, statement, time, subjects } => {
            let sql = "INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4)";
            run(sql, params![log_index, kind, statement.hex(), time.unix()])?;
            let sql = "INSERT OR IGNORE INTO subject VALUES (?1, ?2)";
            subjects.iter().try_for_each(|subject| run(sql, params![subject.hex(), log_index]))
        }
        Fact::Record(row) => run(
            "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                row.number,
                row.digest.hex(),
                row.log_index,
                row.product,
                row.release,
                row.outcome,
                row.complete,
                row.started.unix(),
                row.finished.unix()
            ],
        ),
        Fact::File(row) => {
            let sql = "INSERT OR IGNORE INTO file VALUES (?1, ?2, ?3, ?4)";
            run(sql, params![row.digest.hex(), row.record, row.path.as_bytes(), row.role])
        }
        Fact::Output { record, path, digest } => {
            let sql = "INSERT OR IGNORE INTO output VALUES (?1, ?2, ?3)";
            run(sql, params![digest.hex(), record, path.as_bytes()])
        }
        Fact::Signature { artifact, log_index, record, product } => {
            let sql = "INSERT OR IGNORE INTO signature VALUES (?1, ?2, ?3, ?4)";
            run(sql, params![artifact.hex(), log_index, record, product])
        }
        Fact::Approval(row) => {
            let sql = "INSERT OR IGNORE INTO approval VALUES (?1, ?2, ?3)";
            run(sql, params![row.finding, row.expires.unix(), row.log_index])
        }
        Fact::Named { log_index, name } => {
            run("INSERT OR IGNORE INTO named VALUES (?1, ?2)", params![name, log_index])
        }
    }
}

fn record_row(row: &Row) -> rusqlite::Result<Option<RecordRow>> {
    let Some(digest) = digest_of(row, 1)? else { return Ok(None) };
    Ok(Some(RecordRow {
        number: row.get(0)?,
        digest,
        log_index: row.get(2)?,
        product: row.get(3)?,
        release: row.get(4)?,
        outcome: row.get(5)?,
        complete: row.get(6)?,
        started: Timestamp::from_unix(row.get(7)?),
        finished: Timestamp::from_unix(row.get(8)?),
    }))
}

fn entry_row(row: &Row) -> rusqlite::Result<Option<EntryRow>> {
    let Some(statement) = digest_of(row, 2)? else { return Ok(None) };
    Ok(Some(EntryRow { log_index: row.get(0)?, kind: row.get(1)?, statement }))
}

fn digest_of(row: &Row, column: usize) -> rusqlite::Result<Option<Digest>> {
    let hex: String = row.get(column)?;
    Ok(Digest::from_hex(&hex).ok())
}
