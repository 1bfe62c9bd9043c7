//! Files by their own bundles, folders by a manifest, many at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use attest::verify::{provenance, release};
use attest::{Bundle, Rejection, Trust, VerifiedRelease};
use evidence::statement::Provenance;
use evidence::{Digest, Timestamp};

use crate::files::{VerifyError, digest_of, list, read_bounded};
use crate::manifest::{MANIFEST_MAX_BYTES, Manifest};
use crate::report::{Build, FileReport, Problem, Reason, Report, STALE};
use crate::{BUNDLE_SUFFIX, MANIFEST, PROVENANCE_SUFFIX};

const BUNDLE_MAX_BYTES: u64 = attest::bundle::MAX_BYTES as u64;

/// How to check.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Whom to trust.
    pub trust: &'a Trust,
    /// Where that stands, for those who read.
    pub trust_file: &'a Path,
    /// The moment: only says whether the trust file is too old.
    pub now: Timestamp,
    /// The bundle of the one file; beside it under its usual name if not given.
    pub bundle: Option<&'a Path>,
    /// The manifest of a folder; its `SHA256SUMS` if not given and there is one.
    pub manifest: Option<&'a Path>,
}

/// Verifies files and folders.
pub fn verify(paths: &[PathBuf], options: &Options<'_>) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    if options.trust.is_stale(options.now) {
        let because = options.trust.expires.map_or_else(String::new, |expires| {
            format!("it was good until {expires}, and now is {}", options.now)
        });
        let path = options.trust_file.to_path_buf();
        report.reasons.push(Reason { code: STALE, path, digest: None, because });
    }
    let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(|path| path.is_dir());
    report.files.extend(in_parallel(&files, |path| file(path, options.bundle, options.trust))?);
    for path in folders {
        folder(path, options, &mut report)?;
    }
    report.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

/// Verifies one file by its bundle.
fn file(path: &Path, bundle: Option<&Path>, trust: &Trust) -> Result<FileReport, VerifyError> {
    let artifact = digest_of(path)?;
    let mut report = FileReport {
        path: path.to_path_buf(),
        artifact,
        release: None,
        manifest: None,
        build: None,
        reasons: Vec::new(),
    };
    let outcome = checked(path, &artifact, bundle, trust)?;
    match outcome {
        Ok((release, build)) => (report.release, report.build) = (Some(release), build),
        Err((code, because)) => {
            report.reasons.push(Reason { code, path: path.to_path_buf(), digest: Some(artifact), because });
        }
    }
    Ok(report)
}

type Checked = Result<(VerifiedRelease, Option<Build>), (&'static str, String)>;

fn checked(
    path: &Path,
    artifact: &Digest,
    bundle: Option<&Path>,
    trust: &Trust,
) -> Result<Checked, VerifyError> {
    let beside = with_suffix(path, BUNDLE_SUFFIX);
    let bundle = bundle.unwrap_or(&beside);
    let Some(bytes) = read_bounded(bundle, BUNDLE_MAX_BYTES)? else {
        return Ok(Err(("bundle-missing", format!("`{}` does not exist", bundle.display()))));
    };
    let release = match release(artifact, &bytes, trust) {
        Ok(release) => release,
        Err(rejection) => return Ok(Err((rejection.code(), rejection.to_string()))),
    };
    // The provenance is for those who want to know more; if it is there it must be the one that the gate relied on.
    let Some(bytes) = read_bounded(&with_suffix(path, PROVENANCE_SUFFIX), BUNDLE_MAX_BYTES)? else {
        return Ok(Ok((release, None)));
    };
    Ok(match provenance(artifact, &bytes, trust) {
        Ok((statement, build)) if release.relied_on(statement.id()) => Ok((release, Some(facts(&build)))),
        Ok(_) => Err(("provenance-mismatch", "the release names another provenance".into())),
        Err(rejection) => Err(("provenance-mismatch", Rejection::to_string(&rejection))),
    })
}

fn facts(provenance: &Provenance) -> Build {
    let definition = &provenance.build_definition;
    let parameters = &definition.external_parameters;
    let source = definition.resolved_dependencies.iter().find_map(|input| {
        let commit = input.digest.get("gitCommit")?;
        let repository = input.uri.as_deref().unwrap_or("").trim_end_matches(&format!("@{commit}"));
        Some(format!("{repository} at commit {commit}"))
    });
    Build {
        builder: provenance.run_details.builder.id.clone(),
        product: format!("{} {}", parameters.product, parameters.release).trim().to_owned(),
        source,
        inputs: definition.resolved_dependencies.len(),
        finished: provenance.run_details.metadata.finished_on,
    }
}

/// Verifies a folder: by its manifest if it has one, else each file by a bundle beside it.
fn folder(folder: &Path, options: &Options<'_>, report: &mut Report) -> Result<(), VerifyError> {
    let listing = list(folder)?;
    report.problems.extend(listing.others.iter().map(|path| Problem {
        path: folder.join(path),
        kind: "not-a-regular-file",
        detail: "a link, device or socket has no bytes of its own to verify".into(),
    }));
    let manifest = options.manifest.map_or_else(|| folder.join(MANIFEST), Path::to_path_buf);
    let is_content = contents(folder, &listing.files)?;
    if options.manifest.is_none() && !manifest.is_file() {
        let paths: Vec<PathBuf> = is_content.iter().map(|path| folder.join(path)).collect();
        let paths: Vec<&PathBuf> = paths.iter().collect();
        report.files.extend(in_parallel(&paths, |path| file(path, None, options.trust))?);
        return Ok(());
    }
    let mut of_manifest = file(&manifest, None, options.trust)?;
    let path = manifest.clone();
    let digest = Some(of_manifest.artifact);
    let read = read_bounded(&manifest, MANIFEST_MAX_BYTES)?.unwrap_or_default();
    // What is verified are these bytes, not what the name leads to a moment later.
    let listed = match Manifest::parse(&read) {
        Ok(listed) if Digest::of(&read) == of_manifest.artifact => listed,
        Ok(_) => {
            let because = "it was changed while it was read".to_owned();
            of_manifest.reasons.push(Reason { code: "manifest-malformed", path, digest, because });
            Manifest::default()
        }
        Err(error) => {
            of_manifest.reasons.push(Reason {
                code: "manifest-malformed",
                path,
                digest,
                because: error.to_string(),
            });
            Manifest::default()
        }
    };
    let trusted = of_manifest.reasons.is_empty();
    report.files.push(of_manifest);
    if !trusted {
        return Ok(());
    }
    let manifest_name = manifest.strip_prefix(folder).ok();
    let present: Vec<&PathBuf> =
        is_content.iter().filter(|path| Some(path.as_path()) != manifest_name).collect();
    let by_manifest = |below: &PathBuf| listed_file(folder, below, &listed, &manifest);
    report.files.extend(in_parallel(&present, |below| by_manifest(below))?);
    let present: BTreeSet<&PathBuf> = present.into_iter().collect();
    report.reasons.extend(listed.files.iter().filter(|(path, _)| !present.contains(path)).map(
        |(path, digest)| {
            let because = format!("`{}` lists it", manifest.display());
            Reason { code: "file-missing", path: folder.join(path), digest: Some(*digest), because }
        },
    ));
    Ok(())
}

fn listed_file(
    folder: &Path,
    below: &Path,
    listed: &Manifest,
    manifest: &Path,
) -> Result<FileReport, VerifyError> {
    let path = folder.join(below);
    let artifact = digest_of(&path)?;
    let wrong = match listed.files.get(below) {
        Some(digest) if *digest == artifact => None,
        Some(digest) => Some(("artifact-mismatch", format!("`{}` lists {digest}", manifest.display()))),
        None => Some(("file-unlisted", format!("`{}` does not list it", manifest.display()))),
    };
    let reasons =
        wrong.map(|(code, because)| Reason { code, path: path.clone(), digest: Some(artifact), because });
    Ok(FileReport {
        path,
        artifact,
        release: None,
        manifest: Some(manifest.to_path_buf()),
        build: None,
        reasons: reasons.into_iter().collect(),
    })
}

/// Takes the bundles out of a list of files: those that stand beside the file that they are for and are bundles
/// indeed. Anything else of such a name is content like all else.
fn contents(folder: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>, VerifyError> {
    let names: BTreeMap<&Path, ()> = files.iter().map(|path| (path.as_path(), ())).collect();
    let mut contents = Vec::new();
    for path in files {
        let text = path.as_os_str().as_encoded_bytes();
        let of = [PROVENANCE_SUFFIX, BUNDLE_SUFFIX].iter().find_map(|suffix| {
            let stem = text.strip_suffix(suffix.as_bytes())?;
            let stem: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(stem.to_vec());
            names.contains_key(Path::new(&stem)).then_some(())
        });
        let is_bundle = of.is_some()
            && read_bounded(&folder.join(path), BUNDLE_MAX_BYTES)?
                .is_some_and(|bytes| Bundle::decode(&bytes).is_ok());
        if !is_bundle {
            contents.push(path.clone());
        }
    }
    Ok(contents)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Does the same for many, as many at a time as the machine has processors; results keep their order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, VerifyError> + Sync,
) -> Result<Vec<R>, VerifyError> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len()).max(1);
    if workers == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R, VerifyError>)> = std::thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                match items.get(index) {
                    Some(item) => done.push((index, work(item))),
                    None => return done,
                }
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
