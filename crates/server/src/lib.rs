//! HTTP/1.1 in front of the engine: the log, the witness and a store's evidence, for programs of other
//! people.
//!
//! Blocking, one thread a connection, a bound on everything: connections, headers, bodies, time. No TLS: it listens on
//! this machine, and a reverse proxy speaks to the world. It holds no logic: each request is one call of the engine.

mod connections;
mod evidence;
mod http;
mod log;
mod witness;

pub use evidence::evidence_routes;
pub use http::{Handler, Limits, Request, Response, ServerError, Serving, serve};
pub use log::log_routes;
pub use witness::witness_routes;
