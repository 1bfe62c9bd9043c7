//! Android packages signed with a test certificate of our own.
//!
//! Source: APK Signature Scheme v2 and v3 (<https://source.android.com/docs/security/features/apksigning/v2>).

use sha2::{Digest, Sha256};

use crate::TestSigner;

const END_BYTES: usize = 22;
const ECDSA_SHA256: u32 = 0x0201;
const CHUNK_BYTES: usize = 1 << 20;
const V2: u32 = 0x7109_871a;
const V3: u32 = 0xf053_68c0;

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn pair(id: u32, value: &[u8]) -> Vec<u8> {
    [&((value.len() + 4) as u64).to_le_bytes()[..], &id.to_le_bytes(), value].concat()
}

impl TestSigner {
    /// Signs a zip without a comment by schemes v2 and v3.
    ///
    /// # Panics
    /// If it has no end record at its end.
    pub fn sign_package(&self, zip: &[u8]) -> Vec<u8> {
        let end = zip.len() - END_BYTES;
        assert!(zip[end..].starts_with(b"PK\x05\x06"), "a zip without a comment");
        let directory = u32::from_le_bytes([zip[end + 16], zip[end + 17], zip[end + 18], zip[end + 19]]);
        let at = directory as usize;
        let (mut digests, mut count) = (Vec::new(), 0_u32);
        // Without a block, the end record leads to where the block will be.
        for chunk in [&zip[..at], &zip[at..end], &zip[end..]].iter().flat_map(|part| part.chunks(CHUNK_BYTES))
        {
            let head = [&[0xa5][..], &(chunk.len() as u32).to_le_bytes()].concat();
            digests.extend(Sha256::new().chain_update(head).chain_update(chunk).finalize());
            count += 1;
        }
        let head = [&[0x5a][..], &count.to_le_bytes()].concat();
        let digest = Sha256::new().chain_update(head).chain_update(digests).finalize();
        let stated = part(&part(&[&ECDSA_SHA256.to_le_bytes()[..], &part(&digest)].concat()));
        let certificates = part(&part(self.certificate()));
        let levels = [28_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
        let signer = |data: Vec<u8>, levels: &[u8]| {
            let signature = [&ECDSA_SHA256.to_le_bytes()[..], &part(&self.signature(&data))].concat();
            let parts = [part(&data), levels.to_vec(), part(&part(&signature)), part(self.public_key())];
            part(&part(&parts.concat()))
        };
        // The earlier scheme says that there is the later one.
        let later = part(&part(&[0xbeef_f00d_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat()));
        let v2 = signer([stated.clone(), certificates.clone(), later].concat(), &[]);
        let v3 = signer([stated, certificates, levels.clone(), part(&[])].concat(), &levels);
        let pairs = [pair(V2, &v2), pair(V3, &v3)].concat();
        let size = ((pairs.len() + 24) as u64).to_le_bytes();
        let block = [&size[..], &pairs, &size, b"APK Sig Block 42"].concat();
        let mut record = zip[end..].to_vec();
        record[16..20].copy_from_slice(&(directory + block.len() as u32).to_le_bytes());
        [&zip[..at], &block, &zip[at..end], &record].concat()
    }
}
