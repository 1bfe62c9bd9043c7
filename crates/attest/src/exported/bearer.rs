//! Whose a signature is: a bare key, or a certificate of any kind that an enemy may have written.

use cms::cert::x509::attr::AttributeTypeAndValue;
use cms::cert::x509::certificate::{CertificateInner, Profile, TbsCertificateInner};
use cms::cert::x509::ext::pkix::SubjectAltName;
use cms::cert::x509::ext::pkix::name::GeneralName;
use cms::cert::x509::serial_number::SerialNumber;
use cms::cert::x509::spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned};
use der::asn1::{Any, BmpString};
use der::{Decode, Encode, Tag, Tagged};

/// `id-ce-subjectAltName` (RFC 5280, section 4.2.1.6).
const SUBJECT_ALTERNATIVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// More names of one certificate are not read: no log takes as many.
const NAMES_MAX: usize = 10_000;

/// Certificates as logs have them: serial numbers of any length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AsLogged;

impl Profile for AsLogged {
    fn check_serial_number(_: &SerialNumber<Self>) -> der::Result<()> {
        Ok(())
    }
}

/// A key, and the names that a certificate gives to whom it belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bearer {
    /// SubjectPublicKeyInfo in DER; none if the certificate could not be read.
    pub key: Option<Vec<u8>>,
    /// Names in a certificate: the subject's values, and e-mail addresses, URIs, host names and others beside it.
    pub names: Vec<String>,
    /// What it was read from: the certificate, its part that was to be signed, or the key.
    pub der: Vec<u8>,
    /// Whether that is a certificate, or a part of one.
    pub is_certificate: bool,
}

impl Bearer {
    /// Reads a key.
    pub(super) fn key(der: &[u8]) -> Option<Self> {
        SubjectPublicKeyInfoOwned::from_der(der).ok()?;
        Some(Self { key: Some(der.to_vec()), names: Vec::new(), der: der.to_vec(), is_certificate: false })
    }

    /// Reads a certificate; one that cannot be read is kept by its bytes.
    pub(super) fn certificate(der: &[u8]) -> Self {
        let read = CertificateInner::<AsLogged>::from_der(der).ok();
        Self::of(der, read.and_then(|certificate| named(&certificate.tbs_certificate)))
    }

    /// Reads what of a certificate was to be signed (RFC 6962, section 3.2).
    pub(super) fn to_be_signed(der: &[u8]) -> Self {
        Self::of(der, TbsCertificateInner::<AsLogged>::from_der(der).ok().and_then(|tbs| named(&tbs)))
    }

    fn of(der: &[u8], read: Option<(Vec<u8>, Vec<String>)>) -> Self {
        let (key, names) = read.map_or((None, Vec::new()), |(key, names)| (Some(key), names));
        Self { key, names, der: der.to_vec(), is_certificate: true }
    }

    /// Reads keys and certificates as Rekor's entries and people's files keep them: PEM, or bare DER.
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        if bytes.first() == Some(&0x30) {
            return vec![Self::key(bytes).unwrap_or_else(|| Self::certificate(bytes))];
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
        let mut found = Vec::new();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("-----BEGIN ") {
            let Some((label, after)) = after.split_once("-----") else { break };
            let Some((body, after)) = after.split_once("-----END ") else { break };
            rest = after;
            let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            // What is not base64 cannot be read, and is kept as it stands.
            let der = crate::from_base64(&body).unwrap_or_else(|| body.into_bytes());
            match label {
                "PUBLIC KEY" => found.push(Self::key(&der).unwrap_or_else(|| Self::certificate(&der))),
                "CERTIFICATE" | "TRUSTED CERTIFICATE" => found.push(Self::certificate(&der)),
                _ => {}
            }
        }
        found
    }
}

/// Key and names of a certificate.
fn named(tbs: &TbsCertificateInner<AsLogged>) -> Option<(Vec<u8>, Vec<String>)> {
    let key = tbs.subject_public_key_info.to_der().ok()?;
    let subject = tbs.subject.0.iter().flat_map(|part| part.0.iter());
    let mut names: Vec<String> = subject.filter_map(text_of).collect();
    for extension in tbs.extensions.iter().flatten().filter(|found| found.extn_id == SUBJECT_ALTERNATIVE) {
        let others = SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?;
        names.extend(others.0.iter().filter_map(alternative));
    }
    (names.len() <= NAMES_MAX).then_some((key, names))
}

fn alternative(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Rfc822Name(text)
        | GeneralName::DnsName(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        // Fulcio writes the names of users so (1.3.6.1.4.1.57264.1.7).
        GeneralName::OtherName(other) => text(&other.value),
        _ => None,
    }
}

fn text_of(part: &AttributeTypeAndValue) -> Option<String> {
    text(&part.value)
}

fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::BmpString => Some(value.decode_as::<BmpString>().ok()?.to_string()),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString | Tag::VisibleString => {
            Some(String::from_utf8_lossy(value.value()).into_owned())
        }
        _ => None,
    }
}
