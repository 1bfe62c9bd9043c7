//! `quorum`: do independent builders come to the same bytes?
//!
//! A builder is a key: each record counts for the key that signed it, once, and only if the trust file names that key as
//! a builder's. Records of other machines are read from their stores; nothing that these stores say of themselves is
//! believed but signatures. The result is a signed statement in our log; the gate reads it from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evidence::statement::{BuilderVote, QuorumStatement, RecordStatement, ResourceDescriptor, Statement};
use evidence::{BytePath, Digest, Finding, Record, Subject};
use judge::codes;
use judge::gate;
use store::Index;

use crate::assess::hash_file;
use crate::error::{Error, Result};
use crate::job::FetchedJob;
use crate::records;
use crate::sign::{append_one, signed};
use crate::world::{Passphrase, World, store_error};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Quorum {
    /// The artifact.
    pub artifact: PathBuf,
    /// Records: `r7` and the like of this store, or `STORE@r7` of another, which is a folder or a URL.
    pub records: Vec<String>,
    /// How many builders have to agree; all if not given.
    pub needed: Option<u32>,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct QuorumReport {
    /// The artifact.
    pub artifact: Digest,
    /// The statement that was logged.
    pub statement: QuorumStatement,
    /// Where it stands.
    pub log_index: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Compares what builders made under the artifact's name, and logs the result.
pub fn quorum(world: &World, ask: &Quorum, passphrase: &Passphrase) -> Result<QuorumReport> {
    let artifact = hash_file(&ask.artifact)?;
    let name = BytePath::from(std::os::unix::ffi::OsStrExt::as_bytes(
        ask.artifact.file_name().unwrap_or(ask.artifact.as_os_str()),
    ));
    let mut votes: BTreeMap<String, BuilderVote> = BTreeMap::new();
    for record in &ask.records {
        let vote = vote(world, record, &name, &artifact)?;
        // A second record by the same key is no second builder; the one that disagrees is the one that counts.
        match votes.get(&vote.builder) {
            Some(known) if known.output != Some(artifact) => {}
            _ => drop(votes.insert(vote.builder.clone(), vote)),
        }
    }
    let counted = || votes.values().filter(|vote| vote.excluded.is_none());
    let agreed = counted().filter(|vote| vote.output == Some(artifact)).count();
    let of = votes.len();
    let needed = ask.needed.unwrap_or(u32::try_from(of).unwrap_or(u32::MAX)).max(1);
    let disagree = counted().any(|vote| vote.output != Some(artifact));
    let verdict = if disagree {
        "disagree"
    } else if agreed as u64 >= u64::from(needed) {
        "agree"
    } else {
        "undetermined"
    };
    let statement = QuorumStatement {
        verdict: verdict.into(),
        agreed: u32::try_from(agreed).unwrap_or(u32::MAX),
        of: u32::try_from(of).unwrap_or(u32::MAX),
        needed,
        builders: votes.into_values().collect(),
        decided: world.now(),
    };
    let mut findings = Vec::new();
    if disagree {
        let subject = Subject { path: Some(name.clone()), digest: Some(artifact) };
        findings.push(codes::QUORUM_DISAGREEMENT.finding(subject, named(&statement, &artifact)));
    }
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let subject = ResourceDescriptor::named(name.to_string(), &artifact);
    let envelope = signed(&Statement::new(vec![subject], &statement), &release)?;
    let log_index = append_one(world, &envelope, &log_key)?.index;
    Ok(QuorumReport { artifact, statement, log_index, findings })
}

/// The newest statement about an artifact, for the gate.
pub(crate) fn about(world: &World, artifact: &Digest) -> Result<Option<gate::Quorum>> {
    let rows = world.index.entries_about(artifact).map_err(store_error)?;
    let newest = rows.iter().filter(|row| row.kind == "quorum").max_by_key(|row| row.log_index);
    let Some(row) = newest else { return Ok(None) };
    let (_, statement) = world.statement::<QuorumStatement>(row.log_index, &world.release_keys())?;
    let others = if statement.verdict == "disagree" { named(&statement, artifact) } else { Vec::new() };
    Ok(Some(gate::Quorum { agreed: statement.agreed, of: statement.of, others }))
}

/// Names who made what. Where most agree, the odd one out is the first to be looked at.
fn named(statement: &QuorumStatement, artifact: &Digest) -> Vec<String> {
    let counted = || statement.builders.iter().filter(|vote| vote.excluded.is_none());
    let mut made: BTreeMap<Option<Digest>, u32> = BTreeMap::new();
    counted().for_each(|vote| *made.entry(vote.output).or_default() += 1);
    let most = made.values().copied().max().unwrap_or(0);
    let mut lines: Vec<String> = counted()
        .map(|vote| {
            let count = made.get(&vote.output).copied().unwrap_or(0);
            let what = match vote.output {
                None => "nothing of that name".to_owned(),
                Some(output) if output == *artifact => format!("this artifact ({})", output.short()),
                Some(output) => format!("other bytes ({})", output.short()),
            };
            let odd = if count < most { "; it is outvoted" } else { "" };
            format!("builder {} made {what}{odd}", vote.builder)
        })
        .collect();
    lines.sort();
    lines
}

fn vote(world: &World, record: &str, name: &BytePath, artifact: &Digest) -> Result<BuilderVote> {
    if let Some((url, record)) = record.rsplit_once('@').filter(|(url, _)| is_url(url)) {
        return served_vote(world, url, record, name, artifact);
    }
    let elsewhere = match record.rsplit_once('@') {
        Some((store, record)) => Some((World::open(Path::new(store), world.now())?, record)),
        None => None,
    };
    let (place, record) = elsewhere.as_ref().map_or((world, record), |(place, record)| (place, *record));
    let row = records::find(place, record)?.ok_or_else(|| Error::NoRecord(record.to_owned()))?;
    let envelope = place.envelope(row.log_index)?;
    let builder = envelope.key().short();
    let excluded = |why: &str| BuilderVote {
        builder: builder.clone(),
        record: row.digest,
        output: None,
        excluded: Some(why.to_owned()),
    };
    // Our trust decides, not that of the store in which the record lies.
    let Ok((verified, about)) =
        attest::verify::logged::<RecordStatement>(&envelope, row.log_index, &world.builder_keys())
    else {
        return Ok(excluded("its key is not a builder's in our trust file"));
    };
    if !verified.statement().is_about(&row.digest) {
        return Ok(excluded("the statement in the log is about another record"));
    }
    if !about.attestable {
        return Ok(excluded("the build failed or was not seen completely"));
    }
    let document: Record = place.document("record", &row.digest)?;
    let output = output_of(&document, name, artifact);
    Ok(BuilderVote { builder, record: row.digest, output, excluded: None })
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// A record that another builder serves: its signature is checked as that of a job, for a builder of our trust file alone.
fn served_vote(
    world: &World,
    url: &str,
    record: &str,
    name: &BytePath,
    artifact: &Digest,
) -> Result<BuilderVote> {
    let job = FetchedJob::fetch(world, url, record)?;
    let output = output_of(&job.record, name, artifact);
    Ok(BuilderVote { builder: job.job.key.short(), record: job.digest, output, excluded: None })
}

/// What a record made under a name: the artifact, if it is among it.
fn output_of(document: &Record, name: &BytePath, artifact: &Digest) -> Option<Digest> {
    let file_name = |path: &BytePath| path.as_bytes().rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
    let same_name =
        document.outputs.iter().filter(|output| file_name(&output.path).as_deref() == Some(name.as_bytes()));
    let outputs: Vec<Digest> = same_name.map(|output| output.digest).collect();
    if outputs.contains(artifact) { Some(*artifact) } else { outputs.first().copied() }
}
