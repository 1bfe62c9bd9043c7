//! Facts about embedded code signatures.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a code signature block holds. Facts about the bytes; whether the signer is trusted is not asked here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSignature {
    /// `authenticode`, `apple`, `msi`, `cab`, `apk`, `catalog` or `jar`; of a file beside: `openpgp`, `minisign`.
    pub kind: String,
    /// Whether the signed digest equals the digest recomputed over the image; absent if it could not be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest_matches: Option<bool>,
    /// The recomputed image digest (Authenticode), hexadecimal with its algorithm: `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_digest: Option<String>,
    /// The signer certificate's common name; of a detached signature, the number or fingerprint of the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// The signer certificate's organisation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organisation: Option<String>,
    /// Size of the whole certificate table in bytes.
    pub table_bytes: u64,
    /// Size of the PKCS#7 structure in bytes.
    pub signature_bytes: u64,
    /// Number of `WIN_CERTIFICATE` entries.
    pub entries: u32,
    /// Bytes after the PKCS#7 inside the table (padding up to 7 zero bytes is normal).
    pub trailing_bytes: u64,
    /// Whether any of those bytes is not zero.
    pub trailing_nonzero: bool,
    /// Entropy of those bytes in thousandths of a bit per byte.
    pub trailing_entropy_millibits: u32,
    /// Bytes of the file after the certificate table.
    pub bytes_after_table: u64,
    /// Unsigned attribute types that no honest signer uses (dotted OIDs).
    pub unknown_attributes: BTreeSet<String>,
    /// Size of the largest certificate in bytes.
    pub largest_certificate_bytes: u64,
    /// Offset of the certificate table, or of the Apple code signature, in the image.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub table_offset: u64,
    /// Whether the signer's signature over the signed attributes verifies with the signer's certificate, and the
    /// attributes' digest is that of the signed content; absent if the algorithm is not known. Trust in the
    /// certificate is another question.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature_valid: Option<bool>,
    /// Subjects (common names) from the signer's certificate upwards, as far as the file holds the issuers.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub chain: Vec<String>,
    /// Whether each certificate of the chain is signed by the next one; absent if an algorithm is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chain_valid: Option<bool>,
    /// Whether the chain ends in a self-issued certificate inside the file.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub chain_complete: bool,
    /// Time that the RFC 3161 timestamp or countersignature states, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed_at: Option<String>,
    /// Whether that timestamp is for this signature, verifies, and the certificates of its chain sign each other; absent without one,
    /// or if an algorithm is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp_valid: Option<bool>,
    /// Who made the timestamp: the certificate's common name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp_signer: Option<String>,
    /// Whether its chain leads to one of the certificates that were given as roots of timestamps, and its certificate is for timestamps;
    /// absent if none were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp_leads_to_root: Option<bool>,
    /// Whether every certificate of the chain was valid at that time; absent without a time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub valid_when_signed: Option<bool>,
    /// Whether the chain leads to one of the certificates that were given as roots; absent if none were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leads_to_root: Option<bool>,
    /// Whether the page hashes in the signature are those of the image; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub page_hashes_match: Option<bool>,
    /// Signatures nested in unsigned attributes.
    #[serde(skip_serializing_if = "is_zero_u32", default)]
    pub nested: u32,
    /// Entries of the certificate table that are not of type PKCS#7, revision 2.
    #[serde(skip_serializing_if = "is_zero_u32", default)]
    pub unknown_entries: u32,
    /// Size of the largest unsigned attribute in bytes, nested signatures and timestamps not counted.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub largest_attribute_bytes: u64,
    /// Subjects of certificates that belong to no signer's chain.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub stray_certificates: BTreeSet<String>,
    /// Bytes that the signature does not cover and that are neither part of it nor padding, in file order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub uncovered: Vec<Uncovered>,
    /// Android: schemes that the signature says the file is signed with as well, and that are not there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub missing_schemes: BTreeSet<String>,
    /// Apple: the identifier in the code directory. Android: the digest of the signer's certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identifier: Option<String>,
    /// Apple: the team identifier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub team: Option<String>,
    /// Apple: flags of the code directory (`adhoc`, `runtime`, `library-validation`, …). Android: the schemes (`v1`, `v2`, `v3`, `v3.1`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub flags: BTreeSet<String>,
    /// Apple: keys of the entitlements.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub entitlements: BTreeSet<String>,
    /// Apple: digest of the entitlements blob.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entitlements_digest: Option<Digest>,
    /// Apple: digest of the code directory (cdhash), hexadecimal with its algorithm.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code_digest: Option<String>,
}

/// A stretch of bytes that a signature does not cover.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncovered {
    /// Where: `behind the PKCS#7`, `between entries`, `second entry`, `unsigned attribute 1.2.3`, ….
    pub place: String,
    /// Offset in the image.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Shannon entropy in thousandths of a bit per byte, 0 to 8000.
    pub entropy_millibits: u32,
    /// The vendor's tag that these bytes are, if their content is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}
