//! The timestamp authority of a served log: RFC 3161 over its own key, certified once by a root whose key is thrown away.
//!
//! Order of effects when it is made: the key, the root's certificate, its own certificate. A crash in between leaves files that the
//! next start makes anew: an authority without its last file has stamped nothing.

use std::path::{Path, PathBuf};

use attest::authority::{TimestampAuthority, create_timestamps};
use attest::key::Cost;
use attest::timestamp::{Request, Stamper, refusal};
use attest::{Certificate, EncryptedKey, KeyPair, Signer as _};
use evidence::Timestamp;

use crate::authority::random;
use crate::error::{Error, Result};
use crate::files;
use crate::world::{Passphrase, log_error};

/// An authority that is ready to stamp.
pub(crate) struct Stamping {
    key: KeyPair,
    authority: TimestampAuthority,
}

impl Stamping {
    /// Opens the authority in a log's folder, and makes it if there is none.
    pub(crate) fn open(folder: &Path, origin: &str, passphrase: &Passphrase, now: Timestamp) -> Result<Self> {
        let at = |name: &str| folder.join(name);
        let paths = [at("timestamp-key.pem"), at("timestamp-root.der"), at("timestamp.der")];
        if !paths[2].is_file() {
            make(&paths, origin, passphrase, now)?;
        }
        let encrypted = EncryptedKey::from_pem(files::read_text(&paths[0], 1 << 16)?);
        let key = encrypted
            .open_p256(passphrase.word())
            .map_err(|source| Error::Key { name: "timestamp", source })?;
        let read = |path: &PathBuf| -> Result<Certificate> {
            Certificate::from_der(&files::read(path, 1 << 16)?).map_err(Error::Authority)
        };
        let authority = TimestampAuthority { root: read(&paths[1])?, certificate: read(&paths[2])? };
        if authority.certificate.key() == key.public_key() {
            return Ok(Self { key, authority });
        }
        Err(log_error(std::io::Error::other("the timestamp certificate is for another key")))
    }

    /// Root and certificate.
    pub(crate) fn authority(&self) -> &TimestampAuthority {
        &self.authority
    }

    /// Answers a request. What cannot be stamped is refused in the form of the standard.
    pub(crate) fn answer(&self, request: &[u8], now: Timestamp) -> Result<Vec<u8>> {
        let stamper = Stamper {
            signer: &self.key,
            certificate: &self.authority.certificate,
            root: &self.authority.root,
        };
        match Request::read(request) {
            Ok(request) => stamper.respond(&request, now, random()?),
            Err(error) => refusal(error),
        }
        .map_err(Error::Authority)
    }
}

fn make(paths: &[PathBuf; 3], origin: &str, passphrase: &Passphrase, now: Timestamp) -> Result<()> {
    let key = |source| Error::Key { name: "timestamp", source };
    for path in paths {
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Write { path: path.clone(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    let (_, root) = EncryptedKey::generate_p256(passphrase.bytes(), Cost::Machine).map_err(key)?;
    let (file, pair) = EncryptedKey::generate_p256(passphrase.bytes(), Cost::Machine).map_err(key)?;
    let serials = [random()?, random()?];
    let made = create_timestamps(&root, pair.public_key(), origin, now, serials).map_err(Error::Authority)?;
    files::write_secret(&paths[0], file.pem().as_bytes())?;
    files::write(&paths[1], made.root.der())?;
    files::write(&paths[2], made.certificate.der())
}
