//! Rekor's entries, by shape: JSON in which a key or certificate stands beside the signature that it is for.

use std::collections::BTreeMap;

use evidence::Digest;
use serde::Deserialize;
use serde_json::Value;

use super::{Bearer, Bytes, ENTRIES_MAX, ENTRY_MAX_BYTES, Exported, Page, PageError, Signed};
use crate::from_base64;

/// An entry as the API writes it, under its UUID.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    body: String,
    #[serde(default)]
    log_index: Option<u64>,
}

/// Reads one answer of the API, a list of them, or one a line.
pub(super) fn page(bytes: &[u8]) -> Result<Page, PageError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        One(BTreeMap<String, LogEntry>),
        Several(Vec<BTreeMap<String, LogEntry>>),
    }
    let mut page = Page::default();
    let mut position = 0;
    for answer in serde_json::Deserializer::from_slice(bytes).into_iter::<Answer>() {
        let answer = answer.map_err(|error| PageError::Form(error.to_string()))?;
        let answers = match answer {
            Answer::One(one) => vec![one],
            Answer::Several(several) => several,
        };
        for entry in answers.into_iter().flat_map(BTreeMap::into_values) {
            if position == ENTRIES_MAX {
                return Err(PageError::Entries);
            }
            let body = from_base64(&entry.body);
            add(&mut page, body.as_deref(), entry.log_index, position);
            position += 1;
        }
    }
    if position == 0 && !is_empty_answer(bytes) {
        return Err(PageError::Form("no entries".into()));
    }
    Ok(page)
}

fn is_empty_answer(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii(), b"[]" | b"{}")
}

/// Reads an entry bundle (C2SP tlog-tiles): each entry with its length in two bytes before it.
pub(super) fn bundle(bytes: &[u8], first: u64) -> Result<Page, PageError> {
    let mut page = Page::default();
    let mut rest = Bytes(bytes);
    let mut position = 0;
    while !rest.0.is_empty() {
        let entry = rest.vector(2).ok_or_else(|| PageError::Form(format!("cut off in entry {position}")))?;
        if position == 256 {
            return Err(PageError::Form("more than 256 entries in a tile".into()));
        }
        add(&mut page, Some(entry), first.checked_add(position as u64), position);
        position += 1;
    }
    Ok(page)
}

fn add(page: &mut Page, body: Option<&[u8]>, index: Option<u64>, position: usize) {
    match body.ok_or_else(|| "not base64".to_owned()).and_then(entry) {
        Ok((kind, digests, signed)) => page.entries.push(Exported { index, position, kind, digests, signed }),
        Err(why) => page.unread.push((position, why)),
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside<'a> {
    /// Anywhere.
    Nothing,
    /// Where a key or certificate is to stand.
    Holder,
    /// The same, and this signature stands beside it.
    Signature(&'a str),
}

type Read = (String, Vec<Digest>, Vec<Signed>);

/// Reads a canonicalised body: its kind, the digests that it names, and who signed.
fn entry(bytes: &[u8]) -> Result<Read, String> {
    if bytes.len() > ENTRY_MAX_BYTES {
        return Err(format!("larger than {ENTRY_MAX_BYTES} bytes"));
    }
    let body: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let kind = body.get("kind").and_then(Value::as_str).ok_or("it names no kind")?.to_owned();
    let (mut digests, mut signed) = (Vec::new(), Vec::new());
    // What is still to be looked at, and the signature that stands beside it.
    let mut waiting: Vec<(&Value, Beside<'_>)> = vec![(&body, Beside::Nothing)];
    while let Some((value, at)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                digests.extend(digest(text("algorithm"), text("value").or_else(|| text("digest"))));
                let beside = text("signature").or_else(|| text("sig")).or_else(|| text("content"));
                for (name, member) in members.iter().rev() {
                    let holds = matches!(name.as_str(), "verifier" | "publicKey");
                    let holder = match (beside, at) {
                        (Some(signature), _) => Beside::Signature(signature),
                        (None, Beside::Nothing) => Beside::Holder,
                        (None, inherited) => inherited,
                    };
                    waiting.push((member, if holds { holder } else { at }));
                }
            }
            Value::Array(items) => waiting.extend(items.iter().rev().map(|item| (item, at))),
            Value::String(text) => {
                let Some(bytes) = from_base64(text) else { continue };
                let signature = match at {
                    Beside::Signature(text) => Some(decoded(text)),
                    Beside::Nothing | Beside::Holder => None,
                };
                let bearers = Bearer::all(&bytes).into_iter();
                // Elsewhere, what cannot be read is something else: a signature, say.
                let bearers = bearers.filter(|bearer| bearer.key.is_some() || at != Beside::Nothing);
                signed.extend(bearers.map(|bearer| Signed { signature: signature.clone(), bearer }));
            }
            _ => {}
        }
    }
    if signed.is_empty() && matches!(kind.as_str(), "hashedrekord" | "dsse") {
        return Err("it has neither key nor certificate".to_owned());
    }
    Ok((kind, digests, signed))
}

/// Takes base64 off a signature; `intoto` 0.0.2 has it twice.
fn decoded(text: &str) -> Vec<u8> {
    let once = from_base64(text).unwrap_or_else(|| text.as_bytes().to_vec());
    let twice = std::str::from_utf8(&once).ok().and_then(from_base64);
    twice.unwrap_or(once)
}

/// Reads a digest as Rekor writes it: hexadecimal in version 0.0.1, base64 in 0.0.2.
fn digest(algorithm: Option<&str>, value: Option<&str>) -> Option<Digest> {
    let value = value?;
    match algorithm? {
        "sha256" => format!("sha256:{value}").parse().ok(),
        "SHA2_256" => Some(Digest::from_bytes(from_base64(value)?.try_into().ok()?)),
        _ => None,
    }
}
