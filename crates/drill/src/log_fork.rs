//! A forked log: the whole store is set back to an older copy, and another history is written from there, with the real
//! keys. Nothing in the folder itself can tell.

use std::path::Path;
use std::time::Instant;

use crate::sandbox::{DrillError, Sandbox};
use crate::stolen_key::witnessed;
use crate::{Control, Drill, Score, Step};

const WITNESS: &str = "witness";
const MONITOR: &str = "monitor";
const CHECKPOINT: &str = "kept-checkpoint";

pub(crate) const DRILL: Drill = Drill {
    name: "log-fork",
    attack: "the store is rolled back to an older copy and another history is signed from there",
    controls: &[
        Control { name: WITNESS, what: "an honest witness refuses the other history, and nothing is signed" },
        Control { name: MONITOR, what: "the monitor compares the log with what the witness has seen" },
        Control { name: CHECKPOINT, what: "a checkpoint that somebody kept contradicts the log" },
    ],
    run,
};

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let sandbox = Sandbox::new(program)?;
    sandbox.must(&["init", "--origin", "log.vendor.invalid"])?;
    let _witness = witnessed(&sandbox, true)?;
    sandbox.release("app", b"one\n")?;
    sandbox.copy(".countersign", &sandbox.path("older"))?;
    // Another release of another product: no comparison stands in the way of what is on trial here.
    sandbox.release("app2", b"two\n")?;
    sandbox.copy(".countersign/log/checkpoint", &sandbox.path("kept"))?;

    let began = Instant::now();
    std::fs::rename(sandbox.path(".countersign"), sandbox.path("newer"))?;
    std::fs::rename(sandbox.path("older"), sandbox.path(".countersign"))?;
    sandbox.record("app3", b"a harmless marker in place of malware\n")?;
    let mut steps = Vec::new();
    let bundle = sandbox.path("dist/app.sigstore.json");
    std::fs::remove_file(&bundle)?;
    if without == Some(WITNESS) {
        sandbox.must(&["trust", "set", "--witness-policy", "none"])?;
    }
    let refused = sandbox.ask(&["sign", "dist/app"])?;
    let evidence = refused.of_code("forked");
    let caught = !evidence.is_empty() && !bundle.exists();
    steps.push(Step::new(WITNESS, "nothing is signed on the other history", caught, evidence, began));
    let mut step = |control: &'static str, expected: &str, arguments: &[&str]| {
        let asked = if without == Some(control) { None } else { Some(sandbox.ask(arguments)?) };
        let evidence = asked.as_ref().map_or_else(Vec::new, |answer| answer.of_code("log-forked"));
        let caught = asked.is_some_and(|answer| answer.code == Some(1)) && !evidence.is_empty();
        steps.push(Step::new(control, expected, caught, evidence, began));
        Ok::<(), DrillError>(())
    };
    sandbox.must(&["trust", "set", "--witness-policy", "witnesses"])?;
    step(MONITOR, "the monitor says that the log has forked", &["monitor", "--refresh"])?;
    step(CHECKPOINT, "the kept checkpoint contradicts the log", &["log", "check", "--against", "kept"])?;
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}
