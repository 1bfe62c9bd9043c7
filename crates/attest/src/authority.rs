//! A certificate authority of one's own, in the form of Sigstore's Fulcio: a root, short-lived certificates for release
//! keys with an identity and a signed certificate timestamp (RFC 6962), and a timestamp authority.
//!
//! It exists so that unmodified clients, who know certificates only, can check our releases. Who is trusted is not
//! decided by it: our own verifier asks for a release key of the trust file besides.

use cms::cert::x509::certificate::TbsCertificate;
use cms::cert::x509::ext::Extension;
use cms::cert::x509::ext::pkix::name::GeneralName;
use cms::cert::x509::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use cms::cert::x509::name::Name;
use cms::cert::x509::serial_number::SerialNumber;
use cms::cert::x509::spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned};
use cms::cert::x509::time::Validity;
use cms::cert::x509::{Version, ext::Extensions};
use der::asn1::{Ia5String, OctetString, Utf8StringRef};
use der::{Decode, Encode};
use evidence::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, Signer};
use crate::x509::{Certificate, CertificateError, ecdsa_sha256, extension, name, raw_extension, sign, time};

/// How long a certificate for a release key holds, seconds: as long as Fulcio's.
pub const LEAF_SECONDS: i64 = 600;
/// How long root and timestamp authority hold, days.
const ROOT_DAYS: u32 = 3650;

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// Embedded SCT list (RFC 6962, section 3.3).
const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// Extensions of Fulcio (sigstore/fulcio `docs/oid-info.md`): issuer, in the old form without and the new form with DER;
/// repository of the source, and its owner.
const ISSUER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
const ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
const SOURCE_REPOSITORY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.12");
const SOURCE_REPOSITORY_OWNER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.16");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const SUBJECT_ALTERNATIVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The public side of an authority, as trust files name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// Who signs, as certificates say it: a URI.
    pub identity: String,
    /// Who vouches for that name: a URL.
    pub issuer: String,
    /// Where the sources are, if certificates say so: `https://HOST/OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_repository: Option<String>,
    /// The root of certificates.
    pub root: Certificate,
    /// The timestamp authority, certified by the root.
    pub timestamps: Certificate,
    /// The key of the certificate log (SubjectPublicKeyInfo in DER, base64).
    pub certificate_log: PublicKey,
    /// Since when.
    pub since: Timestamp,
    /// The last second in which what it certifies counts (`TimeRange` of protobuf-specs is closed as well); none means that it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
}

/// What certificates say of who signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims<'a> {
    /// The identity: a URI.
    pub identity: &'a str,
    /// Who vouches for it.
    pub issuer: &'a str,
    /// Where the sources are.
    pub source_repository: Option<&'a str>,
}

/// The three private keys of an authority.
pub struct AuthorityKeys<'a> {
    /// Signs certificates.
    pub root: &'a dyn Signer,
    /// Signs timestamps.
    pub timestamps: &'a dyn Signer,
    /// Signs that a certificate is to be logged.
    pub certificate_log: &'a dyn Signer,
}

/// An authority for timestamps: its certificate, and the root that has certified it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimestampAuthority {
    /// The root.
    pub root: Certificate,
    /// The certificate of the key that stamps.
    pub certificate: Certificate,
}

/// Makes an authority: root and timestamp certificate. `serials` are two random numbers.
pub fn create(
    keys: &AuthorityKeys<'_>,
    claims: &Claims<'_>,
    organisation: &str,
    now: Timestamp,
    serials: [[u8; 16]; 2],
) -> Result<Authority, CertificateError> {
    let stamping = create_timestamps(keys.root, keys.timestamps.public_key(), organisation, now, serials)?;
    Ok(Authority {
        identity: claims.identity.to_owned(),
        issuer: claims.issuer.to_owned(),
        source_repository: claims.source_repository.map(str::to_owned),
        root: stamping.root,
        timestamps: stamping.certificate,
        certificate_log: keys.certificate_log.public_key().clone(),
        since: now,
        until: None,
    })
}

/// Makes a root, and its certificate for a key that stamps.
pub fn create_timestamps(
    root_key: &dyn Signer,
    timestamp_key: &PublicKey,
    organisation: &str,
    now: Timestamp,
    serials: [[u8; 16]; 2],
) -> Result<TimestampAuthority, CertificateError> {
    let subject = name(organisation, "countersign root")?;
    let until = now.plus_days(ROOT_DAYS);
    let root = sign(
        root_key,
        TbsCertificate {
            extensions: Some(vec![
                extension(KEY_USAGE, true, &usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
                extension(
                    BASIC_CONSTRAINTS,
                    true,
                    &BasicConstraints { ca: true, path_len_constraint: Some(0) },
                )?,
                subject_key(root_key.public_key())?,
            ]),
            ..tbs(&subject, &subject, root_key.public_key(), (now, until), serials[0])?
        },
    )?;
    let subject = name(organisation, "countersign timestamp authority")?;
    let certificate = sign(
        root_key,
        TbsCertificate {
            extensions: Some(vec![
                extension(KEY_USAGE, true, &usage(KeyUsages::DigitalSignature.into()))?,
                // RFC 3161, section 2.3: this usage alone, and critical.
                extension(EXTENDED_KEY_USAGE, true, &ExtendedKeyUsage(vec![TIME_STAMPING]))?,
                extension(
                    BASIC_CONSTRAINTS,
                    true,
                    &BasicConstraints { ca: false, path_len_constraint: None },
                )?,
                subject_key(timestamp_key)?,
                authority_key(root_key.public_key())?,
            ]),
            ..tbs(&root.parsed().tbs_certificate.subject, &subject, timestamp_key, (now, until), serials[1])?
        },
    )?;
    Ok(TimestampAuthority { root, certificate })
}

impl Authority {
    /// Tells whether something that happened at a moment counts.
    pub fn holds_at(&self, moment: Timestamp) -> bool {
        self.since <= moment && self.until.is_none_or(|until| moment <= until)
    }

    /// Refuses a moment outside of the root's own time.
    pub fn can_certify(&self, now: Timestamp) -> Result<(), CertificateError> {
        let (from, until) = self.root.valid();
        let end = Timestamp::from_unix(now.unix().saturating_add(LEAF_SECONDS));
        if now < from || end > until {
            return Err(CertificateError::Clock { now, from, until });
        }
        Ok(())
    }

    /// Makes a certificate for a key, good from now on for ten minutes, with a promise of the certificate log in it. A clock that
    /// stands outside of the root's own time is refused: nobody would believe the certificate.
    pub fn certify(
        &self,
        keys: &AuthorityKeys<'_>,
        key: &PublicKey,
        now: Timestamp,
        serial: [u8; 16],
    ) -> Result<Certificate, CertificateError> {
        self.can_certify(now)?;
        let end = Timestamp::from_unix(now.unix().saturating_add(LEAF_SECONDS));
        let mut tbs = TbsCertificate {
            extensions: Some(self.leaf_extensions(key)?),
            ..tbs(&self.root.parsed().tbs_certificate.subject, &Name::default(), key, (now, end), serial)?
        };
        let list = self.promise(keys.certificate_log, &tbs, now)?;
        let promise = extension(SCT_LIST, false, &OctetString::new(list)?)?;
        tbs.extensions.get_or_insert_default().push(promise);
        sign(keys.root, tbs)
    }

    fn leaf_extensions(&self, key: &PublicKey) -> Result<Extensions, CertificateError> {
        let text = |oid, value: &str| extension(oid, false, &Utf8StringRef::new(value)?);
        let identity = GeneralName::UniformResourceIdentifier(Ia5String::new(&self.identity)?);
        let mut extensions = vec![
            extension(KEY_USAGE, true, &usage(KeyUsages::DigitalSignature.into()))?,
            extension(EXTENDED_KEY_USAGE, false, &ExtendedKeyUsage(vec![CODE_SIGNING]))?,
            subject_key(key)?,
            authority_key(self.root.key())?,
            // RFC 5280, section 4.2.1.6: critical, for the subject is empty.
            extension(SUBJECT_ALTERNATIVE, true, &SubjectAltName(vec![identity]))?,
            raw_extension(ISSUER_V1, false, self.issuer.as_bytes().to_vec())?,
            text(ISSUER_V2, &self.issuer)?,
        ];
        if let Some(repository) = &self.source_repository {
            extensions.push(text(SOURCE_REPOSITORY, repository)?);
            if let Some(owner) = owner_of(repository) {
                extensions.push(text(SOURCE_REPOSITORY_OWNER, owner)?);
            }
        }
        Ok(extensions)
    }

    /// A list of one signed certificate timestamp over what the certificate says so far (RFC 6962, sections 3.2 and 3.3).
    fn promise(
        &self,
        log: &dyn Signer,
        tbs: &TbsCertificate,
        now: Timestamp,
    ) -> Result<Vec<u8>, CertificateError> {
        let too_long = || CertificateError::Size;
        let tbs = tbs.to_der()?;
        let milliseconds = u64::try_from(now.unix()).unwrap_or(0).saturating_mul(1000).to_be_bytes();
        let length = u32::try_from(tbs.len()).ok().filter(|length| *length < 1 << 24).ok_or_else(too_long)?;
        // Version 1, certificate_timestamp, time, precert_entry, hash of the issuer's key, the certificate, no extensions.
        let signed = [
            &[0, 0][..],
            &milliseconds,
            &[0, 1],
            Digest::of(self.root.key().der()).as_bytes(),
            &length.to_be_bytes()[1..],
            &tbs,
            &[0, 0],
        ]
        .concat();
        let signature = log.sign(&signed).map_err(CertificateError::Sign)?;
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).map(u16::to_be_bytes).map_err(|_| too_long());
        // Version 1, the log's id, time, no extensions, SHA-256 with ECDSA, signature.
        let timestamp = [
            &[0][..],
            Digest::of(log.public_key().der()).as_bytes(),
            &milliseconds,
            &[0, 0, 4, 3],
            &length(&signature)?,
            &signature,
        ]
        .concat();
        let one = [&length(&timestamp)?[..], &timestamp].concat();
        Ok([&length(&one)?[..], &one].concat())
    }
}

/// What stands before the last part of a repository's address, if something does.
fn owner_of(repository: &str) -> Option<&str> {
    let (owner, name) = repository.trim_end_matches('/').rsplit_once('/')?;
    (!name.is_empty() && owner.matches('/').count() >= 3).then_some(owner)
}

fn tbs(
    issuer: &Name,
    subject: &Name,
    key: &PublicKey,
    (from, until): (Timestamp, Timestamp),
    serial: [u8; 16],
) -> Result<TbsCertificate, CertificateError> {
    let mut serial = serial;
    // Positive, and not zero (RFC 5280, section 4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: ecdsa_sha256(),
        issuer: issuer.clone(),
        validity: Validity { not_before: time(from)?, not_after: time(until)? },
        subject: subject.clone(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(key.der())?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    })
}

fn usage(usages: der::flagset::FlagSet<KeyUsages>) -> KeyUsage {
    KeyUsage(usages)
}

/// The identifier of a key: the first twenty bytes of the SHA-256 of its bits (RFC 7093, section 2, method 1).
fn identifier(key: &PublicKey) -> Result<OctetString, CertificateError> {
    let info = SubjectPublicKeyInfoOwned::from_der(key.der())?;
    let hash = Digest::of(info.subject_public_key.raw_bytes());
    Ok(OctetString::new(&hash.as_bytes()[..20])?)
}

fn subject_key(key: &PublicKey) -> Result<Extension, CertificateError> {
    Ok(extension(SUBJECT_KEY, false, &SubjectKeyIdentifier(identifier(key)?))?)
}

fn authority_key(key: &PublicKey) -> Result<Extension, CertificateError> {
    let key_identifier = Some(identifier(key)?);
    let value = AuthorityKeyIdentifier { key_identifier, ..AuthorityKeyIdentifier::default() };
    Ok(extension(AUTHORITY_KEY, false, &value)?)
}
