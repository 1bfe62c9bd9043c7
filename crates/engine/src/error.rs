//! Why we could not do our work. What a build or a file is like is never an error: that is a finding or a problem.

use std::io::ErrorKind;
use std::path::PathBuf;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// What was attempted and failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No store where one was named or looked for.
    #[error("there is no evidence store at `{0}`")]
    NoStore(PathBuf),
    /// A store where none should be.
    #[error("there is an evidence store at `{0}` already")]
    StoreExists(PathBuf),
    /// A source is not as it was recorded.
    #[error("`{path}` is not as it was recorded: it has {found} now")]
    SourceChanged {
        /// The file.
        path: PathBuf,
        /// What it has now.
        found: evidence::Digest,
    },
    /// A record without sources.
    #[error("the record names no sources that could be built again")]
    NoSources,
    /// The clock was to be varied, and nothing here can do that.
    #[error("the clock cannot be put ahead: `faketime` is not here, or does not run")]
    NoOtherClock,
    /// A build that makes nothing when it is repeated without the recorder.
    #[error(
        "built again with nothing varied and without the recorder, it makes none of its outputs; it says: {0}"
    )]
    NotRepeated(String),
    /// A vendor's signer could not be run.
    #[error("cannot run the signer by `{program}`")]
    Signer {
        /// What was run.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A witness has seen another history of the log.
    #[error("the log has forked: {0}")]
    Forked(String),
    /// Too few witnesses have cosigned.
    #[error("the log is not cosigned by enough witnesses: {0}")]
    Unwitnessed(String),
    /// A served log that has ended.
    #[error("the log takes no more entries: its sequencer has ended")]
    LogClosed,
    /// A witness policy for other logs.
    #[error("the witness policy names other logs than this store's, whose key is `{0}`")]
    ForeignPolicy(String),
    /// No key of that name.
    #[error("no release or builder key of this store is called `{0}`")]
    NoSuchKey(String),
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Rules that cannot be used.
    #[error(transparent)]
    Rules(#[from] yara::Error),
    /// A file is no bill of materials.
    #[error("`{path}` is no bill of materials: {detail}")]
    NoBill {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A file could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Vault, heads or index failed.
    #[error("cannot use the evidence store")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log failed.
    #[error("cannot use the transparency log")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A key could not be opened or used.
    #[error("cannot use the {name} key")]
    Key {
        /// Which key.
        name: &'static str,
        /// Why.
        #[source]
        source: attest::KeyError,
    },
    /// Certificates or timestamps could not be made.
    #[error("cannot make a certificate or timestamp")]
    Authority(#[source] attest::x509::CertificateError),
    /// Another log that did not take the release.
    #[error("the release is not in the log at `{0}`: {1}")]
    OtherLog(String, String),
    /// Another builder's job that does not prove itself.
    #[error("the job `{0}` is not taken: {1}")]
    Job(String, String),
    /// A source that another builder does not have any more.
    #[error("the other builder does not have `{0}` any more, as it was recorded")]
    SourceMissing(PathBuf),
    /// A key that has another purpose already.
    #[error("the key `{0}` has a purpose already; a key has one")]
    KeyTaken(String),
    /// Somebody does what is not theirs to do.
    #[error("{0}")]
    Role(String),
    /// A name to look for in public logs that is none.
    #[error("`{0}` is no name to look for: at least three letters, and `*` at one end only")]
    Identity(String),
    /// A file in which a certificate or key of ours was to be.
    #[error("`{0}` has no certificate and no public key that can be read")]
    NoCertificate(PathBuf),
    /// A key URI that is not understood.
    #[error("the key URI `{0}` cannot be used: {1}")]
    KeyUri(String, String),
    /// What certificates should say cannot be said.
    #[error("`{0}` cannot stand in a certificate: {1}")]
    Claim(String, &'static str),
    /// A key that the trust file does not know, or no longer.
    #[error("the {name} key `{key}` does not count: {reason}")]
    KeyOut {
        /// What it is for.
        name: &'static str,
        /// Its short name.
        key: String,
        /// Why it does not count.
        reason: String,
    },
    /// The passphrase is needed and was not given.
    #[error("the passphrase of the keys is needed")]
    NoPassphrase,
    /// The passphrase could not be had.
    #[error("{0}")]
    Passphrase(String),
    /// The passphrase is too short to protect a key.
    #[error("the passphrase has fewer than {0} characters")]
    WeakPassphrase(usize),
    /// The policy cannot be used.
    #[error("cannot use the policy `{path}`")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: judge::policy::PolicyError,
    },
    /// Rules of a posture cannot be used.
    #[error("cannot use the rules{}", path.as_ref().map(|path| format!(" in `{}`", path.display())).unwrap_or_default())]
    PosturePolicy {
        /// The file; absent for the rules that come with the program.
        path: Option<PathBuf>,
        /// Why.
        #[source]
        source: judge::posture::PosturePolicyError,
    },
    /// A list of discontinued software cannot be used.
    #[error("cannot use the list of discontinued software `{path}`")]
    EndOfLife {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: toml::de::Error,
    },
    /// What another program has found on a machine cannot be used.
    #[error("cannot read `{path}` as an inventory: {detail}")]
    ForeignInventory {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Nobody has looked at a machine yet.
    #[error("there is no look at {}", .0.as_ref().map_or("any machine".to_owned(), |host| format!("`{host}`")))]
    NoLook(Option<String>),
    /// The zone file cannot be used.
    #[error("cannot use the zone file `{path}`")]
    Zones {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: judge::segments::ZonesError,
    },
    /// The zone of this machine is not known.
    #[error("the zone file does not tell in which zone this machine is")]
    NoZone,
    /// The trust file cannot be used.
    #[error("cannot use the trust file `{path}`")]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: attest::trust::TrustError,
    },
    /// The recorder failed.
    #[error("cannot record the build")]
    Trace(#[source] host::TraceError),
    /// Nothing to learn a baseline from.
    #[error("there is no complete record of the product `{0}` to learn from")]
    NoBaseline(String),
    /// Holding a build back needs a recorder that traces it.
    #[error("a build that is not traced cannot be held back from the network")]
    EgressUntraced,
    /// A detection rule cannot be used.
    #[error("cannot use the detection rules")]
    Rule(#[source] judge::detect::RuleError),
    /// No such record.
    #[error("there is no record `{0}`")]
    NoRecord(String),
    /// No such file in a record.
    #[error("the record r{record} has no file `{file}`")]
    NoFile {
        /// The file as it was asked for.
        file: String,
        /// The record's number.
        record: u64,
    },
    /// A stored document does not have its form.
    #[error("the stored {kind} {digest} is malformed")]
    Document {
        /// What it should be.
        kind: &'static str,
        /// Its digest.
        digest: evidence::Digest,
    },
    /// Not a usable output pattern.
    #[error("`{pattern}` is not a file pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: glob::PatternError,
    },
    /// No open finding has this id.
    #[error("no finding `{0}` stands in the way of the latest records")]
    NoFinding(String),
    /// The finding cannot be approved.
    #[error("`{code}` cannot be approved")]
    NotApprovable {
        /// Its code.
        code: String,
    },
    /// Nobody of this name may approve.
    #[error("there is no approver `{0}` whose approvals count")]
    NoApprover(String),
    /// A name that an approver cannot have.
    #[error("an approver cannot be called `{name}`: {reason}")]
    ApproverName {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A person's passphrase that is also the store's.
    #[error("the passphrase of a person is that of the store's keys")]
    SharedPassphrase,
    /// The passphrase of a person's own key is needed and was not given.
    #[error("the passphrase of the key of `{0}` is needed")]
    NoOwnPassphrase(String),
    /// A file that cannot stand as evidence.
    #[error("`{path}` cannot be evidence: {reason}")]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An approval that would hold in the past or for too long.
    #[error("an approval until {expires} is not possible: {reason}")]
    ApprovalTime {
        /// When it should expire.
        expires: evidence::Timestamp,
        /// Why not.
        reason: String,
    },
    /// The two sides cannot be compared with each other.
    #[error("cannot compare {0}")]
    NotComparable(String),
    /// Somebody else watches already.
    #[error("another watch reports into the evidence store at `{0}`")]
    Watched(PathBuf),
    /// The machine cannot be watched.
    #[error("cannot watch this machine")]
    Watch(#[source] std::io::Error),
    /// Alerts cannot be sent there.
    #[error("cannot send alerts")]
    Outbound(#[source] host::outbound::OutboundError),
    /// A secret that can be guessed.
    #[error("the webhook's secret in `{path}` has fewer than {min} bytes")]
    WebhookSecret {
        /// The file.
        path: PathBuf,
        /// How many it needs.
        min: usize,
    },
    /// No advisories were imported.
    #[error("there are no advisories yet")]
    NoAdvisories,
    /// An issuer of the policy has no key that can be read.
    #[error("the key of the issuer `{0}` in the policy is no P-256 public key")]
    Issuer(String),
    /// The advisory index cannot be read or written.
    #[error("cannot use the advisory index")]
    Advisories(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not something that can be matched.
    #[error("{0}")]
    NoTarget(String),
    /// The file changed while it was being looked at.
    #[error("`{0}` changed while it was being read")]
    Unstable(PathBuf),
}

impl Error {
    /// Says what to type next, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoStore(_) => "make one with `countersign init`, or name one with `--store DIR`".into(),
            Self::Rules(yara::Error::Nothing(_) | yara::Error::Read { .. }) => {
                "`--rules` takes a file of YARA rules, or a folder of `.yar` and `.yara` files".into()
            }
            Self::Rules(_) => "mend the rule, or leave its file out".into(),
            Self::StoreExists(_) => "use it, or name another folder with `--store DIR`".into(),
            Self::NoPassphrase | Self::Passphrase(_) => {
                "give `--passphrase-file FILE` or set COUNTERSIGN_PASSPHRASE; on a terminal you are asked"
                    .into()
            }
            Self::WeakPassphrase(_) => {
                "choose a longer one; it protects the key that releases your software".into()
            }
            Self::Key { name: "approver", source: attest::KeyError::Passphrase } => {
                "`--passphrase-file` is the person's own; the store's is COUNTERSIGN_PASSPHRASE or `--store-passphrase-file`"
                    .into()
            }
            Self::Key { source: attest::KeyError::Passphrase, .. } => {
                "check the passphrase file, or unset COUNTERSIGN_PASSPHRASE to be asked".into()
            }
            Self::Key { source: attest::KeyError::Count(source), .. } if caused_by(source.as_ref(), FULL) => {
                "the disk is full: nothing was lost; make room and run the command again".into()
            }
            Self::Key { source: attest::KeyError::Count(source), .. } if caused_by(source.as_ref(), CLOSED) => {
                "check who owns the store; it must be writable for this command".into()
            }
            Self::Policy { path, .. } => {
                format!(
                    "mend `{}`; `docs/manual/policy.md` lists all keys, `countersign help CODE` the finding codes",
                    path.display()
                )
            }
            Self::PosturePolicy { .. } => "`countersign posture rules` prints rules to learn from".into(),
            Self::Zones { .. } => "`docs/manual/posture.md` shows one".into(),
            Self::NoLook(_) => "`countersign inventory collect` looks at this machine".into(),
            Self::ForeignInventory { .. } => {
                "`docs/manual/inventory.md` says which forms are read".into()
            }
            Self::EndOfLife { .. } => "`docs/manual/inventory.md` shows one".into(),
            Self::NoZone => "name it with `--zone NAME`".into(),
            Self::Rule(_) => "`rules/README.md` describes the format; mend the file or take it away".into(),
            Self::Trust { .. } => "ask the vendor for the current trust file".into(),
            Self::NoRecord(_) => "`countersign records` lists them".into(),
            Self::NoFile { record, .. } => {
                format!(
                    "`countersign show r{record} --outputs` lists the outputs; any file of the record will do"
                )
            }
            Self::NoFinding(_) => "`countersign gate ARTIFACT` lists the findings with their ids".into(),
            Self::NotApprovable { code } => format!("`countersign help {code}` says what to do instead"),
            Self::NoApprover(_) => {
                "`countersign approver list` names them; `countersign approver add NAME` adds one".into()
            }
            Self::SharedPassphrase => {
                "give a passphrase that only this person knows: with the store's anybody is two people".into()
            }
            Self::NoOwnPassphrase(_) => {
                "give the person's own with `--passphrase-file FILE`; on a terminal it is asked for".into()
            }
            Self::Evidence { .. } => {
                "name a file that shows what was looked at: a report, a listing, a screenshot".into()
            }
            Self::Store(source) | Self::Log(source) if caused_by(source.as_ref(), FULL) => {
                "the disk is full: nothing was lost; make room and run the command again".into()
            }
            Self::Store(source) | Self::Log(source) if caused_by(source.as_ref(), CLOSED) => {
                "check who owns the store; it must be writable for this command".into()
            }
            Self::Store(_) | Self::Log(_) => "run `countersign fsck`; it says what is damaged".into(),
            Self::Document { .. } => "run `countersign fsck`".into(),
            Self::Pattern { .. } => "quote the pattern, as in `--output 'dist/*'`".into(),
            Self::Write { source, .. } if FULL.contains(&source.kind()) => {
                "the disk is full: nothing was lost; make room and run the command again".into()
            }
            Self::Write { source, .. } if CLOSED.contains(&source.kind()) => {
                "check who owns the folder; the store must be writable for this command".into()
            }
            Self::Issuer(_) => {
                "write the PEM of the public key, or its base64, as `key` under `[advisories.issuers]`".into()
            }
            Self::NoAdvisories => {
                "get some: `countersign advisories import PATH…` or `countersign advisories update --from MIRROR`".into()
            }
            Self::Advisories(source) => match source.downcast_ref() {
                Some(feeds::snapshot::Error::Shrinks { .. }) => {
                    "look at the source; if it is right, say so with `--allow-shrink`. The advisories of before stay in use".into()
                }
                None if matches!(source.downcast_ref(), Some(feeds::mirror::Error::Shrinks { .. })) => {
                    "look at the mirror; if it is right, say so with `--allow-shrink`. The advisories of before stay in use".into()
                }
                None if source.is::<feeds::mirror::Error>() => {
                    "name a folder or an `http` address of this machine that is laid out like osv.dev".into()
                }
                Some(feeds::snapshot::Error::Nothing) => "name OSV, KEV, EPSS, SSVC, CSAF or VEX documents".into(),
                _ => "`countersign advisories status` says what is damaged; import again with `--replace`".into(),
            },
            Self::NoTarget(_) => {
                "name a package URL, a bill of materials, a lock file, a folder, or a record".into()
            }
            Self::Watched(_) => "end the other one first; two would report everything twice".into(),
            Self::Unstable(_) => "wait until nothing writes the file".into(),
            Self::ForeignPolicy(_) => "a policy without `log` lines is for the store's log".into(),
            Self::Forked(_) => "sign nothing; `countersign help log-forked` says what to find out".into(),
            Self::Unwitnessed(_) => {
                "run the command again when they can be reached; nothing is released without them".into()
            }
            Self::SourceChanged { .. } => "name a folder that has the recorded sources: `--from FOLDER`".into(),
            Self::NoSources => "record it with a tracer that sees inputs, not `snapshot`".into(),
            Self::NoOtherClock => "install faketime, or leave out `--vary-clock`".into(),
            Self::NotRepeated(_) => "see what it says: repeat it with `--same-conditions`".into(),
            Self::Authority(attest::x509::CertificateError::Clock { .. }) => {
                "set the clock; if it is right, make a new authority with `countersign trust authority`".into()
            }
            Self::KeyOut { name, .. } => format!("make a new one with `countersign trust new-key {name}`"),
            Self::OtherLog(..) => "the release stands in the store's own log; `sign` again submits it again".into(),
            Self::LogClosed => "start it again: it completes what it had acknowledged".into(),
            Self::NoSuchKey(_) => "`countersign log show` prints the names of keys".into(),
            Self::NoBaseline(_) => {
                "record a good build without `--baseline` first; `--product` names the product".into()
            }
            Self::EgressUntraced => "leave out `--tracer snapshot`, or `--egress`".into(),
            Self::NoBill { .. } => "CycloneDX JSON, SPDX JSON (2 and 3) and syft's JSON are read".into(),
            Self::WebhookSecret { .. } => "make one with `openssl rand -hex 32`".into(),
            Self::Trace(_)
            | Self::Watch(_)
            | Self::Signer { .. }
            | Self::Authority(_)
            | Self::Claim(..)
            | Self::KeyUri(..)
            | Self::KeyTaken(_)
            | Self::Job(..)
            | Self::SourceMissing(_)
            | Self::Role(_)
            | Self::Identity(_)
            | Self::NoCertificate(_)
            | Self::Outbound(_)
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Key { .. }
            | Self::ApprovalTime { .. }
            | Self::ApproverName { .. }
            | Self::NotComparable(_) => {
                return None;
            }
        })
    }

    /// Tells whether the cause is wrong usage or configuration (exit 2) rather than inability to decide (exit 3).
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Store(_)
                | Self::Log(_)
                | Self::LogClosed
                | Self::OtherLog(..)
                | Self::Forked(_)
                | Self::Unwitnessed(_)
                | Self::Document { .. }
                | Self::Unstable(_)
                | Self::Advisories(_)
                | Self::Write { .. }
                | Self::Trace(_)
                | Self::Watch(_)
                | Self::Key { source: attest::KeyError::Count(_) | attest::KeyError::Holder(_), .. }
        )
    }
}

const FULL: &[ErrorKind] = &[ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
const CLOSED: &[ErrorKind] = &[ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];

fn caused_by(error: &(dyn std::error::Error + 'static), kinds: &[ErrorKind]) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        let is_full = error.downcast_ref().is_some_and(store::StoreError::is_full);
        let by_system = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if by_system.or(is_full.then_some(ErrorKind::StorageFull)).is_some_and(|kind| kinds.contains(&kind)) {
            return true;
        }
        at = error.source();
    }
    false
}
