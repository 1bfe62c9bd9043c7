//! Key URIs: who holds a key and which one it is. No secret stands in one: a PIN or token comes from a file that it names, else it is
//! the passphrase.

use std::path::PathBuf;

use evidence::wire::percent::decoded;
use host::token::TokenKey;

use super::cloud::{AmazonKey, AzureKey, GoogleKey};
use crate::error::{Error, Result};
use crate::files;
use crate::world::Passphrase;

/// The longest file with a PIN or token.
const SECRET_MAX_BYTES: u64 = 1 << 16;

/// Who holds a key.
pub(super) enum Holder {
    /// A PKCS#11 token (RFC 7512).
    Token(TokenKey),
    /// HashiCorp Vault's transit engine, and what speaks like it.
    Vault(VaultKey),
    /// Amazon's key management service.
    Amazon(AmazonKey),
    /// Google Cloud's.
    Google(GoogleKey),
    /// Azure Key Vault.
    Azure(AzureKey),
    /// A program `sigstore-kms-NAME` (cosign's plug-in protocol).
    Plugin {
        /// The name.
        name: String,
        /// Which key, in the program's own words.
        resource: String,
    },
}

/// A key of a transit engine.
pub(super) struct VaultKey {
    /// Where the service is.
    pub(super) address: String,
    /// Where the engine is mounted.
    pub(super) mount: String,
    /// The key.
    pub(super) key: String,
    /// What opens it.
    pub(super) token: String,
}

impl Holder {
    /// Reads a URI; what opens the key comes from the file that it names, else it is the passphrase.
    pub(super) fn parse(uri: &str, passphrase: &Passphrase) -> Result<Self> {
        let bad = |why: &str| Error::KeyUri(uri.to_owned(), why.to_owned());
        if let Some(rest) = uri.strip_prefix("pkcs11:") {
            return token(rest, passphrase, &bad).map(Self::Token);
        }
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| bad("it begins with no `SCHEME://`"))?;
        match scheme {
            "hashivault" => return vault(rest, passphrase, &bad).map(Self::Vault),
            "awskms" => return AmazonKey::parse(rest, passphrase, &bad).map(Self::Amazon),
            "gcpkms" => return GoogleKey::parse(rest, passphrase, &bad).map(Self::Google),
            "azurekms" => return AzureKey::parse(rest, passphrase, &bad).map(Self::Azure),
            _ => {}
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if scheme.is_empty() || !scheme.chars().all(plain) || rest.is_empty() {
            return Err(bad("the name of a plug-in has small letters, digits and `-`"));
        }
        Ok(Self::Plugin { name: scheme.to_owned(), resource: rest.to_owned() })
    }
}

pub(super) type Bad<'a> = &'a dyn Fn(&str) -> Error;

fn token(rest: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<TokenKey> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut name, mut object, mut id) = (None, None, None);
    for (key, value) in pairs(path, ';', bad)? {
        match key.as_str() {
            "token" => name = Some(text(value, bad)?),
            "object" => object = Some(text(value, bad)?),
            "id" => id = Some(value),
            "type" if value == b"private" => {}
            other => return Err(bad(&format!("`{other}` is not understood here"))),
        }
    }
    let (mut module, mut pin) = (None, None);
    for (key, value) in pairs(query, '&', bad)? {
        match key.as_str() {
            "module-path" => module = Some(PathBuf::from(text(value, bad)?)),
            "pin-source" => {
                let place = text(value, bad)?;
                pin = Some(secret(place.strip_prefix("file:").unwrap_or(&place), bad)?);
            }
            "pin-value" => return Err(bad("a PIN does not stand in a URI: use `pin-source=file:FILE`")),
            other => return Err(bad(&format!("`{other}` is not understood here"))),
        }
    }
    if object.is_none() && id.is_none() {
        return Err(bad("it names no key: `object=LABEL` or `id=…`"));
    }
    let module = module.ok_or_else(|| bad("it names no library: `?module-path=FILE`"))?;
    let pin = pin.map_or_else(|| opens(passphrase, bad), Ok)?;
    Ok(TokenKey { module, token: name, object, id, pin })
}

fn vault(rest: &str, passphrase: &Passphrase, bad: Bad<'_>) -> Result<VaultKey> {
    let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
    let plain = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && text != ".."
    };
    if !plain(key) {
        return Err(bad("the name of a key has letters, digits and `-_.`"));
    }
    let (mut address, mut mount, mut token) = (None, "transit".to_owned(), None);
    for (name, value) in pairs(query, '&', bad)? {
        match name.as_str() {
            "address" => address = Some(text(value, bad)?.trim_end_matches('/').to_owned()),
            "mount" => mount = text(value, bad)?,
            "token-file" => token = Some(secret(&text(value, bad)?, bad)?),
            other => return Err(bad(&format!("`{other}` is not understood here"))),
        }
    }
    if !mount.split('/').all(plain) {
        return Err(bad("the mount has letters, digits and `-_./`"));
    }
    let address = address.ok_or_else(|| bad("it does not say where: `?address=https://…`"))?;
    let token = token.map_or_else(|| opens(passphrase, bad), Ok)?;
    Ok(VaultKey { address, mount, key: key.to_owned(), token })
}

pub(super) fn pairs(list: &str, separator: char, bad: Bad<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    list.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').ok_or_else(|| bad("a part without `=`"))?;
            Ok((key.to_owned(), decoded(value).ok_or_else(|| bad("a broken `%`"))?))
        })
        .collect()
}

pub(super) fn text(value: Vec<u8>, bad: Bad<'_>) -> Result<String> {
    String::from_utf8(value).map_err(|_| bad("not UTF-8"))
}

pub(super) fn secret(path: &str, bad: Bad<'_>) -> Result<String> {
    let text = files::read_text(&PathBuf::from(path), SECRET_MAX_BYTES)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(['\r', '\n']) {
        return Err(bad("the file with the PIN or token has not exactly one line"));
    }
    Ok(text.to_owned())
}

fn opens(passphrase: &Passphrase, bad: Bad<'_>) -> Result<String> {
    String::from_utf8(passphrase.bytes().to_vec()).map_err(|_| bad("the passphrase is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_in_one_way() {
        let passphrase = Passphrase::new(b"of the store".to_vec());
        let read = |uri: &str| Holder::parse(uri, &passphrase);
        let token = "pkcs11:token=My%20token;object=release;id=%01%02?module-path=/usr/lib/x.so";
        let Ok(Holder::Token(key)) = read(token) else { panic!("a token") };
        assert_eq!((key.token.as_deref(), key.object.as_deref()), (Some("My token"), Some("release")));
        assert_eq!((key.id, key.pin.as_str()), (Some(vec![1, 2]), "of the store"));
        let Ok(Holder::Vault(key)) = read("hashivault://release?address=http://127.0.0.1:8200/&mount=a/b")
        else {
            panic!("a vault")
        };
        assert_eq!((key.address.as_str(), key.mount.as_str()), ("http://127.0.0.1:8200", "a/b"));
        let Ok(Holder::Plugin { name, resource }) = read("my-hsm://keys/1") else { panic!("a plug-in") };
        assert_eq!((name.as_str(), resource.as_str()), ("my-hsm", "keys/1"));
        for bad in [
            "",
            "release",
            "pkcs11:object=x",
            "pkcs11:?module-path=/x",
            "pkcs11:object=x?module-path=/x&pin-value=1234",
            "pkcs11:object=x;slot-id=1?module-path=/x",
            "pkcs11:object=%4?module-path=/x",
            "pkcs11:object=%+1?module-path=/x",
            "hashivault://release",
            "hashivault://../x?address=http://127.0.0.1",
            "hashivault://x?address=http://127.0.0.1&mount=../sys",
            "awskms://kms.eu-central-1.amazonaws.com/alias/x?region=eu-central-1",
            "awskms:///alias/x?credentials-file=/nonexistent",
            "awskms:///alias/x?region=eu.evil.example/&credentials-file=/nonexistent",
            "awskms:///alias/x?region=eu-central-1&address=https://user@evil.example",
            "awskms:///alias/x?region=eu-central-1&address=https://kms.example:443",
            "awskms:///alias/x?region=eu-central-1",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "gcpkms://projects/p/locations/../keyRings/r/cryptoKeys/k/cryptoKeyVersions/1?token-file=/nonexistent",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
            "azurekms://vault/key?token-file=/nonexistent",
            "azurekms://v.example/key/1/sign?token-file=/nonexistent",
            "azurekms://v.example/key/1",
            "../evil://x",
            "My Hsm://x",
            "hsm://",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
