//! Timestamps (RFC 3161): reading a request, and the token of a small authority, as CMS signed data (RFC 5652) with
//! `signingCertificateV2` (RFC 5035 and RFC 5816).
//!
//! A token says that a signature was there at a moment; without it nobody can tell whether a certificate of ten minutes
//! was good when it was used. It is written in one way only: [`is_canonical`] refuses every other spelling, so that no
//! byte of a bundle goes unchecked.

use cms::cert::x509::attr::{Attribute, Attributes};
use cms::cert::x509::ext::Extensions;
use cms::cert::x509::ext::pkix::name::GeneralName;
use cms::cert::x509::spki::{AlgorithmIdentifierOwned, ObjectIdentifier};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{Any, BitString, GeneralizedTime, Int, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence};
use evidence::{Digest, Timestamp};

use crate::key::Signer;
use crate::x509::{Certificate, CertificateError, date_time, ecdsa_sha256};

/// The longest request that is read.
pub const REQUEST_MAX_BYTES: usize = 4 << 10;
/// The longest response that is read.
pub const RESPONSE_MAX_BYTES: usize = 64 << 10;

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// What the timestamps promise is this module's text; the project has no arc of its own, so this is the one for documentation
/// (RFC 5612).
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.3161.1");

/// `TimeStampReq` (RFC 3161, section 2.4.1).
#[derive(Sequence)]
struct TimeStampReq {
    version: u8,
    message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    req_policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(default = "no")]
    cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Clone, PartialEq, Eq, Debug, Sequence)]
struct MessageImprint {
    hash_algorithm: AlgorithmIdentifierOwned,
    hashed_message: OctetString,
}

/// `TSTInfo` (RFC 3161, section 2.4.2); the fields that we do not write are read all the same, to be refused.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    message_imprint: MessageImprint,
    serial_number: Int,
    gen_time: GeneralizedTime,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "no")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    tsa: Option<GeneralName>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// How exact the time is: to the second.
#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u32>,
}

#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

/// `ESSCertIDv2` with the default algorithm, SHA-256.
#[derive(Sequence)]
struct EssCertIdV2 {
    cert_hash: OctetString,
}

#[derive(Sequence)]
struct TimeStampResp {
    status: PkiStatusInfo,
    #[asn1(optional = "true")]
    token: Option<ContentInfo>,
}

#[derive(Sequence)]
struct PkiStatusInfo {
    status: u8,
    #[asn1(optional = "true")]
    fail_info: Option<BitString>,
}

fn no() -> bool {
    false
}

/// What somebody wants to have stamped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// SHA-256 of the message.
    pub digest: Digest,
    /// A number that the answer must repeat.
    nonce: Option<Int>,
    /// Whether the answer carries the authority's certificates.
    certificates: bool,
}

/// Why a request is not answered (RFC 3161, section 2.4.2: `PKIFailureInfo`, by its bit).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// Another hash than SHA-256.
    #[error("only SHA-256 is stamped")]
    Algorithm,
    /// Not a request.
    #[error("not a time-stamp request in DER")]
    Format,
    /// Another policy than ours.
    #[error("another policy is asked for")]
    Policy,
    /// An extension, of which none is known.
    #[error("an extension is asked for")]
    Extension,
}

impl RequestError {
    const fn bit(self) -> usize {
        match self {
            Self::Algorithm => 0,
            Self::Format => 5,
            Self::Policy => 15,
            Self::Extension => 16,
        }
    }
}

impl Request {
    /// Asks for a digest alone: for who calls the authority without the network.
    pub fn of(digest: Digest) -> Self {
        Self { digest, nonce: None, certificates: false }
    }

    /// Reads a request.
    pub fn read(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > REQUEST_MAX_BYTES {
            return Err(RequestError::Format);
        }
        let request = TimeStampReq::from_der(bytes).map_err(|_| RequestError::Format)?;
        if request.version != 1 {
            return Err(RequestError::Format);
        }
        if request.extensions.is_some() {
            return Err(RequestError::Extension);
        }
        if request.req_policy.is_some_and(|policy| policy != POLICY) {
            return Err(RequestError::Policy);
        }
        let algorithm = &request.message_imprint.hash_algorithm;
        let digest: Result<[u8; 32], _> = request.message_imprint.hashed_message.as_bytes().try_into();
        match digest {
            Ok(digest) if algorithm.oid == SHA256 => Ok(Self {
                digest: Digest::from_bytes(digest),
                nonce: request.nonce,
                certificates: request.cert_req,
            }),
            _ => Err(RequestError::Algorithm),
        }
    }
}

/// An authority that stamps.
pub struct Stamper<'a> {
    /// Its key.
    pub signer: &'a dyn Signer,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// The root that has certified it.
    pub root: &'a Certificate,
}

impl Stamper<'_> {
    /// Answers a request with a token (`TimeStampResp` in DER). `serial` is a random number. A clock outside of the certificate's
    /// time is refused.
    pub fn respond(
        &self,
        request: &Request,
        now: Timestamp,
        serial: [u8; 16],
    ) -> Result<Vec<u8>, CertificateError> {
        let (from, until) = self.certificate.valid();
        if now < from || now > until {
            return Err(CertificateError::Clock { now, from, until });
        }
        let mut serial = serial;
        // Positive, without a leading zero.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        let info = TstInfo {
            version: 1,
            policy: POLICY,
            message_imprint: MessageImprint {
                hash_algorithm: sha256(),
                hashed_message: OctetString::new(request.digest.as_bytes().to_vec())?,
            },
            serial_number: Int::new(&serial)?,
            gen_time: GeneralizedTime::from_date_time(date_time(now)?),
            accuracy: Some(Accuracy { seconds: Some(1) }),
            ordering: false,
            nonce: request.nonce.clone(),
            tsa: None,
            extensions: None,
        };
        let info = info.to_der()?;
        let attributes = self.attributes(&info)?;
        let signature = self.signer.sign(&attributes.to_der()?).map_err(CertificateError::Sign)?;
        let certificates = if request.certificates {
            let chain = [self.certificate, self.root]
                .map(|one| CertificateChoices::Certificate(one.parsed().clone()));
            Some(CertificateSet(SetOfVec::try_from(chain.to_vec())?))
        } else {
            None
        };
        assemble(info, self.issued_by(), attributes, signature, certificates)
    }

    fn issued_by(&self) -> IssuerAndSerialNumber {
        let tbs = &self.certificate.parsed().tbs_certificate;
        IssuerAndSerialNumber { issuer: tbs.issuer.clone(), serial_number: tbs.serial_number.clone() }
    }

    fn attributes(&self, info: &[u8]) -> der::Result<Attributes> {
        let attribute = |oid, value: Any| -> der::Result<Attribute> {
            Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
        };
        let digest = OctetString::new(Digest::of(info).as_bytes().to_vec())?;
        let certificate = SigningCertificateV2 {
            certs: vec![EssCertIdV2 {
                cert_hash: OctetString::new(Digest::of(self.certificate.der()).as_bytes().to_vec())?,
            }],
        };
        SetOfVec::try_from(vec![
            attribute(CONTENT_TYPE, Any::encode_from(&TST_INFO)?)?,
            attribute(MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
            attribute(SIGNING_CERTIFICATE_V2, Any::encode_from(&certificate)?)?,
        ])
    }
}

/// Puts a response together, in the one form that there is.
fn assemble(
    info: Vec<u8>,
    issued_by: IssuerAndSerialNumber,
    attributes: Attributes,
    signature: Vec<u8>,
    certificates: Option<CertificateSet>,
) -> Result<Vec<u8>, CertificateError> {
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(issued_by),
        digest_alg: sha256(),
        signed_attrs: Some(attributes),
        signature_algorithm: ecdsa_sha256(),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let signed = SignedData {
        // RFC 5652, section 5.1: 3, for the content is no plain data.
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![sha256()])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: TST_INFO,
            econtent: Some(Any::encode_from(&OctetString::new(info)?)?),
        },
        certificates,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
    };
    let token = ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? };
    let response = TimeStampResp { status: PkiStatusInfo { status: 0, fail_info: None }, token: Some(token) };
    Ok(response.to_der()?)
}

/// Writes the refusal of a request.
pub fn refusal(error: RequestError) -> Result<Vec<u8>, CertificateError> {
    let bit = error.bit();
    let mut bits = vec![0; bit / 8 + 1];
    bits[bit / 8] = 0x80 >> (bit % 8);
    let unused = u8::try_from(7 - bit % 8).unwrap_or(0);
    let fail_info = Some(BitString::new(unused, bits)?);
    Ok(TimeStampResp { status: PkiStatusInfo { status: 2, fail_info }, token: None }.to_der()?)
}

/// Tells whether a response is a granted one in exactly the form that [`Stamper::respond`] writes without certificates. Whether it
/// is true is not asked.
pub fn is_canonical(response: &[u8]) -> bool {
    rewritten(response).is_some_and(|written| written == response)
}

fn rewritten(response: &[u8]) -> Option<Vec<u8>> {
    if response.len() > RESPONSE_MAX_BYTES {
        return None;
    }
    let token = TimeStampResp::from_der(response).ok()?.token?;
    let signed: SignedData = token.content.decode_as().ok()?;
    let content: OctetString = signed.encap_content_info.econtent?.decode_as().ok()?;
    let info = TstInfo::from_der(content.as_bytes()).ok()?;
    let is_ours = info.version == 1
        && info.policy == POLICY
        && info.nonce.is_none()
        && info.tsa.is_none()
        && info.extensions.is_none();
    let [signer] = signed.signer_infos.0.as_slice() else { return None };
    let SignerIdentifier::IssuerAndSerialNumber(issued_by) = &signer.sid else { return None };
    if !is_ours || info.to_der().ok()? != content.as_bytes() {
        return None;
    }
    let (attributes, signature) = (signer.signed_attrs.clone()?, signer.signature.as_bytes().to_vec());
    assemble(content.as_bytes().to_vec(), issued_by.clone(), attributes, signature, None).ok()
}

/// The moment of a response, whoever made it: for those who show it. The verifier believes it only from whom the trust file names.
pub fn claimed_time(response: &[u8]) -> Option<Timestamp> {
    if response.len() > RESPONSE_MAX_BYTES {
        return None;
    }
    let token = TimeStampResp::from_der(response).ok()?.token?;
    let signed: SignedData = token.content.decode_as().ok()?;
    let content: OctetString = signed.encap_content_info.econtent?.decode_as().ok()?;
    let info = TstInfo::from_der(content.as_bytes()).ok()?;
    i64::try_from(info.gen_time.to_unix_duration().as_secs()).ok().map(Timestamp::from_unix)
}

fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA256, parameters: None }
}
