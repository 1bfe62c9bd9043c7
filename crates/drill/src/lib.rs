//! Drills: known attacks, replayed with harmless artifacts against the real program in a sandbox, and scored by
//! which control caught what, and after how long.
//!
//! A drill that cannot fail proves nothing: each control can be switched off, and then the drill must miss.

mod evil_builder;
mod failed_publish;
mod log_fork;
mod sandbox;
mod shai_hulud;
mod stolen_key;
mod sunspot;
mod three_cx;

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

pub use sandbox::DrillError;

/// A drill that can be run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Drill {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happened in the world.
    pub attack: &'static str,
    /// The controls that must catch it, each by itself.
    pub controls: &'static [Control],
    #[serde(skip)]
    run: fn(&Path, Option<&str>) -> Result<Score, DrillError>,
}

/// One control of the product.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Control {
    /// Its name, for `--without`.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
}

/// How one step of a drill went.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Step {
    /// The control that is on trial.
    pub control: &'static str,
    /// What it should do.
    pub expected: String,
    /// Whether it did.
    pub caught: bool,
    /// What was seen.
    pub evidence: Vec<String>,
    /// Seconds from the beginning of the attack to this answer.
    pub seconds: f64,
}

impl Step {
    fn new(
        control: &'static str,
        expected: &str,
        caught: bool,
        evidence: Vec<String>,
        began: Instant,
    ) -> Self {
        let seconds = began.elapsed().as_secs_f64();
        Self { control, expected: expected.to_owned(), caught, evidence, seconds }
    }
}

/// How a drill went.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Score {
    /// The drill.
    pub drill: &'static str,
    /// The control that was switched off.
    pub without: Option<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Score {
    /// Tells whether every control did its work.
    pub fn caught(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.caught)
    }
}

/// All drills.
pub const ALL: &[Drill] = &[
    three_cx::DRILL,
    sunspot::DRILL,
    shai_hulud::DRILL,
    stolen_key::DRILL,
    failed_publish::DRILL,
    log_fork::DRILL,
    evil_builder::DRILL,
];

/// Finds a drill by its name.
pub fn find(name: &str) -> Option<&'static Drill> {
    ALL.iter().find(|drill| drill.name == name)
}

impl Drill {
    /// Runs it with the given program, in a sandbox that is removed afterwards.
    pub fn run(&self, program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
        if let Some(name) = without
            && !self.controls.iter().any(|control| control.name == name)
        {
            return Err(DrillError::NoControl { drill: self.name, control: name.to_owned() });
        }
        (self.run)(program, without)
    }
}
