//! `monitor`.

use anyhow::Result;
use engine::{Monitor, Person};
use serde_json::json;

use crate::args::trust::MonitorArgs;
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

pub(crate) fn monitor(context: &Context, arguments: MonitorArgs) -> Result<u8> {
    let world = context.world()?;
    let what = Monitor {
        sweep: arguments.sweep,
        checkpoints: arguments.against,
        witnesses: arguments.refresh,
        public_logs: arguments.public_log,
        identities: arguments.identity,
        certificates: arguments.certificate,
    };
    let report = engine::monitor(&world, &what, &engine::exchange)?;
    let logged = match &arguments.person {
        None => None,
        Some(name) => {
            let person = Person { name: name.clone(), passphrase: context.own_passphrase(name)? };
            let store = context.store_passphrase(arguments.store_passphrase_file.as_deref())?;
            Some(engine::audit(&world, &report, &person, &store)?)
        }
    };
    let found = |code: &str| report.findings.iter().any(|finding| finding.code == code);
    let verdict = if found("log-forked") {
        "forked"
    } else if ["unrecorded-signature", "failed-build-published", "counter-mismatch"]
        .iter()
        .any(|code| found(code))
    {
        "unrecorded-signature"
    } else if !report.findings.is_empty() {
        "damaged"
    } else if !report.problems.is_empty() {
        "undetermined"
    } else {
        "consistent"
    };
    let good = verdict == "consistent";
    if context.json {
        output::document(
            "monitor",
            json!({
                "verdict": verdict, "findings": report.findings, "problems": report.problems, "size": report.size,
                "swept": report.swept, "sightings": report.sightings, "compared": report.compared,
                "counted": report.counted, "publicEntries": report.public_entries,
                "publicSightings": report.public_sightings, "logIndex": logged,
            }),
        )?;
    } else {
        let public = if what.public_logs.is_empty() {
            String::new()
        } else {
            let (read, ours) = (report.public_entries, report.public_sightings);
            format!(", {read} entries of public logs read, {ours} of them ours")
        };
        output::text(&format!(
            "{}{}{}: {} entries, {} files swept, {} signatures by our keys seen, {} checkpoints of others compared{public}\n",
            output::findings(&report.findings),
            output::problems(&report.problems),
            output::verdict(verdict, good),
            report.size,
            report.swept,
            report.sightings,
            report.compared
        ))?;
    }
    Ok(match (good, report.findings.is_empty()) {
        (true, _) => YES,
        (false, true) => UNDECIDED,
        (false, false) => NO,
    })
}
