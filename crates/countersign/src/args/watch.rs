//! What can be typed after `watch`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Run today's rules over the stored trace of a record: `latest`, `r7`, or the beginning of its digest
    #[arg(long, value_name = "RECORD")]
    pub(crate) replay: Option<String>,
    /// With --replay: a folder of rules besides ours and those in the store
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub(crate) rules: Option<PathBuf>,
    /// With --replay: a folder of Sigma rules
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub(crate) sigma: Option<PathBuf>,
}
