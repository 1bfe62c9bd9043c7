//! `monitor`: is every signature by our keys, wherever it is seen, the outcome of a permitted intent; and does everybody
//! see the same log?
//!
//! Five views are compared: the log's own entries; what lies in folders, mirrors and on machines (sightings); what
//! customers hold (their bundles carry checkpoints); what witnesses have cosigned; what public logs say of us. The count of signatures that a release key has
//! made is compared with the log as well. Nothing is written.

mod public;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attest::{Bundle, Envelope, Signer as _};
use evidence::statement::{AuditStatement, ResourceDescriptor, SigningEvent, Statement};
use evidence::tree::Node;
use evidence::{BytePath, Digest, Finding, Problem, Subject};
use judge::codes;
use judge::roles::{Actor, Role};
use store::Index;

use crate::approve::Person;
use crate::approver;
use crate::assess::hash_file;
use crate::cosign::Exchange;
use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::inspect_bytes;
use crate::keys::counted;
use crate::log::{damage, fork, unrecorded};
use crate::rules::Rules;
use crate::sign::append_one;
use crate::world::{Passphrase, World, log_error, store_error};

/// Larger files are hashed, not opened.
const OPENED_MAX_BYTES: u64 = 512 << 20;

/// What to look at besides the log itself.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    /// Folders and files to sweep for what carries our signature.
    pub sweep: Vec<PathBuf>,
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
    /// Whether to ask the witnesses of the trust file what they have seen.
    pub witnesses: bool,
    /// Exported pages of public logs: files, and folders of them.
    pub public_logs: Vec<PathBuf>,
    /// Names to look for in those, besides our keys: exactly, or by one end (`*.example.com`, `@example.com`, `https://…/*`).
    pub identities: Vec<String>,
    /// Certificates and keys of ours to look for in those, PEM or DER. The certificates themselves are known.
    pub certificates: Vec<PathBuf>,
}

/// What was seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MonitorReport {
    /// Entries of the log.
    pub size: u64,
    /// Files that were swept.
    pub swept: u64,
    /// Bundles and native signatures by us among them.
    pub sightings: u64,
    /// Checkpoints of others that were compared.
    pub compared: u64,
    /// Release keys whose count of signatures was compared with the log.
    pub counted: u64,
    /// Entries of public logs that were read.
    pub public_entries: u64,
    /// Signatures and certificates in them that have a key or name of ours.
    pub public_sightings: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
}

/// Looks at everything.
pub fn monitor(world: &World, what: &Monitor, exchange: Exchange<'_>) -> Result<MonitorReport> {
    let size = world.with_log(|log| Ok(log.size()))?;
    let mut report = MonitorReport { size, findings: damage(world)?, ..MonitorReport::default() };
    if report.findings.is_empty() {
        report.findings = unrecorded(world)?;
        counters(world, &mut report)?;
    }
    for path in &what.checkpoints {
        report.compared += 1;
        report.findings.extend(fork(world, &files::read_text(path, 1 << 20)?, &path.display().to_string())?);
    }
    if what.witnesses {
        ask_witnesses(world, exchange, &mut report)?;
    }
    let sweep = Sweep { world, signers: native_signers(world)? };
    for path in &what.sweep {
        sweep.path(path, &mut report)?;
    }
    public::search(&sweep, what, &mut report)?;
    Ok(report)
}

/// Compares how many signatures each release key has made with how many the log has by it.
fn counters(world: &World, report: &mut MonitorReport) -> Result<()> {
    for key in &world.trust.release_keys {
        let key = &key.public_key;
        let Some(made) = counted::count(&world.heads, key)? else { continue };
        report.counted += 1;
        let mut logged = 0;
        for index in 0..report.size {
            if world.leaf(index)?.credential.key() == key {
                logged += 1;
            }
        }
        if made != logged {
            let subject = Subject { path: None, digest: Some(Digest::of(key.der())) };
            let why = if made > logged {
                "signatures were made and not logged, or a command was interrupted between the two"
            } else {
                "somebody signs with the key and not with this store, or the store was put back to an older state"
            };
            let because = format!(
                "key {} has made {made} signatures here, the log has {logged} by it: {why}",
                key.short()
            );
            report.findings.push(codes::COUNTER_MISMATCH.finding(subject, vec![because]));
        }
    }
    Ok(())
}

/// Lets an auditor sign what was seen; returns where that stands in the log.
pub fn audit(world: &World, report: &MonitorReport, person: &Person, passphrase: &Passphrase) -> Result<u64> {
    let key = approver::open(world, &person.name, &person.passphrase)?;
    let actor =
        Actor { role: Role::Auditor, key: key.public_key().short(), person: Some(person.name.clone()) };
    let policy = world.policy()?.0;
    let refused = policy
        .roles
        .refuses(&actor)
        .or_else(|| Rules::load(world, &policy).refuses(&actor, None).map(|refusal| refusal.why));
    if let Some(why) = refused {
        return Err(Error::Role(why));
    }
    let log_key = world.log_key(passphrase)?;
    let checkpoint = world.with_log(|log| Ok(log.checkpoint().clone()))?;
    if checkpoint.size() != report.size {
        return Err(Error::Unstable(world.layout().log()));
    }
    let found: BTreeSet<String> = report.findings.iter().map(|finding| finding.code.clone()).collect();
    let said = AuditStatement {
        size: report.size,
        found: found.into_iter().collect(),
        problems: report.problems.len() as u64,
        decided: world.now(),
    };
    let root = Digest::from_bytes(*checkpoint.root().as_bytes());
    let statement = Statement::new(vec![ResourceDescriptor::named(checkpoint.origin(), &root)], &said);
    let envelope =
        Envelope::sign(&statement, &key).map_err(|source| Error::Key { name: "approver", source })?;
    Ok(append_one(world, &envelope, &log_key)?.index)
}

fn ask_witnesses(world: &World, exchange: Exchange<'_>, report: &mut MonitorReport) -> Result<()> {
    let policy = world.trust.witnesses().map_err(log_error)?;
    let hash = Digest::of(world.trust.log.origin().as_bytes()).hex();
    for witness in policy.iter().flat_map(|policy| policy.witnesses()) {
        let name = witness.key.name().to_owned();
        let mut unseen = |detail: String| {
            let path = BytePath::from(name.as_bytes());
            report.problems.push(Problem { path, kind: "witness-silent".into(), detail });
        };
        let Some(url) = witness.url.as_deref() else {
            unseen("the policy does not say where it is".into());
            continue;
        };
        match exchange(&format!("{}/{hash}/checkpoint", url.trim_end_matches('/')), None) {
            Ok((200, note)) => {
                report.compared += 1;
                let note = String::from_utf8_lossy(&note).into_owned();
                report.findings.extend(fork(world, &note, &name)?);
            }
            Ok((status, _)) => unseen(format!("it answered {status}")),
            Err(error) => unseen(error.to_string()),
        }
    }
    Ok(())
}

/// Names in certificates that our own signing events have seen.
fn native_signers(world: &World) -> Result<BTreeSet<String>> {
    let mut signers = BTreeSet::new();
    for row in world.index.entries_of("signing-event").map_err(store_error)? {
        let (_, event) = world.statement::<SigningEvent>(row.log_index, &world.release_keys())?;
        signers.extend(event.signer);
    }
    Ok(signers)
}

struct Sweep<'a> {
    world: &'a World,
    signers: BTreeSet<String>,
}

impl Sweep<'_> {
    fn path(&self, path: &Path, report: &mut MonitorReport) -> Result<()> {
        walk(path, &mut |at, size| {
            report.swept += 1;
            if let Err(error) = self.file(at, size, report) {
                let (path, detail) = (byte_path(at), error.to_string());
                report.problems.push(Problem { path, kind: "unreadable".into(), detail });
            }
            Ok(())
        })
    }

    fn file(&self, path: &Path, size: u64, report: &mut MonitorReport) -> Result<()> {
        let digest = hash_file(path)?;
        let subject = || Subject { path: Some(byte_path(path)), digest: Some(digest) };
        if let Some(why) = self.of_failed_build(&digest)? {
            report.findings.push(codes::FAILED_BUILD_PUBLISHED.finding(subject(), vec![why]));
        }
        if size > OPENED_MAX_BYTES {
            let detail =
                format!("larger than {OPENED_MAX_BYTES} bytes: a signature inside is not looked for");
            report.problems.push(Problem { path: byte_path(path), kind: "too-large".into(), detail });
            return Ok(());
        }
        let bytes = files::read(path, OPENED_MAX_BYTES)?;
        if bytes.first() == Some(&b'{') {
            self.bundle(path, &bytes, report)?;
        } else if bytes.starts_with(b"MZ") {
            let tree = inspect_bytes(&byte_path(path), &bytes);
            if let Some(signer) = self.our_signer(&tree.root) {
                report.sightings += 1;
                if !self.is_logged_event(&digest)? {
                    let because =
                        format!("signed as `{signer}`, and no signing event of the log came to these bytes");
                    report.findings.push(codes::UNRECORDED_SIGNATURE.finding(subject(), vec![because]));
                }
            }
        }
        Ok(())
    }

    /// A file that only builds have made that failed or were not seen completely must not be anywhere.
    fn of_failed_build(&self, digest: &Digest) -> Result<Option<String>> {
        let rows = self.world.index.records_with_output(digest).map_err(store_error)?;
        if rows.is_empty() || rows.iter().any(|row| row.complete) {
            return Ok(None);
        }
        let builds: Vec<String> =
            rows.iter().map(|row| format!("r{} ({})", row.number, row.outcome)).collect();
        Ok(Some(format!("made only by {}", builds.join(", "))))
    }

    /// A bundle by one of our keys: its entry must be the one that the log has at its place, and its checkpoint one of
    /// this log's.
    fn bundle(&self, path: &Path, bytes: &[u8], report: &mut MonitorReport) -> Result<()> {
        let Ok(bundle) = Bundle::decode(bytes) else { return Ok(()) };
        let trust = &self.world.trust;
        let key = trust.release_key(&bundle.key_hint()).or_else(|| trust.builder_key(&bundle.key_hint()));
        let Some(key) = key else { return Ok(()) };
        let envelope = bundle.envelope(&key.public_key);
        let Ok(statement) = envelope.open() else { return Ok(()) }; // It names our key, but our key did not sign it.
        report.sightings += 1;
        let digest = statement.subject.iter().find_map(ResourceDescriptor::sha256);
        let subject = Subject { path: Some(byte_path(path)), digest };
        let leaf = envelope.leaf();
        if !self.is_logged(&envelope.id(), &statement, &leaf)? {
            let because =
                format!("key {} signed it, and the log does not have this signature", key.public_key.short());
            report.findings.push(codes::UNRECORDED_SIGNATURE.finding(subject, vec![because]));
        }
        if let Some(inclusion) = bundle.inclusion() {
            report.compared += 1;
            let found = fork(self.world, &inclusion.checkpoint, &path.display().to_string());
            // A checkpoint that our log key did not sign proves nothing about our log.
            report.findings.extend(found.ok().flatten());
        }
        Ok(())
    }

    fn is_logged(&self, id: &Digest, statement: &Statement, leaf: &attest::Leaf) -> Result<bool> {
        for subject in statement.subject.iter().filter_map(ResourceDescriptor::sha256) {
            for row in self.world.index.entries_about(&subject).map_err(store_error)? {
                if row.statement == *id && self.world.leaf(row.log_index)? == *leaf {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn our_signer(&self, node: &Node) -> Option<String> {
        let signatures = node.executables.iter().filter_map(|image| image.signature.as_ref());
        signatures
            .filter_map(|signature| signature.signer.clone())
            .find(|signer| self.signers.contains(signer))
    }

    fn is_logged_event(&self, digest: &Digest) -> Result<bool> {
        for row in self.world.index.entries_about(digest).map_err(store_error)? {
            if row.kind == "signing-event" {
                let (_, event) =
                    self.world.statement::<SigningEvent>(row.log_index, &self.world.release_keys())?;
                if event.outcome == "signed" {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Hands over each file of a folder with its size, in the order of names, or the one file. Links are not followed.
fn walk(path: &Path, file: &mut dyn FnMut(&Path, u64) -> Result<()>) -> Result<()> {
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Read { path, source }
    };
    let mut waiting = vec![path.to_path_buf()];
    while let Some(at) = waiting.pop() {
        let metadata = std::fs::symlink_metadata(&at).map_err(fail(&at))?;
        if metadata.is_dir() {
            let mut below: Vec<PathBuf> = std::fs::read_dir(&at)
                .map_err(fail(&at))?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<std::io::Result<_>>()
                .map_err(fail(&at))?;
            below.sort();
            waiting.extend(below.into_iter().rev());
        } else if metadata.is_file() {
            file(&at, metadata.len())?;
        }
    }
    Ok(())
}

fn byte_path(path: &Path) -> BytePath {
    BytePath::from(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}
