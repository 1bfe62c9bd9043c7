//! Calls to a key service: JSON with a secret in one header. The answers are not believed: a signature counts only if the key that
//! is expected verifies it.

use super::OutboundError;

/// A longer answer is not read.
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// Posts JSON, or gets where there is none; returns the status and what was answered. `https` everywhere, `http` only to this
/// machine. The secret stands in no error.
pub fn call(url: &str, header: (&str, &str), body: Option<&[u8]>) -> Result<(u16, Vec<u8>), OutboundError> {
    let agent = super::agent::agent(url)?;
    let answer = match body {
        Some(body) => {
            agent.post(url).header(header.0, header.1).header("content-type", "application/json").send(body)
        }
        None => agent.get(url).header(header.0, header.1).call(),
    };
    super::exchange::taken(url, answer, ANSWER_MAX_BYTES)
}
