//! What can be typed after `posture`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use engine::judge::detect::MachineRole;

#[derive(Subcommand)]
pub(crate) enum PostureCommand {
    /// Is the machine in the state that its purpose asks for: encryption, updates, agents, accounts, ssh, clock
    Check {
        /// What the machine is for [default: `machine` of the store's policy, else developer]
        #[arg(long, value_enum)]
        level: Option<Level>,
        /// Rules of your own (TOML): they are added, or replace those with the same `id`
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// The root folder of the machine [default: /]
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// Judge facts that `--output` has written on another machine
        #[arg(long, value_name = "FILE", conflicts_with = "root")]
        facts: Option<PathBuf>,
        /// Write the facts to a file
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the rules that come with the program
    Rules,
    /// Are the zones of the network apart: forbidden ways from this machine, and connections in records
    Segments {
        /// The zone file (TOML): networks, addresses to try, ways that are allowed
        #[arg(long, value_name = "FILE")]
        zones: PathBuf,
        /// The zone of this machine [default: that of its own address]
        #[arg(long, value_name = "NAME")]
        zone: Option<String>,
        /// How long one answer may take, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
        timeout: u64,
        /// Leave the records of the store alone
        #[arg(long)]
        no_records: bool,
    },
}

/// What a machine is for.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// People work on it
    Developer,
    /// Only builds run on it
    Build,
    /// It holds signing keys
    Sign,
}

impl From<Level> for MachineRole {
    fn from(level: Level) -> Self {
        match level {
            Level::Developer => Self::Developer,
            Level::Build => Self::Build,
            Level::Sign => Self::Sign,
        }
    }
}
