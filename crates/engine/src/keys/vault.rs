//! A key in HashiCorp Vault's transit engine, or in what speaks like it (OpenBao): two calls by REST.

use attest::{KeyError, PublicKey, Signer};
use evidence::Digest;
use serde_json::{Value, json};

use super::unexpected;
use super::uri::VaultKey;

/// A key in a transit engine, at the version that was the latest when it was opened.
pub(super) struct Vault {
    at: VaultKey,
    version: u64,
    public: PublicKey,
}

impl Vault {
    pub(super) fn open(at: VaultKey) -> Result<Self, KeyError> {
        let answer = call(&at, &format!("keys/{}", at.key), None)?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        if text("/data/type") != Some("ecdsa-p256") {
            return Err(KeyError::Holder("it is no key of type `ecdsa-p256`".into()));
        }
        let version = answer.pointer("/data/latest_version").and_then(Value::as_u64);
        let version = version.ok_or_else(|| unexpected("latest_version"))?;
        let pem =
            text(&format!("/data/keys/{version}/public_key")).ok_or_else(|| unexpected("public_key"))?;
        Ok(Self { public: PublicKey::from_pem(pem)?, at, version })
    }
}

impl Signer for Vault {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let body = json!({
            "input": attest::Base64(Digest::of(message).as_bytes().to_vec()),
            "prehashed": true, "marshaling_algorithm": "asn1", "key_version": self.version,
        });
        let path = format!("sign/{}/sha2-256", self.at.key);
        let answer = call(&self.at, &path, Some(body.to_string().as_bytes()))?;
        let signature = answer.pointer("/data/signature").and_then(Value::as_str);
        let signature = signature
            .and_then(|text| text.strip_prefix(&format!("vault:v{}:", self.version)))
            .and_then(|text| serde_json::from_value::<attest::Base64>(text.into()).ok())
            .ok_or_else(|| unexpected("signature"))?;
        super::checked(&self.public, message, signature.0)
    }
}

fn call(at: &VaultKey, path: &str, body: Option<&[u8]>) -> Result<Value, KeyError> {
    let url = format!("{}/v1/{}/{path}", at.address, at.mount);
    super::service(&url, &[("X-Vault-Token", &at.token)], body)
}
