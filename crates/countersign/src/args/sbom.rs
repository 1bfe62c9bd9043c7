//! What can be typed after `sbom`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SbomArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SbomCommand>,
    /// A folder, a file, an archive, an image (OCI layout or `docker save`); or a record: `latest`, `r7`, or the beginning of its
    /// digest
    #[arg(value_name = "PATH|RECORD", required = true)]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) written: Written,
    /// Keep what lies in caches, in vendored sources and among tests; it is marked
    #[arg(long)]
    pub(crate) all: bool,
    /// Read every file anew
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// How and where a document is written.
#[derive(Args)]
pub(crate) struct Written {
    /// The form
    #[arg(long, value_enum, default_value_t = SbomFormat::CyclonedxJson)]
    pub(crate) format: SbomFormat,
    /// Write to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write a time into it: now, or the given one (RFC 3339) [default: none; the same input gives the same bytes]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "now", require_equals = true)]
    pub(crate) timestamp: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "the words of the command line")]
pub(crate) enum SbomFormat {
    /// CycloneDX 1.6
    CyclonedxJson,
    /// SPDX 2.3
    SpdxJson,
    /// SPDX 3.0.1 JSON-LD
    Spdx3Json,
}

#[derive(Subcommand)]
pub(crate) enum SbomCommand {
    /// Check a document against the minimum elements of NTIA and BSI TR-03183-2, with a score
    Check {
        /// A document, a record, or a path of which a bill is made
        bill: String,
    },
    /// Compare what is declared, what the build was seen to use and what is shipped: documents, records or paths
    Drift {
        /// Of lock files and manifests
        #[arg(long, value_name = "BILL")]
        declared: Option<String>,
        /// Of a recorded build
        #[arg(long, value_name = "BILL")]
        observed: Option<String>,
        /// Of the artifact
        #[arg(long, value_name = "BILL")]
        shipped: Option<String>,
    },
    /// Put documents together into one
    Merge {
        /// CycloneDX, SPDX or syft JSON
        #[arg(required = true)]
        documents: Vec<PathBuf>,
        /// What the whole is called
        #[arg(long, default_value = "merged")]
        name: String,
        /// Its version
        #[arg(long, default_value = "")]
        release: String,
        #[command(flatten)]
        written: Written,
    },
    /// Write a document in another form, and say what that form cannot hold
    Convert {
        /// CycloneDX, SPDX or syft JSON
        document: PathBuf,
        #[command(flatten)]
        written: Written,
    },
}
