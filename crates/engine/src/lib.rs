//! The use cases: everything a person can do with Countersign is one function here. The command line and the
//! server render what these return, and hold no logic.
//!
//! There is no global state: the world is what a [`World`] is made of. Effects are ordered here and nowhere
//! else; each function that writes says in which order, and what a crash in between leaves behind.

mod advisories;
mod approve;
mod approver;
mod assess;
mod authority;
mod compare;
mod cosign;
mod error;
mod evidence_service;
mod files;
mod fsck;
mod init;
mod inspect_path;
mod inventory;
mod job;
mod keys;
mod ledger;
mod log;
mod log_service;
mod look;
mod monitor;
mod native;
mod outlets;
mod posture;
mod publish;
mod quorum;
mod rebuild;
mod record;
mod records;
mod rules;
mod sbom;
mod sign;
mod timestamping;
mod trusting;
mod verify;
mod watch;
mod witness;
mod world;

pub use advisories::{
    AdvisoryStatus, Affected, AffectedRow, ImportOptions, ImportReport, Matched, Matching, Notice,
    NoticeKind, Retracted, SnapshotView, Suppressed, Taken, advisory_status, affected, compact_advisories,
    follow, followed, import_advisories, match_advisories, update_advisories,
};
pub use approve::{Approve, Approved, Person, approve};
pub use approver::{Approver, ApproverChanged, RELEASE_PERSON, approver_add, approver_remove, approvers};
pub use assess::{Assessment, assess, hash_file as digest_of, latest_outputs};
pub use authority::{NewAuthority, NewAuthorityMade, authority_new};
pub use compare::{Comparand, Compared, compare};
pub use cosign::{Cosigning, Exchange, cosign};
pub use error::{Error, Result};
pub use evidence_service::{EvidenceService, FOUND_MAX, Job, JobSource, Wanted};
pub use fsck::{FsckReport, fsck};
pub use host::inventory::make_way;
pub use init::{Initialised, init};
pub use inspect_path::{Rules, Trusted, inspect, inspect_trusting};
pub use inventory::{
    InventoryChecked, Look, Looked, Query, Seen, Unused, UnusedPackage, Used, inventories, inventory_accept,
    inventory_check, inventory_collect, inventory_import, inventory_query, inventory_store, inventory_unused,
    inventory_used,
};
pub use keys::{CREDENTIAL_VARIABLES, KeyRole, TOKEN_HELPER};
pub use ledger::{LogRow, outcome};
pub use log::{LogReport, log_check, log_export, log_rows, served_check};
pub use log_service::{LogService, Submitted};
pub use monitor::{Monitor, MonitorReport, audit, monitor};
pub use native::NativeSigner;
pub use outlets::{OutletOptions, Outlets};
pub use posture::{
    PostureCheck, PostureChecked, SegmentsTest, SegmentsTested, posture_check, posture_segments,
};
pub use publish::OtherLog;
pub use quorum::{Quorum, QuorumReport, quorum};
pub use rebuild::{Influence, Rebuild, Rebuilt, SourcesFrom, rebuild};
pub use record::{Recorded, Run, TracerKind, probe, run};
pub use records::{RecordView, records, show, timeline, why};
pub use sbom::{Bill, BillOf, bill, sbom, sbom_merge, sbom_of_record, sbom_of_text, sbom_read, sbom_write};
pub use sign::{Revoked, SignOutcome, SignRequest, Signed, revoke, sign};
pub use trusting::{
    NewKeyMade, TrustChange, add_builders, count_key, keys_of, new_key, retire_key, sigstore_export,
    trust_set,
};
pub use verify::{
    ForeignVerification, Signatory, Verification, Verify, VerifyForeign, explain, verify, verify_foreign,
};
pub use watch::{
    Collect, Collected, LogKind, MachineView, Replay, Replayed, Source, Surroundings, collect, presence,
    replay,
};
pub use witness::{Witness, WitnessAnswer};
pub use world::{Passphrase, World, find_store, trust_export, trust_file};

/// What a build may reach, for those who say it.
pub use host::{AllowList, Egress};

/// The helper process that speaks to a PKCS#11 token.
pub use host::token::serve as serve_token;

/// One file of a verification, for those who render results.
pub use verifier::FileReport;

/// Reaches a witness over the network.
pub use host::outbound::exchange;

/// How much a served log does at a time.
pub use tlog::GroupLimits;

/// The vocabulary, for those who render results.
pub use evidence;
/// Verdicts and finding codes, for those who render results.
pub use judge;
/// Orders of versions, for those who ask.
pub use versions;
