//! `posture`: whether a machine is in the state that its purpose asks for, and whether the zones of the network are apart.
//! Nothing is written.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use evidence::posture::{Posture, Reached, SCHEMA};
use evidence::{Finding, Timestamp};
use host::inventory::Root;
use judge::codes;
use judge::detect::MachineRole;
use judge::posture::{PosturePolicy, Ruled};
use judge::segments::{INTERNET, Probe, Zones};

use crate::error::{Error, Result};
use crate::files;
use crate::records;
use crate::world::World;

/// Files of settings and facts are not larger.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// What to check.
#[derive(Debug)]
pub struct PostureCheck<'a> {
    /// The root folder of the machine; `/` for this one.
    pub root: &'a Path,
    /// Facts that were collected elsewhere, instead of looking.
    pub facts: Option<&'a Path>,
    /// Rules of one's own.
    pub policy: Option<&'a Path>,
    /// What the machine is for; by default what the store's policy says, or that people work on it.
    pub level: Option<MachineRole>,
    /// The moment.
    pub now: Timestamp,
}

/// What came of a check.
#[derive(Debug)]
pub struct PostureChecked {
    /// What the machine is for.
    pub level: MachineRole,
    /// The facts.
    pub posture: Posture,
    /// The rules of the level, in order.
    pub rules: Vec<Ruled>,
}

/// What some findings come to: whether something is wrong (`Some(false)`), nothing is (`Some(true)`), or all that there is
/// to say is that it is not known.
fn answer(findings: &[Finding], unknown: &str) -> Option<bool> {
    match findings {
        [] => Some(true),
        all if all.iter().all(|finding| finding.code == unknown) => None,
        _ => Some(false),
    }
}

impl PostureChecked {
    /// What is wrong or unknown.
    pub fn findings(&self) -> Vec<Finding> {
        self.rules.iter().filter_map(|ruled| ruled.finding.clone()).collect()
    }

    /// Whether all rules are met; `None` if nobody can say.
    pub fn is_met(&self) -> Option<bool> {
        answer(&self.findings(), codes::POSTURE_UNKNOWN.word)
    }
}

impl SegmentsTested {
    /// Whether the zones are apart; `None` if nobody can say.
    pub fn are_apart(&self) -> Option<bool> {
        answer(&self.findings, codes::SEGMENT_UNKNOWN.word)
    }
}

/// Checks a machine.
pub fn posture_check(world: Option<&World>, check: &PostureCheck<'_>) -> Result<PostureChecked> {
    let mut policy =
        PosturePolicy::builtin().map_err(|source| Error::PosturePolicy { path: None, source })?;
    if let Some(path) = check.policy {
        let text = files::read_text(path, FILE_MAX_BYTES)?;
        let path = Some(path.to_path_buf());
        policy = policy.with(&text).map_err(|source| Error::PosturePolicy { path, source })?;
    }
    let level = match (check.level, world) {
        (Some(level), _) => level,
        (None, Some(world)) => world.policy()?.0.machine,
        (None, None) => MachineRole::Developer,
    };
    let posture = match check.facts {
        Some(path) => {
            let bytes = files::read(path, FILE_MAX_BYTES)?;
            let posture: Posture = serde_json::from_slice(&bytes)
                .map_err(|source| Error::Read { path: path.to_path_buf(), source: source.into() })?;
            if posture.schema != SCHEMA {
                let source = std::io::Error::other(format!("its schema is not {SCHEMA}"));
                return Err(Error::Read { path: path.to_path_buf(), source });
            }
            posture
        }
        None => look(check.root, check.now)?,
    };
    let rules = policy.check(&posture, level);
    Ok(PostureChecked { level, posture, rules })
}

fn look(root: &Path, now: Timestamp) -> Result<Posture> {
    let root = Root::new(root).map_err(|source| Error::Read { path: root.to_path_buf(), source })?;
    let host = if root.is_live() { host::facts_name() } else { root.path().display().to_string() };
    let compare = |order, a: &str, b: &str| {
        let order = match order {
            host::posture::Versions::Debian => versions::Order::Debian,
            host::posture::Versions::Alpine => versions::Order::Alpine,
            host::posture::Versions::Rpm => versions::Order::Rpm,
        };
        order.compare(a, b)
    };
    let facts = host::posture::posture(&root, now.unix(), &compare);
    Ok(Posture { schema: SCHEMA.into(), host, at: now, facts })
}

/// What to test.
#[derive(Debug)]
pub struct SegmentsTest<'a> {
    /// The zone file.
    pub zones: &'a Path,
    /// The zone of this machine; by default that of the addresses from which it reaches the others.
    pub zone: Option<&'a str>,
    /// How long an answer may take.
    pub patience: Duration,
    /// Whether the store's records are held against the zones as well.
    pub records: bool,
}

/// What came of a test.
#[derive(Debug)]
pub struct SegmentsTested {
    /// The zone of this machine.
    pub zone: String,
    /// What was tried, and what came of it.
    pub tried: Vec<(Probe, Reached)>,
    /// Records that were looked at.
    pub records: usize,
    /// Connections with an address in them.
    pub flows: usize,
    /// What is wrong or unknown.
    pub findings: Vec<Finding>,
}

/// Tests the ways from this machine to other zones.
pub fn posture_segments(world: Option<&World>, test: &SegmentsTest<'_>) -> Result<SegmentsTested> {
    let fail = |source| Error::Zones { path: test.zones.to_path_buf(), source };
    let zones = Zones::parse(&files::read_text(test.zones, FILE_MAX_BYTES)?).map_err(fail)?;
    let zone = match test.zone {
        Some(zone) => zone.to_owned(),
        None => own_zone(&zones)?,
    };
    zones.known(&zone).map_err(fail)?;
    let probes = zones.probes(&zone);
    let addresses: Vec<SocketAddr> = probes.iter().map(|probe| probe.address).collect();
    let answers = host::segments::reach(&addresses, test.patience);
    let tried: Vec<(Probe, Reached)> = probes.into_iter().zip(answers).collect();
    let mut findings: Vec<Finding> =
        tried.iter().filter_map(|(probe, reached)| zones.judge(&zone, probe, reached)).collect();
    let (mut count, mut flows) = (0, 0);
    if let Some(world) = world.filter(|_| test.records) {
        for row in records::records(world)? {
            let view = records::view(world, &row)?;
            let (found, seen) = zones.flows(&zone, &view.record, &format!("r{}", row.number));
            count += 1;
            flows += seen;
            findings.extend(found);
        }
    }
    findings
        .sort_by(|a, b| (std::cmp::Reverse(a.severity), &a.id).cmp(&(std::cmp::Reverse(b.severity), &b.id)));
    Ok(SegmentsTested { zone, tried, records: count, flows, findings })
}

/// The zone from whose addresses this machine reaches the others. Two zones are none.
fn own_zone(zones: &Zones) -> Result<String> {
    let mut own: Vec<String> = zones
        .probes("")
        .iter()
        .filter_map(|probe| host::segments::own_address(probe.address).ok())
        .filter(|address| !address.is_loopback())
        .map(|address| zones.zone_of(address).to_owned())
        .filter(|zone| zone != INTERNET)
        .collect();
    own.sort();
    own.dedup();
    match own.pop() {
        Some(zone) if own.is_empty() => Ok(zone),
        _ => Err(Error::NoZone),
    }
}
