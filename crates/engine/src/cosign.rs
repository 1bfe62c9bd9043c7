//! Cosignatures for our own log: its checkpoints are shown to the witnesses of the trust file's policy.
//!
//! A witness that has seen another history refuses, and then both signed trees are in our hands: that is a finding, and
//! nothing more is signed. Order of effects: ask each witness; keep the cosigned checkpoint in the head `cosigned`. A
//! crash before the last step asks again, which does no harm.

use evidence::{Digest, Finding, Subject};
use host::outbound::OutboundError;
use judge::codes;
use store::Heads;
use tlog::{Checkpoint, PolicyWitness, VerifiedCheckpoint, WitnessPolicy};

use crate::error::{Error, Result};
use crate::world::{World, log_error, store_error};

/// Name of the head with the newest cosigned checkpoint.
const COSIGNED_HEAD: &str = "cosigned";

/// What the witnesses said.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cosigning {
    /// Entries of the tree that was shown.
    pub size: u64,
    /// Who cosigned it.
    pub witnesses: Vec<String>,
    /// Whether they are enough by the policy; true where there is none.
    pub quorum: bool,
    /// Who did not, and why.
    pub missing: Vec<(String, String)>,
    /// A fork, if one has come out.
    pub findings: Vec<Finding>,
}

/// How a witness is reached: address, body or none for a read; status and answer.
pub type Exchange<'a> = &'a dyn Fn(&str, Option<&[u8]>) -> std::result::Result<(u16, Vec<u8>), OutboundError>;

/// Shows the newest checkpoint to the witnesses of the trust file and keeps their cosignatures.
pub fn cosign(world: &World, exchange: Exchange<'_>) -> Result<Cosigning> {
    let mut checkpoint = world.with_log(|log| Ok(log.checkpoint().clone()))?;
    let size = checkpoint.size();
    let Some(policy) = world.trust.witnesses().map_err(log_error)? else {
        return Ok(Cosigning { size, quorum: true, ..Cosigning::default() });
    };
    let mut cosigning = Cosigning { size, ..Cosigning::default() };
    if let Some(kept) = cosigned_note(world, &checkpoint)? {
        checkpoint = kept;
    }
    for witness in policy.witnesses() {
        let name = witness.key.name().to_owned();
        if checkpoint.cosigned_by(&witness.key).map_err(log_error)?.is_some() {
            continue;
        }
        match ask(world, &checkpoint, witness, exchange)? {
            Said::Lines(lines) => match checkpoint.add_cosignatures(&lines, &witness.key) {
                Ok(true) => {}
                Ok(false) => {
                    cosigning.missing.push((name, "its answer has no cosignature of its key".into()))
                }
                Err(error) => cosigning.missing.push((name, error.to_string())),
            },
            Said::No(why) => cosigning.missing.push((name, why)),
            Said::Fork(because) => {
                cosigning
                    .findings
                    .push(codes::FORKED.finding(Subject::default(), vec![format!("{name}: {because}")]));
                cosigning.missing.push((name, because));
            }
        }
    }
    let weighed = weigh(&policy, &checkpoint)?;
    cosigning.witnesses = weighed.witnesses.into_iter().map(|(name, _)| name).collect();
    cosigning.quorum = weighed.quorum && cosigning.findings.is_empty();
    let before = world.heads.load(COSIGNED_HEAD).map_err(store_error)?;
    match world.heads.replace(COSIGNED_HEAD, before.as_deref(), checkpoint.note().as_bytes()) {
        // Another process has asked at the same time; its answer is as good.
        Ok(()) | Err(store::StoreError::Conflict(_)) => Ok(cosigning),
        Err(error) => Err(store_error(error)),
    }
}

/// Refuses to go on if the policy's witnesses have not cosigned the newest checkpoint.
pub(crate) fn must_be_witnessed(world: &World, exchange: Exchange<'_>) -> Result<()> {
    let cosigning = cosign(world, exchange)?;
    if let Some(fork) = cosigning.findings.first() {
        return Err(Error::Forked(fork.because.join("; ")));
    }
    if cosigning.quorum {
        return Ok(());
    }
    let missing: Vec<String> = cosigning.missing.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    Err(Error::Unwitnessed(missing.join("; ")))
}

/// The kept cosignatures, if they are on this very checkpoint.
pub(crate) fn cosigned_note(
    world: &World,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<VerifiedCheckpoint>> {
    let Some(note) = world.heads.load(COSIGNED_HEAD).map_err(store_error)? else { return Ok(None) };
    let key = tlog::VerifierKey::parse(&world.trust.log.verifier_key).map_err(log_error)?;
    let kept = std::str::from_utf8(&note).ok().and_then(|note| Checkpoint::verify(note, &key).ok());
    Ok(kept.filter(|kept| kept.text() == checkpoint.text()))
}

fn weigh(policy: &WitnessPolicy, checkpoint: &VerifiedCheckpoint) -> Result<tlog::Cosigned> {
    policy.weigh(checkpoint).map_err(log_error)
}

enum Said {
    Lines(String),
    No(String),
    Fork(String),
}

/// Asks one witness; it says itself from which size it wants to be led on.
fn ask(
    world: &World,
    checkpoint: &VerifiedCheckpoint,
    witness: &PolicyWitness,
    exchange: Exchange<'_>,
) -> Result<Said> {
    let Some(url) = witness.url.as_deref().map(|url| url.trim_end_matches('/')) else {
        return Ok(Said::No("the policy does not say where it is".into()));
    };
    let log_note = own_lines(checkpoint, world)?;
    let mut old = 0;
    for _ in 0..3 {
        let proof = if old == 0 || old == checkpoint.size() {
            Vec::new()
        } else {
            world.with_log(|log| log.consistency_proof(old))?
        };
        let body = tlog::add_checkpoint_body(old, &proof, &log_note);
        let (status, answer) = match exchange(&format!("{url}/add-checkpoint"), Some(body.as_bytes())) {
            Ok(answer) => answer,
            Err(error) => return Ok(Said::No(error.to_string())),
        };
        let text = String::from_utf8_lossy(&answer).trim().to_owned();
        match status {
            200 => return Ok(Said::Lines(String::from_utf8_lossy(&answer).into_owned())),
            409 => match text.parse::<u64>() {
                Ok(size) if size != old && size <= checkpoint.size() => old = size,
                _ => return contradiction(world, checkpoint, url, &text, exchange),
            },
            422 => return contradiction(world, checkpoint, url, &text, exchange),
            _ => return Ok(Said::No(format!("it answered {status}: {text}"))),
        }
    }
    Ok(Said::No("its size changes at every answer".into()))
}

/// The witness has seen something else: gets the checkpoint that it has, signed by our own key, and compares.
fn contradiction(
    world: &World,
    checkpoint: &VerifiedCheckpoint,
    url: &str,
    said: &str,
    exchange: Exchange<'_>,
) -> Result<Said> {
    let hash = Digest::of(checkpoint.origin().as_bytes()).hex();
    let known = exchange(&format!("{url}/{hash}/checkpoint"), None);
    let key = tlog::VerifierKey::parse(&world.trust.log.verifier_key).map_err(log_error)?;
    let seen = match &known {
        Ok((200, note)) => {
            std::str::from_utf8(note).ok().and_then(|note| Checkpoint::verify(note, &key).ok())
        }
        _ => None,
    };
    let Some(seen) = seen else { return Ok(Said::No(format!("it refuses, and does not show why: {said}"))) };
    if seen.size() > checkpoint.size() {
        return Ok(Said::Fork(format!(
            "it has seen {} entries, signed by our key, and this log has {}",
            seen.size(),
            checkpoint.size()
        )));
    }
    if world.with_log(|log| log.extends(&seen))? {
        return Ok(Said::No(format!("it refuses a log that goes on from what it has seen: {said}")));
    }
    Ok(Said::Fork(format!(
        "the first {} entries that it has seen, signed by our key, are others",
        seen.size()
    )))
}

/// The checkpoint with the log's own signature alone: what a witness is shown.
fn own_lines(checkpoint: &VerifiedCheckpoint, world: &World) -> Result<String> {
    let origin = format!("— {} ", world.trust.log.origin());
    let note = checkpoint.note();
    let end = note
        .rfind("\n\n")
        .ok_or_else(|| log_error(std::io::Error::other("a checkpoint without signatures")))?;
    let lines: String = note[end + 2..]
        .lines()
        .filter(|line| line.starts_with(&origin))
        .map(|line| format!("{line}\n"))
        .collect();
    Ok(format!("{}\n{lines}", &note[..=end]))
}
