//! `approve`, `approver`: people who answer for findings.

use std::fmt::Write as _;

use anyhow::Result;
use engine::evidence::Timestamp;
use engine::{Approve, ApproverChanged, Person};
use serde_json::{Value, json};

use crate::args::{ApproveArgs, ApproverCommand};
use crate::context::{Context, UsageError};
use crate::output::{self, YES};

pub(crate) fn approve(context: &Context, arguments: &ApproveArgs) -> Result<u8> {
    let world = context.world()?;
    let expires = moment(&arguments.expires)?;
    let mut findings = Vec::new();
    if arguments.advisories.is_empty() {
        let artifacts = match arguments.artifact.as_slice() {
            [] => engine::latest_outputs(&world)?,
            given => given.to_vec(),
        };
        for artifact in artifacts {
            findings.extend_from_slice(engine::assess(&world, &artifact)?.decision.findings());
        }
    } else {
        let options = engine::Matching {
            names: None,
            max_age_days: None,
            vex_max_days: None,
            snapshot: None,
            now: world.now(),
        };
        let matched =
            engine::match_advisories(&context.store()?, Some(&world), &arguments.advisories, &options)?;
        findings.extend(matched.weighed);
    }
    let approve = Approve {
        finding: arguments.finding.clone(),
        reason: arguments.reason.clone(),
        expires,
        evidence: arguments.evidence.clone(),
    };
    let (person, passphrase) = match &arguments.person {
        None => (None, context.passphrase()?),
        Some(name) => {
            let store = context.store_passphrase(arguments.store_passphrase_file.as_deref())?;
            (Some(Person { name: name.clone(), passphrase: context.own_passphrase(name)? }), store)
        }
    };
    let approved = engine::approve(&world, &findings, &approve, person.as_ref(), &passphrase)?;
    let missing = approved.approvals.as_ref().and_then(|approvals| approvals.hint(&approved.finding.id));
    if context.json {
        let evidence: Vec<Value> =
            approved.evidence.iter().map(|one| json!({ "name": one.name, "digest": one.sha256() })).collect();
        output::document(
            "approve",
            json!({
                "finding": approved.finding, "expires": expires, "logIndex": approved.log_index,
                "statement": approved.statement, "person": approved.person, "key": approved.key, "evidence": evidence,
                "approvals": approved.approvals, "covered": missing.is_none(), "hint": missing,
            }),
        )?;
    } else {
        let path =
            approved.finding.subject.path.as_ref().map_or_else(String::new, |path| format!(" in {path}"));
        let mut text = format!(
            "approved by {} until {expires}: {}{path} (log entry {})\n",
            approved.person, approved.finding.code, approved.log_index
        );
        for one in &approved.evidence {
            let digest = one.sha256().map_or_else(String::new, |digest| digest.to_string());
            writeln!(text, "  evidence {} {digest}", one.name.as_deref().unwrap_or_default())?;
        }
        if let Some(missing) = missing {
            writeln!(text, "  {missing}")?;
        }
        output::text(&text)?;
    }
    Ok(YES)
}

/// Reads a moment: `2026-12-31`, `2026-12-31T12:00:00Z`, or a span from now such as `30d`.
pub(super) fn moment(text: &str) -> Result<Timestamp> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse().ok()) {
        return Ok(Context::now().plus_days(days));
    }
    let full = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    full.parse().map_err(|_| {
        UsageError(format!("`{text}` is not a date (2026-12-31), a moment (…T12:00:00Z) or a span (30d)"))
            .into()
    })
}

pub(crate) fn approver(context: &Context, command: ApproverCommand) -> Result<u8> {
    let world = context.world()?;
    match command {
        ApproverCommand::Add { name, store_passphrase_file } => {
            let store = context.store_passphrase(store_passphrase_file.as_deref())?;
            let added = engine::approver_add(&world, &name, &context.new_own_passphrase(&name)?, &store)?;
            changed(context, "approver-add", &added, "may approve from now on")
        }
        ApproverCommand::Remove { name } => {
            let removed = engine::approver_remove(&world, &name, &context.passphrase()?)?;
            changed(context, "approver-remove", &removed, "approves nothing from now on")
        }
        ApproverCommand::List => {
            let approvers = engine::approvers(&world)?;
            if context.json {
                let list: Vec<Value> = approvers
                    .iter()
                    .map(|one| {
                        json!({
                            "name": one.name, "key": one.key, "since": one.since, "removed": one.removed, "logged": one.logged,
                        })
                    })
                    .collect();
                output::document("approver-list", json!({ "approvers": list }))?;
                return Ok(YES);
            }
            let mut text = String::new();
            for one in &approvers {
                let state = match (one.logged, one.removed) {
                    (false, _) => "DOES NOT COUNT: the log does not know this key".to_owned(),
                    (true, Some(removed)) => format!("removed {removed}"),
                    (true, None) => format!("since {}", one.since),
                };
                writeln!(text, "{}  {:<20} {state}", one.key, one.name)?;
            }
            output::text(&text)?;
            Ok(YES)
        }
    }
}

fn changed(context: &Context, schema: &str, change: &ApproverChanged, words: &str) -> Result<u8> {
    if context.json {
        output::document(
            schema,
            json!({
                "name": change.name, "key": change.key, "logIndex": change.log_index, "trustFile": change.trust_file,
                "keyFile": change.key_file,
            }),
        )?;
    } else {
        output::text(&format!(
            "{} (key {}) {words} (log entry {})\n  {} says so\n",
            change.name,
            change.key,
            change.log_index,
            change.trust_file.display()
        ))?;
    }
    Ok(YES)
}
