//! Published from a failed run: the worms of 2026 took a publishing token from a runner's memory and published packages
//! from builds that had failed. What such a build left behind must not be signed, and must be noticed where it appears.

use std::path::Path;
use std::time::Instant;

use crate::sandbox::{DrillError, Sandbox};
use crate::{Control, Drill, Score, Step};

const GATE: &str = "gate";
const SIGHTINGS: &str = "sightings";
const CUSTOMER: &str = "customer-verify";

pub(crate) const DRILL: Drill = Drill {
    name: "failed-build-publish",
    attack: "a build writes its package and fails; the package is published all the same",
    controls: &[
        Control { name: GATE, what: "no signature for a failed record" },
        Control { name: SIGHTINGS, what: "the monitor finds the package where it was published" },
        Control { name: CUSTOMER, what: "a customer's check refuses a file without a release" },
    ],
    run,
};

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let sandbox = Sandbox::new(program)?;
    sandbox.must(&["init"])?;
    sandbox.must(&["trust", "export", "trust.json"])?;
    let began = Instant::now();
    let script = "mkdir -p dist && echo package > dist/app.tgz && exit 1";
    let run = ["run", "-q", "--product", "app", "--output", "dist/*", "--", "sh", "-c", script];
    // It fails, as it should; that it was recorded is what the next steps rest on.
    sandbox.ends_with(1, &run)?;
    std::fs::create_dir_all(sandbox.path("registry"))?;
    sandbox.copy("dist/app.tgz", &sandbox.path("registry"))?;
    let mut steps = Vec::new();
    let mut step = |control: &'static str, expected: &str, arguments: &[&str], code: &str| {
        let asked = if without == Some(control) { None } else { Some(sandbox.ask(arguments)?) };
        let evidence = asked.as_ref().map_or_else(Vec::new, |answer| answer.of_code(code));
        let caught = asked.is_some_and(|answer| answer.code == Some(1)) && !evidence.is_empty();
        steps.push(Step::new(control, expected, caught, evidence, began));
        Ok::<(), DrillError>(())
    };
    step(GATE, "the gate denies a failed build", &["sign", "dist/app.tgz"], "build-failed")?;
    let sweep = ["monitor", "--sweep", "registry"];
    step(SIGHTINGS, "the published package is an incident", &sweep, "failed-build-published")?;
    let verify = ["verify", "registry/app.tgz", "--trust", "trust.json"];
    step(CUSTOMER, "a customer's check refuses the package", &verify, "bundle-missing")?;
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}
