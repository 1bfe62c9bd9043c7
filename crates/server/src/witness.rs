//! C2SP tlog-witness: `POST /add-checkpoint`, and for monitors `GET /<sha256 of the origin>/checkpoint`.

use std::sync::Arc;

use engine::{Witness, WitnessAnswer};

use crate::http::{Handler, Request, Response};

/// The routes of a witness. `now` is its clock; `found` is told of every checkpoint that does not go with what the
/// witness has seen before.
pub fn witness_routes(
    witness: Arc<Witness>,
    now: impl Fn() -> u64 + Send + Sync + 'static,
    found: impl Fn(&str) + Send + Sync + 'static,
) -> Arc<Handler> {
    Arc::new(move |request: &Request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/add-checkpoint") => {
            let answer = witness.add_checkpoint(&request.body, now());
            if let Some(words) = answer.as_ref().ok().and_then(WitnessAnswer::contradiction) {
                found(words);
            }
            match answer {
                Ok(WitnessAnswer::Cosigned(lines)) => Response::new(200, "text/plain; charset=utf-8", lines),
                Ok(WitnessAnswer::Size(size)) => Response::new(409, "text/x.tlog.size", format!("{size}\n")),
                Ok(WitnessAnswer::Contradiction { status, words }) => Response::text(status, &words),
                Ok(WitnessAnswer::Refused { status, words }) => Response::text(status, words),
                Err(error) => Response::text(500, &error.to_string()),
            }
        }
        ("GET", path) => {
            let hash = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
            match hash.map(|hash| witness.newest(hash)) {
                Some(Ok(Some(note))) => Response::new(200, "text/plain; charset=utf-8", note),
                Some(Err(error)) => Response::text(500, &error.to_string()),
                _ => Response::text(404, "no such log"),
            }
        }
        _ => Response::text(405, "only GET and POST of `add-checkpoint`"),
    })
}
