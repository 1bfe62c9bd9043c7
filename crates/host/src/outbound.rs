//! The only sockets that are opened from here to elsewhere: alerts to a syslog server or a webhook, and checkpoints to
//! the witnesses of a log, digests to a key service, jobs from other
//! builders.
//!
//! Nothing is ever read from the former that would be acted upon: an answer counts only as delivered or not; what a
//! witness answers counts only by its signature. A webhook without TLS is
//! possible only to this machine itself; redirections are not followed.

mod agent;
mod exchange;
mod service;
mod sigv4;
mod syslog;
mod webhook;

pub use exchange::{exchange, fetch};
pub use service::call;
pub use sigv4::Amazon;
pub use syslog::Syslog;
pub use webhook::Webhook;

/// How long one attempt may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A place to send to that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Not a place that we know how to reach.
    #[error("`{0}` is not a place to send to: {1}")]
    Place(String, &'static str),
    /// Nobody answered.
    #[error("cannot reach `{0}`")]
    Exchange(String, #[source] std::io::Error),
    /// The roots of trust could not be read.
    #[error("cannot read the certificates that TLS is checked against")]
    Roots(#[source] std::io::Error),
}
