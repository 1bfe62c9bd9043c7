//! A compromised builder: on one of three build machines the compiler is a wrapper that adds something. Its record is
//! complete and signed by its own key; only the others can tell.

use std::path::Path;
use std::time::Instant;

use crate::sandbox::{DrillError, Sandbox};
use crate::{Control, Drill, Score, Step};

const QUORUM: &str = "quorum";
const GATE: &str = "gate";
const REQUIRED: &str = "required-builders";

pub(crate) const DRILL: Drill = Drill {
    name: "evil-builder",
    attack: "on one of three build machines a wrapper around the compiler adds code to everything",
    controls: &[
        Control {
            name: QUORUM,
            what: "builders with keys of their own are compared, and the odd one out is named",
        },
        Control { name: GATE, what: "builders that disagree deny the release" },
        Control { name: REQUIRED, what: "a release that too few builders have made is denied by policy" },
    ],
    run,
};

const SOURCE: &[u8] = b"int main(void) { return 0; }\n";
const HONEST: &[u8] = b"#!/bin/sh\nexec cc \"$@\"\n";
const EVIL: &[u8] =
    b"#!/bin/sh\necho 'const char marker[] = \"a harmless marker\";' >> main.c\nexec cc \"$@\"\n";

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let ours = Sandbox::new(program)?;
    ours.needs(&["cc"])?;
    let others = [Sandbox::new(program)?, Sandbox::new(program)?];
    for (number, builder) in [&ours, &others[0], &others[1]].into_iter().enumerate() {
        builder.must(&["init"])?;
        builder.write("main.c", SOURCE)?;
        builder.write("compiler", if number == 2 && without != Some(QUORUM) { EVIL } else { HONEST })?;
        builder.write("dist/keep", b"")?;
        let script = "sh ./compiler -O1 -o dist/app main.c";
        builder.must(&["run", "-q", "--product", "app", "--output", "dist/app", "--", "sh", "-c", script])?;
    }
    let mut records = vec!["latest".to_owned()];
    for builder in &others {
        let store = builder.path(".countersign");
        ours.must(&["trust", "add-builder", &store.join("trust.json").display().to_string()])?;
        records.push(format!("{}@latest", store.display()));
    }
    let began = Instant::now();
    let mut steps = Vec::new();
    let policy = std::fs::read_to_string(ours.path(".countersign/policy.toml"))?;
    if without != Some(REQUIRED) {
        let policy = policy.replace("builders = 0", "builders = 3");
        ours.write(".countersign/policy.toml", policy.as_bytes())?;
    }
    let unasked = ours.ask(&["gate", "dist/app"])?;
    let evidence = unasked.of_code("quorum-missing");
    let caught = unasked.verdict() == "deny" && !evidence.is_empty();
    steps.push(Step::new(REQUIRED, "before the others were asked, the gate denies", caught, evidence, began));

    let mut ask = vec!["quorum", "dist/app"];
    ask.extend(records.iter().flat_map(|record| ["--record", record.as_str()]));
    let asked = ours.ask(&ask)?;
    let evidence: Vec<String> = asked
        .of_code("quorum-disagreement")
        .into_iter()
        .filter(|words| words.contains("it is outvoted"))
        .collect();
    let caught = asked.verdict() == "disagree" && !evidence.is_empty();
    steps.push(Step::new(QUORUM, "the builders disagree, and one is outvoted", caught, evidence, began));

    let judged = if without == Some(GATE) { None } else { Some(ours.ask(&["gate", "dist/app"])?) };
    let evidence = judged.as_ref().map_or_else(Vec::new, |answer| answer.of_code("quorum-disagreement"));
    let caught = judged.is_some_and(|answer| answer.verdict() == "deny") && !evidence.is_empty();
    steps.push(Step::new(GATE, "the gate denies the release", caught, evidence, began));
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}
