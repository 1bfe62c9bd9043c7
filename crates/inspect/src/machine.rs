//! What machines write down about who came and went: system logs, the journal's JSON, `utmp` records; and which images
//! containerd has.
//!
//! All of it is foreign text: anyone who can connect to a machine chooses the user names that its logs hold, so lines are
//! read from the end that the service wrote, and what is ambiguous says so. Nothing here knows of files or clocks.

mod audit;
mod bolt;
mod journal;
mod messages;
mod syslog;
mod utmp;

pub use audit::AuditLog;
pub use bolt::{ContainerdImage, containerd_images};
pub use journal::{journal_cursor, journal_line};
pub use syslog::{Clock, syslog_line};
pub use utmp::{UTMP_RECORD_BYTES, Utmp, utmp_record};

/// No line of a log is longer; the rest of a longer one is left out, and that is a gap.
pub const LINE_MAX_BYTES: usize = 64 * 1024;
