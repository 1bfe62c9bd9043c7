//! What can be typed after `inventory`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum InventoryCommand {
    /// Look at a machine: packages, toolchains, extensions, services, privileged files, trusted roots, keys, settings
    Collect {
        /// The root folder [default: /]
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// What the machine is called [default: its own name]
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Write the whole look to a file, with all sections
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Read every file anew
        #[arg(long)]
        no_cache: bool,
    },
    /// Take in what another program has found on a machine: osquery's results, bumblebee's records, or a bill in CycloneDX
    Import {
        /// The file: osquery's rows by table, its result log, bumblebee's NDJSON, or CycloneDX JSON
        file: PathBuf,
        /// What the machine is called
        #[arg(long, value_name = "NAME")]
        host: String,
    },
    /// Is there anything on a machine that may not be: unexpected, misplaced, no longer mended
    Check {
        /// The machine [default: that of the newest look]
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Discontinued software (TOML), besides the list that comes with the program
        #[arg(long, value_name = "FILE")]
        eol: Option<PathBuf>,
    },
    /// Say that what the newest look at a machine shows may be there, signed and logged
    Accept {
        /// The machine [default: that of the newest look]
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Who has or had something: `name=openssl version<3.0.15 host=build-1 since=2026-01-01`
    Query {
        /// Conditions over name, version, type, host, section, path, since, at
        #[arg(required = true)]
        question: Vec<String>,
    },
    /// What is installed and used by no recorded build
    Unused {
        /// How far back records count: days such as `90d`, or a time
        #[arg(long, value_name = "SPAN", default_value = "90d")]
        since: String,
        /// The root folder
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// Write a recipe (Dockerfile) for an image with what builds use, and nothing else
        #[arg(long, value_name = "FILE")]
        recipe: Option<PathBuf>,
    },
    /// The toolchain that recorded builds used, with digests
    Used {
        /// Records: `latest`, `r7`
        #[arg(required = true)]
        records: Vec<String>,
    },
}
