//! `countersign-verify`: the customer's check as a program of its own, with nothing in it but the verifier.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use attest::Trust;
use evidence::Timestamp;
use serde_json::json;
use verifier::{Options, Report, explain, read_bounded, verify};

const USAGE: &str = "\
countersign-verify --trust FILE [OPTION]… FILE|FOLDER…

Checks files against the bundles beside them, and folders against their released SHA256SUMS. Offline.

  --trust FILE               the vendor's trust file
  --bundle FILE              the bundle of the one file
  --manifest FILE            the manifest of the folder
  --explain                  print the commands by which other tools check the same
  --write-trusted-root FILE  write the trust as a Sigstore trusted root, for other tools
  --json                     print one JSON document

Exit codes: 0 verified · 1 rejected · 2 wrong usage · 3 could not decide (treat as no)
";

#[derive(Default)]
struct Arguments {
    trust: Option<PathBuf>,
    bundle: Option<PathBuf>,
    manifest: Option<PathBuf>,
    trusted_root: Option<PathBuf>,
    explain: bool,
    json: bool,
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err((code, words)) => {
            // Nobody is left to tell if stderr is gone.
            writeln!(std::io::stderr(), "countersign-verify: {words}").ok();
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

fn run() -> Result<u8, Failure> {
    let arguments = arguments().map_err(|words| (2, words))?;
    let Some(arguments) = arguments else {
        say(USAGE)?;
        return Ok(0);
    };
    let trust_file = arguments.trust.as_deref().ok_or((2, format!("`--trust` is needed\n\n{USAGE}")))?;
    let bytes =
        read_bounded(trust_file, attest::trust::MAX_BYTES as u64).map_err(|error| (2, with_cause(&error)))?;
    let bytes = bytes.ok_or_else(|| (2, format!("`{}` does not exist", trust_file.display())))?;
    let trust = Trust::parse(&bytes).map_err(|error| (2, with_cause(&error)))?;
    if let Some(file) = &arguments.trusted_root {
        let root = trust.sigstore_trusted_root().map_err(|error| (2, with_cause(&error)))?;
        std::fs::write(file, root)
            .map_err(|error| (3, format!("cannot write `{}`: {error}", file.display())))?;
        if arguments.paths.is_empty() {
            return Ok(0);
        }
    }
    if arguments.paths.is_empty() {
        return Err((2, format!("no file is named\n\n{USAGE}")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let options = Options {
        trust: &trust,
        trust_file,
        now: Timestamp::from_unix(i64::try_from(now).unwrap_or(i64::MAX)),
        bundle: arguments.bundle.as_deref(),
        manifest: arguments.manifest.as_deref(),
    };
    let report = verify(&arguments.paths, &options).map_err(|error| (3, with_cause(&error)))?;
    let text = if arguments.json { document(&report) } else { words(&report, &trust) };
    say(&text)?;
    if arguments.explain {
        for path in &arguments.paths {
            say(&explain(path, trust_file, &trust))?;
        }
    }
    Ok(report.verdict().exit_code())
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut value = |name: &str| words.next().map(PathBuf::from).ok_or(format!("`{name}` needs a file"));
        match word.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--trust") => arguments.trust = Some(value("--trust")?),
            Some("--bundle") => arguments.bundle = Some(value("--bundle")?),
            Some("--manifest") => arguments.manifest = Some(value("--manifest")?),
            Some("--write-trusted-root") => arguments.trusted_root = Some(value("--write-trusted-root")?),
            Some("--explain") => arguments.explain = true,
            Some("--json") => arguments.json = true,
            Some("--") => arguments.paths.extend(words.by_ref().map(PathBuf::from)),
            Some(option) if option.starts_with("--") => {
                return Err(format!("`{option}` is no option\n\n{USAGE}"));
            }
            _ => arguments.paths.push(word.into()),
        }
    }
    Ok(Some(arguments))
}

fn words(report: &Report, trust: &Trust) -> String {
    let mut text = String::new();
    for file in &report.files {
        let word = if file.reasons.is_empty() { "verified" } else { "rejected" };
        text += &format!("{word}: {} {}\n", file.path.display(), file.artifact);
        for sentence in file.sentences(trust.log.origin()) {
            text += &format!("  {sentence}\n");
        }
    }
    for reason in report.all_reasons() {
        text += &format!("  [{}] {}: {}\n", reason.code, reason.path.display(), reason.because);
    }
    for problem in &report.problems {
        text += &format!("  [unread] {}: {} ({})\n", problem.path.display(), problem.detail, problem.kind);
    }
    text + &format!("{}: {} files\n", report.verdict().word(), report.files.len())
}

fn document(report: &Report) -> String {
    let lossy = |path: &Path| path.to_string_lossy().into_owned();
    let findings: Vec<_> = report
        .all_reasons()
        .map(|reason| {
            json!({
                "code": reason.code, "because": [reason.because],
                "subject": {"path": lossy(&reason.path), "digest": reason.digest},
            })
        })
        .collect();
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| json!({"path": lossy(&problem.path), "kind": problem.kind, "detail": problem.detail}))
        .collect();
    let files: Vec<_> = report
        .files
        .iter()
        .map(|file| {
            json!({
                "path": lossy(&file.path), "artifact": file.artifact, "verified": file.reasons.is_empty(),
                "logIndex": file.release.as_ref().map(|release| release.verified().log_index()),
            })
        })
        .collect();
    let document = json!({
        "schema": "urn:countersign:verify:v1", "verdict": report.verdict().word(), "findings": findings,
        "problems": problems, "files": files,
    });
    format!("{document:#}\n")
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| (3, format!("cannot write the answer: {error}"))),
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        words += &format!(": {cause}");
        at = cause.source();
    }
    words
}
