//! What can be typed after `advisories`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const IMPORT_EXAMPLES: &str = "Examples:
  countersign advisories import npm/all.zip kev.json epss_scores.csv.gz
  countersign advisories import --replace advisories/      everything in a folder, and nothing else";

const UPDATE_EXAMPLES: &str = "Examples:
  countersign advisories update --from /media/stick/osv    only what was modified since
  countersign advisories update --from http://127.0.0.1:8000";

const MATCH_EXAMPLES: &str = "Examples:
  countersign advisories match Cargo.lock package-lock.json
  countersign advisories match app.cdx.json                a bill of materials
  countersign advisories match latest                      what a recorded build really used
  countersign advisories match pkg:npm/lodash@4.17.20";

const FOLLOW_EXAMPLES: &str = "Examples:
  countersign advisories follow app-1.0.cdx.json
  countersign advisories follow bill.spdx.json --product app --release 1.0";

const AFFECTED_EXAMPLES: &str = "Examples:
  countersign advisories affected MAL-2025-1234            which builds, and when
  countersign advisories affected pkg:npm/lodash           whatever advisories say";

const VERSIONS_EXAMPLES: &str = "Examples:
  countersign advisories versions npm 1.2.3-rc.1 1.2.3     prints <
  countersign advisories versions Debian:12 < pairs.tsv    one answer for each tab-separated pair";

#[derive(Subcommand)]
pub(crate) enum AdvisoriesCommand {
    /// Import documents: OSV, KEV, EPSS, SSVC, CSAF, OpenVEX, CycloneDX VEX; bare, in zip, gzip, zstd, or one a line
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// Files and folders
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        how: HowArgs,
    },
    /// Bring the index up to date with a mirror that is laid out like osv.dev
    #[command(after_help = UPDATE_EXAMPLES)]
    Update {
        /// A folder, or an http address of this machine
        #[arg(long, value_name = "DIR|URL")]
        from: String,
        #[command(flatten)]
        how: HowArgs,
    },
    /// What the index is made of, how old it is, and whether its files are whole
    Status {
        #[command(flatten)]
        age: AgeArgs,
    },
    /// What advisories say of packages, the most urgent first
    #[command(after_help = MATCH_EXAMPLES)]
    Match {
        /// Bills of materials, lock files, folders, records, package URLs
        #[arg(required = true, value_name = "SBOM|RECORD|PATH|LOCKFILE|PURL")]
        targets: Vec<String>,
        /// Show everything
        #[arg(long)]
        full: bool,
        /// Folder with lists of popular names (`npm.txt`, `pypi.txt.gz`) instead of those that were imported: a name
        /// within one edit of one is a finding
        #[arg(long, value_name = "DIR")]
        names: Option<PathBuf>,
        /// Advisories older than so many days are a finding [default: what the policy says, 7]
        #[arg(long, value_name = "DAYS")]
        max_age: Option<u32>,
        /// Statements that something is not affected count for so many days [default: what the policy says, 365]
        #[arg(long, value_name = "DAYS")]
        vex_max_age: Option<u32>,
        /// Ask an earlier snapshot: what was known then
        #[arg(long, value_name = "ID")]
        snapshot: Option<String>,
    },
    /// Follow a product by its bill of materials: new advisories are matched with it, too
    #[command(after_help = FOLLOW_EXAMPLES)]
    Follow {
        /// The bill: CycloneDX, SPDX, syft JSON; without one, what is followed is listed
        #[arg(value_name = "SBOM")]
        bill: Option<PathBuf>,
        /// The product [default: what the bill says]
        #[arg(long, requires = "bill")]
        product: Option<String>,
        /// The release [default: what the bill says]
        #[arg(long, requires = "bill")]
        release: Option<String>,
    },
    /// Merge what was imported bit by bit into one segment; imports do so by themselves from time to time
    Compact,
    /// Which builds, products and machines an advisory or a package touches, with dates
    #[command(after_help = AFFECTED_EXAMPLES)]
    Affected {
        /// An advisory, or a package URL with or without version
        #[arg(value_name = "ADVISORY|PURL")]
        what: String,
    },
    /// Order versions by the rules of an ecosystem: prints `<`, `=`, `>`, or `?` for what these rules cannot read
    #[command(after_help = VERSIONS_EXAMPLES)]
    Versions {
        /// An ecosystem of OSV, a package URL's type, or a VERS scheme
        ecosystem: String,
        /// The first version; without it, one tab-separated pair a line is read from stdin
        #[arg(requires = "right", allow_hyphen_values = true)]
        left: Option<String>,
        /// The second version
        #[arg(allow_hyphen_values = true)]
        right: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct HowArgs {
    /// Forget what was imported before
    #[arg(long)]
    pub(crate) replace: bool,
    /// With --replace: an ecosystem may lose a fifth of its records or more
    #[arg(long)]
    pub(crate) allow_shrink: bool,
}

#[derive(Args)]
pub(crate) struct AgeArgs {
    /// Advisories older than so many days are a finding
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    pub(crate) max_age: u32,
}
