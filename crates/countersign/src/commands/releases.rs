//! `gate`, `sign`, `revoke`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::evidence::Digest;
use engine::judge::gate::{Weighed, Weight};
use engine::{Assessment, NativeSigner, OtherLog, Person, SignRequest};
use serde_json::{Value, json};

use crate::context::Context;
use crate::output::{self, NO, YES};

fn assessment_document(assessment: &Assessment, verdict: &str) -> Value {
    json!({
        "verdict": verdict,
        "findings": assessment.decision.findings().iter().map(weighed_document).collect::<Vec<_>>(),
        "problems": assessment.problems,
        "artifact": assessment.artifact,
        "name": assessment.name,
        "record": assessment.record.as_ref().map(|view| format!("r{}", view.number)),
        "baseline": assessment.baseline.as_ref().map(|(view, how)| json!({ "record": format!("r{}", view.number), "chosen": how })),
        "policy": assessment.policy,
        "advisories": assessment.advisories.as_ref().map(|matched| json!({
            "snapshot": matched.snapshot, "packages": matched.packages, "suppressed": matched.suppressed,
            "retracted": matched.retracted, "unasked": matched.unasked, "unheard": matched.unheard,
        })),
    })
}

/// A finding with its weight and, if it awaits somebody, what to type.
fn weighed_document(weighed: &Weighed) -> Value {
    let mut document = json!(weighed);
    let hint = weighed.approvals.as_ref().and_then(|approvals| approvals.hint(&weighed.finding.id));
    if let (Some(hint), Some(approvals)) = (hint, document.get_mut("approvals")) {
        approvals["hint"] = hint.into();
    }
    document
}

fn assessment_text(assessment: &Assessment, verdict: &str, good: bool) -> String {
    let mut text =
        format!("{}: {} {}\n", output::verdict(verdict, good), assessment.name, assessment.artifact);
    if let Some(view) = &assessment.record {
        text += &format!("  from r{}", view.number);
        if let Some((before, how)) = &assessment.baseline {
            text += &format!(", compared with r{} ({how})", before.number);
        }
        text.push('\n');
    }
    text += &output::weighed(assessment.decision.findings());
    if let Some(matched) = &assessment.advisories {
        let approved = assessment.decision.findings().iter();
        let approved = approved.filter(|one| one.weight == Weight::Approved).count();
        text += &format!(
            "  advisories: {} packages asked about in snapshot {}, {} days old; {} suppressed by statements, {approved} approved\n",
            matched.packages,
            matched.snapshot.id.short(),
            matched.snapshot.age_days,
            matched.suppressed.len(),
        );
        // Writing to a text cannot fail.
        text += &super::advisories::matching::suppressed(matched, SUPPRESSED_SHOWN).unwrap_or_default();
    }
    text
}

/// So many of what is suppressed fit on a screen.
const SUPPRESSED_SHOWN: usize = 5;

pub(crate) fn gate(context: &Context, artifact: &Path) -> Result<u8> {
    let assessment = engine::assess(&context.world()?, artifact)?;
    let permitted = assessment.decision.is_permit();
    let verdict = if permitted { "permit" } else { "deny" };
    if context.json {
        output::document("gate", assessment_document(&assessment, verdict))?;
    } else {
        output::text(&assessment_text(&assessment, verdict, permitted))?;
    }
    Ok(if permitted { YES } else { NO })
}

/// Signs; `person` asks for it, with the file of the store's passphrase.
pub(crate) fn sign(
    context: &Context,
    artifact: &Path,
    with: Option<&NativeSigner>,
    other_log: Option<&OtherLog>,
    person: Option<(String, Option<PathBuf>)>,
) -> Result<u8> {
    let world = context.world()?;
    let (person, passphrase): (_, Box<dyn Fn() -> Result<_>>) = match person {
        None => (None, Box::new(|| context.passphrase())),
        Some((name, store)) => {
            let person = Person { passphrase: context.own_passphrase(&name)?, name };
            (Some(person), Box::new(move || context.store_passphrase(store.as_deref())))
        }
    };
    let passphrase = || passphrase().map_err(|error| error.to_string());
    let request = SignRequest { with, person: person.as_ref(), other_log };
    let outcome = engine::sign(&world, artifact, &request, &passphrase, &Context::now)?;
    let verdict = if outcome.signed.is_some() { "signed" } else { "denied" };
    if context.json {
        let mut content = assessment_document(&outcome.assessment, verdict);
        if let (Some(signed), Value::Object(fields)) = (&outcome.signed, &mut content) {
            fields.insert("released".into(), json!(signed.artifact));
            fields.insert("native".into(), json!(signed.native));
            fields.insert("published".into(), json!(signed.published));
            fields.insert("bundle".into(), json!(signed.bundle));
            fields.insert("provenanceBundle".into(), json!(signed.provenance_bundle));
            fields.insert("intentIndex".into(), json!(signed.intent_index));
            fields.insert("logIndex".into(), json!(signed.log_index));
            fields.insert("key".into(), json!(signed.key));
        }
        if let (false, Value::Object(fields)) = (outcome.refused.is_empty(), &mut content)
            && let Some(Value::Array(findings)) = fields.get_mut("findings")
        {
            findings.extend(outcome.refused.iter().map(|finding| json!(finding)));
        }
        output::document("sign", content)?;
    } else {
        let mut text = assessment_text(&outcome.assessment, verdict, outcome.signed.is_some());
        if let Some(signed) = &outcome.signed {
            text += &format!(
                "  key {}, intent at log entry {}, signature at {}\n",
                signed.key, signed.intent_index, signed.log_index,
            );
            let files = signed.native.iter().chain([&signed.bundle]).chain(&signed.provenance_bundle);
            let files = files.chain(&signed.published);
            files.for_each(|file| text += &format!("  wrote {}\n", file.display()));
        }
        text += &output::findings(&outcome.refused);
        output::text(&text)?;
    }
    Ok(if outcome.signed.is_some() { YES } else { NO })
}

pub(crate) fn revoke(context: &Context, artifact: &str, reason: &str) -> Result<u8> {
    let world = context.world()?;
    let digest: Digest = match artifact.parse() {
        Ok(digest) => digest,
        Err(_) => engine::digest_of(Path::new(artifact))?,
    };
    let passphrase = context.passphrase()?;
    let revoked = engine::revoke(&world, &digest, reason, &passphrase).map_err(anyhow::Error::from)?;
    if context.json {
        output::document(
            "revoke",
            json!({ "artifact": revoked.artifact, "logIndex": revoked.log_index, "trustFile": revoked.trust_file }),
        )?;
    } else {
        output::text(&format!(
            "revoked {} (log entry {})\n  {} now names it: hand it to your customers\n",
            revoked.artifact,
            revoked.log_index,
            revoked.trust_file.display()
        ))?;
    }
    Ok(YES)
}
