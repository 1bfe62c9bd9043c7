//! The field's own test suites against our program: sigstore-conformance (offline cases) and the Merkle vectors of
//! transparency-dev. The counts are printed; a suite that is not there fails in CI and is named elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What sigstore-conformance expects where a case does not say otherwise (`bundle-verify/README.md`).
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(crate) fn run() -> Result<()> {
    let vectors = crate::root().join("../shared/vectors");
    if !vectors.is_dir() {
        ensure!(std::env::var_os("CI").is_none(), "the vectors are not beside the project");
        eprintln!("SKIPPED: no test vectors beside the project");
        return Ok(());
    }
    let program = crate::program("dev")?;
    sigstore(&program, &vectors.join("sigstore-conformance"))?;
    merkle()
}

/// Each case twice, as the suite does: by the file, and by its digest.
fn sigstore(program: &Path, suite: &Path) -> Result<()> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(suite.join("bundle-verify"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    cases.retain(|case| case.join("bundle.sigstore.json").is_file());
    cases.sort();
    let (mut passed, mut total, mut failed) = (0, 0, Vec::new());
    for case in &cases {
        let name = case.file_name().context("a case without name")?.to_string_lossy().into_owned();
        let accept = !name.ends_with("_fail");
        for by_digest in [false, true] {
            total += 1;
            let code = verdict(program, suite, case, by_digest)?;
            // A refusal is an answer (exit 1 or 2), not a crash or an inability to tell.
            if code == Some(0) && accept || matches!(code, Some(1 | 2)) && !accept {
                passed += 1;
            } else {
                failed.push(format!("{name} ({}): exit {code:?}", if by_digest { "digest" } else { "file" }));
            }
        }
    }
    println!("sigstore-conformance: {passed} of {total} offline cases pass");
    ensure!(failed.is_empty() && total == 140, "sigstore-conformance: {}", failed.join("; "));
    Ok(())
}

fn verdict(program: &Path, suite: &Path, case: &Path, by_digest: bool) -> Result<Option<i32>> {
    let text = |name: &str, otherwise: &str| -> Result<String> {
        let path = case.join(name);
        Ok(if path.is_file() { fs::read_to_string(path)?.trim().to_owned() } else { otherwise.to_owned() })
    };
    let own = case.join("artifact");
    // A case whose file is called otherwise would go unseen if this fell back in silence.
    let artifact = if own.is_file() { own } else { suite.join("bundle-verify/a.txt") };
    let mut command = crate::command(program);
    command.arg("verify").arg("--bundle").arg(case.join("bundle.sigstore.json"));
    let key = case.join("key.pub");
    if key.is_file() {
        command.arg("--key").arg(key);
    } else {
        command.args(["--certificate-identity", &text("identity", IDENTITY)?]);
        command.args(["--certificate-oidc-issuer", &text("issuer", ISSUER)?]);
    }
    let root = case.join("trusted_root.json");
    let root = if root.is_file() { root } else { suite.join("public-good-trusted_root.json") };
    command.arg("--trusted-root").arg(root);
    if by_digest {
        let output = Command::new("sha256sum").arg(&artifact).output()?;
        let hex = String::from_utf8(output.stdout)?;
        command.arg(format!("sha256:{}", hex.split_whitespace().next().context("no digest")?));
    } else {
        command.arg(&artifact);
    }
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.code())
}

/// The vectors are run by the log's own tests, which count them.
fn merkle() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--package", "countersign-tlog", "--test", "it", "the_vectors_pass"]);
    let output = command.args(["--", "--nocapture"]).current_dir(crate::root()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.find("518 Merkle vectors passed").map(|at| &line[at..]));
    ensure!(output.status.success(), "{said}");
    println!("merkle: {}", line.context("the Merkle vectors were not counted")?);
    Ok(())
}
