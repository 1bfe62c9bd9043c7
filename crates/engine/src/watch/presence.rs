//! `watch report`: who was on the build machine, from where, which builds ran meanwhile, what changed.

use evidence::Timestamp;
use evidence::statement::MachineReport;
use judge::presence::{Build, Presence};

use super::reports;
use crate::error::Result;
use crate::records;
use crate::world::World;

/// What the log knows of a span of time.
#[derive(Clone, PartialEq, Debug)]
pub struct MachineView {
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// The reports that tell of it, by their place in the log.
    pub reports: Vec<(u64, MachineReport)>,
    /// What they tell.
    pub presence: Presence,
}

/// Puts together what happened from `since` until `until`. A login of long ago may last until then, so all reports are
/// read.
pub fn presence(world: &World, since: Timestamp, until: Timestamp) -> Result<MachineView> {
    let mut events = Vec::new();
    let mut told = Vec::new();
    for logged in reports::reports(world)? {
        events.extend(logged.events(world)?.events);
        if logged.report.finished >= since && logged.report.started <= until {
            told.push((logged.log_index, logged.report));
        }
    }
    let builds: Vec<Build> = records::records(world)?
        .into_iter()
        .filter(|row| row.started <= until && row.finished >= since)
        .map(|row| Build {
            number: row.number,
            product: row.product,
            release: row.release,
            started: row.started,
            finished: row.finished,
        })
        .collect();
    let machine = world.policy()?.0.machine;
    let presence = judge::presence::presence(&events, &builds, since, until, machine);
    Ok(MachineView { since, until, reports: told, presence })
}
