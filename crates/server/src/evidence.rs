//! A store's evidence for others: search in its log, statements with their proofs, jobs for other builders. Read-only.

use std::sync::Arc;

use engine::evidence::wire::percent;
use engine::evidence::{Digest, Timestamp};
use engine::{EvidenceService, LogRow, Wanted};
use serde_json::{Value, json};

use crate::http::{Handler, Request, Response};

/// The routes of a store: `/search?digest=…|key=…|identity=…|product=…|kind=…[&from=…]`, `/entry/INDEX`, `/jobs/RECORD`,
/// `/jobs/RECORD/DIGEST`. `now` is the moment of a question.
pub fn evidence_routes(
    service: Arc<EvidenceService>,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> Arc<Handler> {
    Arc::new(move |request: &Request| {
        if request.method != "GET" {
            return Response::text(405, "only GET");
        }
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["search"] => search(&service, &request.query, now()),
            ["entry", index] => match index.parse().map(|index| service.bundle(index, now())) {
                Ok(Ok(Some(bundle))) => Response::new(200, BUNDLE, bundle),
                Ok(Err(error)) => Response::text(503, &error.to_string()),
                _ => Response::text(404, "no such entry"),
            },
            ["jobs", record] => match service.job(record, now()) {
                Ok(Some(job)) => json_answer(&json!(job)),
                Ok(None) => Response::text(404, "no such record"),
                Err(error) => Response::text(503, &error.to_string()),
            },
            ["jobs", record, digest] => {
                let digest = Digest::from_hex(digest).map(|digest| service.content(record, &digest, now()));
                match digest {
                    Ok(Ok(Some(bytes))) => {
                        Response { immutable: true, ..Response::new(200, "application/octet-stream", bytes) }
                    }
                    Ok(Err(error)) => Response::text(503, &error.to_string()),
                    _ => Response::text(404, "no such content"),
                }
            }
            ["healthz"] => Response::text(200, "serving"),
            _ => Response::text(
                404,
                "there are `search`, `entry/INDEX`, `jobs/RECORD` and `jobs/RECORD/DIGEST` here",
            ),
        }
    })
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn search(service: &EvidenceService, query: &str, now: Timestamp) -> Response {
    let (wanted, from) = match wanted(query) {
        Ok(wanted) => wanted,
        Err(words) => return Response::text(400, words),
    };
    match service.search(&wanted, from, now) {
        Ok(found) => {
            // A full answer says where the next one begins.
            let full = found.len() == engine::FOUND_MAX as usize;
            let next = found.last().filter(|_| full).map(|last| last.index + 1);
            let entries: Vec<Value> = found.iter().map(entry).collect();
            json_answer(&json!({ "schema": "urn:countersign:search:v1", "entries": entries, "next": next }))
        }
        Err(error) => Response::text(503, &error.to_string()),
    }
}

fn entry(row: &LogRow) -> Value {
    let subjects: Vec<Value> =
        row.subjects.iter().map(|(name, digest)| json!({ "name": name, "digest": digest })).collect();
    json!({
        "index": row.index, "kind": row.kind, "statement": row.statement, "key": row.key, "subjects": subjects,
        "time": row.time,
    })
}

/// Reads a query: exactly one thing that is wanted, and perhaps from where on.
fn wanted(query: &str) -> Result<(Wanted, u64), &'static str> {
    let (mut wanted, mut from) = (None, 0);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or("a part without `=`")?;
        let value = decoded(value).ok_or("a broken `%` or no UTF-8")?;
        let next = match name {
            "digest" => Wanted::Digest(value.parse().map_err(|_| "not a digest `sha256:…`")?),
            "key" => Wanted::Key(value),
            "identity" => Wanted::Identity(value),
            "product" => Wanted::Product(value),
            "kind" => Wanted::Kind(value),
            "from" => {
                from =
                    value.parse().ok().filter(|from| i64::try_from(*from).is_ok()).ok_or("not an index")?;
                continue;
            }
            _ => return Err("there are `digest`, `key`, `identity`, `product`, `kind` and `from`"),
        };
        if wanted.replace(next).is_some() {
            return Err("one thing at a time");
        }
    }
    wanted.map(|wanted| (wanted, from)).ok_or("say what: `digest`, `key`, `identity`, `product` or `kind`")
}

fn decoded(value: &str) -> Option<String> {
    String::from_utf8(percent::decoded(value)?).ok()
}

fn json_answer(value: &Value) -> Response {
    Response::new(200, "application/json", value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_wants_one_thing() {
        let digest = Digest::of(b"x");
        assert_eq!(wanted(&format!("digest={digest}")), Ok((Wanted::Digest(digest), 0)));
        assert_eq!(wanted("product=a%20b&from=7"), Ok((Wanted::Product("a b".into()), 7)));
        assert_eq!(
            wanted("identity=https://a.example/x"),
            Ok((Wanted::Identity("https://a.example/x".into()), 0))
        );
        for bad in [
            "",
            "digest=x",
            "product",
            "product=%4",
            "product=%ff",
            "product=a&key=b",
            "from=1",
            "from=-1&key=a",
            "x=y",
        ] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }
}
