//! Windows catalogs without a signature, for signers to sign ([MS-CAESO]; RFC 2315).

use sha2::{Digest, Sha256};

use crate::authenticode::image_data;
use crate::der::{element, holding, integer, null, oid, sequence, set};
use crate::pe::{CERTIFICATE_ENTRY_AT, CHECKSUM_AT};

const SHA256_OID: &str = "2.16.840.1.101.3.4.2.1";

/// What a catalog lists an image by that has no signature of its own: SHA-256 without checksum and entry of the certificate table, padded
/// to eight bytes.
pub fn image_digest(image: &[u8]) -> Vec<u8> {
    let mut file = image.to_vec();
    file.resize(file.len().next_multiple_of(8), 0);
    let mut hasher = Sha256::new();
    hasher.update(&file[..CHECKSUM_AT]);
    hasher.update(&file[CHECKSUM_AT + 4..CERTIFICATE_ENTRY_AT]);
    hasher.update(&file[CERTIFICATE_ENTRY_AT + 8..]);
    hasher.finalize().to_vec()
}

/// Makes the list of a catalog, without its tag and length, of files: names, and SHA-256.
pub fn catalog_list(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let attribute = |kind: &str, value: Vec<u8>| sequence(&[oid(kind), set(&[value])]);
    let subjects: Vec<Vec<u8>> = files
        .iter()
        .map(|(name, digest)| {
            let tag: Vec<u8> = "File".encode_utf16().flat_map(u16::to_be_bytes).collect();
            let value: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
            let named = sequence(&[element(0x1e, &tag), integer(0x1001_0001), element(4, &value)]);
            let data = image_data();
            let indirect =
                sequence(&[data, sequence(&[sequence(&[oid(SHA256_OID), null()]), element(4, digest)])]);
            let attributes =
                [attribute("1.3.6.1.4.1.311.12.2.1", named), attribute("1.3.6.1.4.1.311.2.1.4", indirect)];
            sequence(&[element(4, digest), set(&attributes)])
        })
        .collect();
    [
        sequence(&[oid("1.3.6.1.4.1.311.12.1.1")]),
        element(4, &[7; 16]),
        element(0x17, b"260101000000Z"),
        sequence(&[oid("1.3.6.1.4.1.311.12.1.2"), null()]),
        sequence(&subjects),
    ]
    .concat()
}

/// Makes a catalog that nobody has signed yet.
pub fn catalog(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let list = element(0x30, &catalog_list(files));
    let content = sequence(&[oid("1.3.6.1.4.1.311.10.1"), holding(0xa0, &[list])]);
    let data = sequence(&[integer(1), set(&[]), content, set(&[])]);
    sequence(&[oid("1.2.840.113549.1.7.2"), holding(0xa0, &[data])])
}
