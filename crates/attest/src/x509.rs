//! X.509 certificates (RFC 5280) of the profile that Sigstore's clients know: reading one that an enemy may have written,
//! and the DER that ours are made of.
//!
//! Whether a certificate is to be believed is not decided here: chain, time and transparency are checked by the
//! verifier. A [`Certificate`] is only bytes that are exactly one certificate of a P-256 key.

use cms::cert::x509::attr::AttributeTypeAndValue;
use cms::cert::x509::ext::Extension;
use cms::cert::x509::ext::pkix::SubjectAltName;
use cms::cert::x509::ext::pkix::name::GeneralName;
use cms::cert::x509::name::{Name, RdnSequence, RelativeDistinguishedName};
use cms::cert::x509::spki::{AlgorithmIdentifierOwned, ObjectIdentifier};
use cms::cert::x509::time::Time;
use cms::cert::x509::{Certificate as X509, TbsCertificate};
use der::asn1::{Any, BitString, GeneralizedTime, OctetString, SetOfVec, UtcTime, Utf8StringRef};
use der::{DateTime, Decode, Encode};
use evidence::Timestamp;

use crate::key::{KeyError, PublicKey, Signer};
use crate::{from_base64, to_base64};

/// The longest certificate that is read.
pub const MAX_BYTES: usize = 16 << 10;

/// `ecdsa-with-SHA256` (RFC 5758, section 3.2).
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// `id-at-organizationName` and `id-at-commonName` (RFC 5280, appendix A.1).
const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// The first second that is written as GeneralizedTime (RFC 5280, section 4.1.2.5).
const YEAR_2050: i64 = 2_524_608_000;

/// A certificate of a P-256 key, read but not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    key: PublicKey,
    parsed: Box<X509>,
}

/// Why bytes are no certificate of ours.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Too large to be one.
    #[error("a certificate of more than {MAX_BYTES} bytes")]
    Size,
    /// Not one certificate in DER.
    #[error("not a certificate in DER: {0}")]
    Form(der::Error),
    /// Another key than P-256.
    #[error("a certificate of another key than P-256")]
    Key,
    /// It could not be signed.
    #[error("cannot sign a certificate")]
    Sign(#[source] KeyError),
    /// The moment lies outside of the time for which the authority was made.
    #[error("it is {now}, and the certificate authority is for {from} to {until}: is the clock right?")]
    Clock {
        /// The moment.
        now: Timestamp,
        /// The first moment.
        from: Timestamp,
        /// The last moment.
        until: Timestamp,
    },
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Form(error)
    }
}

impl Certificate {
    /// Reads exactly one certificate; only its one DER spelling is taken.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_BYTES {
            return Err(CertificateError::Size);
        }
        let parsed = X509::from_der(bytes)?;
        if parsed.to_der()? != bytes {
            return Err(CertificateError::Form(
                der::ErrorKind::Noncanonical { tag: der::Tag::Sequence }.into(),
            ));
        }
        let spki = parsed.tbs_certificate.subject_public_key_info.to_der()?;
        let key = PublicKey::from_der(&spki).map_err(|_| CertificateError::Key)?;
        Ok(Self { der: bytes.to_vec(), key, parsed: Box::new(parsed) })
    }

    /// Returns the DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the PEM form that other tools take.
    pub fn pem(&self) -> String {
        crate::key::pem("CERTIFICATE", &self.der)
    }

    /// Returns the key that it is for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns the first and the last moment of its validity.
    pub fn valid(&self) -> (Timestamp, Timestamp) {
        let moment = |time: &Time| {
            Timestamp::from_unix(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
        };
        let validity = &self.parsed.tbs_certificate.validity;
        (moment(&validity.not_before), moment(&validity.not_after))
    }

    /// Returns the identity that it names, if there is exactly one: a URI or an e-mail address.
    pub fn identity(&self) -> Option<String> {
        let (_, names) = self.parsed.tbs_certificate.get::<SubjectAltName>().ok()??;
        match names.0.as_slice() {
            [GeneralName::UniformResourceIdentifier(uri)] => Some(uri.to_string()),
            [GeneralName::Rfc822Name(address)] => Some(address.to_string()),
            _ => None,
        }
    }

    /// Tells whether another certificate has a signature by this one's key. Names and times are not looked at.
    pub fn has_issued(&self, other: &Self) -> bool {
        let signed = der::Encode::to_der(&other.parsed.tbs_certificate);
        signed.is_ok_and(|signed| self.key.verifies(&signed, other.parsed.signature.raw_bytes()))
    }

    pub(crate) fn parsed(&self) -> &X509 {
        &self.parsed
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.key.short())
    }
}

impl serde::Serialize for Certificate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.der))
    }
}

impl<'de> serde::Deserialize<'de> for Certificate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let der = from_base64(&text).ok_or_else(|| serde::de::Error::custom("not canonical base64"))?;
        Self::from_der(&der).map_err(serde::de::Error::custom)
    }
}

/// Signs what stands in a certificate.
pub(crate) fn sign(signer: &dyn Signer, tbs: TbsCertificate) -> Result<Certificate, CertificateError> {
    let signature = signer.sign(&tbs.to_der()?).map_err(CertificateError::Sign)?;
    let certificate = X509 {
        tbs_certificate: tbs,
        signature_algorithm: ecdsa_sha256(),
        signature: BitString::from_bytes(&signature)?,
    };
    Certificate::from_der(&certificate.to_der()?)
}

/// The algorithm of all signatures here; it has no parameters (RFC 5758, section 3.2).
pub(crate) fn ecdsa_sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None }
}

/// A distinguished name of an organisation and what is called so in it.
pub(crate) fn name(organisation: &str, common: &str) -> der::Result<Name> {
    let part = |oid, text: &str| -> der::Result<RelativeDistinguishedName> {
        let value = Any::encode_from(&Utf8StringRef::new(text)?)?;
        Ok(RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?))
    };
    Ok(RdnSequence(vec![part(ORGANISATION, organisation)?, part(COMMON_NAME, common)?]))
}

/// A moment as certificates write it. Before 1970 there is none.
pub(crate) fn time(moment: Timestamp) -> der::Result<Time> {
    let date = date_time(moment)?;
    Ok(if moment.unix() < YEAR_2050 {
        Time::UtcTime(UtcTime::from_date_time(date)?)
    } else {
        Time::GeneralTime(GeneralizedTime::from_date_time(date))
    })
}

/// A moment as ASN.1 has it.
pub(crate) fn date_time(moment: Timestamp) -> der::Result<DateTime> {
    let seconds = u64::try_from(moment.unix()).map_err(|_| der::ErrorKind::DateTime)?;
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
}

/// An extension, by what stands in it.
pub(crate) fn extension(
    oid: ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> der::Result<Extension> {
    raw_extension(oid, critical, value.to_der()?)
}

/// An extension, by its bytes.
pub(crate) fn raw_extension(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value)? })
}
