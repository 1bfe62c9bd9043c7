//! Google Cloud Key Management Service, v1: `getPublicKey` and `asymmetricSign` of one version of a key.

use attest::{Base64, KeyError, PublicKey, Signer};
use evidence::Digest;
use serde_json::{Value, json};

use super::super::uri::{Bad, pairs};
use super::super::{checked, service, unexpected};
use super::{Bearer, address, is_plain};
use crate::error::Result;
use crate::world::Passphrase;

/// Which key, where, and who may use it.
pub(in super::super) struct GoogleKey {
    address: String,
    /// The resource name of the version.
    name: String,
    token: Bearer,
}

impl GoogleKey {
    /// Reads what follows `gcpkms://`: `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V?token-file=…`.
    pub(in super::super) fn parse(rest: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<Self> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let [
            "projects",
            project,
            "locations",
            location,
            "keyRings",
            ring,
            "cryptoKeys",
            key,
            "versions" | "cryptoKeyVersions",
            version,
        ] = parts.as_slice()
        else {
            return Err(bad(
                "it is `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`",
            ));
        };
        // Projects of a domain have a colon in their name.
        let named = is_plain(&project.replace(':', "-"));
        if !named || ![location, ring, key, version].iter().all(|part| is_plain(part)) {
            return Err(bad("names have letters, digits and `-_.`"));
        }
        let name = format!(
            "projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}"
        );
        let (mut place, mut file) = ("https://cloudkms.googleapis.com".to_owned(), None);
        for (name, value) in pairs(query, '&', bad)? {
            match name.as_str() {
                "address" => place = address(value, bad)?,
                "token-file" => file = Some(value),
                other => return Err(bad(&format!("`{other}` is not understood here"))),
            }
        }
        let token = Bearer::find(file, "CLOUDSDK_AUTH_ACCESS_TOKEN", passphrase, bad)?;
        Ok(Self { address: place, name, token })
    }

    fn call(&self, method: &str, body: Option<&Value>) -> std::result::Result<Value, KeyError> {
        let url = format!("{}/v1/{}{method}", self.address, self.name);
        let body = body.map(Value::to_string);
        service(&url, &[self.token.header()], body.as_deref().map(str::as_bytes))
    }
}

/// A key at Google.
pub(in super::super) struct Google {
    at: GoogleKey,
    public: PublicKey,
}

impl Google {
    pub(in super::super) fn open(at: GoogleKey) -> std::result::Result<Self, KeyError> {
        let answer = at.call("/publicKey", None)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        if text("algorithm") != Some("EC_SIGN_P256_SHA256") {
            return Err(KeyError::Holder("it is no key for EC_SIGN_P256_SHA256".into()));
        }
        let public = PublicKey::from_pem(text("pem").ok_or_else(|| unexpected("pem"))?)?;
        Ok(Self { at, public })
    }
}

impl Signer for Google {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, KeyError> {
        let body = json!({"digest": {"sha256": Base64(Digest::of(message).as_bytes().to_vec())}});
        let answer = self.at.call(":asymmetricSign", Some(&body))?;
        let signature = answer.get("signature").cloned();
        let signature = signature.and_then(|text| serde_json::from_value::<Base64>(text).ok());
        checked(&self.public, message, signature.ok_or_else(|| unexpected("signature"))?.0)
    }
}
