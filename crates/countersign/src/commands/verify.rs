//! `verify`.

use anyhow::{Context as _, Result, bail};
use engine::{ForeignVerification, Signatory, Verification, Verify, VerifyForeign};
use serde_json::{Value, json};

use crate::args::trust::VerifyArgs;
use crate::context::{Context, UsageError};
use crate::output::{self, NO, YES};

pub(crate) fn verify(context: &Context, arguments: VerifyArgs) -> Result<u8> {
    if let Some(signatory) = signatory(&arguments)? {
        return foreign(context, arguments, signatory);
    }
    if arguments.trusted_root.is_some() {
        bail!(UsageError("`--trusted-root` needs an expected signatory: `--certificate-identity` with `--certificate-oidc-issuer`, or `--key`".into()));
    }
    if arguments.bundle.is_some() && arguments.paths.len() > 1 {
        bail!(UsageError("`--bundle` is for one file".into()));
    }
    let trust = context.trust(arguments.trust.as_deref())?;
    let request =
        Verify { paths: arguments.paths, bundle: arguments.bundle, manifest: arguments.manifest, trust };
    let verification = engine::verify(&request, Context::now())?;
    let verdict = verification.report.verdict();
    if context.json {
        output::document("verify", document(&verification))?;
    } else {
        let mut text = String::new();
        for file in &verification.report.files {
            let good = file.reasons.is_empty();
            let word = if good { "verified" } else { "rejected" };
            text += &format!("{}: {} {}\n", output::verdict(word, good), file.path.display(), file.artifact);
            for sentence in file.sentences(verification.trust.log.origin()) {
                text += &format!("  {sentence}\n");
            }
        }
        text += &output::findings(&verification.findings);
        text += &output::problems(&verification.problems);
        let bad = verification.report.files.iter().filter(|file| !file.reasons.is_empty()).count();
        let good = verdict.exit_code() == YES;
        text += &format!(
            "{}: {} of {} files; {}\n",
            output::verdict(verdict.word(), good),
            verification.report.files.len() - bad,
            verification.report.files.len(),
            if good {
                "nothing is left to do"
            } else {
                "use nothing of this before the findings are explained"
            }
        );
        output::text(&text)?;
    }
    if arguments.explain {
        for path in &request.paths {
            let words = engine::explain(path, &request.trust)?;
            if context.json { output::note(context, &words) } else { output::text(&words)? }
        }
    }
    Ok(verdict.exit_code())
}

fn document(verification: &Verification) -> Value {
    let report = &verification.report;
    let origin = verification.trust.log.origin();
    let release = |file: &engine::FileReport| {
        file.release.as_ref().map(|release| {
            json!({
                "key": release.verified().key().short(), "statement": release.verified().id(),
                "logIndex": release.verified().log_index(), "timeVerified": release.summary().time_verified,
                "policy": release.summary().policy.uri, "levels": release.summary().verified_levels,
                "witnesses": release.verified().witnesses(),
                "reproduced": release.reproduced().map(|(agreed, of)| json!({ "agreed": agreed, "of": of })),
            })
        })
    };
    let files: Vec<Value> = report
        .files
        .iter()
        .map(|file| {
            json!({
                "path": file.path.to_string_lossy(), "artifact": file.artifact, "verified": file.reasons.is_empty(),
                "release": release(file), "provenance": file.build.is_some(), "claims": file.sentences(origin),
                "manifest": file.manifest.as_ref().map(|path| path.to_string_lossy().into_owned()),
            })
        })
        .collect();
    // A single file stands at the top as well: so it was before there could be several.
    let one = match report.files.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    json!({
        "verdict": report.verdict().word(), "findings": verification.findings, "problems": verification.problems,
        "artifact": one.map(|file| file.artifact), "release": one.and_then(release),
        "provenance": one.is_some_and(|file| file.build.is_some()), "files": files,
    })
}

fn signatory(arguments: &VerifyArgs) -> Result<Option<Signatory>> {
    if let Some(key) = &arguments.key {
        let pem = std::fs::read_to_string(key).with_context(|| format!("cannot read `{}`", key.display()))?;
        return Ok(Some(Signatory::Key(pem)));
    }
    Ok(match (&arguments.certificate_identity, &arguments.certificate_oidc_issuer) {
        (Some(identity), Some(issuer)) => {
            Some(Signatory::Certificate { identity: identity.clone(), issuer: issuer.clone() })
        }
        _ => None,
    })
}

/// Verifies bundles of any builder, each file by its own.
fn foreign(context: &Context, arguments: VerifyArgs, signatory: Signatory) -> Result<u8> {
    if arguments.bundle.is_some() && arguments.paths.len() > 1 {
        bail!(UsageError("`--bundle` is for one file".into()));
    }
    let mut code = YES;
    let mut documents = Vec::new();
    for artifact in arguments.paths {
        let name = artifact.display().to_string();
        let verification = engine::verify_foreign(&VerifyForeign {
            artifact,
            bundle: arguments.bundle.clone(),
            trusted_root: arguments.trusted_root.clone(),
            signatory: signatory.clone(),
        })?;
        let verified = verification.verified.is_some();
        if !verified {
            code = NO;
        }
        if context.json {
            documents.push(foreign_document(&name, &verification));
        } else {
            output::text(&foreign_text(&name, &verification))?;
        }
    }
    if context.json {
        let verdict = if code == YES { "verified" } else { "rejected" };
        let findings: Vec<Value> =
            documents.iter().filter_map(|file| file["findings"].as_array().cloned()).flatten().collect();
        output::document(
            "verify",
            json!({ "verdict": verdict, "findings": findings, "problems": [], "files": documents }),
        )?;
    }
    Ok(code)
}

fn foreign_document(name: &str, verification: &ForeignVerification) -> Value {
    let signature = verification.verified.as_ref().map(|verified| {
        let claims = verified.claims();
        json!({
            "signer": verified.signer(), "issuer": verified.issuer(), "logIndex": verified.log_index(),
            "times": verified.times(), "predicateType": claims.predicate_type, "builder": claims.builder,
            "source": claims.source,
        })
    });
    json!({
        "path": name, "artifact": verification.artifact, "verified": verification.verified.is_some(),
        "signature": signature, "findings": verification.findings,
    })
}

fn foreign_text(name: &str, verification: &ForeignVerification) -> String {
    let Some(verified) = &verification.verified else {
        return output::findings(&verification.findings)
            + &format!("{}: {name} {}\n", output::verdict("rejected", false), verification.artifact);
    };
    let claims = verified.claims();
    let mut text = match verified.issuer() {
        Some(issuer) => format!("  {} signed it; {issuer} vouches for that name.\n", verified.signer()),
        None => format!("  Key {} signed it.\n", verified.signer()),
    };
    if let Some(builder) = &claims.builder {
        let source = claims.source.as_deref().unwrap_or("a source that is not named");
        text += &format!("  It says that builder {builder} made it from {source}.\n");
    } else if let Some(kind) = &claims.predicate_type {
        text += &format!("  It is a statement of type {kind}.\n");
    }
    if let Some(index) = verified.log_index() {
        let times = verified.times();
        let when = if times.is_empty() { String::new() } else { format!(", at {}", times.join(" and ")) };
        text += &format!("  It stands at entry {index} of a log of the trusted root{when}.\n");
    }
    text + &format!("{}: {name} {}\n", output::verdict("verified", true), verification.artifact)
}
