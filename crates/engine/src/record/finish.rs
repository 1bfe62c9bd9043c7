//! From a finished trace to an acknowledged record: outputs, packages, SBOM, statements.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use attest::{Envelope, Signer};
use evidence::record::{
    Artifact, Completeness, Detected, Detections, File, Machine, Record, Role, SCHEMA, Segment,
};
use evidence::statement::{
    BUILD_TYPE, BuildDefinition, BuildMetadata, Builder, ExternalParameters, InternalParameters, Provenance,
    RecordStatement, ResourceDescriptor, RunDetails, Statement,
};
use evidence::{BytePath, Digest, Timestamp};
use glob::Pattern;
use host::packages::Packages;
use judge::baseline::Baseline;
use tlog::Ed25519Signer;

use super::journal::Start;
use super::outputs::matching;
use super::reduce::{Places, Reduction};
use crate::error::{Error, Result};
use crate::inspect_path::inspect_file;
use crate::world::World;

/// A provenance statement lists at most this many inputs one by one; all of them stand in the record, which it
/// names by digest.
const LISTED_INPUTS_MAX: usize = 5_000;

/// Everything that is needed to close a recording.
pub(super) struct Finish<'a> {
    pub(super) world: &'a World,
    pub(super) start: &'a Start,
    pub(super) patterns: &'a [Pattern],
    pub(super) packages: &'a mut Packages,
    pub(super) detections: Detections,
    pub(super) baseline: Option<&'a Baseline>,
    pub(super) builder: &'a dyn Signer,
    pub(super) log_key: &'a Ed25519Signer,
}

impl Finish<'_> {
    /// Closes a recording: returns number, digest and document of the record, and the patterns without a match.
    pub(super) fn finish(
        mut self,
        reduction: Reduction,
        trace: &host::Trace,
        segments: Vec<Segment>,
        finished: Timestamp,
    ) -> Result<(u64, Digest, Record, Vec<String>)> {
        let is_output = |path: &BytePath| matching(self.patterns, &self.start.workdir, path).is_some();
        let places = Places { workdir: &self.start.workdir, is_output: &is_output };
        let (processes, mut files, network) = reduction.finish(&places);
        let mut gaps = trace.completeness.gaps.clone();
        let (outputs, unmatched) = self.outputs(&files, &mut gaps)?;
        let components = self.packages(&mut files);
        let mut completeness = Completeness { gaps, ..trace.completeness.clone() };
        let all_hashed =
            processes.iter().all(|process| process.programs.iter().all(|program| program.digest.is_some()));
        completeness.complete = completeness.is_unbroken() && all_hashed;
        let facts = host::facts();
        let record = Record {
            schema: SCHEMA.into(),
            product: self.start.product.clone(),
            release: self.start.release.clone(),
            command: self.start.command.clone(),
            workdir: self.start.workdir.clone(),
            checkout: self.start.checkout.clone(),
            started: self.start.started,
            finished,
            exit: trace.exit,
            completeness,
            machine: Machine {
                architecture: facts.architecture,
                kernel: facts.kernel,
                tracer: self.start.tracer.clone(),
                network: trace.network.clone(),
                recorder: env!("CARGO_PKG_VERSION").into(),
            },
            environment: self.start.environment.clone(),
            processes,
            files,
            network,
            components,
            outputs,
            detections: std::mem::take(&mut self.detections),
            segments,
        };
        let mut record = record;
        if let Some(baseline) = self.baseline {
            let (sequence, at_ns) = (record.completeness.events, last_moment(&record));
            let novel = judge::baseline::novel(baseline, &record);
            let novel = novel.into_iter().map(|finding| Detected { finding, sequence, at_ns });
            record.detections.found.extend(novel);
        }
        let digest = self.world.put_document(&record)?;
        let number = self.acknowledge(&record, &digest)?;
        Ok((number, digest, record, unmatched))
    }

    /// Signs what there is to say about the record and appends it to the log.
    fn acknowledge(&self, record: &Record, digest: &Digest) -> Result<u64> {
        let sign = |statement: &Statement| {
            Envelope::sign(statement, self.builder).map_err(|source| Error::Key { name: "builder", source })
        };
        let about = RecordStatement {
            product: record.product.clone(),
            release: record.release.clone(),
            attestable: record.is_attestable(),
            finished: record.finished,
        };
        let mut envelopes =
            vec![sign(&Statement::new(vec![ResourceDescriptor::named("record", digest)], &about))?];
        if record.is_attestable() && !record.outputs.is_empty() {
            let sbom = self.world.put(&evidence::wire::cyclonedx::observed(record, digest))?;
            let subjects = record
                .outputs
                .iter()
                .map(|output| ResourceDescriptor::named(output.path.to_string(), &output.digest))
                .collect();
            envelopes.push(sign(&Statement::new(subjects, &self.provenance(record, digest, &sbom)))?);
        }
        let inclusions = self.world.append(&envelopes, self.log_key)?;
        let index = inclusions.first().map_or(0, |inclusion| inclusion.index);
        let rows = crate::records::records(self.world)?;
        rows.iter()
            .find(|row| row.log_index == index)
            .map(|row| row.number)
            .ok_or(Error::Document { kind: "record", digest: *digest })
    }

    fn provenance(&self, record: &Record, digest: &Digest, sbom: &Digest) -> Provenance {
        let mut byproducts = vec![
            ResourceDescriptor::named("record", digest)
                .with_media_type("application/vnd.countersign.record+json"),
            ResourceDescriptor::named("sbom", sbom).with_media_type("application/vnd.cyclonedx+json"),
        ];
        byproducts.extend(record.segments.iter().enumerate().map(|(number, segment)| {
            ResourceDescriptor::named(format!("trace/{number}"), &segment.digest)
                .with_media_type("application/vnd.apache.parquet")
        }));
        Provenance {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE.into(),
                external_parameters: ExternalParameters {
                    command: record.command.clone(),
                    workdir: record.workdir.clone(),
                    product: record.product.clone(),
                    release: record.release.clone(),
                },
                internal_parameters: InternalParameters {
                    tracer: record.machine.tracer.clone(),
                    kernel: record.machine.kernel.clone(),
                    architecture: record.machine.architecture.clone(),
                    network: record.machine.network.clone(),
                },
                resolved_dependencies: inputs(record, digest),
            },
            run_details: RunDetails {
                builder: Builder {
                    id: format!(
                        "urn:countersign:builder:{}#{}",
                        self.builder.public_key().short(),
                        record.machine.tracer
                    ),
                    version: BTreeMap::from([("countersign".to_owned(), record.machine.recorder.clone())]),
                },
                metadata: BuildMetadata {
                    invocation_id: digest.to_string(),
                    started_on: record.started,
                    finished_on: record.finished,
                    completeness: record.completeness.clone(),
                },
                byproducts,
            },
        }
    }

    /// Inspects the declared outputs. A file that has other bytes by now than when the build had ended is a gap.
    fn outputs(
        &self,
        files: &[File],
        gaps: &mut BTreeMap<String, u64>,
    ) -> Result<(Vec<Artifact>, Vec<String>)> {
        let mut outputs = Vec::new();
        let mut matched = BTreeSet::new();
        for file in files.iter().filter(|file| file.role == Role::Output) {
            let Some(left) = file.left else { continue };
            matched.extend(matching(self.patterns, &self.start.workdir, &file.path));
            let path = Path::new(std::ffi::OsStr::from_bytes(file.path.as_bytes()));
            let name = relative(&self.start.workdir, &file.path);
            let tree = match inspect_file(&name, path) {
                Ok(tree) if tree.root.digest == Some(left) => tree,
                Ok(_) => {
                    *gaps.entry("output-changed-after-build".into()).or_default() += 1;
                    continue;
                }
                Err(_) => {
                    *gaps.entry("output-unreadable".into()).or_default() += 1;
                    continue;
                }
            };
            let size = tree.root.size;
            let tree = self.world.put_document(&tree)?;
            outputs.push(Artifact { path: name, digest: left, size, tree });
        }
        let unmatched = self
            .patterns
            .iter()
            .enumerate()
            .filter(|(position, _)| !matched.contains(position))
            .map(|(_, pattern)| pattern.as_str().to_owned())
            .collect();
        Ok((outputs, unmatched))
    }

    fn packages(&mut self, files: &mut [File]) -> Vec<evidence::Component> {
        // What the build wrote itself and then read or ran belongs to a package, too, if it installed one.
        let used = |file: &&File| file.is_input() || !file.read.is_empty();
        let paths: Vec<&BytePath> = files.iter().filter(used).map(|file| &file.path).collect();
        let owned = self.packages.owners(&paths);
        for file in files.iter_mut() {
            file.package = owned.by_path.get(&file.path).cloned();
        }
        owned.components
    }
}

/// When the last process was seen to end.
fn last_moment(record: &Record) -> u64 {
    record.processes.iter().filter_map(|process| process.finished_ns).max().unwrap_or(0)
}

/// Lists the inputs: sources first, then dependencies, then the toolchain.
fn inputs(record: &Record, record_digest: &Digest) -> Vec<ResourceDescriptor> {
    let mut inputs: Vec<(&File, &Digest)> = record
        .files
        .iter()
        .filter(|file| file.is_input())
        .flat_map(|file| file.read.iter().map(move |digest| (file, digest)))
        .collect();
    let rank = |role: Role| match role {
        Role::Source => 0,
        Role::Dependency => 1,
        Role::Toolchain | Role::Generated | Role::Output => 2,
    };
    inputs.sort_by_key(|(file, _)| rank(file.role));
    // The source as a whole first, as SLSA has it (Provenance v1, `resolvedDependencies`).
    let checkout = record.checkout.as_ref().map(|checkout| ResourceDescriptor {
        uri: Some(format!("git+file://{}@{}", checkout.root, checkout.commit)),
        digest: BTreeMap::from([("gitCommit".to_owned(), checkout.commit.clone())]),
        annotations: BTreeMap::from([
            ("files-changed".to_owned(), checkout.changed.to_string()),
            ("files-not-compared".to_owned(), checkout.converted.to_string()),
        ]),
        ..ResourceDescriptor::default()
    });
    let files = inputs.iter().take(LISTED_INPUTS_MAX).map(|(file, digest)| {
        let mut annotations = BTreeMap::from([("role".to_owned(), file.role.word().to_owned())]);
        annotations.extend(file.package.clone().map(|purl| ("package".to_owned(), purl)));
        ResourceDescriptor {
            uri: Some(format!("file://{}", file.path)),
            annotations,
            ..ResourceDescriptor::named(relative(&record.workdir, &file.path).to_string(), digest)
        }
    });
    let mut listed: Vec<ResourceDescriptor> = checkout.into_iter().chain(files).collect();
    if inputs.len() > LISTED_INPUTS_MAX {
        let rest = (inputs.len() - LISTED_INPUTS_MAX).to_string();
        let mut summary = ResourceDescriptor::named("inputs not listed here", record_digest);
        summary.annotations = BTreeMap::from([("not-listed".to_owned(), rest)]);
        listed.push(summary);
    }
    listed
}

fn relative(workdir: &BytePath, path: &BytePath) -> BytePath {
    if !path.is_below(workdir.as_bytes()) || path == workdir {
        return path.clone();
    }
    let rest = &path.as_bytes()[workdir.as_bytes().len()..];
    BytePath::from(rest.strip_prefix(b"/").unwrap_or(rest))
}
