//! A key in a PKCS#11 token, for a helper process: requests come in as lines of JSON, answers go out so.
//!
//! A vendor's library is foreign code with the rights of who loads it. It is loaded in a process of its own, which is given
//! nothing but the PIN and the digests that are to be signed; the store's keys and passphrase are never in that process. The
//! library's own environment variables reach it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use serde::{Deserialize, Serialize};

/// A longer line is not read.
const LINE_MAX_BYTES: u64 = 64 << 10;
/// `prime256v1` as an object identifier in DER (SEC 2, section 2.4.2): what `CKA_EC_PARAMS` holds.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Which key is meant, and what opens the token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The vendor's library.
    pub module: PathBuf,
    /// Label of the token; any if there is only one.
    pub token: Option<String>,
    /// Label of the key.
    pub object: Option<String>,
    /// Its identifier.
    pub id: Option<Vec<u8>>,
    /// The PIN.
    pub pin: String,
}

/// What the helper is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenRequest {
    /// First: open this key.
    Open(TokenKey),
    /// Sign a SHA-256 digest.
    Sign(Vec<u8>),
}

/// What it answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenAnswer {
    /// The key is open: its point, uncompressed (SEC 1, section 2.3.3), 65 bytes.
    Point(Vec<u8>),
    /// The signature: r and s, 32 bytes each.
    Signature(Vec<u8>),
    /// It could not be done.
    Failed(String),
}

/// Why a token does not do what it is asked.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("the library `{0}` cannot be used: {1}")]
    Library(PathBuf, cryptoki::error::Error),
    #[error("there is no token {0}")]
    NoToken(String),
    #[error("{0} private P-256 keys of that name are in the token, and one is needed")]
    Keys(usize),
    #[error("the token does not show the public half of the key")]
    NoPublicKey,
    #[error("the key is not on the curve P-256")]
    Curve,
    #[error("the token has refused: {0}")]
    Refused(#[from] cryptoki::error::Error),
    #[error("a signature of {0} bytes")]
    Signature(usize),
}

/// Answers until nobody asks any more.
pub fn serve(input: &mut dyn BufRead, output: &mut dyn Write) -> std::io::Result<()> {
    let mut open: Option<Open> = None;
    loop {
        let mut line = String::new();
        let mut limited = std::io::Read::take(&mut *input, LINE_MAX_BYTES);
        if limited.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| TokenAnswer::Failed(error.to_string());
        let answer = match serde_json::from_str(&line) {
            Ok(TokenRequest::Open(key)) => match Open::new(&key) {
                Ok((key, point)) => {
                    open = Some(key);
                    TokenAnswer::Point(point)
                }
                Err(error) => failed(&error),
            },
            Ok(TokenRequest::Sign(digest)) => match open.as_ref().map(|key| key.sign(&digest)) {
                Some(Ok(signature)) => TokenAnswer::Signature(signature),
                Some(Err(error)) => failed(&error),
                None => failed(&"no key is open"),
            },
            Err(error) => failed(&error),
        };
        serde_json::to_writer(&mut *output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

struct Open {
    session: Session,
    key: ObjectHandle,
}

impl Open {
    fn new(wanted: &TokenKey) -> Result<(Self, Vec<u8>), TokenError> {
        let session = session(&wanted.module, wanted)?;
        let key = private_key(&session, wanted)?;
        let point = point(&session, key)?;
        Ok((Self { session, key }, point))
    }

    fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        let signature = self.session.sign(&Mechanism::Ecdsa, self.key, digest)?;
        if signature.len() == 64 { Ok(signature) } else { Err(TokenError::Signature(signature.len())) }
    }
}

fn session(module: &Path, wanted: &TokenKey) -> Result<Session, TokenError> {
    let library = |error| TokenError::Library(module.to_path_buf(), error);
    let context = Pkcs11::new(module).map_err(library)?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(library)?;
    let mut slots = Vec::new();
    for slot in context.get_slots_with_initialized_token()? {
        let label = context.get_token_info(slot)?.label().trim_end().to_owned();
        if wanted.token.as_ref().is_none_or(|token| *token == label) {
            slots.push(slot);
        }
    }
    let [slot] = slots.as_slice() else {
        let name = wanted.token.as_ref().map_or_else(
            || format!("that could be meant: there are {}", slots.len()),
            |token| format!("`{token}`, or more than one"),
        );
        return Err(TokenError::NoToken(name));
    };
    let session = context.open_ro_session(*slot)?;
    session.login(UserType::User, Some(&AuthPin::from(wanted.pin.clone())))?;
    Ok(session)
}

fn private_key(session: &Session, wanted: &TokenKey) -> Result<ObjectHandle, TokenError> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(KeyType::EC)];
    template.extend(wanted.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(wanted.id.clone().map(Attribute::Id));
    match session.find_objects(&template)?.as_slice() {
        [key] => Ok(*key),
        keys => Err(TokenError::Keys(keys.len())),
    }
}

/// Finds the public half: the object of the same identifier.
fn point(session: &Session, key: ObjectHandle) -> Result<Vec<u8>, TokenError> {
    let attributes = session.get_attributes(key, &[AttributeType::Id])?;
    let id = attributes.into_iter().find(|attribute| matches!(attribute, Attribute::Id(_)));
    let id = id.ok_or(TokenError::NoPublicKey)?;
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(KeyType::EC), id];
    let found = session.find_objects(&template)?;
    let public = found.first().ok_or(TokenError::NoPublicKey)?;
    let mut point = None;
    for attribute in session.get_attributes(*public, &[AttributeType::EcParams, AttributeType::EcPoint])? {
        match attribute {
            Attribute::EcParams(parameters) if parameters != P256 => return Err(TokenError::Curve),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    // The point is wrapped in an OCTET STRING (PKCS#11, section 6.3.3); some libraries leave that out.
    let point = point.ok_or(TokenError::NoPublicKey)?;
    let bare = point.strip_prefix(&[0x04, 0x41]).unwrap_or(&point);
    if bare.len() == 65 && bare[0] == 0x04 { Ok(bare.to_vec()) } else { Err(TokenError::Curve) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(lines: &str) -> Vec<TokenAnswer> {
        let mut output = Vec::new();
        serve(&mut lines.as_bytes(), &mut output).unwrap();
        output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn every_line_is_answered() {
        let absent = TokenKey {
            module: "/nonexistent/library.so".into(),
            token: None,
            object: None,
            id: None,
            pin: "1234".into(),
        };
        let open = serde_json::to_string(&TokenRequest::Open(absent)).unwrap();
        let sign = serde_json::to_string(&TokenRequest::Sign(vec![0; 32])).unwrap();
        let long = "x".repeat(LINE_MAX_BYTES as usize + 1);
        let answers = answers(&format!("nonsense\n{sign}\n{open}\n{long}\n"));
        assert!(answers.len() >= 4);
        for answer in answers {
            assert!(matches!(answer, TokenAnswer::Failed(_)));
        }
    }
}
