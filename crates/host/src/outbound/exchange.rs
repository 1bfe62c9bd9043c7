//! One request and its answer: to witnesses and logs, whose answers prove themselves by signatures.

use std::io::{self, Read};
use std::time::Duration;

use super::OutboundError;

/// A longer answer is not read.
const ANSWER_MAX_BYTES: u64 = 8 << 20;
/// How long content may take.
const CONTENT_PATIENCE: Duration = Duration::from_secs(300);

/// Gets content of at most so many bytes, with the time that such content may take.
pub fn fetch(url: &str, max_bytes: u64) -> Result<(u16, Vec<u8>), OutboundError> {
    let agent = super::agent::agent_for(url, CONTENT_PATIENCE)?;
    taken(url, agent.get(url).call(), max_bytes)
}

/// Posts a body, or gets where there is none; returns the status and what was answered, whatever the status is. `https`
/// everywhere, `http` only to this machine.
pub fn exchange(url: &str, body: Option<&[u8]>) -> Result<(u16, Vec<u8>), OutboundError> {
    let agent = super::agent::agent(url)?;
    let answer = match body {
        Some(body) => agent.post(url).header("content-type", "text/plain; charset=utf-8").send(body),
        None => agent.get(url).call(),
    };
    taken(url, answer, ANSWER_MAX_BYTES)
}

/// Takes the status and at most so many bytes of an answer.
pub(super) fn taken(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    max_bytes: u64,
) -> Result<(u16, Vec<u8>), OutboundError> {
    let failed = |source| OutboundError::Exchange(url.to_owned(), source);
    let mut answer = answer.map_err(|error| failed(io::Error::other(error)))?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    let mut body = answer.body_mut().as_reader().take(max_bytes.saturating_add(1));
    body.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max_bytes {
        return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok((status, bytes))
}
