//! The log: Rekor v2's `POST /api/v2/log/entries`, the reads of C2SP tlog-tiles, and RFC 3161 timestamps.

use std::sync::Arc;

use engine::evidence::Timestamp;
use engine::{LogService, Submitted};

use crate::http::{Handler, Request, Response};

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// The routes of a log. Tiles stand both at the root, as tlog-tiles has it, and under `/api/v2`, where Rekor v2 has
/// them.
///
/// `now` is the clock of the timestamp authority (RFC 3161, section 3.4; at the path where Sigstore's clients ask).
pub fn log_routes(
    service: Arc<LogService>,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> Arc<Handler> {
    Arc::new(move |request: &Request| {
        let path = request.path.strip_prefix("/api/v2").unwrap_or(&request.path);
        match (request.method.as_str(), path) {
            ("POST", "/log/entries") => match service.submit(&request.body) {
                Ok(Submitted::Entry(entry)) => Response::new(201, "application/json", entry),
                Ok(Submitted::Refused { status, words }) => {
                    Response::new(status, "application/json", format!("{{\"code\":3,\"message\":{words:?}}}"))
                }
                Err(error) => Response::text(503, &error.to_string()),
            },
            ("POST", "/api/v1/timestamp") => match service.timestamp(&request.body, now()) {
                Ok(response) => Response::new(201, "application/timestamp-reply", response),
                Err(error) => Response::text(503, &error.to_string()),
            },
            ("GET", "/checkpoint") => match service.checkpoint() {
                Ok(note) => Response::new(200, TEXT, note),
                Err(error) => Response::text(503, &error.to_string()),
            },
            ("GET", "/healthz") => Response::text(200, "serving"),
            ("GET", tile) if tile.starts_with("/tile/") => match service.tile(tile.trim_start_matches('/')) {
                Ok(Some(bytes)) => Response { immutable: true, ..Response::new(200, BYTES, bytes) },
                Ok(None) => Response::text(404, "no such tile"),
                Err(error) => Response::text(503, &error.to_string()),
            },
            ("GET", _) => {
                Response::text(404, "there are `checkpoint`, `tile/…` and `api/v2/log/entries` here")
            }
            _ => Response::text(405, "only GET, and POST of `api/v2/log/entries` and `api/v1/timestamp`"),
        }
    })
}
