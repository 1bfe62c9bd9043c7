//! Where `watch` tells besides the screen.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use engine::evidence::{Finding, Problem};
use engine::{OutletOptions, Outlets};

use crate::args::watch::OutletArgs;
use crate::context::{Context, UsageError};
use crate::output;

/// The outlets, and whether stdout is one of them.
pub(super) fn open(context: &Context, arguments: OutletArgs) -> Result<(Outlets, bool)> {
    let stdout = arguments.ocsf.as_deref() == Some(Path::new("-"));
    if stdout && context.json {
        bail!(UsageError("`--ocsf -` and `--json` cannot both have stdout".into()));
    }
    let ocsf: Option<Box<dyn std::io::Write>> = match &arguments.ocsf {
        None => None,
        Some(_) if stdout => Some(Box::new(std::io::stdout())),
        Some(path) => {
            let file = File::options().create(true).append(true).open(path);
            Some(Box::new(file.with_context(|| format!("cannot write `{}`", path.display()))?))
        }
    };
    let webhook = arguments.webhook.zip(arguments.webhook_secret_file);
    Ok((Outlets::open(OutletOptions { ocsf, syslog: arguments.syslog, webhook })?, stdout))
}

/// Tells findings and waits until they have arrived; returns what could not be told.
pub(super) fn tell(context: &Context, mut outlets: Outlets, findings: &[Finding]) -> Vec<Problem> {
    outlets.findings(findings, Context::now());
    finish(context, outlets)
}

/// Waits until everything has arrived.
pub(super) fn finish(context: &Context, outlets: Outlets) -> Vec<Problem> {
    let problems = outlets.finish(&Context::now);
    for problem in &problems {
        output::note(context, &format!("countersign: {}: {}", problem.path, problem.detail));
    }
    problems
}
