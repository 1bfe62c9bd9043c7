//! `log show`, `log check`, `log export`: the transparency log, read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attest::verify::logged;
use evidence::statement::{
    Approval, AuditStatement, Intent, PolicyStatement, RecordStatement, ReleaseRequest, SigningEvent,
    Statement, VerificationSummary,
};
use evidence::{Digest, Finding, Subject};
use judge::codes;
use store::{Heads as _, SqliteHeads, TileDirectory};

use crate::error::Result;
use crate::files;
use crate::ledger::{LOG_HEAD, LogRow, row};
use crate::world::{World, log_error, store_error};

/// What a check of the log found.
#[derive(Clone, PartialEq, Debug)]
pub struct LogReport {
    /// Entries.
    pub size: u64,
    /// The root hash, hexadecimal.
    pub root: String,
    /// Who signs its checkpoints.
    pub origin: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl LogReport {
    /// The worst that was found, in a word; `consistent` if nothing was.
    pub fn verdict(&self) -> &'static str {
        let found = |code: &str| self.findings.iter().any(|finding| finding.code == code);
        if self.findings.is_empty() {
            "consistent"
        } else if found("log-forked") {
            "forked"
        } else if found("unrecorded-signature") {
            "unrecorded-signature"
        } else {
            "damaged"
        }
    }
}

/// Lists the entries from `first` on, at most `count`.
pub fn log_rows(world: &World, first: u64, count: u64) -> Result<Vec<LogRow>> {
    let size = world.with_log(|log| Ok(log.size()))?;
    (first..size.min(first.saturating_add(count)))
        .map(|index| {
            let envelope = world.envelope(index)?;
            let statement = Statement::parse(&envelope.payload).map_err(log_error)?;
            Ok(row(index, &envelope, &statement))
        })
        .collect()
}

/// Re-hashes the whole log against its checkpoint, looks for signatures without an intent, and, if an older
/// checkpoint is given, that this log goes on from there.
pub fn log_check(world: &World, older: Option<&Path>) -> Result<LogReport> {
    let checkpoint = world.with_log(|log| Ok(log.checkpoint().clone()))?;
    let mut findings = damage(world)?;
    if findings.is_empty() {
        findings = unrecorded(world)?;
    }
    if let Some(path) = older {
        let source = path.display().to_string();
        findings.extend(fork(world, &files::read_text(path, 1 << 16)?, &source)?);
    }
    Ok(LogReport {
        size: checkpoint.size(),
        root: evidence::Digest::from_bytes(*checkpoint.root().as_bytes()).hex(),
        origin: checkpoint.origin().to_owned(),
        findings,
    })
}

/// Re-hashes a log that `serve --log` wrote, from its folder, as far as its head goes: what only a journal holds yet becomes part of
/// it when it is served again. If an older checkpoint is given, this log must go on from there. What the entries say is not judged.
pub fn served_check(folder: &Path, older: Option<&Path>) -> Result<LogReport> {
    let key = files::read_text(&folder.join("verifier-key.txt"), 1 << 16)?;
    let key = tlog::VerifierKey::parse(key.trim()).map_err(log_error)?;
    let tiles = TileDirectory::open(&folder.join("log")).map_err(store_error)?;
    let heads = SqliteHeads::open(&folder.join("heads.db")).map_err(store_error)?;
    let cell = heads.cell(LOG_HEAD);
    let log = tlog::Log::open(&tiles, &cell, &key).map_err(log_error)?;
    let mut findings = damages(&log.check().map_err(log_error)?);
    let published = folder.join("log/checkpoint");
    for path in older.into_iter().chain(published.is_file().then_some(published.as_path())) {
        let note = files::read_text(path, 1 << 16)?;
        let older = tlog::Checkpoint::verify(&note, &key).map_err(log_error)?;
        let extends = older.size() <= log.size() && log.extends(&older).map_err(log_error)?;
        findings.extend(forked(&older, log.size(), extends, &path.display().to_string()));
    }
    let checkpoint = log.checkpoint();
    Ok(LogReport {
        size: checkpoint.size(),
        root: Digest::from_bytes(*checkpoint.root().as_bytes()).hex(),
        origin: checkpoint.origin().to_owned(),
        findings,
    })
}

/// Re-hashes every tile and entry.
pub(crate) fn damage(world: &World) -> Result<Vec<Finding>> {
    Ok(damages(&world.with_log(|log| log.check())?))
}

fn damages(report: &tlog::CheckReport) -> Vec<Finding> {
    let mut findings: Vec<Finding> = report
        .damaged
        .iter()
        .map(|(path, damage)| {
            let subject = Subject { path: Some(path.as_str().into()), digest: None };
            codes::LOG_DAMAGED.finding(subject, vec![format!("it is {damage}")])
        })
        .collect();
    if findings.is_empty() && !report.is_sound() {
        let because = vec!["the entries do not hash to the root of the signed checkpoint".to_owned()];
        findings.push(codes::LOG_DAMAGED.finding(Subject::default(), because));
    }
    findings
}

/// Reads every entry: each must be a statement by one of our keys, each intent must be for a build that had ended well
/// and a policy in force, each release must follow its intent.
pub(crate) fn unrecorded(world: &World) -> Result<Vec<Finding>> {
    let size = world.with_log(|log| Ok(log.size()))?;
    let (release_keys, builder_keys) = (world.release_keys(), world.builder_keys());
    let approver_keys = world.approver_keys();
    let mut intents = Intents::default();
    let (mut attestable, mut policies) = (BTreeSet::<Digest>::new(), BTreeSet::<Digest>::new());
    let mut findings = Vec::new();
    for index in 0..size {
        let foreign = |why: String| {
            codes::LOG_ENTRY_FOREIGN.finding(Subject::default(), vec![format!("entry {index}: {why}")])
        };
        let envelope = match world.envelope(index) {
            Ok(envelope) => envelope,
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                findings.push(foreign(cause));
                continue;
            }
        };
        let by_approver = approver_keys.contains(envelope.key());
        if !release_keys.contains(envelope.key()) && !builder_keys.contains(envelope.key()) && !by_approver {
            findings.push(foreign(format!("signed by the unknown key {}", envelope.key().short())));
            continue;
        }
        let statement = match envelope.open() {
            Ok(statement) => statement,
            Err(error) => {
                findings.push(foreign(error.to_string()));
                continue;
            }
        };
        let is_personal = statement.predicate::<Approval>().is_ok()
            || statement.predicate::<ReleaseRequest>().is_ok()
            || statement.predicate::<AuditStatement>().is_ok();
        if by_approver && !is_personal {
            findings.push(foreign(format!("signed by the approver's key {}", envelope.key().short())));
            continue;
        }
        let subjects: Vec<Digest> =
            statement.subject.iter().filter_map(evidence::statement::ResourceDescriptor::sha256).collect();
        if let Ok((_, record)) = logged::<RecordStatement>(&envelope, index, &builder_keys) {
            attestable.extend(subjects.iter().filter(|_| record.attestable));
        } else if logged::<PolicyStatement>(&envelope, index, &release_keys).is_ok() {
            policies.extend(&subjects);
        } else if let Ok((_, intent)) = logged::<Intent>(&envelope, index, &release_keys) {
            // An intent counts only for a build that the log knows to have ended well, under a policy that it knows.
            let why = if !attestable.contains(&intent.record) {
                Some(format!(
                    "the intent at entry {index} names a build that is not known to have ended well"
                ))
            } else if !policies.contains(&intent.policy) {
                Some(format!("the intent at entry {index} names a policy that the log does not know"))
            } else {
                None
            };
            match why {
                Some(why) => {
                    let subject = Subject { path: None, digest: subjects.first().copied() };
                    findings.push(codes::UNRECORDED_SIGNATURE.finding(subject, vec![why]));
                }
                None => intents.permit(envelope.id(), subjects),
            }
        } else if let Ok((_, event)) = logged::<SigningEvent>(&envelope, index, &release_keys) {
            // What came out of a permitted signing may be released under the same intent.
            if event.outcome == "signed" {
                intents.pass_on(&event.intent, event.before, envelope.id(), subjects);
            }
        } else if let Ok((_, summary)) = logged::<VerificationSummary>(&envelope, index, &release_keys) {
            let named =
                summary.input_attestations.iter().filter_map(evidence::statement::ResourceDescriptor::sha256);
            if !intents.release(named, &subjects) {
                let subject = Subject { path: None, digest: subjects.first().copied() };
                let because =
                    format!("the release at entry {index} has no permitted intent of its own before it");
                findings.push(codes::UNRECORDED_SIGNATURE.finding(subject, vec![because]));
            }
        }
    }
    Ok(findings)
}

/// What may be released, as the log goes on: each intent once. What a vendor's signer made of a permitted artifact takes its place.
#[derive(Default)]
struct Intents(BTreeMap<Digest, Vec<Digest>>);

impl Intents {
    fn permit(&mut self, intent: Digest, artifacts: Vec<Digest>) {
        self.0.insert(intent, artifacts);
    }

    /// A signing event under an intent: what came out may be released under it. The intent stays, for a signature that lies beside
    /// the artifact leaves that to be released.
    fn pass_on(&mut self, intent: &Digest, before: Digest, event: Digest, after: Vec<Digest>) {
        if self.0.get(intent).is_some_and(|artifacts| *artifacts == [before]) {
            self.0.insert(event, after);
        }
    }

    /// Uses up the intents that a release names; says whether one was for these artifacts.
    fn release(&mut self, named: impl Iterator<Item = Digest>, artifacts: &[Digest]) -> bool {
        let used: Vec<Vec<Digest>> = named.filter_map(|statement| self.0.remove(&statement)).collect();
        used.iter().any(|intended| intended == artifacts)
    }
}

/// Compares a checkpoint that was kept somewhere with the log: it must be a beginning of it.
pub(crate) fn fork(world: &World, note: &str, source: &str) -> Result<Option<Finding>> {
    let key = tlog::VerifierKey::parse(&world.trust.log.verifier_key).map_err(log_error)?;
    let older = tlog::Checkpoint::verify(note, &key).map_err(log_error)?;
    let (size, extends) = world.with_log(|log| {
        let extends = older.size() <= log.size() && log.extends(&older)?;
        Ok((log.size(), extends))
    })?;
    Ok(forked(&older, size, extends, source))
}

fn forked(older: &tlog::VerifiedCheckpoint, size: u64, extends: bool, source: &str) -> Option<Finding> {
    if extends {
        return None;
    }
    let because = if older.size() > size {
        format!("the checkpoint of {source} names {} entries, the log has {size}", older.size())
    } else {
        format!("the first {} entries are not those that the checkpoint of {source} names", older.size())
    };
    Some(codes::FORKED.finding(Subject::default(), vec![because]))
}

/// Writes the newest checkpoint, the verifier key and all tiles into a folder, as a static log that any C2SP
/// tlog-tiles client reads. Returns the files that were written.
pub fn log_export(world: &World, folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| crate::Error::Write { path: folder.to_path_buf(), source };
    world.with_log(|log| log.publish())?;
    let from = world.layout().log();
    let mut written = Vec::new();
    let mut stack = vec![from.clone()];
    while let Some(at) = stack.pop() {
        for entry in std::fs::read_dir(&at).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                stack.push(path);
                continue;
            }
            // What a write that never ended has left is no part of the log.
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let to = folder.join(path.strip_prefix(&from).unwrap_or(&path));
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(fail)?;
            }
            files::write(&to, &files::read(&path, 1 << 30)?)?;
            written.push(to);
        }
    }
    let key = folder.join("verifier-key.txt");
    files::write(&key, format!("{}\n", world.trust.log.verifier_key).as_bytes())?;
    written.push(key);
    written.sort();
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_used_once() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let mut intents = Intents::default();
        intents.permit(digest("intent"), vec![digest("a")]);
        let release = |intents: &mut Intents, named: &[&str], artifact: &str| {
            let named: Vec<Digest> = named.iter().map(|text| digest(text)).collect();
            intents.release(named.into_iter(), &[digest(artifact)])
        };
        assert!(!release(&mut intents, &["nothing"], "a"));
        assert!(release(&mut intents, &["intent", "provenance"], "a"));
        assert!(!release(&mut intents, &["intent", "provenance"], "a"), "a second time");
        intents.permit(digest("second"), vec![digest("a")]);
        assert!(!release(&mut intents, &["second"], "b"), "another artifact");
        assert!(!release(&mut intents, &["second"], "a"), "what was tried is used up");
        // A vendor's signature in the artifact: what came out, once, and not what went in besides.
        intents.permit(digest("third"), vec![digest("a")]);
        intents.pass_on(&digest("third"), digest("other"), digest("forged"), vec![digest("evil")]);
        assert!(!release(&mut intents, &["forged"], "evil"));
        intents.pass_on(&digest("third"), digest("a"), digest("event"), vec![digest("signed")]);
        assert!(release(&mut intents, &["third", "event"], "signed"));
        assert!(!release(&mut intents, &["third", "event"], "signed"));
        assert!(!release(&mut intents, &["third"], "a"));
    }
}
