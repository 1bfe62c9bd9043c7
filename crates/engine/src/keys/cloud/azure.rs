//! Azure Key Vault, REST version 7.4: the key as a JSON Web Key (RFC 7517), and `sign` by ES256 (RFC 7518, section 3.4).

use attest::{KeyError, PublicKey, Signer};
use evidence::Digest;
use serde_json::{Value, json};

use super::super::uri::{Bad, pairs};
use super::super::{checked, service, unexpected};
use super::{Bearer, address, is_plain};
use crate::error::Result;
use crate::world::Passphrase;

const VERSION: &str = "api-version=7.4";

/// Which key, where, and who may use it.
pub(in super::super) struct AzureKey {
    address: String,
    key: String,
    /// The newest where none is named.
    version: Option<String>,
    token: Bearer,
}

impl AzureKey {
    /// Reads what follows `azurekms://`: `VAULT.vault.azure.net/KEY[/VERSION]?token-file=…`.
    pub(in super::super) fn parse(rest: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<Self> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let (host, key, version) = match parts.as_slice() {
            [host, key] => (*host, *key, None),
            [host, key, version] => (*host, *key, Some((*version).to_owned())),
            _ => return Err(bad("it is `azurekms://VAULT.vault.azure.net/KEY/VERSION`")),
        };
        if ![host, key].into_iter().chain(version.as_deref()).all(is_plain) || !host.contains('.') {
            return Err(bad("the vault is named by its whole host name, keys have letters, digits and `-`"));
        }
        let (mut place, mut file) = (format!("https://{host}"), None);
        for (name, value) in pairs(query, '&', bad)? {
            match name.as_str() {
                "address" => place = address(value, bad)?,
                "token-file" => file = Some(value),
                other => return Err(bad(&format!("`{other}` is not understood here"))),
            }
        }
        let token = Bearer::find(file, "AZURE_ACCESS_TOKEN", passphrase, bad)?;
        Ok(Self { address: place, key: key.to_owned(), version, token })
    }
}

/// A key at Azure, at one version.
pub(in super::super) struct Azure {
    at: AzureKey,
    version: String,
    public: PublicKey,
}

impl Azure {
    pub(in super::super) fn open(at: AzureKey) -> std::result::Result<Self, KeyError> {
        let version = at.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
        let url = format!("{}/keys/{}{version}?{VERSION}", at.address, at.key);
        let answer = service(&url, &[at.token.header()], None)?;
        let text = |name: &str| answer.get("key").and_then(|key| key.get(name)).and_then(Value::as_str);
        if !matches!(text("kty"), Some("EC" | "EC-HSM")) || text("crv") != Some("P-256") {
            return Err(KeyError::Holder("it is no key on the curve P-256".into()));
        }
        // Only the name of the version is taken from the key's own address: where to ask is the URI's to say.
        let version = text("kid").and_then(|kid| kid.rsplit('/').next()).filter(|version| is_plain(version));
        let version = version.ok_or_else(|| unexpected("kid"))?.to_owned();
        if at.version.as_ref().is_some_and(|asked| *asked != version) {
            return Err(KeyError::Holder("the service shows another version than was asked for".into()));
        }
        let coordinate = |name| text(name).and_then(base64url).filter(|bytes| bytes.len() == 32);
        let (x, y) = coordinate("x").zip(coordinate("y")).ok_or_else(|| unexpected("x` and `y"))?;
        let public = PublicKey::from_point(&[&[4], x.as_slice(), &y].concat())?;
        Ok(Self { at, version, public })
    }
}

impl Signer for Azure {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, KeyError> {
        let value = attest::base64url(Digest::of(message).as_bytes());
        let body = json!({"alg": "ES256", "value": value}).to_string();
        let url = format!("{}/keys/{}/{}/sign?{VERSION}", self.at.address, self.at.key, self.version);
        let answer = service(&url, &[self.at.token.header()], Some(body.as_bytes()))?;
        let fixed = answer.get("value").and_then(Value::as_str).and_then(base64url);
        let fixed = fixed.filter(|fixed| fixed.len() == 64).ok_or_else(|| unexpected("value"))?;
        checked(&self.public, message, attest::key::signature_from_fixed(&fixed)?)
    }
}

/// Decodes what services write without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    attest::from_base64url(text.trim_end_matches('='))
}
