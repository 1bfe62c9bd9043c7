//! What can be typed about trust: `verify`, `trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Files and folders; with an expected signatory also a digest `sha256:…`
    #[arg(required = true, value_name = "FILE")]
    pub(crate) paths: Vec<PathBuf>,
    /// The bundle of the one file [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// The vendor's trust file [default: that of the store here]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The manifest of a folder [default: SHA256SUMS in it]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Also print the commands by which other tools check the same
    #[arg(long)]
    pub(crate) explain: bool,
    /// Verify anybody's Sigstore bundle: the identity in the certificate, exactly
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer", conflicts_with_all = ["trust", "key"])]
    pub(crate) certificate_identity: Option<String>,
    /// Who vouches for that identity, exactly
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// Verify anybody's Sigstore bundle: by this public key, PEM
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) key: Option<PathBuf>,
    /// The Sigstore trusted root for anybody's bundles [default: the public instance's]
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) trusted_root: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum TrustCommand {
    /// Write the trust file to hand to customers
    Export {
        /// The file
        file: PathBuf,
        /// Also write `trusted_root.json`, `signing_config.v0.2.json` and `client_trust_config.json` for Sigstore clients into a
        /// folder
        #[arg(long, value_name = "FOLDER")]
        sigstore: Option<PathBuf>,
        /// Where the log is served, for the Sigstore files
        #[arg(long, value_name = "URL", requires = "sigstore")]
        url: Option<String>,
        /// For the Sigstore files: the log at `--url` is another than the store's, with this verifier key, or a file with it
        #[arg(long, value_name = "KEY", requires = "url")]
        log_key: Option<String>,
    },
    /// Change what the trust file demands of every release
    Set {
        /// Until when it may be relied on: a date, a moment, a span like `90d`, or `never`
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// A level that every release must have (repeatable; replaces the list; `none` empties it)
        #[arg(long, value_name = "LEVEL")]
        require_level: Vec<String>,
        /// Which witnesses must have cosigned the log: a C2SP tlog-policy file; `none` for nobody
        #[arg(long, value_name = "FILE")]
        witness_policy: Option<PathBuf>,
    },
    /// Trust the builder keys of another store's trust file: its records count for a quorum
    AddBuilder {
        /// The other store's trust file
        file: PathBuf,
    },
    /// Make a new release or builder key, and let it count from here on
    NewKey {
        /// What it is for
        #[arg(value_enum)]
        role: KeyRoleName,
        /// A key that is there already, with whom it is: `pkcs11:…`, `hashivault://…`, `awskms://…`, `gcpkms://…`, `azurekms://…`, `NAME://…` for `sigstore-kms-NAME`
        #[arg(long, value_name = "URI")]
        key: Option<String>,
    },
    /// Begin the count of a release key's signatures anew, and say so in the log
    Count {
        /// Short name of the release key, as `log show` prints it
        key: String,
        /// What had happened
        #[arg(long)]
        reason: String,
    },
    /// Make an authority for certificates and timestamps, so that `gh` and Sigstore's clients can check our releases
    Authority {
        /// Who signs, as certificates say it: a URI such as `https://vendor.example/releases`
        #[arg(long, value_name = "URI")]
        identity: String,
        /// Who vouches for that name: an `https://` address
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// Where the sources are: `https://HOST/OWNER/NAME`
        #[arg(long, value_name = "URL")]
        source_repository: Option<String>,
        /// Whose authority it is [default: the host of the issuer]
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
    },
    /// From now on a key does not count: entries of the log behind the present end are not believed
    RetireKey {
        /// Short name of a release or builder key, as `log show` prints it
        key: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyRoleName {
    /// Releases, intents, revocations
    Release,
    /// Records and provenance
    Builder,
}

#[derive(Args)]
pub(crate) struct QuorumArgs {
    /// The file
    pub(crate) artifact: PathBuf,
    /// A record of this store, or `STORE@RECORD` of another: a folder, or the URL of `serve --evidence` (repeatable)
    #[arg(long, required = true, value_name = "RECORD")]
    pub(crate) record: Vec<String>,
    /// How many builders have to agree [default: all]
    #[arg(short = 'k', long, value_name = "COUNT")]
    pub(crate) needed: Option<u32>,
}

#[derive(Args)]
pub(crate) struct RebuildArgs {
    /// `latest`, `r7`, or the beginning of its digest
    pub(crate) record: String,
    /// Where the sources are [default: where they were recorded]; or the URL of another builder's `serve --evidence`, whose record it is
    #[arg(long, value_name = "FOLDER|URL")]
    pub(crate) from: Option<PathBuf>,
    /// Change nothing but the folder and the time
    #[arg(long)]
    pub(crate) same_conditions: bool,
    /// Put the clock 400 days ahead too, by `faketime`; programs that wait by the clock, such as cargo, may wait for ever then
    #[arg(long, conflicts_with = "same_conditions")]
    pub(crate) vary_clock: bool,
    /// If an output differs, find out what it follows: build again with one thing varied at a time (up to thirteen more builds)
    #[arg(long)]
    pub(crate) bisect: bool,
}

#[derive(Args)]
pub(crate) struct MonitorArgs {
    /// A folder, mirror or file to sweep for what carries our signature (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(crate) sweep: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Vec<PathBuf>,
    /// Ask the witnesses of the trust file what they have seen
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Exported pages of a public log, Rekor or Certificate Transparency: a file, or a folder of them (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(crate) public_log: Vec<PathBuf>,
    /// In those, look for this name in certificates too: exactly, or `*.example.com`, `@example.com`, `https://…/*` (repeatable)
    #[arg(long, value_name = "NAME", requires = "public_log")]
    pub(crate) identity: Vec<String>,
    /// In those, look for the key in this certificate or public key too; the certificate itself is known (repeatable)
    #[arg(long, value_name = "FILE", requires = "public_log")]
    pub(crate) certificate: Vec<PathBuf>,
    /// Sign what was seen, as an auditor, and log it: `--passphrase-file` is then the person's
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// With `--as`: file with the passphrase of the store's keys [default: COUNTERSIGN_PASSPHRASE, or asked for]
    #[arg(long, value_name = "FILE", requires = "person")]
    pub(crate) store_passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// A log of its own: the folder; made if it is not there
    #[arg(long, value_name = "FOLDER", requires = "origin", required_unless_present = "evidence")]
    pub(crate) log: Option<PathBuf>,
    /// This store's evidence: search in its log, statements with proofs, jobs for other builders; read-only
    #[arg(long, conflicts_with = "log")]
    pub(crate) evidence: bool,
    /// The log's name, as in `log.example.com`
    #[arg(long, value_name = "NAME", requires = "log")]
    pub(crate) origin: Option<String>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8087", value_name = "ADDRESS")]
    pub(crate) listen: String,
    /// Where clients find it, for the files that are written for them [default: where it listens]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Take entries only by the keys of this trust file [default: by everybody]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum LogCommand {
    /// List the entries
    Show {
        /// The first entry
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many
        #[arg(long, default_value_t = 1000)]
        count: u64,
    },
    /// Re-hash the log, look for signatures without an intent, and compare with an older checkpoint
    Check {
        /// A checkpoint that was kept from earlier or elsewhere
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Instead of the store's log: the folder of a log of `serve --log`; what others have signed in it is not judged
        #[arg(long, value_name = "FOLDER")]
        served: Option<PathBuf>,
    },
    /// Show the newest checkpoint to the witnesses of the trust file and keep their cosignatures
    Cosign,
    /// Be a witness (C2SP tlog-witness): cosign the checkpoints of logs as long as each goes on from the last
    Witness {
        /// The folder with key and state; made if it is not there
        folder: PathBuf,
        /// The witness's name, as in `witness.example.com/w1`
        #[arg(long)]
        name: String,
        /// The verifier key of a log, or a file with it (repeatable)
        #[arg(long, required = true, value_name = "KEY")]
        log: Vec<String>,
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
        listen: String,
    },
    /// Write checkpoint, key and tiles as a static log
    Export {
        /// The folder
        folder: PathBuf,
    },
}
