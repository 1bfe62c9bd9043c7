//! AWS Key Management Service (API version 2014-11-01): `GetPublicKey` and `Sign`, signed by Signature Version 4.

use attest::{Base64, KeyError, PublicKey, Signer};
use evidence::Digest;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::uri::{Bad, pairs, text};
use super::super::{checked, service, unexpected};
use super::{address, is_label};
use crate::error::Result;
use crate::files;
use crate::world::{Clock, Passphrase};

/// The longest credentials file.
const CREDENTIALS_MAX_BYTES: u64 = 1 << 20;
const TYPE: (&str, &str) = ("content-type", "application/x-amz-json-1.1");

/// Which key, where, and who may use it.
pub(in super::super) struct AmazonKey {
    address: String,
    region: String,
    /// Id, ARN or alias.
    key: String,
    access_key: String,
    secret_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl AmazonKey {
    /// Reads what follows `awskms://`: `/KEY?region=…&address=…&credentials-file=…&profile=…`.
    pub(in super::super) fn parse(rest: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<Self> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let key = path.strip_prefix('/').ok_or_else(|| {
            bad("it is `awskms:///KEY`; another place than Amazon's is named by `?address=https://…`")
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_/:".contains(c);
        if key.is_empty() || key.len() > 2048 || !key.chars().all(plain) {
            return Err(bad("a key is named by its id, its ARN, or `alias/NAME`"));
        }
        // arn:PARTITION:kms:REGION:ACCOUNT:key/ID
        let arn: Vec<&str> = key.split(':').collect();
        let arn = (arn.len() == 6 && arn[0] == "arn" && arn[2] == "kms").then_some(arn);
        let mut region = arn.as_ref().map(|parts| parts[3].to_owned());
        let (mut place, mut file, mut profile) = (None, None, "default".to_owned());
        for (name, value) in pairs(query, '&', bad)? {
            match name.as_str() {
                "region" => region = Some(text(value, bad)?),
                "address" => place = Some(address(value, bad)?),
                "credentials-file" => file = Some(text(value, bad)?),
                "profile" => profile = text(value, bad)?,
                other => return Err(bad(&format!("`{other}` is not understood here"))),
            }
        }
        let region = region.filter(|region| is_label(region)).ok_or_else(|| {
            bad("it does not say in which region: `?region=eu-central-1`, or the key's whole ARN")
        })?;
        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let address = place.unwrap_or_else(|| format!("https://kms.{region}.{end}"));
        let found: Vec<Option<Zeroizing<String>>> = match file {
            Some(path) => {
                let text = Zeroizing::new(files::read_text(path.as_ref(), CREDENTIALS_MAX_BYTES)?);
                let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
                names.iter().map(|name| setting(&text, &profile, name)).collect()
            }
            None => {
                let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
                names.iter().map(|name| passphrase.credential(name)).collect()
            }
        };
        let graphic = |value: &Zeroizing<String>| value.bytes().all(|byte| byte.is_ascii_graphic());
        if !found.iter().flatten().all(graphic) {
            return Err(bad("the credentials are not words of ASCII"));
        }
        let [Some(access_key), Some(secret_key), session_token] = found.as_slice() else {
            return Err(bad(
                "nobody is named who may use it: `credentials-file=FILE`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        };
        Ok(Self {
            address,
            region,
            key: key.to_owned(),
            access_key: access_key.to_string(),
            secret_key: secret_key.clone(),
            session_token: session_token.clone(),
        })
    }

    fn call(&self, action: &str, body: &Value, clock: Clock) -> std::result::Result<Value, KeyError> {
        let moment: String = clock.now().to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let amazon = host::outbound::Amazon {
            access_key: &self.access_key,
            secret_key: &self.secret_key,
            session_token: self.session_token.as_ref().map(|token| token.as_str()),
            region: &self.region,
            service: "kms",
            moment: &moment,
        };
        let target = format!("TrentService.{action}");
        let own = [TYPE, ("x-amz-target", target.as_str())];
        let host = self.address.split_once("://").map_or("", |(_, host)| host);
        let body = body.to_string();
        let added = amazon.headers(host, &own, body.as_bytes());
        let mut headers = own.to_vec();
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
        service(&format!("{}/", self.address), &headers, Some(body.as_bytes()))
    }
}

/// Reads a setting of a profile in the file that Amazon's own tools share (`~/.aws/credentials`).
fn setting(text: &str, profile: &str, wanted: &str) -> Option<Zeroizing<String>> {
    let mut here = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            here = section.trim() == profile;
        } else if here
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case(wanted)
        {
            return Some(Zeroizing::new(value.trim().to_owned())).filter(|value| !value.is_empty());
        }
    }
    None
}

/// A key at Amazon.
pub(in super::super) struct Amazon {
    at: AmazonKey,
    /// The key that answered, whatever its alias may name later.
    arn: String,
    public: PublicKey,
    clock: Clock,
}

impl Amazon {
    pub(in super::super) fn open(at: AmazonKey, clock: Clock) -> std::result::Result<Self, KeyError> {
        let answer = at.call("GetPublicKey", &json!({"KeyId": at.key}), clock)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        if text("KeySpec") != Some("ECC_NIST_P256") || text("KeyUsage") != Some("SIGN_VERIFY") {
            return Err(KeyError::Holder("it is no key of type ECC_NIST_P256 for signatures".into()));
        }
        let arn = text("KeyId").ok_or_else(|| unexpected("KeyId"))?.to_owned();
        let der = answer.get("PublicKey").cloned();
        let der = der.and_then(|der| serde_json::from_value::<Base64>(der).ok());
        let public = PublicKey::from_der(&der.ok_or_else(|| unexpected("PublicKey"))?.0)?;
        Ok(Self { at, arn, public, clock })
    }
}

impl Signer for Amazon {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, KeyError> {
        let body = json!({
            "KeyId": self.arn, "Message": Base64(Digest::of(message).as_bytes().to_vec()), "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let answer = self.at.call("Sign", &body, self.clock)?;
        let signature = answer.get("Signature").cloned();
        let signature = signature.and_then(|text| serde_json::from_value::<Base64>(text).ok());
        checked(&self.public, message, signature.ok_or_else(|| unexpected("Signature"))?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_profile() {
        let text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B/+=\naws_session_token =\n[profile x]\n[x]\nAWS_ACCESS_KEY_ID=C\n";
        let of = |profile: &str, name: &str| setting(text, profile, name).map(|value| value.to_string());
        assert_eq!(of("default", "aws_access_key_id").as_deref(), Some("A"));
        assert_eq!(of("default", "aws_secret_access_key").as_deref(), Some("B/+="));
        assert_eq!(of("default", "aws_session_token"), None, "an empty one is none");
        assert_eq!(of("x", "aws_access_key_id").as_deref(), Some("C"));
        assert_eq!((of("x", "aws_secret_access_key"), of("y", "aws_access_key_id")), (None, None));
    }
}
