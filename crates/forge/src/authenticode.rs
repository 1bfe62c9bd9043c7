//! Authenticode with a test certificate of our own, and the trick of hiding bytes beside a valid signature.
//!
//! Source: "Windows Authenticode Portable Executable Signature Format" (2008); RFC 2315; RFC 5280.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use sha2::{Digest, Sha256};

use crate::catalog::image_digest;
use crate::der::{element, holding, integer, null, oid, sequence, set};
use crate::pe::CERTIFICATE_ENTRY_AT;

const SHA256_OID: &str = "2.16.840.1.101.3.4.2.1";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const LIST: &str = "1.3.6.1.4.1.311.10.1";
const SPC_INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";

/// A key with a self-signed certificate that says it is for tests.
pub struct TestSigner {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    public: Vec<u8>,
    issuer: Vec<u8>,
}

impl TestSigner {
    /// Makes a new key and certificate under a common name.
    ///
    /// # Panics
    /// If the system has no randomness.
    pub fn new(name: &str) -> Self {
        #[expect(clippy::unwrap_used, reason = "without randomness there is no test key")]
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let attribute =
            |kind: &str, value: &str| set(&[sequence(&[oid(kind), element(0x0c, value.as_bytes())])]);
        let issuer =
            sequence(&[attribute("2.5.4.10", "Countersign Test (harmless)"), attribute("2.5.4.3", name)]);
        let validity = sequence(&[element(0x17, b"230101000000Z"), element(0x17, b"490101000000Z")]);
        let public = [&[0], key.public_key().as_ref()].concat();
        let info = sequence(&[
            sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]),
            element(3, &public),
        ]);
        // Code signing (RFC 5280, section 4.2.1.12).
        let usage = element(4, &sequence(&[oid("1.3.6.1.5.5.7.3.3")]));
        let public = info.clone();
        let extensions = holding(0xa3, &[sequence(&[sequence(&[oid("2.5.29.37"), usage])])]);
        let body = sequence(&[
            holding(0xa0, &[integer(2)]),
            integer(0x3cc5),
            sequence(&[oid(ECDSA_SHA256)]),
            issuer.clone(),
            validity,
            issuer.clone(),
            info,
            extensions,
        ]);
        let mut signer = Self { key, certificate: Vec::new(), public, issuer };
        let signature = [&[0], signer.signature(&body).as_slice()].concat();
        signer.certificate = sequence(&[body, sequence(&[oid(ECDSA_SHA256)]), element(3, &signature)]);
        signer
    }

    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Signs the list of a catalog, as [`crate::catalog_list`] makes it.
    pub fn sign_catalog(&self, list: &[u8]) -> Vec<u8> {
        self.signed_data(LIST, list)
    }

    pub(crate) fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        #[expect(clippy::unwrap_used, reason = "without randomness there is no test signature")]
        let signature = self.key.sign(&SystemRandom::new(), bytes).unwrap();
        signature.as_ref().to_vec()
    }

    /// Signs an image that has no signature yet.
    pub fn sign(&self, image: &[u8]) -> Vec<u8> {
        let mut file = image.to_vec();
        file.resize(file.len().next_multiple_of(8), 0);
        let structure = self.pkcs7(&image_digest(image));
        let start = file.len() as u32;
        let length = (8 + structure.len()).next_multiple_of(8) as u32;
        file[CERTIFICATE_ENTRY_AT..CERTIFICATE_ENTRY_AT + 4].copy_from_slice(&start.to_le_bytes());
        file[CERTIFICATE_ENTRY_AT + 4..CERTIFICATE_ENTRY_AT + 8].copy_from_slice(&length.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(0x0200_u16.to_le_bytes());
        file.extend(0x0002_u16.to_le_bytes());
        file.extend(structure);
        file.resize((start + length) as usize, 0);
        file
    }

    fn pkcs7(&self, image_digest: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[oid(SHA256_OID), null()]);
        let data = image_data();
        let indirect = [data, sequence(&[algorithm, element(4, image_digest)])].concat();
        self.signed_data(SPC_INDIRECT_DATA, &indirect)
    }

    /// Signs a sequence, given by what is in it.
    fn signed_data(&self, kind: &str, inner: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[oid(SHA256_OID), null()]);
        let content = sequence(&[oid(kind), holding(0xa0, &[element(0x30, inner)])]);
        let attribute = |kind: &str, value: Vec<u8>| sequence(&[oid(kind), set(&[value])]);
        let attributes = [
            attribute("1.2.840.113549.1.9.3", oid(kind)),
            // The digest is over the content without its outer tag and length (RFC 2315, section 9.3).
            attribute("1.2.840.113549.1.9.4", element(4, &Sha256::digest(inner))),
        ];
        let signed = set(&attributes);
        let signer = sequence(&[
            integer(1),
            sequence(&[self.issuer.clone(), integer(0x3cc5)]),
            algorithm.clone(),
            element(0xa0, &attributes.concat()),
            sequence(&[oid(ECDSA_SHA256)]),
            element(4, &self.signature(&signed)),
        ]);
        let signed_data = sequence(&[
            integer(1),
            set(&[algorithm]),
            content,
            element(0xa0, &self.certificate),
            set(&[signer]),
        ]);
        sequence(&[oid(SIGNED_DATA), holding(0xa0, &[signed_data])])
    }
}

/// `SpcPeImageData`: no flags, the file named `<<<Obsolete>>>` as every signer does.
pub(crate) fn image_data() -> Vec<u8> {
    let obsolete: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let file = holding(0xa0, &[holding(0xa2, &[element(0x80, &obsolete)])]);
    sequence(&[oid("1.3.6.1.4.1.311.2.1.15"), sequence(&[element(3, &[0]), file])])
}

/// Hides bytes inside the certificate table of a signed image: the digest that the signature covers stays the same,
/// and so does the verdict of everybody who asks only for that. The table must be at the end.
///
/// # Panics
/// If the image has no certificate table at its end.
pub fn stuff_certificate_table(image: &[u8], payload: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]]);
    let (start, size) = (word(CERTIFICATE_ENTRY_AT), word(CERTIFICATE_ENTRY_AT + 4));
    assert_eq!((start + size) as usize, image.len(), "a signed image with its table at the end");
    let mut file = image.to_vec();
    file.extend_from_slice(payload);
    file.resize(file.len().next_multiple_of(8), 0);
    let length = (file.len() as u32) - start;
    file[CERTIFICATE_ENTRY_AT + 4..CERTIFICATE_ENTRY_AT + 8].copy_from_slice(&length.to_le_bytes());
    file[start as usize..start as usize + 4].copy_from_slice(&length.to_le_bytes());
    file
}
