//! What can be typed.

pub(crate) mod advisories;
pub(crate) mod inventory;
pub(crate) mod posture;
pub(crate) mod sbom;
pub(crate) mod trust;
pub(crate) mod watch;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Watches a build, proves what it was made of, and only then lets it be signed.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 yes · 1 no (denied, differs, found) · 2 wrong usage or configuration · \
3 could not decide (treat as no). `run` passes on the build's own code; 125 if the recorder itself failed.";

impl Cli {
    pub(crate) fn is_run(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }
}

#[derive(Args)]
pub(crate) struct Common {
    /// The evidence store [default: `.countersign` here or in the nearest parent folder]
    #[arg(long, global = true, value_name = "DIR", env = "COUNTERSIGN_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// File with the passphrase of the keys [default: COUNTERSIGN_PASSPHRASE, or asked for]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Say less
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create an evidence store: log, keys, policy and trust file
    Init {
        /// The log's name, as in `log.example.com`
        #[arg(long, value_name = "NAME")]
        origin: Option<String>,
        /// A release key that is there already, with whom it is: `pkcs11:…`, `hashivault://…`, `awskms://…`, `gcpkms://…`, `azurekms://…`, `NAME://…` for `sigstore-kms-NAME`
        #[arg(long, value_name = "URI")]
        release_key: Option<String>,
    },
    /// Record a build: processes, files, network, inputs and outputs with digests
    Run(RunArgs),
    /// List the records
    Records,
    /// Show a record
    Show(ShowArgs),
    /// Open files and folders: members, formats, signatures
    Inspect {
        /// Files or folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Certificates (PEM or DER) to one of which signatures of Windows files, Java archives and Android packages must lead; may be
        /// repeated
        #[arg(long, value_name = "FILE")]
        root: Vec<PathBuf>,
        /// Certificates (PEM or DER) to one of which the timestamps of signatures must lead; may be repeated
        #[arg(long, value_name = "FILE")]
        timestamp_root: Vec<PathBuf>,
        /// A Windows catalog (`.cat`), which is asked for images without a signature of their own; may be repeated
        #[arg(long, value_name = "FILE")]
        catalog: Vec<PathBuf>,
        /// A public key of OpenPGP or minisign, to verify signatures beside files (`.asc`, `.sig`, `.gpg`, `.minisig`); may be repeated
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// YARA rules: a file, or a folder of `.yar` and `.yara` files; they are put to the artifact and to every member
        #[arg(long, value_name = "PATH")]
        rules: Option<PathBuf>,
    },
    /// Write a bill of materials: of a record, a folder, a file, an archive or an image; check, merge, convert documents
    Sbom(Box<sbom::SbomArgs>),
    /// What software is on machines, who has what, and what builds use of it
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// Is a machine in the state that its purpose asks for, and are the zones of the network apart
    #[command(subcommand)]
    Posture(posture::PostureCommand),
    /// Compare two records, files or folders: what changed, what explains it, what nothing explains
    Compare(CompareArguments),
    /// Judge one artifact against the policy; sign nothing
    Gate {
        /// The file
        artifact: PathBuf,
    },
    /// Gate, log the intent, sign, log the outcome; write `ARTIFACT.sigstore.json`
    Sign {
        /// The file
        artifact: PathBuf,
        /// Run a vendor's signer behind the gate: a shell command in which `{in}` is the file and `{out}` what it writes
        #[arg(long, value_name = "COMMAND")]
        with: Option<String>,
        /// The signer writes a signature beside the file: what its name ends in, such as `.asc`
        #[arg(long, value_name = "SUFFIX", requires = "with")]
        detached: Option<String>,
        /// Submit the signature also to a log that is served elsewhere (`serve --log`, or Rekor v2)
        #[arg(long, value_name = "URL", requires = "log_key")]
        log: Option<String>,
        /// The verifier key of that log, or a file with it
        #[arg(long, value_name = "KEY", requires = "log")]
        log_key: Option<String>,
        /// Who asks for the release, with a key of their own: `--passphrase-file` is then the person's
        #[arg(long = "as", value_name = "NAME")]
        person: Option<String>,
        /// With `--as`: file with the passphrase of the store's keys [default: COUNTERSIGN_PASSPHRASE, or asked for]
        #[arg(long, value_name = "FILE", requires = "person")]
        store_passphrase_file: Option<PathBuf>,
    },
    /// Do independent builders, each with its own key, come to the same bytes? The answer is logged, and the gate heeds it
    Quorum(trust::QuorumArgs),
    /// Repeat a recorded build from its recorded sources under other conditions, and compare
    Rebuild(trust::RebuildArgs),
    /// Look for signatures by our keys that no permitted intent explains, and for other histories of the log
    Monitor(trust::MonitorArgs),
    /// Check files and folders offline: signature, provenance, log inclusion, witnesses, revocation; also anybody's
    /// Sigstore bundles
    Verify(trust::VerifyArgs),
    /// Take responsibility for a finding, signed and logged
    Approve(ApproveArgs),
    /// The people who may approve findings, each with a key of their own
    #[command(subcommand)]
    Approver(ApproverCommand),
    /// Take an artifact back: logged, and named in the trust file
    Revoke {
        /// The file, or its digest
        artifact: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// The transparency log
    #[command(subcommand)]
    Log(trust::LogCommand),
    /// Serve a transparency log of its own (Rekor v2's write API, tlog-tiles reads, timestamps), or this store's evidence
    Serve(trust::ServeArgs),
    /// The file by which customers verify
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Detect: rules over the stored trace of a record; who and what changes this build machine
    Watch(Box<watch::WatchArgs>),
    /// What the world says about packages, and what of it touches us
    #[command(subcommand)]
    Advisories(advisories::AdvisoriesCommand),
    /// Re-hash the vault, check the log, rebuild the index
    Fsck,
    /// Replay known attacks in a sandbox, with harmless markers
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Explain a command or a finding code
    Help {
        /// A command, or a finding code such as `prebuilt-changed`
        topic: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The product
    #[arg(long, default_value = "")]
    pub(crate) product: String,
    /// The release
    #[arg(long, default_value = "")]
    pub(crate) release: String,
    /// Pattern of the files that are the result, relative to this folder (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) output: Vec<String>,
    /// How to look at the build: `auto` takes `seccomp`, or `ptrace` where that is not possible; `snapshot` sees no
    /// inputs, for places where nothing can be traced
    #[arg(long, value_enum, default_value_t = TracerName::Auto)]
    pub(crate) tracer: TracerName,
    /// Whatever no good build of this product did before is a finding: programs, destinations, places written to
    #[arg(long)]
    pub(crate) baseline: bool,
    /// What the build may reach: everything (`audit`, the default), nothing (`deny`), or the hosts in a list
    #[arg(long, default_value = "audit", value_name = "audit|deny|allow FILE")]
    pub(crate) egress: EgressName,
    /// Whether this run fetches what the build needs, or builds with everything fetched
    #[arg(long, value_enum)]
    pub(crate) phase: Option<Phase>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// What a build may reach, as typed; `allow` and its file have been put together by [`joined`].
#[derive(Clone, Debug)]
pub(crate) enum EgressName {
    Audit,
    Deny,
    Allow(PathBuf),
}

const ALLOW: &str = "allow:";

impl std::str::FromStr for EgressName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "audit" => Ok(Self::Audit),
            "deny" => Ok(Self::Deny),
            _ => match text.strip_prefix(ALLOW).filter(|file| !file.is_empty()) {
                Some(file) => Ok(Self::Allow(file.into())),
                None => Err("`audit`, `deny`, or `allow` and the file with the list".into()),
            },
        }
    }
}

/// Puts `--egress allow FILE` together, so that what follows is the command.
pub(crate) fn joined(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        let after_egress = joined.last().is_some_and(|before| before == "--egress");
        let done = argument == "--";
        match arguments.peek() {
            Some(file) if after_egress && argument == "allow" && file != "--" => {
                let mut word = OsString::from(ALLOW);
                word.push(file);
                arguments.next();
                joined.push(word);
            }
            _ => joined.push(argument),
        }
        if done {
            break;
        }
    }
    joined.extend(arguments);
    joined
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    /// Fetch what the build needs
    Fetch,
    /// Build: no connection is expected, and `fetch-only` entries of a list do not count
    Build,
}

#[derive(Args)]
pub(crate) struct ApproveArgs {
    /// The finding's id, as `gate` prints it
    pub(crate) finding: String,
    /// Why it may pass
    #[arg(long)]
    pub(crate) reason: String,
    /// Until when: a date, a moment, or a span like `30d`
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: String,
    /// Who approves, with a key of their own: `--passphrase-file` is then the person's [default: the release key]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// A file that shows what was looked at; kept in the store (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Vec<PathBuf>,
    /// The artifact where it stands [default: the outputs of the latest record]
    #[arg(long, value_name = "FILE")]
    pub(crate) artifact: Vec<PathBuf>,
    /// What `advisories match` was asked about: a bill, a lock file, a record; the finding is one of its (repeatable)
    #[arg(long, value_name = "TARGET", conflicts_with = "artifact")]
    pub(crate) advisories: Vec<String>,
    /// With `--as`: file with the passphrase of the store's keys [default: COUNTERSIGN_PASSPHRASE, or asked for]
    #[arg(long, value_name = "FILE", requires = "person")]
    pub(crate) store_passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum ApproverCommand {
    /// Make a person's key and let it approve; `--passphrase-file` is the person's own
    Add {
        /// What the person is called
        name: String,
        /// File with the passphrase of the store's keys [default: COUNTERSIGN_PASSPHRASE, or asked for]
        #[arg(long, value_name = "FILE")]
        store_passphrase_file: Option<PathBuf>,
    },
    /// List everybody
    List,
    /// From now on the person's approvals do not count; earlier ones do
    Remove {
        /// What the person is called
        name: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TracerName {
    /// Everything, by the best means that this machine allows
    Auto,
    /// Everything, by seccomp user notification
    Seccomp,
    /// Everything, by stopping the processes (slower)
    Ptrace,
    /// Only what lay in the project before and after
    Snapshot,
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// `latest`, `r7`, or the beginning of its digest
    pub(crate) record: String,
    /// The programs that ran, as a tree
    #[arg(long, group = "view")]
    pub(crate) processes: bool,
    /// The files that were read and not made by the build
    #[arg(long, group = "view")]
    pub(crate) inputs: bool,
    /// The declared outputs
    #[arg(long, group = "view")]
    pub(crate) outputs: bool,
    /// Addresses that were connected to or bound
    #[arg(long, group = "view")]
    pub(crate) network: bool,
    /// The packages that inputs belong to
    #[arg(long, group = "view")]
    pub(crate) components: bool,
    /// The raw trace, event by event
    #[arg(long, group = "view")]
    pub(crate) timeline: bool,
    /// How a file came to be: every process, source and tool on the way
    #[arg(long, group = "view", value_name = "FILE")]
    pub(crate) why: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum YesNo {
    No,
    Yes,
}

#[derive(Subcommand)]
pub(crate) enum DrillCommand {
    /// List the drills and their controls
    List,
    /// Run a drill, or all
    Run {
        /// Its name, or `all`
        name: String,
        /// Switch one control off: then the drill must miss
        #[arg(long, value_name = "CONTROL")]
        without: Option<String>,
    },
}

/// What `compare` takes.
#[derive(Args)]
pub(crate) struct CompareArguments {
    /// A record, file or folder
    pub(crate) old: String,
    /// A record, file or folder
    pub(crate) new: String,
    /// For files and folders: whether their source changed
    #[arg(long, value_enum, value_name = "WHETHER")]
    pub(crate) source_changed: Option<YesNo>,
    /// Show all findings and differences
    #[arg(long)]
    pub(crate) full: bool,
    /// Also write a page to look through, complete in one file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Also write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,
    /// For files and folders: YARA rules (a file or folder); one that matches on the new side only is a finding
    #[arg(long, value_name = "PATH")]
    pub(crate) rules: Option<PathBuf>,
}
