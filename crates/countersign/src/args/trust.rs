//! What can be typed about trust: `verify`, `trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
        /// Also write `trusted_root.json` and `signing_config.v0.2.json` for Sigstore clients into a folder
        #[arg(long, value_name = "FOLDER")]
        sigstore: Option<PathBuf>,
        /// Where the log is served, for the Sigstore files
        #[arg(long, value_name = "URL", requires = "sigstore")]
        url: Option<String>,
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
    /// From now on a key does not count: entries of the log behind the present end are not believed
    RetireKey {
        /// Short name of a release or builder key, as `log show` prints it
        key: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}
