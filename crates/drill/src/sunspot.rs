//! SolarWinds, 2020: an implant on the build machine waited for the compiler, exchanged one source file while it ran, and
//! put the original back, time stamps included. Nobody who looked at the sources afterwards found anything.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::sandbox::{DrillError, Sandbox, Watched};
use crate::{Control, Drill, Score, Step};

const RECORDER: &str = "recorder";
const ALARM: &str = "live-alarm";
const COMMIT: &str = "commit-comparison";
const WRITER: &str = "foreign-writer";
const RECHECK: &str = "input-recheck";

pub(crate) const DRILL: Drill = Drill {
    name: "sunspot",
    attack: "a source file is exchanged while the compiler runs and put back afterwards, times and all (SolarWinds, 2020)",
    controls: &[
        Control { name: RECORDER, what: "only recorded builds are signed" },
        Control { name: ALARM, what: "the alarm is raised while the build still runs" },
        Control {
            name: COMMIT,
            what: "each tracked source must have the bytes of the commit when it is read",
        },
        Control {
            name: WRITER,
            what: "a change of an input that no traced process made is told, with who made it",
        },
        Control {
            name: RECHECK,
            what: "each input is looked at again at the end, the time of its last change included",
        },
    ],
    run,
};

const SOURCE: &str = "inventory.c";
const CLEAN: &str = "int inventory(void) { return 0; } /* clean    */\n";
/// As long as the clean one: nothing but the bytes is different.
const POISONED: &str = "int inventory(void) { return 1; } /* poisoned */\n";
const OUTPUT: &str = "dist/orion";
/// What the build says last on stderr.
const ENDED: &str = "drill-build-ended";

/// The findings by which each control speaks.
fn code(control: &str) -> Option<&'static str> {
    match control {
        COMMIT => Some("input-not-in-commit"),
        WRITER => Some("foreign-writer"),
        RECHECK => Some("input-mutated"),
        _ => None,
    }
}

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let sandbox = Sandbox::new(program)?;
    sandbox.needs(&["cc", "git", "make"])?;
    sandbox.must(&["init"])?;
    sandbox.allow(without.and_then(code).as_slice())?;
    project(&sandbox)?;
    let quiet = without == Some(ALARM);

    let began = Instant::now();
    if without == Some(RECORDER) {
        sandbox.shell("make -s")?;
    } else {
        build(&sandbox, "1.0.0", quiet)?;
    }
    let clean = sandbox.ask(&["sign", OUTPUT])?;
    let mut steps = vec![Step::new(
        RECORDER,
        "the clean release 1 is signed",
        clean.verdict() == "signed",
        clean.all(),
        began,
    )];

    sandbox.shell("make -s clean; printf '#define RELEASE 2\\n' > release.h; git commit -qam second")?;
    let began = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let implant = std::thread::spawn({
        let (source, done) = (sandbox.path(SOURCE), Arc::clone(&done));
        let waiting = [sandbox.path("slow.o"), sandbox.path("inventory.o")];
        move || implant(&source, &waiting, &done)
    });
    let watched = build(&sandbox, "2.0.0", quiet);
    done.store(true, Ordering::Relaxed);
    let swapped = implant.join().map_err(|_| std::io::Error::other("the implant broke off"))??;
    let watched = watched?;
    if !swapped || std::fs::read_to_string(sandbox.path(SOURCE))? != CLEAN {
        return Err(std::io::Error::other(
            "the attack did not take place: the source was not exchanged in time",
        )
        .into());
    }
    let alarms: Vec<String> = watched.before(ENDED, "DETECTED");
    steps.push(Step::new(
        ALARM,
        "the exchange is told while the build runs",
        !alarms.is_empty(),
        alarms,
        began,
    ));

    let denied = sandbox.ask(&["sign", OUTPUT])?;
    for (control, expected, named) in [
        (COMMIT, "the poisoned release 2 is denied: the compiler read what is in no commit", "cc1"),
        (WRITER, "… and by whom the source was changed", "pid "),
        (RECHECK, "… and at the end the source's last change is not that of when it was read", "cc1"),
    ] {
        let evidence = denied.evidence(code(control).as_slice(), SOURCE, named);
        let caught = denied.verdict() == "denied" && denied.code == Some(1) && !evidence.is_empty();
        steps.push(Step::new(control, expected, caught, evidence, began));
    }
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}

/// A project in a repository, with a file that takes a while to compile.
fn project(sandbox: &Sandbox) -> Result<(), DrillError> {
    let slow: String = (0..1500)
        .map(|n| format!("int slow{n}(int x) {{ return x * {n} + slow_{}(x); }}\n", n % 7))
        .collect();
    let slow = (0..7).map(|n| format!("int slow_{n}(int);\n")).collect::<String>() + &slow;
    sandbox.write("slow.c", slow.as_bytes())?;
    sandbox.write("release.h", b"#define RELEASE 1\n")?;
    sandbox.write(SOURCE, CLEAN.as_bytes())?;
    sandbox.write("main.c", b"#include \"release.h\"\nint inventory(void);\nint main(void) { return inventory() + RELEASE - RELEASE; }\n")?;
    let makefile = format!(
        "{OUTPUT}: slow.o inventory.o main.o\n\tmkdir -p dist\n\tcc -o $@ inventory.o main.o\n\techo {ENDED} >&2\n\
         inventory.o: slow.o\nmain.o: inventory.o release.h\n%.o: %.c\n\tcc -O1 -c -o $@ $<\nclean:\n\trm -rf *.o dist\n"
    );
    sandbox.write("Makefile", makefile.as_bytes())?;
    sandbox.write(".gitignore", b".countersign\n*.o\ndist\n")?;
    sandbox.shell(
        "git init -q && git config user.name drill && git config user.email drill@example.invalid && git add -A && git commit -qm first",
    )
}

fn build(sandbox: &Sandbox, release: &str, quiet: bool) -> Result<Watched, DrillError> {
    let mut run = vec!["run", "--product", "orion", "--release", release, "--output", "dist/*"];
    if quiet {
        run.push("--quiet");
    }
    run.extend(["--", "make", "-s"]);
    sandbox.watch(&run)
}

/// The implant: exchanges the source once the build is under way, and puts it back when it has been compiled. Tells
/// whether it came to that.
fn implant(source: &Path, [first, second]: &[PathBuf; 2], done: &AtomicBool) -> std::io::Result<bool> {
    let wait = |path: &Path| {
        while !path.exists() && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        path.exists()
    };
    // The file that takes a while is being compiled as soon as the recorder has looked at the sources.
    std::thread::sleep(Duration::from_millis(1));
    if !compiling(source, done) {
        return Ok(false);
    }
    let times = source.metadata()?;
    let times = FileTimes::new().set_modified(times.modified()?).set_accessed(times.accessed()?);
    let mut file = OpenOptions::new().write(true).open(source)?;
    let mut exchange = |text: &str| -> std::io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        File::set_times(&file, times)
    };
    exchange(POISONED)?;
    let early = !first.exists();
    let compiled = wait(second);
    exchange(CLEAN)?;
    Ok(early && compiled)
}

/// Waits until a compiler of this drill runs, as the implant looked for `MsBuild.exe`.
fn compiling(source: &Path, done: &AtomicBool) -> bool {
    let folder = source.parent().and_then(|folder| folder.canonicalize().ok());
    let is_ours = |entry: &std::fs::DirEntry| {
        if std::fs::read_link(entry.path().join("cwd")).ok() != folder {
            return false;
        }
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        words.first().is_some_and(|word| word.ends_with(b"cc1")) && words.contains(&b"slow.c".as_slice())
    };
    while !done.load(Ordering::Relaxed) {
        if std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| is_ours(&entry)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
