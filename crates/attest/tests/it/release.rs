use attest::key::Cost;
use attest::trust::{Revoked, SCHEMA, Trust, TrustedKey, TrustedLog};
use attest::verify::{provenance, release};
use attest::{Bundle, EncryptedKey, Envelope, Inclusion, KeyPair, Rejection, Signer};
use evidence::statement::{
    Approval, ResourceDescriptor, Statement, VerificationSummary, Verifier, sha256_set,
};
use evidence::{Digest, Timestamp};
use tlog::{Ed25519Signer, Log, MemoryHead, MemoryTiles, NoteSigner};

pub(crate) struct Vendor {
    pub(crate) release: KeyPair,
    pub(crate) trust: Trust,
    pub(crate) log_key: Ed25519Signer,
}

pub(crate) fn vendor() -> Vendor {
    let key = || EncryptedKey::generate_p256(b"a test", Cost::Machine).unwrap().1;
    let (release, builder) = (key(), key());
    let log_key = Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap();
    let trusted = |key: &KeyPair| TrustedKey {
        public_key: key.public_key().clone(),
        since: Timestamp::from_unix(0),
        from: None,
        retired: None,
    };
    let trust = Trust {
        schema: SCHEMA.into(),
        release_keys: vec![trusted(&release)],
        builder_keys: vec![trusted(&builder)],
        log: TrustedLog { verifier_key: log_key.verifier_key().to_string() },
        approver_keys: Vec::new(),
        revoked: Vec::new(),
        expires: None,
        required_levels: Vec::new(),
        witness_policy: None,
        authorities: Vec::new(),
        digest: None,
    };
    Vendor { release, trust, log_key }
}

pub(crate) fn summary(result: &str) -> VerificationSummary {
    let policy = Digest::of(b"policy");
    VerificationSummary {
        verifier: Verifier { id: "urn:test".into() },
        time_verified: Timestamp::from_unix(1_700_000_000),
        resource_uri: "urn:test:a".into(),
        policy: ResourceDescriptor { digest: sha256_set(&policy), ..ResourceDescriptor::default() },
        input_attestations: Vec::new(),
        verification_result: result.into(),
        verified_levels: Vec::new(),
        slsa_version: "1.2".into(),
    }
}

impl Vendor {
    /// Signs a statement and logs it as the third of five entries.
    fn bundle(&self, statement: &Statement) -> Vec<u8> {
        let envelope = Envelope::sign(statement, &self.release).unwrap();
        let (tiles, head) = (MemoryTiles::default(), MemoryHead::default());
        let mut log = Log::create(&tiles, &head, &self.log_key).unwrap();
        let entries =
            [b"one".to_vec(), b"two".to_vec(), envelope.leaf().encode(), b"four".to_vec(), b"five".to_vec()];
        log.append(&entries, &self.log_key).unwrap();
        let proof = log.inclusion_proof(2).unwrap();
        let inclusion = Inclusion {
            index: proof.index,
            size: proof.size,
            root: *proof.root.as_bytes(),
            hashes: proof.hashes.iter().map(|hash| *hash.as_bytes()).collect(),
            checkpoint: proof.checkpoint,
        };
        Bundle::new(&envelope, &inclusion, self.trust.log.key_id().unwrap(), None).encode()
    }

    fn released(&self) -> Vec<u8> {
        self.bundle(&Statement::new(
            vec![ResourceDescriptor::named("a", &Digest::of(ARTIFACT))],
            &summary("PASSED"),
        ))
    }
}

pub(crate) const ARTIFACT: &[u8] = b"the artifact";

#[test]
fn a_release_is_verified() {
    let vendor = vendor();
    let verified = release(&Digest::of(ARTIFACT), &vendor.released(), &vendor.trust).unwrap();
    assert_eq!((verified.artifact(), verified.verified().log_index()), (&Digest::of(ARTIFACT), 2));
    assert_eq!(verified.verified().key(), vendor.release.public_key());
}

/// Two bits of every byte of a whole bundle, each flipped alone: none is believed.
#[test]
fn no_flipped_bit_is_believed() {
    let vendor = vendor();
    let bundle = vendor.released();
    for position in 0..bundle.len() {
        for bit in [position % 8, (position + 5) % 8] {
            let mut flipped = bundle.clone();
            flipped[position] ^= 1 << bit;
            let result = release(&Digest::of(ARTIFACT), &flipped, &vendor.trust);
            assert!(result.is_err(), "bit {bit} of byte {position}: {}", String::from_utf8_lossy(&flipped));
        }
    }
}

#[test]
fn every_cut_and_every_added_byte_is_refused() {
    let vendor = vendor();
    let bundle = vendor.released();
    for cut in 0..bundle.len() {
        assert!(release(&Digest::of(ARTIFACT), &bundle[..cut], &vendor.trust).is_err(), "{cut}");
    }
    for added in [" ", "\n", "\0", "{}", ","] {
        let longer = [bundle.as_slice(), added.as_bytes()].concat();
        assert!(release(&Digest::of(ARTIFACT), &longer, &vendor.trust).is_err(), "{added:?}");
    }
}

#[test]
fn every_flipped_bit_of_the_artifact_is_noticed() {
    let vendor = vendor();
    let bundle = vendor.released();
    for position in 0..ARTIFACT.len() {
        for bit in 0..8 {
            let mut flipped = ARTIFACT.to_vec();
            flipped[position] ^= 1 << bit;
            let result = release(&Digest::of(&flipped), &bundle, &vendor.trust);
            assert!(matches!(result, Err(Rejection::Artifact { .. })));
        }
    }
}

#[test]
fn each_reason_is_told_apart() {
    let vendor = vendor();
    let artifact = Digest::of(ARTIFACT);
    let subject = || vec![ResourceDescriptor::named("a", &artifact)];
    let failed = vendor.bundle(&Statement::new(subject(), &summary("FAILED")));
    assert!(matches!(release(&artifact, &failed, &vendor.trust), Err(Rejection::Statement(_))));
    let approval = Approval {
        finding: "f-1".into(),
        reason: "x".into(),
        approved: Timestamp::from_unix(0),
        expires: Timestamp::from_unix(1),
        evidence: Vec::new(),
    };
    let approval = vendor.bundle(&Statement::new(subject(), &approval));
    assert!(
        matches!(release(&artifact, &approval, &vendor.trust), Err(Rejection::Statement(_))),
        "not a release"
    );
    let released = vendor.released();
    assert!(
        matches!(provenance(&artifact, &released, &vendor.trust), Err(Rejection::UnknownKey(_))),
        "not a builder"
    );
    let mut revoked = vendor.trust.clone();
    revoked.revoked.push(Revoked {
        digest: artifact,
        reason: "a bad night".into(),
        since: Timestamp::from_unix(9),
    });
    assert!(matches!(release(&artifact, &released, &revoked), Err(Rejection::Revoked { .. })));
    let mut other_log = vendor.trust.clone();
    let other_key = Ed25519Signer::from_seed("log.example", &[8; 32]).unwrap();
    other_log.log.verifier_key = other_key.verifier_key().to_string();
    assert!(matches!(release(&artifact, &released, &other_log), Err(Rejection::Log(_))));
    let mut nobody = vendor.trust.clone();
    nobody.release_keys.clear();
    assert!(release(&artifact, &released, &nobody).is_err());
}
