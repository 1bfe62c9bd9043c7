//! How others are spoken to by HTTP: `https` everywhere, `http` only to this machine; no redirections, no proxy, no long wait.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{OutboundError, PATIENCE};

/// Where distributions keep the certificates that they trust.
const ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Makes the agent for an address; it says so if that is none that may be spoken to. Nothing is opened yet.
pub(super) fn agent(url: &str) -> Result<Agent, OutboundError> {
    agent_for(url, PATIENCE)
}

/// The same with another patience.
pub(super) fn agent_for(url: &str, patience: Duration) -> Result<Agent, OutboundError> {
    let wrong = |why| OutboundError::Place(url.to_owned(), why);
    let mut config = Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None);
    if url.starts_with("https://") {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().root_certs(roots()?).unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.build()).https_only(true);
    } else {
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("only https, or http to this machine"))?;
        if !is_this_machine(rest) {
            return Err(wrong("without TLS only this machine itself (127.0.0.1, [::1]) can be spoken to"));
        }
    }
    Ok(config.build().new_agent())
}

/// The authority must be a loopback address written out: a name may mean anything tomorrow.
fn is_this_machine(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn roots() -> Result<RootCerts, OutboundError> {
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, "this machine has no list of trusted certificates");
    let pem = ROOTS.iter().find_map(|path| fs::read(path).ok());
    let pem = pem.ok_or_else(|| OutboundError::Roots(missing()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(OutboundError::Roots(missing()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
