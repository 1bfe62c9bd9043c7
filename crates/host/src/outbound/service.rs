//! Calls to a key service: JSON with secrets in headers. The answers are not believed: a signature counts only if the key that
//! is expected verifies it.

use super::OutboundError;

/// A longer answer is not read.
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// Posts JSON, or gets where there is none; returns the status and what was answered. `https` everywhere, `http` only to this
/// machine. No header stands in an error.
pub fn call(
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<(u16, Vec<u8>), OutboundError> {
    let agent = super::agent::agent(url)?;
    let answer = match body {
        Some(body) => {
            let typed = headers.iter().any(|(name, _)| *name == "content-type");
            let default = (!typed).then_some(&("content-type", "application/json"));
            let all = headers.iter().chain(default);
            all.fold(agent.post(url), |request, (name, value)| request.header(*name, *value)).send(body)
        }
        None => {
            headers.iter().fold(agent.get(url), |request, (name, value)| request.header(*name, *value)).call()
        }
    };
    super::exchange::taken(url, answer, ANSWER_MAX_BYTES)
}
