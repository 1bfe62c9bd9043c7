//! A key in a PKCS#11 token: asked through a helper process, the same program again, which alone loads the vendor's library
//! (`host::token`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attest::{KeyError, PublicKey, Signer};
use evidence::Digest;
use host::token::{TokenAnswer, TokenKey, TokenRequest};

use crate::record::secrets::PASSPHRASE;

/// The first word of the helper's command line.
pub const HELPER: &str = "pkcs11-helper";
/// How long a token may take: some ask a person to touch them.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key in a token.
pub(super) struct Token {
    helper: Mutex<Helper>,
    public: PublicKey,
}

struct Helper {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Token {
    pub(super) fn open(key: TokenKey) -> Result<Self, KeyError> {
        let mut helper =
            Helper::start().map_err(|error| holder(format!("cannot start the helper: {error}")))?;
        let public = match helper.ask(&TokenRequest::Open(key))? {
            TokenAnswer::Point(point) => PublicKey::from_point(&point)?,
            TokenAnswer::Failed(why) => return Err(holder(why)),
            TokenAnswer::Signature(_) => return Err(holder("the helper answered something else")),
        };
        Ok(Self { helper: Mutex::new(helper), public })
    }
}

impl Signer for Token {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let digest = Digest::of(message);
        let mut helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = match helper.ask(&TokenRequest::Sign(digest.as_bytes().to_vec()))? {
            TokenAnswer::Signature(fixed) => attest::key::signature_from_fixed(&fixed)?,
            TokenAnswer::Failed(why) => return Err(holder(why)),
            TokenAnswer::Point(_) => return Err(holder("the helper answered something else")),
        };
        super::checked(&self.public, message, signature)
    }
}

impl Helper {
    fn start() -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg(HELPER)
            .env_remove(PASSPHRASE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("no pipe");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let (sender, answers) = channel();
        std::thread::Builder::new().name("pkcs11-helper".into()).spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { child, input, answers })
    }

    fn ask(&mut self, request: &TokenRequest) -> Result<TokenAnswer, KeyError> {
        let mut line = serde_json::to_vec(request).map_err(|error| holder(error.to_string()))?;
        line.push(b'\n');
        self.input
            .write_all(&line)
            .and_then(|()| self.input.flush())
            .map_err(|_| holder("the helper has ended: did the vendor's library crash?"))?;
        let answer = self.answers.recv_timeout(PATIENCE).map_err(|_| {
            holder(format!(
                "the token did not answer within {} seconds, or its library crashed",
                PATIENCE.as_secs()
            ))
        })?;
        serde_json::from_str(&answer).map_err(|_| holder("the helper's answer is none"))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It has nothing to write; an error means that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn holder(words: impl Into<String>) -> KeyError {
    KeyError::Holder(words.into())
}
