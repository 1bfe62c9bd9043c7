//! `trust export`, `trust set`, `trust new-key`, `trust authority`, `trust retire-key`.

use anyhow::{Context as _, Result, bail};
use engine::{KeyRole, NewAuthority, OtherLog, TrustChange};
use serde_json::json;

use crate::args::trust::{KeyRoleName, TrustCommand};
use crate::context::{Context, UsageError};
use crate::output::{self, YES};

pub(crate) fn run(context: &Context, command: TrustCommand) -> Result<u8> {
    let world = context.world()?;
    match command {
        TrustCommand::Export { file, sigstore, url, log_key } => {
            engine::trust_export(&world, &file)?;
            let mut written = vec![file.clone()];
            if let Some(folder) = sigstore {
                let other = url.clone().zip(log_key).map(|(url, key)| other_log(url, &key)).transpose()?;
                written.extend(engine::sigstore_export(&world, &folder, url.as_deref(), other.as_ref())?);
            }
            if context.json {
                output::document("trust-export", json!({ "file": file, "files": written }))?;
            } else {
                output::text(&format!(
                    "{}: hand it to your customers over a channel that they trust\n",
                    file.display()
                ))?;
            }
        }
        TrustCommand::Set { expires, require_level, witness_policy } => {
            let change = TrustChange {
                expires: expires.map(|word| when(&word)).transpose()?,
                required_levels: match require_level.as_slice() {
                    [] => None,
                    [none] if none == "none" => Some(Vec::new()),
                    levels => Some(levels.to_vec()),
                },
                witness_policy: match witness_policy {
                    None => None,
                    Some(word) if word.as_os_str() == "none" => Some(None),
                    Some(path) => Some(Some(
                        std::fs::read_to_string(&path)
                            .with_context(|| format!("cannot read `{}`", path.display()))?,
                    )),
                },
            };
            if change == TrustChange::default() {
                bail!(UsageError(
                    "say what to change: `--expires`, `--require-level`, `--witness-policy`".into()
                ));
            }
            let file = engine::trust_set(&world, change)?;
            said(context, &file)?;
        }
        TrustCommand::AddBuilder { file } => {
            let file = engine::add_builders(&world, &file)?;
            said(context, &file)?;
        }
        TrustCommand::NewKey { role, key } => {
            let role = match role {
                KeyRoleName::Release => KeyRole::Release,
                KeyRoleName::Builder => KeyRole::Builder,
            };
            let made = engine::new_key(&world, role, key.as_deref(), &context.passphrase()?)?;
            if context.json {
                let content = json!({
                    "role": made.role, "key": made.key, "from": made.from, "file": made.trust_file,
                });
                return output::document("trust-new-key", content).map(|()| YES);
            }
            output::text(&format!(
                "{} key {} counts from log entry {} on\n  {} names it: hand it to your customers again\n",
                made.role,
                made.key,
                made.from,
                made.trust_file.display()
            ))?;
        }
        TrustCommand::Authority { identity, issuer, source_repository, organisation } => {
            let host = issuer.split('/').nth(2).unwrap_or(&issuer).to_owned();
            let new = NewAuthority {
                identity,
                issuer,
                source_repository,
                organisation: organisation.unwrap_or(host),
            };
            let made = engine::authority_new(&world, &new, &context.passphrase()?)?;
            if context.json {
                let content = json!({
                    "root": made.root, "logIndex": made.log_index, "file": made.trust_file,
                });
                return output::document("trust-authority", content).map(|()| YES);
            }
            output::text(&format!(
                "authority {} certifies `{}` from now on\n  {} names it: hand it to your customers again, and give \
                 `trust export --sigstore FOLDER` to those with other clients\n",
                made.root,
                new.identity,
                made.trust_file.display()
            ))?;
        }
        TrustCommand::Count { key, reason } => {
            let count = engine::count_key(&world, &key, &reason, &context.passphrase()?)?;
            if context.json {
                return output::document("trust-count", json!({ "key": key, "count": count })).map(|()| YES);
            }
            output::text(&format!(
                "key {key}: {count} signatures, as many as the log has; said in the log\n"
            ))?;
        }
        TrustCommand::RetireKey { key, reason } => {
            let file = engine::retire_key(&world, &key, &reason)?;
            said(context, &file)?;
        }
    }
    Ok(YES)
}

/// Another log, by its address and its key or a file that holds it.
pub(crate) fn other_log(url: String, key: &str) -> Result<OtherLog> {
    Ok(OtherLog { url, verifier_key: super::serve::key_text(key)? })
}

fn when(word: &str) -> Result<Option<engine::evidence::Timestamp>> {
    if word == "never" {
        return Ok(None);
    }
    super::approvals::moment(word).map(Some)
}

fn said(context: &Context, file: &std::path::Path) -> Result<()> {
    if context.json {
        return output::document("trust-set", json!({ "file": file }));
    }
    output::text(&format!("{} says so now: hand it to your customers again\n", file.display()))
}
