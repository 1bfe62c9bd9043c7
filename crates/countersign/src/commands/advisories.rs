//! `advisories`: what the world says about packages, and what of it touches us.

mod versions;

use anyhow::Result;

use crate::args::advisories::AdvisoriesCommand;
use crate::context::Context;

pub(crate) fn run(context: &Context, command: AdvisoriesCommand) -> Result<u8> {
    match command {
        AdvisoriesCommand::Versions { ecosystem, left, right } => {
            versions::versions(context, &ecosystem, left.as_deref().zip(right.as_deref()))
        }
    }
}
