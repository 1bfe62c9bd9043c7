//! `watch`.

mod replay;

use anyhow::Result;

use crate::args::watch::WatchArgs;
use crate::context::{Context, UsageError};

pub(crate) fn run(context: &Context, arguments: WatchArgs) -> Result<u8> {
    match arguments.replay {
        Some(record) => {
            replay::run(context, engine::Replay { record, rules: arguments.rules, sigma: arguments.sigma })
        }
        None => Err(UsageError("name a record with `--replay RECORD`".into()).into()),
    }
}
