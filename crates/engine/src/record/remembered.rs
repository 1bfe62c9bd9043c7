//! The digests that earlier builds have left: a file in the store, signed by the builder's key.
//!
//! Whoever could write this file unseen could make a poisoned compiler pass for a clean one, so only the holder of the
//! key writes it, and one whose signature is not right is not used. It is a cache: without it everything is hashed.

use attest::Signer;
use host::Remembered;

use crate::error::{Error, Result};
use crate::files;
use crate::world::World;

/// What the signature is about, so that it is good for nothing else.
const PURPOSE: &[u8] = b"countersign: digests of this machine's files\n";
/// Two hundred thousand lines.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// Reads what may be used; nothing, if anything about the file is not as it should be.
pub(super) fn load(world: &World, builder: &dyn Signer) -> Remembered {
    let path = world.layout().digests();
    let usable = || {
        let bytes = files::read(&path, FILE_MAX_BYTES).ok()?;
        let (signature, text) = split(&bytes)?;
        builder.public_key().verifies(&[PURPOSE, text].concat(), signature).then_some(())?;
        Remembered::decode(text).ok()
    };
    usable().unwrap_or_else(Remembered::default)
}

/// Adds what a build has learned. The file is replaced as a whole; of two builds that end at the same time one is
/// forgotten.
pub(super) fn save(
    world: &World,
    builder: &dyn Signer,
    mut known: Remembered,
    learned: Remembered,
) -> Result<()> {
    known.merge(learned);
    let text = known.encode();
    let signature =
        builder.sign(&[PURPOSE, &text].concat()).map_err(|source| Error::Key { name: "builder", source })?;
    // A P-256 signature in DER has at most 72 bytes.
    let length = u8::try_from(signature.len()).map_err(|_| Error::Key {
        name: "builder",
        source: attest::KeyError::Crypto("sign in the expected form"),
    })?;
    files::write(&world.layout().digests(), &[&[length], signature.as_slice(), &text].concat())
}

/// The length of the signature, the signature, the text.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}
