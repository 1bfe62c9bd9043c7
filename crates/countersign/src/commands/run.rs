//! `run`.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use engine::evidence::Finding;
use engine::evidence::record::{Exit, Role};
use engine::{AllowList, Egress, Run, TracerKind};
use serde_json::json;

use crate::args::{EgressName, Phase, RunArgs, TracerName};
use crate::context::{Context, UsageError};
use crate::output::{self, RECORDER_FAILED};

pub(crate) fn run(context: &Context, arguments: RunArgs) -> Result<u8> {
    let world = context.world()?;
    let passphrase = context.passphrase()?;
    // With `--json`, stdout is ours: what the build prints goes to stderr.
    let stdout = if context.json {
        let own = rustix::io::dup(std::io::stdout().as_fd()).context("cannot keep stdout")?;
        rustix::stdio::dup2_stdout(std::io::stderr().as_fd())
            .context("cannot redirect the build's output")?;
        Some(own)
    } else {
        None
    };
    let run = Run {
        product: arguments.product,
        release: arguments.release,
        outputs: arguments.output,
        egress: match &arguments.egress {
            EgressName::Audit => Egress::Audit,
            EgressName::Deny => Egress::Deny,
            EgressName::Allow(file) => Egress::Allow(list(file)?),
        },
        baseline: arguments.baseline,
        fetched: arguments.phase == Some(Phase::Build),
        tracer: match arguments.tracer {
            TracerName::Auto => TracerKind::Auto,
            TracerName::Seccomp => TracerKind::Seccomp,
            TracerName::Ptrace => TracerKind::Ptrace,
            TracerName::Snapshot => TracerKind::Snapshot,
        },
        command: arguments.command,
        workdir: std::env::current_dir().context("cannot tell the current folder")?,
        environment: std::env::vars_os().collect(),
    };
    let mut alarm = |finding: &Finding| output::note(context, &alarm(finding));
    let recorded = engine::run(&world, &run, &passphrase, &Context::now, &mut alarm);
    if let Some(stdout) = stdout {
        rustix::stdio::dup2_stdout(&stdout).context("cannot restore stdout")?;
    }
    let recorded = recorded?;
    let record = &recorded.record;
    if context.json {
        output::document(
            "run",
            json!({
                "record": format!("r{}", recorded.number), "digest": recorded.digest, "exit": record.exit,
                "attestable": recorded.attestable, "completeness": record.completeness, "network": record.machine.network, "detections": record.detections, "outputs": record.outputs,
                "unmatched": recorded.unmatched, "checkout": record.checkout,
                "checkoutProblem": recorded.no_commit.as_ref().map(ToString::to_string),
                "recovered": recorded.recovered.iter().map(|number| format!("r{number}")).collect::<Vec<_>>(),
            }),
        )?;
    } else {
        summary(context, &recorded);
    }
    Ok(match recorded.exit {
        Exit::Code(code) => u8::try_from(code & 0xFF).unwrap_or(RECORDER_FAILED),
        Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(RECORDER_FAILED),
        Exit::Unknown => RECORDER_FAILED,
    })
}

/// Reads the list of what a build may reach.
fn list(file: &Path) -> Result<AllowList> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| UsageError(format!("cannot read `{}`: {error}", file.display())))?;
    Ok(AllowList::parse(&text).map_err(|error| UsageError(format!("`{}`: {error}", file.display())))?)
}

/// What is said at once, in the middle of the build's own output.
fn alarm(finding: &Finding) -> String {
    let about = finding.subject.path.as_ref().map_or_else(String::new, |path| format!(": {path}"));
    let mut text = format!(
        "countersign: DETECTED [{}] {} ({}){about}",
        finding.severity.word(),
        finding.title,
        finding.code
    );
    for reason in finding
        .because
        .iter()
        .filter(|reason| reason.starts_with("process ") || reason.starts_with("target "))
    {
        text += &format!("\ncountersign:   {reason}");
    }
    text
}

fn summary(context: &Context, recorded: &engine::Recorded) {
    let record = &recorded.record;
    let count = |role| record.files.iter().filter(|file| file.role == role).count();
    for number in &recorded.recovered {
        output::note(
            context,
            &format!("countersign: r{number} was left by a recorder that died; it is sealed as incomplete"),
        );
    }
    output::note(
        context,
        &format!(
            "countersign: recorded r{} ({}): {} processes, {} sources, {} toolchain files, {} dependencies, {} outputs, {} events",
            recorded.number,
            engine::outcome(record),
            record.processes.len(),
            count(Role::Source),
            count(Role::Toolchain),
            count(Role::Dependency),
            record.outputs.len(),
            record.completeness.events
        ),
    );
    if let Some(reason) = &recorded.no_commit {
        output::note(context, &format!("countersign: the sources were not compared with a commit: {reason}"));
    }
    for detected in record.detections.found.iter().filter(|one| one.sequence == record.completeness.events) {
        output::note(context, &alarm(&detected.finding));
    }
    for pattern in &recorded.unmatched {
        output::note(context, &format!("countersign: the build wrote nothing that matches `{pattern}`"));
    }
    for (reason, times) in &record.completeness.gaps {
        output::note(
            context,
            &format!("countersign: not observed: {reason} ({times}×); such a record is never signed"),
        );
    }
    if record.completeness.interrupted {
        output::note(context, "countersign: the build was interrupted; such a record is never signed");
    }
}
