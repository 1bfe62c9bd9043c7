//! The ledger: signed statements, content in the vault, signatures in the log, found again through the index.
//!
//! Order of an append, and what a crash after each step leaves:
//! 1. the signed bytes go into the vault (an object that nothing names: harmless);
//! 2. the entries go into the log, whose head is replaced last (see `tlog`): from here on they are acknowledged;
//! 3. the index learns of them (one that is behind catches up when the store is next opened).

use attest::{Envelope, Inclusion, Leaf, PublicKey};
use evidence::statement::{
    Approval, ApproverStatement, AuditStatement, Intent, InventoryAccepted, KeyStatement, MachineReport,
    PolicyStatement, Predicate, Provenance, QuorumStatement, RebuildStatement, RecordStatement,
    ReleaseRequest, Revocation, SigningEvent, Statement, VerificationSummary,
};
use evidence::{Digest, Record, Timestamp};
use store::{ApprovalRow, Fact, FileRow, Heads, Index, RecordRow, StoreLock};
use tlog::{Ed25519Signer, Log};

use crate::error::{Error, Result};
use crate::world::{World, log_error, store_error};

/// Name of the head that holds the log's newest checkpoint.
pub(crate) const LOG_HEAD: &str = "log";

/// One entry of the log, for people and programs.
#[derive(Clone, PartialEq, Debug)]
pub struct LogRow {
    /// Its index.
    pub index: u64,
    /// What the statement is: `record`, `provenance`, `intent`, `release`, ….
    pub kind: String,
    /// Digest of the signed bytes.
    pub statement: Digest,
    /// Short name of the key.
    pub key: String,
    /// What the statement is about.
    pub subjects: Vec<(String, Digest)>,
    /// The moment that the statement names.
    pub time: Option<Timestamp>,
}

/// Returns the word for a predicate type.
pub(crate) fn kind_of(predicate_type: &str) -> &str {
    match predicate_type {
        RecordStatement::TYPE => "record",
        Provenance::TYPE => "provenance",
        Intent::TYPE => "intent",
        VerificationSummary::TYPE => "release",
        Approval::TYPE => "approval",
        ApproverStatement::TYPE => "approver",
        PolicyStatement::TYPE => "policy",
        KeyStatement::TYPE => "key",
        ReleaseRequest::TYPE => "release-request",
        AuditStatement::TYPE => "audit",
        Revocation::TYPE => "revocation",
        MachineReport::TYPE => "machine-report",
        InventoryAccepted::TYPE => "inventory-accepted",
        SigningEvent::TYPE => "signing-event",
        QuorumStatement::TYPE => "quorum",
        RebuildStatement::TYPE => "rebuild",
        other => other,
    }
}

impl World {
    /// Takes the lock that all writers of a store hold.
    pub(crate) fn lock(&self) -> Result<StoreLock> {
        StoreLock::acquire(&self.layout().lock()).map_err(store_error)
    }

    /// Opens the log.
    pub(crate) fn with_log<T>(
        &self,
        use_log: impl FnOnce(&mut Log) -> std::result::Result<T, tlog::LogError>,
    ) -> Result<T> {
        let key = tlog::VerifierKey::parse(&self.trust.log.verifier_key).map_err(log_error)?;
        let cell = self.heads.cell(LOG_HEAD);
        let mut log = Log::open(&self.tiles, &cell, &key).map_err(log_error)?;
        use_log(&mut log).map_err(log_error)
    }

    /// Appends signed statements; returns where they stand, each proven against the new checkpoint.
    pub(crate) fn append(&self, envelopes: &[Envelope], signer: &Ed25519Signer) -> Result<Vec<Inclusion>> {
        for envelope in envelopes {
            self.put(&envelope.signed_bytes())?;
        }
        let leaves: Vec<Vec<u8>> = envelopes.iter().map(|envelope| envelope.leaf().encode()).collect();
        let lock = self.lock()?;
        let inclusions = self.with_log(|log| {
            let appended = log.append(&leaves, signer)?;
            log.publish()?;
            (0..envelopes.len() as u64)
                .map(|offset| log.inclusion_proof(appended.first_index + offset))
                .collect::<std::result::Result<Vec<_>, _>>()
        })?;
        drop(lock);
        self.catch_up()?;
        Ok(inclusions.iter().map(Inclusion::from).collect())
    }

    /// Returns the place of an entry in the log as of now.
    pub(crate) fn inclusion(&self, index: u64) -> Result<Inclusion> {
        let proof = self.with_log(|log| log.inclusion_proof(index))?;
        Ok(Inclusion::from(&proof))
    }

    /// Reads an entry and its statement; the entry is proven against the checkpoint, the signature is not yet
    /// checked.
    pub(crate) fn envelope(&self, index: u64) -> Result<Envelope> {
        let leaf = self.leaf(index)?;
        let signed = self.read(&leaf.statement)?;
        Envelope::reunite(&leaf, &signed).map_err(log_error)
    }

    /// Reads an entry, proven against the checkpoint.
    pub(crate) fn leaf(&self, index: u64) -> Result<Leaf> {
        let bytes = self.with_log(|log| log.entry(index))?;
        Leaf::decode(&bytes).map_err(log_error)
    }

    /// Reads an entry as a statement of one kind, signed by one of the given keys.
    pub(crate) fn statement<P: Predicate>(
        &self,
        index: u64,
        keys: &[PublicKey],
    ) -> Result<(attest::Verified, P)> {
        let envelope = self.envelope(index)?;
        attest::verify::logged(&envelope, index, keys).map_err(log_error)
    }

    /// Lets the index learn of entries that it does not know.
    pub(crate) fn catch_up(&self) -> Result<()> {
        let mut position = self.index.position().map_err(store_error)?;
        let size = self.with_log(|log| Ok(log.size()))?;
        if position > size {
            // The log was rolled back, or this is another store's index.
            self.index.clear().map_err(store_error)?;
            position = 0;
        }
        for index in position..size {
            let facts = self.facts(index)?;
            self.index.apply(&facts).map_err(store_error)?;
        }
        Ok(())
    }

    /// Derives what the index keeps of one entry.
    fn facts(&self, log_index: u64) -> Result<Vec<Fact>> {
        let envelope = self.envelope(log_index)?;
        let statement = Statement::parse(&envelope.payload).map_err(log_error)?;
        let id = envelope.id();
        let subjects: Vec<Digest> = statement.subject.iter().filter_map(|subject| subject.sha256()).collect();
        let row = row(log_index, &envelope, &statement);
        let mut facts = vec![Fact::Entry {
            log_index,
            kind: row.kind,
            statement: id,
            time: row.time.unwrap_or(Timestamp::from_unix(0)),
            subjects: subjects.clone(),
        }];
        let named = |name: String| Fact::Named { log_index, name };
        facts.push(named(format!("key:{}", envelope.key().short())));
        let identity = envelope.credential.certificate().and_then(attest::Certificate::identity);
        facts.extend(identity.map(|identity| named(format!("identity:{identity}"))));
        let mut products = std::collections::BTreeSet::new();
        for subject in &subjects {
            products.extend(self.record_behind(subject)?.map(|record| record.product));
        }
        facts.extend(products.into_iter().map(|product| named(format!("product:{product}"))));
        if let Ok((_, about)) =
            attest::verify::logged::<RecordStatement>(&envelope, log_index, &self.builder_keys())
        {
            let digest = *subjects.first().ok_or_else(|| malformed("record statement", id))?;
            self.record_facts(log_index, digest, &about, &mut facts)?;
        } else if let Ok((_, _)) =
            attest::verify::logged::<VerificationSummary>(&envelope, log_index, &self.release_keys())
        {
            for artifact in subjects {
                let Some(record) = self.record_behind(&artifact)? else { continue };
                facts.push(Fact::Signature {
                    artifact,
                    log_index,
                    record: record.number,
                    product: record.product,
                });
            }
        } else if let Ok((_, approval)) =
            attest::verify::logged::<Approval>(&envelope, log_index, std::slice::from_ref(envelope.key()))
        {
            // Whose key it is, and whether that person's approvals count, is asked when it is used.
            facts.push(Fact::Approval(ApprovalRow {
                finding: approval.finding,
                expires: approval.expires,
                log_index,
            }));
        }
        Ok(facts)
    }

    /// The record that an artifact comes from; what a vendor's signer has signed comes from what it was before.
    fn record_behind(&self, artifact: &Digest) -> Result<Option<RecordRow>> {
        if let Some(record) = self.index.records_with_output(artifact).map_err(store_error)?.pop() {
            return Ok(Some(record));
        }
        for row in self.index.entries_about(artifact).map_err(store_error)? {
            let envelope = self.envelope(row.log_index)?;
            let event =
                attest::verify::logged::<SigningEvent>(&envelope, row.log_index, &self.release_keys());
            if let Ok((_, event)) = event {
                return Ok(self.index.records_with_output(&event.before).map_err(store_error)?.pop());
            }
        }
        Ok(None)
    }

    fn record_facts(
        &self,
        log_index: u64,
        digest: Digest,
        about: &RecordStatement,
        facts: &mut Vec<Fact>,
    ) -> Result<()> {
        let record: Record = self.document("record", &digest)?;
        facts.push(Fact::Named { log_index, name: format!("product:{}", record.product) });
        // Two processes may catch up at the same time (a build beside a watch): both must come to the same number.
        let rows = self.index.records().map_err(store_error)?;
        let known = rows.iter().find(|row| row.log_index == log_index).map(|row| row.number);
        let number = known.unwrap_or_else(|| rows.last().map_or(1, |row| row.number + 1));
        facts.push(Fact::Record(RecordRow {
            number,
            digest,
            log_index,
            product: record.product.clone(),
            release: record.release.clone(),
            outcome: outcome(&record),
            complete: about.attestable,
            started: record.started,
            finished: record.finished,
        }));
        for output in &record.outputs {
            facts.push(Fact::Output { record: number, path: output.path.clone(), digest: output.digest });
        }
        for file in &record.files {
            for digest in file.read.iter().chain(&file.left) {
                facts.push(Fact::File(FileRow {
                    record: number,
                    path: file.path.clone(),
                    role: file.role.word().to_owned(),
                    digest: *digest,
                }));
            }
        }
        Ok(())
    }
}

/// Describes how a recorded build ended, in one or two words.
pub fn outcome(record: &Record) -> String {
    use evidence::record::Exit;
    match (record.exit, record.completeness.complete) {
        (Exit::Code(0), true) => "ok".to_owned(),
        (Exit::Code(0), false) => "incomplete".to_owned(),
        (Exit::Code(code), _) => format!("failed ({code})"),
        (Exit::Signal(signal), _) => format!("killed ({signal})"),
        (Exit::Unknown, _) => "interrupted".to_owned(),
    }
}

/// Describes an entry.
pub(crate) fn row(index: u64, envelope: &Envelope, statement: &Statement) -> LogRow {
    let predicate = &statement.predicate;
    let time = ["finished", "timeVerified", "decided", "approved", "since", "revoked"]
        .iter()
        .find_map(|field| predicate.get(field)?.as_str()?.parse().ok())
        .or_else(|| predicate.pointer("/runDetails/metadata/finishedOn")?.as_str()?.parse().ok());
    LogRow {
        index,
        kind: kind_of(&statement.predicate_type).to_owned(),
        statement: envelope.id(),
        key: envelope.key().short(),
        subjects: statement
            .subject
            .iter()
            .filter_map(|subject| Some((subject.name.clone().unwrap_or_default(), subject.sha256()?)))
            .collect(),
        time,
    }
}

fn malformed(kind: &'static str, digest: Digest) -> Error {
    Error::Document { kind, digest }
}
