//! Files and folders, verified and refused, each reason by its own code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::key::Cost;
use attest::trust::{Retired, Revoked, SCHEMA, Trust, TrustedKey, TrustedLog};
use attest::{Bundle, EncryptedKey, Envelope, Inclusion, KeyPair, Signer};
use evidence::statement::{ResourceDescriptor, Statement, VerificationSummary, Verifier, sha256_set};
use evidence::{Digest, Timestamp};
use tlog::{Cosigner, Ed25519Signer, Log, MemoryHead, MemoryTiles, NoteSigner};
use verifier::{Options, Report, Verdict, verify};

struct Vendor {
    key: KeyPair,
    log: Ed25519Signer,
    trust: Trust,
    folder: tempfile::TempDir,
}

fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fn witness(number: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/w{number}"), &[number; 32]).unwrap()
}

impl Vendor {
    fn new() -> Self {
        let key = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap().1;
        let log = Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap();
        let trusted = TrustedKey {
            public_key: key.public_key().clone(),
            since: Timestamp::from_unix(0),
            from: None,
            retired: None,
        };
        let trust = Trust {
            schema: SCHEMA.into(),
            release_keys: vec![trusted],
            builder_keys: Vec::new(),
            approver_keys: Vec::new(),
            log: TrustedLog { verifier_key: log.verifier_key().to_string() },
            revoked: Vec::new(),
            expires: None,
            required_levels: Vec::new(),
            witness_policy: None,
            authorities: Vec::new(),
            digest: None,
        };
        Self { key, log, trust, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes a file and releases it; witnesses cosign the log.
    fn release(&self, name: &str, content: &[u8], witnesses: &[u8]) {
        self.write(name, content);
        let summary = VerificationSummary {
            verifier: Verifier { id: "urn:test".into() },
            time_verified: Timestamp::from_unix(1_700_000_000),
            resource_uri: "urn:test:a".into(),
            policy: ResourceDescriptor {
                digest: sha256_set(&Digest::of(b"policy")),
                ..ResourceDescriptor::default()
            },
            input_attestations: Vec::new(),
            verification_result: "PASSED".into(),
            verified_levels: vec!["SLSA_BUILD_LEVEL_1".into(), "COUNTERSIGN_REPRODUCED_2_OF_3".into()],
            slsa_version: "1.2".into(),
        };
        let statement = Statement::new(vec![ResourceDescriptor::named(name, &Digest::of(content))], &summary);
        let envelope = Envelope::sign(&statement, &self.key).unwrap();
        let (tiles, head) = (MemoryTiles::default(), MemoryHead::default());
        let mut log = Log::create(&tiles, &head, &self.log).unwrap();
        log.append(&[b"first".to_vec(), envelope.leaf().encode()], &self.log).unwrap();
        let mut inclusion = Inclusion::from(&log.inclusion_proof(1).unwrap());
        for number in witnesses {
            inclusion.checkpoint += &witness(*number).cosign(&log.checkpoint().text(), 1_700_000_001);
        }
        let bundle = Bundle::new(&envelope, &inclusion, self.trust.log.key_id().unwrap(), None).encode();
        self.write(&format!("{name}.sigstore.json"), &bundle);
    }

    fn verify_with(&self, trust: &Trust, names: &[&str]) -> Report {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let options =
            Options { trust, trust_file: Path::new("trust.json"), now: now(), bundle: None, manifest: None };
        verify(&paths, &options).unwrap()
    }

    fn verify(&self, names: &[&str]) -> Report {
        self.verify_with(&self.trust, names)
    }
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.all_reasons().map(|reason| reason.code).collect()
}

#[test]
fn several_files_are_verified_and_each_claim_is_said() {
    let vendor = Vendor::new();
    for number in 0..5u8 {
        vendor.release(&format!("f{number}"), &[number], &[]);
    }
    let report = vendor.verify(&["f0", "f1", "f2", "f3", "f4"]);
    assert_eq!((report.verdict(), report.files.len()), (Verdict::Verified, 5));
    let said = report.files[3].sentences("log.example").join(" ");
    for words in [
        "released it on 2023-11-14",
        "entry 1 of the log log.example",
        "no witness",
        "2 of 3 independent builders",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    vendor.write("f2", b"another");
    let report = vendor.verify(&["f0", "f1", "f2"]);
    assert_eq!((report.verdict(), codes(&report)), (Verdict::Rejected, vec!["artifact-mismatch"]));
    assert!(report.files[2].sentences("log.example").is_empty(), "nothing is claimed of what is rejected");
}

#[test]
fn each_demand_of_the_trust_file_has_its_own_reason() {
    let vendor = Vendor::new();
    vendor.release("app", b"content", &[1]);
    let two = format!(
        "witness w1 {}\nwitness w2 {}\ngroup g all w1 w2\nquorum g\n",
        witness(1).key(),
        witness(2).key()
    );
    let one = format!("witness w1 {}\nquorum w1\n", witness(1).key());
    let artifact = Digest::of(b"content");
    let check = |change: &dyn Fn(&mut Trust), verdict: Verdict, expected: &[&str]| {
        let mut trust = vendor.trust.clone();
        trust.witness_policy = Some(one.clone());
        change(&mut trust);
        let report = vendor.verify_with(&trust, &["app"]);
        assert_eq!((report.verdict(), codes(&report).as_slice()), (verdict, expected));
        report
    };
    let report = check(&|_| {}, Verdict::Verified, &[]);
    assert!(report.files[0].sentences("l").join(" ").contains("witness.example/w1"));
    check(&|trust| trust.witness_policy = Some(two.clone()), Verdict::Rejected, &["witnesses-missing"]);
    // A cosignature by nobody whom the trust file names: no byte of a bundle goes unchecked.
    check(&|trust| trust.witness_policy = None, Verdict::Rejected, &["log-proof-invalid"]);
    check(&|trust| trust.expires = Some(now()), Verdict::Undetermined, &["trust-stale"]);
    check(&|trust| trust.expires = Some(now().plus_days(1)), Verdict::Verified, &[]);
    check(&|trust| trust.required_levels = vec!["SLSA_BUILD_LEVEL_1".into()], Verdict::Verified, &[]);
    check(
        &|trust| trust.required_levels = vec!["SLSA_BUILD_LEVEL_3".into()],
        Verdict::Rejected,
        &["level-missing"],
    );
    let retired = |index| Some(Retired { index, reason: "stolen".into() });
    check(&|trust| trust.release_keys[0].retired = retired(2), Verdict::Verified, &[]);
    check(&|trust| trust.release_keys[0].retired = retired(1), Verdict::Rejected, &["key-retired"]);
    let revoked = Revoked { digest: artifact, reason: "a bad night".into(), since: Timestamp::from_unix(9) };
    check(&|trust| trust.revoked = vec![revoked.clone()], Verdict::Rejected, &["revoked"]);
    // A stale file that also revokes: the revocation is the answer.
    let both = |trust: &mut Trust| {
        trust.revoked = vec![revoked.clone()];
        trust.expires = Some(now());
    };
    check(&both, Verdict::Rejected, &["revoked", "trust-stale"]);
}

#[test]
fn a_folder_is_checked_against_its_released_manifest() {
    let vendor = Vendor::new();
    vendor.write("app/bin/tool", b"tool");
    vendor.write("app/lib/a.so", b"library");
    let line = |name: &str, content: &[u8]| format!("{}  {name}\n", Digest::of(content).hex());
    let manifest = line("./bin/tool", b"tool") + &line("./lib/a.so", b"library");
    vendor.release("app/SHA256SUMS", manifest.as_bytes(), &[]);
    let report = vendor.verify(&["app"]);
    assert_eq!((report.verdict(), report.files.len()), (Verdict::Verified, 3), "{report:?}");
    vendor.write("app/lib/evil.so", b"planted");
    // A name is not enough to be taken for a bundle and left out.
    vendor.write("app/lib/a.so.sigstore.json", b"planted");
    assert_eq!(codes(&vendor.verify(&["app"])), ["file-unlisted", "file-unlisted"]);
    fs::remove_file(vendor.path("app/lib/evil.so")).unwrap();
    fs::remove_file(vendor.path("app/lib/a.so.sigstore.json")).unwrap();
    vendor.write("app/bin/tool", b"fool");
    fs::remove_file(vendor.path("app/lib/a.so")).unwrap();
    assert_eq!(codes(&vendor.verify(&["app"])), ["artifact-mismatch", "file-missing"]);
    std::os::unix::fs::symlink("/etc/passwd", vendor.path("app/lib/a.so")).unwrap();
    let report = vendor.verify(&["app"]);
    assert_eq!(report.problems.len(), 1, "a link has no bytes of its own");
    vendor.write("app/SHA256SUMS", manifest.replace("tool", "fool").as_bytes());
    assert_eq!(
        codes(&vendor.verify(&["app"])),
        ["artifact-mismatch"],
        "a manifest that is not the released one"
    );
    vendor.release("app/SHA256SUMS", b"nonsense\n", &[]);
    assert_eq!(codes(&vendor.verify(&["app"])), ["manifest-malformed"]);
    fs::remove_file(vendor.path("app/SHA256SUMS")).unwrap();
    assert_eq!(
        vendor.verify(&["app"]).verdict(),
        Verdict::Rejected,
        "without a manifest each file needs a bundle"
    );
    fs::create_dir(vendor.path("empty")).unwrap();
    assert_eq!(vendor.verify(&["empty"]).verdict(), Verdict::Undetermined, "nothing verified is no yes");
}

#[test]
fn the_small_program_says_the_same() {
    let vendor = Vendor::new();
    vendor.release("app", b"content", &[]);
    fs::write(vendor.path("trust.json"), vendor.trust.to_json()).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign-verify"))
            .args(arguments)
            .current_dir(vendor.folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run(&["--trust", "trust.json", "app"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("verified: 1 files\n"), "{said}");
    let (code, said) = run(&["--trust", "trust.json", "--json", "app"]);
    assert!(code == 0 && said.contains("urn:countersign:verify:v1"), "{said}");
    let (_, said) = run(&["--trust", "trust.json", "--explain", "app"]);
    assert!(said.contains("cosign verify-blob-attestation") && said.contains("sha256sum app"), "{said}");
    assert_eq!(run(&["--trust", "trust.json", "--write-trusted-root", "root.json"]).0, 0);
    assert!(vendor.path("root.json").is_file());
    vendor.write("app", b"changed");
    let (code, said) = run(&["--trust", "trust.json", "app"]);
    assert!(code == 1 && said.contains("artifact-mismatch"), "{said}");
    assert_eq!(run(&["app"]).0, 2, "no trust, no verdict");
    assert_eq!(run(&["--trust", "trust.json"]).0, 2);
    assert_eq!(run(&["--trust", "trust.json", "--nonsense", "app"]).0, 2);
    assert_eq!(run(&["--trust", "trust.json", "absent"]).0, 3);
}
