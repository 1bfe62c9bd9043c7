//! Keys in the key services of Amazon, Google and Azure, by REST: each asks for the public key, and for signatures of digests.
//!
//! The only place that is spoken to is the one that the URI names. Credentials come from a file that it names, else from the
//! variables in [`VARIABLES`], which the caller hands over; nobody else is asked for any: no metadata service, no token endpoint.

mod amazon;
mod azure;
mod google;

pub(super) use amazon::{Amazon, AmazonKey};
pub(super) use azure::{Azure, AzureKey};
pub(super) use google::{Google, GoogleKey};

use zeroize::Zeroizing;

use super::uri::{Bad, secret, text};
use crate::error::Result;
use crate::world::Passphrase;

/// Environment variables that hold credentials for services that keep keys.
pub const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "AZURE_ACCESS_TOKEN",
];

/// What opens a service that takes bearer tokens (RFC 6750).
struct Bearer(Zeroizing<String>);

impl Bearer {
    /// Takes the token from a file, else from a variable.
    fn find(file: Option<Vec<u8>>, variable: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<Self> {
        let token = match file {
            Some(path) => Zeroizing::new(secret(&text(path, bad)?, bad)?),
            None => passphrase.credential(variable).ok_or_else(|| {
                bad(&format!("nobody is named who may use it: `token-file=FILE` or {variable}"))
            })?,
        };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("the token is not one word of ASCII"));
        }
        Ok(Self(Zeroizing::new(format!("Bearer {}", *token))))
    }

    fn header(&self) -> (&'static str, &str) {
        ("authorization", &self.0)
    }
}

/// Takes where a service is: `https://HOST[:PORT]`, or `http` to this machine.
fn address(value: Vec<u8>, bad: Bad<'_>) -> Result<String> {
    let address = text(value, bad)?.trim_end_matches('/').to_owned();
    let (scheme, host) = address.split_once("://").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    // A port that is the usual one is left out of the request's `host`, which is signed.
    let usual = (scheme == "https" && host.ends_with(":443")) || (scheme == "http" && host.ends_with(":80"));
    if !matches!(scheme, "https" | "http") || host.is_empty() || !host.chars().all(plain) || usual {
        return Err(bad("the address is `https://HOST`, with a port only if it is not the usual one"));
    }
    Ok(address)
}

/// A part of a path: what can mean nothing else.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && part.chars().all(plain) && part.chars().any(|c| c != '.')
}

/// A word that begins a host's name.
fn is_label(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
