//! One request and its answer: to witnesses and logs, whose answers prove themselves by signatures.

use std::io::{self, Read};
use std::sync::Arc;

use ureq::Agent;
use ureq::tls::TlsConfig;

use super::webhook::{is_this_machine, roots};
use super::{OutboundError, PATIENCE};

/// A longer answer is not read.
const ANSWER_MAX_BYTES: u64 = 8 << 20;

/// Posts a body, or gets where there is none; returns the status and what was answered, whatever the status is. `https`
/// everywhere, `http` only to this machine.
pub fn exchange(url: &str, body: Option<&[u8]>) -> Result<(u16, Vec<u8>), OutboundError> {
    let mut config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None);
    if url.starts_with("https://") {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().root_certs(roots()?).unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.build()).https_only(true);
    } else if !url.strip_prefix("http://").is_some_and(is_this_machine) {
        return Err(OutboundError::Place(url.to_owned(), "only https, or http to this machine"));
    }
    let agent = config.build().new_agent();
    let answer = match body {
        Some(body) => agent.post(url).header("content-type", "text/plain; charset=utf-8").send(body),
        None => agent.get(url).call(),
    };
    let failed = |source| OutboundError::Exchange(url.to_owned(), source);
    let mut answer = answer.map_err(|error| failed(io::Error::other(error)))?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    answer.body_mut().as_reader().take(ANSWER_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok((status, bytes))
}
