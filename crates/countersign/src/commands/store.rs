//! `init`, `fsck`.

use anyhow::Result;
use serde_json::json;

use crate::context::Context;
use crate::output::{self, NO, Progress, YES};

pub(crate) fn init(context: &Context, origin: Option<&str>, release_key: Option<&str>) -> Result<u8> {
    let passphrase = context.new_passphrase()?;
    let made = engine::init(&context.new_store(), origin, release_key, &passphrase, Context::now())?;
    let recorder = engine::probe();
    if context.json {
        output::document(
            "init",
            json!({
                "store": made.store, "trustFile": made.trust_file, "policyFile": made.policy_file,
                "releaseKey": made.release_key, "builderKey": made.builder_key, "logOrigin": made.log_origin,
                "recorder": recorder.as_ref().ok(), "recorderProblem": recorder.as_ref().err(),
            }),
        )?;
        return Ok(YES);
    }
    output::text(&format!(
        "A new evidence store: {}\n  release key  {}\n  builder key  {}\n  log          {}\n  policy       {}\n  trust file   {} \
         (give it to your customers)\n",
        made.store.display(),
        made.release_key,
        made.builder_key,
        made.log_origin,
        made.policy_file.display(),
        made.trust_file.display()
    ))?;
    match recorder {
        Ok(how) => output::text(&format!(
            "  recorder     {how}\n\nNext: countersign run --product NAME --release 1.0.0 --output 'dist/*' -- make\n"
        ))?,
        Err(why) => output::text(&format!("  recorder     not possible on this machine: {why}\n"))?,
    }
    Ok(YES)
}

pub(crate) fn fsck(context: &Context) -> Result<u8> {
    let world = context.world()?;
    let mut progress = Progress::new(context, "hashing");
    let report = engine::fsck(&world, &mut |done, total| progress.update(done, total))?;
    drop(progress);
    let sound = report.findings.is_empty();
    let verdict = if sound { "sound" } else { "damaged" };
    if context.json {
        output::document(
            "fsck",
            json!({
                "verdict": verdict, "findings": report.findings, "problems": [], "objects": report.objects, "bytes": report.bytes,
                "entries": report.entries, "records": report.records, "swept": report.swept, "abandoned": report.abandoned,
            }),
        )?;
    } else {
        output::text(&format!(
            "{}: {} objects ({} bytes), {} log entries, {} records in the rebuilt index\n",
            output::verdict(verdict, sound),
            report.objects,
            report.bytes,
            report.entries,
            report.records
        ))?;
        if report.abandoned > 0 {
            output::text(&format!(
                "  {} recordings lost their recorder; the next `run` seals them as incomplete\n",
                report.abandoned
            ))?;
        }
        output::text(&output::findings(&report.findings))?;
    }
    Ok(if sound { YES } else { NO })
}
