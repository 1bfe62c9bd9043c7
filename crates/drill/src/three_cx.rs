//! 3CX, March 2023: the attackers sat in the build system and exchanged two libraries of another vendor, one of
//! them behind a signature that still checked. The product was signed and every customer's check said `valid`.

use std::path::Path;
use std::time::Instant;

use forge::{Release, ThreeCx};

use crate::sandbox::{DrillError, Sandbox};
use crate::{Control, Drill, Score, Step};

const RECORDER: &str = "recorder";
const PREBUILT: &str = "prebuilt-comparison";
const SIGNATURE_BLOCK: &str = "signature-block";
const CUSTOMER: &str = "customer-verify";

pub(crate) const DRILL: Drill = Drill {
    name: "3cx",
    attack: "two vendor libraries are exchanged in the build system; one hides 275 KB behind a valid signature (3CX, 2023)",
    controls: &[
        Control { name: RECORDER, what: "only recorded builds are signed" },
        Control { name: PREBUILT, what: "a prebuilt binary that changes without a new version is drift" },
        Control {
            name: SIGNATURE_BLOCK,
            what: "data in a signature block that the signature does not cover is a finding",
        },
        Control { name: CUSTOMER, what: "a customer's check refuses bytes that were not released" },
    ],
    run,
};

const ARTIFACT: &str = "dist/desktop-app.tar.gz";

/// The findings by which each control speaks; switching it off is a line in the policy for each.
fn codes(control: &str) -> &'static [&'static str] {
    match control {
        PREBUILT => &["prebuilt-changed"],
        SIGNATURE_BLOCK => &["authenticode-hidden-data", "signature-block-grew"],
        _ => &[],
    }
}

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let sandbox = Sandbox::new(program)?;
    let product = ThreeCx::new();
    sandbox.must(&["init"])?;
    sandbox.allow(without.map_or(&[], codes))?;
    build(&sandbox, &product.first(), "1.0.0", true)?;
    sandbox.must(&["sign", ARTIFACT])?;

    let mut steps = Vec::new();
    let began = Instant::now();
    build(&sandbox, &product.second(), "2.0.0", without != Some(RECORDER))?;
    let clean = sandbox.ask(&["sign", ARTIFACT])?;
    steps.push(Step::new(
        RECORDER,
        "the clean release 2 is signed",
        clean.verdict() == "signed",
        clean.all(),
        began,
    ));
    sandbox.must(&["trust", "export", "trust.json"])?;
    let bundle = format!("{ARTIFACT}.sigstore.json");
    let released = sandbox.path(&bundle).is_file();
    if released {
        std::fs::copy(sandbox.path(&bundle), sandbox.path("released.sigstore.json"))?;
    }

    let began = Instant::now();
    build(&sandbox, &product.poisoned(), "2.0.0", true)?;
    let denied = sandbox.ask(&["sign", ARTIFACT])?;
    let said = denied.findings();
    for (control, file) in [(PREBUILT, "ffmpeg.dll"), (SIGNATURE_BLOCK, "d3dcompiler_47.dll")] {
        let evidence: Vec<String> = said
            .iter()
            .filter(|(code, path)| codes(control).contains(&code.as_str()) && path.ends_with(file))
            .map(|(code, path)| format!("{code}: {path}"))
            .collect();
        let caught = denied.verdict() == "denied" && denied.code == Some(1) && !evidence.is_empty();
        steps.push(Step::new(
            control,
            &format!("the poisoned release 2 is denied, naming {file}"),
            caught,
            evidence,
            began,
        ));
    }

    // The attackers pass the poisoned file on under the clean release's bundle.
    let rejected = if without == Some(CUSTOMER) || !released {
        (false, vec!["nobody asked".to_owned()])
    } else {
        let asked = sandbox.ask(&[
            "verify",
            ARTIFACT,
            "--bundle",
            "released.sigstore.json",
            "--trust",
            "trust.json",
        ])?;
        (asked.verdict() == "rejected" && asked.code == Some(1), asked.all())
    };
    steps.push(Step::new(
        CUSTOMER,
        "a customer's check rejects the poisoned file",
        rejected.0,
        rejected.1,
        began,
    ));
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}

/// Writes the sources of a release and builds it.
fn build(sandbox: &Sandbox, release: &Release, version: &str, recorded: bool) -> Result<(), DrillError> {
    for (path, content) in &release.files {
        sandbox.write(path, content)?;
    }
    if !recorded {
        return sandbox.shell("sh build.sh");
    }
    let run = [
        "run",
        "-q",
        "--product",
        "desktop-app",
        "--release",
        version,
        "--output",
        "dist/*.tar.gz",
        "--",
        "sh",
        "build.sh",
    ];
    sandbox.must(&run)
}
