//! `watch --replay`: today's rules over yesterday's trace.
//!
//! All facts come from the record, and none from the machine that asks: the same record, rules and policy give the
//! same findings everywhere. What the record does not hold (the files tracked by version control, the hosts that were
//! allowed) makes the rules that need it unevaluated, and the answer says so.

use std::path::PathBuf;

use evidence::record::Detections;
use evidence::{BytePath, Record};
use judge::detect::sigma::{self, Unsupported};
use judge::detect::{Facts, MachineRole, Rules};

use crate::error::{Error, Result};
use crate::record::watching::{self, Watching};
use crate::records;
use crate::world::World;

/// The most Sigma rules, and how deep their folders are looked into.
const SIGMA_FILES_MAX: usize = 4000;
const SIGMA_DEPTH_MAX: usize = 8;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The record.
    pub record: String,
    /// Rules besides ours and the store's.
    pub rules: Option<PathBuf>,
    /// Sigma rules.
    pub sigma: Option<PathBuf>,
}

/// What rules found in a stored trace.
#[derive(Debug)]
pub struct Replayed {
    /// The record's number.
    pub number: u64,
    /// The record.
    pub record: Record,
    /// What was found, by which rules, and which could not be asked.
    pub detections: Detections,
    /// Sigma rules that were left out.
    pub unsupported: Vec<Unsupported>,
    /// How many rules there were.
    pub rules: usize,
    /// How many events were read.
    pub events: u64,
}

/// Runs the rules of today over the trace of a record.
pub fn replay(world: &World, replay: &Replay) -> Result<Replayed> {
    let view = records::show(world, &replay.record)?;
    let (rules, unsupported) = rules(world, replay)?;
    let machine = world.policy()?.0.machine;
    // Who owned which file when it was recorded stands in the record.
    let mut owner = |_: &BytePath| false;
    let mut nobody = |_: &evidence::Finding| {};
    let mut watching = Watching::begin(&rules, facts(&view.record, machine), &mut owner, &mut nobody);
    let mut events = 0;
    records::replay(world, &view.record, &mut |event| {
        watching.observe(&event);
        events += 1;
    })?;
    let detections = watching.finish();
    let rules = rules.iter().count();
    Ok(Replayed { number: view.number, record: view.record, detections, unsupported, rules, events })
}

fn rules(world: &World, replay: &Replay) -> Result<(Rules, Vec<Unsupported>)> {
    let mut rules = watching::rules(&world.layout().rules())?;
    if let Some(folder) = &replay.rules {
        let texts = watching::rule_files(folder, watching::RULE_FILES_MAX, 0)?;
        let more = Rules::parse(&watching::named(&texts)).map_err(Error::Rule)?;
        rules = rules.with(more).map_err(Error::Rule)?;
    }
    let Some(folder) = &replay.sigma else { return Ok((rules, Vec::new())) };
    let texts = watching::rule_files(folder, SIGMA_FILES_MAX, SIGMA_DEPTH_MAX)?;
    let read = sigma::read(&watching::named(&texts)).map_err(Error::Rule)?;
    Ok((rules.with(read.rules).map_err(Error::Rule)?, read.unsupported))
}

/// What a record tells about machine and project.
fn facts(record: &Record, machine: MachineRole) -> Facts {
    let home = record.environment.iter().find(|variable| variable.name.as_bytes() == b"HOME");
    let root = record.checkout.as_ref().map(|checkout| checkout.root.clone());
    let owned = record.files.iter().filter(|file| file.package.is_some());
    Facts {
        homes: home.and_then(|home| home.value.clone()).into_iter().collect(),
        project: Some(root.unwrap_or_else(|| record.workdir.clone())),
        machine,
        owned: Some(owned.map(|file| (file.path.clone(), None)).collect()),
        ..Facts::default()
    }
}
