//! `watch`.

mod collect;
mod describe;
mod outlets;
mod replay;
mod report;
mod when;

use anyhow::Result;

use crate::args::watch::{WatchArgs, WatchCommand};
use crate::context::Context;

pub(crate) fn run(context: &Context, arguments: WatchArgs) -> Result<u8> {
    match (arguments.command, arguments.replay) {
        (Some(WatchCommand::Report { since, until, outlets }), _) => {
            report::run(context, &since, until.as_deref(), outlets)
        }
        (None, Some(record)) => {
            let replay = engine::Replay { record, rules: arguments.rules, sigma: arguments.sigma };
            replay::run(context, &replay, arguments.outlets)
        }
        (None, None) => collect::run(context, &arguments.collect, arguments.outlets),
    }
}
