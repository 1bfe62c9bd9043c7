//! A key held by a program `sigstore-kms-NAME`: cosign's plug-in protocol, version 1 (sigstore/sigstore
//! `pkg/signature/kms/cliplugin`). Arguments are the version and one JSON document, the message comes by stdin, the answer is JSON on
//! stdout; the exit status says nothing.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use attest::{Base64, KeyError, PublicKey, Signer};
use serde_json::{Value, json};

use crate::record::secrets::PASSPHRASE;

const PROTOCOL: &str = "1";
/// Go's `crypto.SHA256`, as the protocol writes it.
const SHA256: u32 = 5;
/// A longer answer is not read.
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// A key behind a program.
pub(super) struct Plugin {
    program: String,
    resource: String,
    public: PublicKey,
}

impl Plugin {
    pub(super) fn open(name: &str, resource: &str) -> Result<Self, KeyError> {
        let program = format!("sigstore-kms-{name}");
        let arguments = json!({"publicKeyOptions": {"rpcOptions": {}}});
        let answer = call(&program, resource, "publicKey", &arguments, &[])?;
        let pem = answer.get("publicKeyPEM").cloned().and_then(bytes);
        let pem = pem.and_then(|pem| String::from_utf8(pem).ok());
        let pem = pem.ok_or_else(|| KeyError::Holder(format!("`{program}` shows no public key")))?;
        let public = PublicKey::from_pem(&pem)?;
        Ok(Self { program, resource: resource.to_owned(), public })
    }
}

impl Signer for Plugin {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let arguments = json!({"signOptions": {"rpcOptions": {}, "messageOptions": {"hashFunc": SHA256}}});
        let answer = call(&self.program, &self.resource, "signMessage", &arguments, message)?;
        let signature = answer.get("signature").cloned().and_then(bytes);
        let signature =
            signature.ok_or_else(|| KeyError::Holder(format!("`{}` made no signature", self.program)))?;
        super::checked(&self.public, message, signature)
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    serde_json::from_value::<Base64>(value).ok().map(|bytes| bytes.0)
}

/// Runs the program once; returns what it answers for the method.
fn call(
    program: &str,
    resource: &str,
    method: &str,
    arguments: &Value,
    message: &[u8],
) -> Result<Value, KeyError> {
    let failed = |words: String| KeyError::Holder(format!("`{program}` {words}"));
    let document = json!({
        "initOptions": {
            "protocolVersion": PROTOCOL, "keyResourceID": resource, "hashFunc": SHA256, "rpcOptions": {},
        },
        "methodName": method, method: arguments,
    });
    let mut child = Command::new(program)
        .args([PROTOCOL, &document.to_string()])
        .env_remove(PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let input = child.stdin.take();
    let (mut said, mut read) = (Vec::new(), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not want the message closes its end; its answer says whether that was right.
            if let Some(mut input) = input {
                input.write_all(message).ok();
            }
        });
        if let Some(output) = child.stdout.take() {
            read = output.take(ANSWER_MAX_BYTES + 1).read_to_end(&mut said);
        }
    });
    // The protocol ignores the exit status.
    child.wait().map_err(|error| failed(format!("was lost: {error}")))?;
    read.map_err(|error| failed(format!("was lost: {error}")))?;
    if said.len() as u64 > ANSWER_MAX_BYTES {
        return Err(failed("says too much".into()));
    }
    let answer: Value = serde_json::from_slice(&said).map_err(|_| failed("answers no JSON".into()))?;
    match answer.get("errorMessage").and_then(Value::as_str) {
        Some(words) if !words.is_empty() => Err(failed(format!("has refused: {words}"))),
        _ => answer.get(method).cloned().ok_or_else(|| failed(format!("does not answer `{method}`"))),
    }
}
