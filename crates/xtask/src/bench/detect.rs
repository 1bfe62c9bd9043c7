//! What the detection rules cost: the stored trace of a build is put to all of them again, and that is held against the
//! CPU time of the bare build. An upper bound: starting the program, compiling the rules and reading the trace count.

use anyhow::{Result, ensure};

use super::{countersign, measure, median, must, projects, record};

const RUNS: usize = 11;

pub(super) fn run() -> Result<()> {
    let program = crate::program("release")?;
    let below = tempfile::Builder::new().prefix("bench-").tempdir()?;
    let project = projects::write("lua", below.path())?;
    let shell = |script: &str| must(crate::command("sh").args(["-c", script]).current_dir(&project.folder));
    let mine = |arguments: &[&str]| countersign(&program, &project.folder, arguments);
    must(&mut mine(&["init"]))?;
    must(&mut mine(&["run", "-q", "--product", "lua", "--", "sh", "-c", project.build]))?;
    let (mut bare, mut replayed) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        shell(project.clean)?;
        bare.push(measure(|| shell(project.build))?.cpu);
        let replay = || -> Result<()> {
            for _ in 0..10 {
                let output = mine(&["watch", "--replay", "latest", "--json"]).output()?;
                ensure!(output.status.code() == Some(0), "a clean build is not quiet");
            }
            Ok(())
        };
        replayed.push(measure(replay)?.cpu / 10.0);
    }
    let (events, _) = record::events(&program, &project.folder)?;
    let (bare, replayed) = (median(&bare), median(&replayed));
    println!("{RUNS} interleaved runs, medians of CPU: build of Lua {bare:.2} s");
    println!(
        "  all rules over its {events} events  {:.1} ms   {:.2} % of the build",
        replayed * 1000.0,
        100.0 * replayed / bare
    );
    Ok(())
}
