//! Honest builds raise no alarm: three real projects, each recorded once to learn from and then five times against what
//! was learned, on a machine whose role makes every detection at least high.

use anyhow::{Context, Result, ensure};

use crate::bench::{self, projects};

const REBUILDS: usize = 5;

pub(crate) fn run() -> Result<()> {
    let program = crate::program("dev")?;
    let below = tempfile::Builder::new().prefix("quiet-").tempdir()?;
    for name in ["lua", "xz", "cargo"] {
        let project = projects::write(name, below.path())?;
        bench::must(&mut bench::countersign(&program, &project.folder, &["init"]))?;
        for rebuild in 0..=REBUILDS {
            bench::must(crate::command("sh").args(["-c", project.clean]).current_dir(&project.folder))?;
            let mut run = vec!["run", "--json", "--product", name];
            if rebuild > 0 {
                run.push("--baseline");
            }
            run.extend(["--", "sh", "-c", project.build]);
            let output = bench::countersign(&program, &project.folder, &run).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{name}: {said}");
            let answer: serde_json::Value =
                serde_json::from_slice(&output.stdout).with_context(|| format!("{name}: {said}"))?;
            let found = answer.pointer("/detections/found").and_then(serde_json::Value::as_array);
            let found = found.context("no detections in the answer")?;
            ensure!(found.is_empty(), "{name}, rebuild {rebuild}: {found:#?}");
            ensure!(answer["attestable"] == true, "{name}, rebuild {rebuild}: {answer:#}");
            let events = &answer["completeness"]["events"];
            println!(
                "{name}: {}, {events} events, no detection",
                if rebuild == 0 { "learned" } else { "rebuilt" }
            );
        }
    }
    Ok(())
}
