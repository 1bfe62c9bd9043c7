//! What can be typed after `watch`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "Examples:
  countersign watch --replay latest --sigma sigma/rules/linux   rules of today over a stored trace
  countersign watch                                             collect until Ctrl-C
  countersign watch --once                                      collect what is new (cron)
  countersign watch report --since 7d                           who was here, and what changed";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<WatchCommand>,
    /// Run today's rules over the stored trace of a record: `latest`, `r7`, or the beginning of its digest
    #[arg(long, value_name = "RECORD")]
    pub(crate) replay: Option<String>,
    /// With --replay: a folder of rules besides ours and those in the store
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub(crate) rules: Option<PathBuf>,
    /// With --replay: a folder of Sigma rules
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub(crate) sigma: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) collect: CollectArgs,
    #[command(flatten)]
    pub(crate) outlets: OutletArgs,
}

/// Where findings and events are told besides the screen.
#[derive(Args)]
pub(crate) struct OutletArgs {
    /// Write OCSF, one document a line, to a file, or `-` for stdout instead of the answer
    #[arg(long, value_name = "FILE")]
    pub(crate) ocsf: Option<PathBuf>,
    /// Send syslog (RFC 5424) to `unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT`
    #[arg(long, value_name = "PLACE")]
    pub(crate) syslog: Vec<String>,
    /// Post JSON to an https address (http only to this machine itself)
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    pub(crate) webhook: Option<String>,
    /// File with the secret that signs what is posted
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub(crate) webhook_secret_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct CollectArgs {
    /// Stop when everything that is there has been read
    #[arg(long, conflicts_with_all = ["replay", "span"])]
    pub(crate) once: bool,
    /// Stop after a while: `90s`, `15m`, `2h`
    #[arg(long = "for", id = "span", value_name = "DURATION", conflicts_with = "replay")]
    pub(crate) span: Option<String>,
    /// How long events may wait to be signed and logged
    #[arg(long, value_name = "DURATION", default_value = "60s", conflicts_with = "replay")]
    pub(crate) batch: String,
    /// A syslog file with logins [default: /var/log/auth.log, /var/log/secure]
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) auth_log: Vec<PathBuf>,
    /// A file of `journalctl -o json`
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) journal: Vec<PathBuf>,
    /// The program that reads the machine's journal [default: /usr/bin/journalctl where the journal runs]
    #[arg(long, value_name = "PROGRAM", conflicts_with = "replay")]
    pub(crate) journalctl: Vec<PathBuf>,
    /// A file of the kernel's audit log [default: /var/log/audit/audit.log]
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) audit_log: Vec<PathBuf>,
    /// A file of login records [default: /var/log/wtmp]
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) wtmp: Vec<PathBuf>,
    /// A file of failed login records [default: /var/log/btmp]
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) btmp: Vec<PathBuf>,
    /// A file, or a folder with all below it, besides the default ones
    #[arg(long, value_name = "PATH", conflicts_with = "replay")]
    pub(crate) path: Vec<PathBuf>,
    /// Only what is named: no default logs and paths
    #[arg(long, conflicts_with = "replay")]
    pub(crate) no_defaults: bool,
}

#[derive(Subcommand)]
pub(crate) enum WatchCommand {
    /// Who was on this machine, from where, which builds ran meanwhile, what changed
    Report {
        /// From when: a date, a moment, or a span back from now like `7d` or `12h`
        #[arg(long, value_name = "WHEN", default_value = "7d")]
        since: String,
        /// Until when [default: now]
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
        #[command(flatten)]
        outlets: OutletArgs,
    },
}
