//! `watch`.

mod collect;
mod describe;
mod replay;
mod report;
mod when;

use anyhow::Result;

use crate::args::watch::{WatchArgs, WatchCommand};
use crate::context::Context;

pub(crate) fn run(context: &Context, arguments: WatchArgs) -> Result<u8> {
    match (arguments.command, arguments.replay) {
        (Some(WatchCommand::Report { since, until }), _) => report::run(context, &since, until.as_deref()),
        (None, Some(record)) => {
            replay::run(context, engine::Replay { record, rules: arguments.rules, sigma: arguments.sigma })
        }
        (None, None) => collect::run(context, &arguments.collect),
    }
}
