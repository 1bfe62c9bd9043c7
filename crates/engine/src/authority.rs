//! `trust authority`: certificates for the release key, so that standard Sigstore clients can check our releases.
//!
//! The store has three more keys then, in `keys/`: that of the root, that of the timestamp authority, that of the certificate log;
//! each file is named after the root. None of them lets anybody release anything: our own verifier asks for a release key of the
//! trust file besides.

use std::path::PathBuf;

use attest::authority::{self, AuthorityKeys, Claims};
use attest::key::Cost;
use attest::timestamp::{Request, Stamper};
use attest::{Authority, EncryptedKey, Envelope, Signer};
use evidence::statement::{KeyChange, KeyStatement, ResourceDescriptor, Statement};
use evidence::{Digest, Timestamp};

use crate::error::{Error, Result};
use crate::files;
use crate::sign::{append_one, signed};
use crate::world::{Passphrase, World, log_error};

/// The parts of an authority that have a key each.
const PARTS: [&str; 3] = ["root", "timestamps", "certificate-log"];

/// What certificates are to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAuthority {
    /// Who signs: a URI.
    pub identity: String,
    /// Who vouches for that name: a URL.
    pub issuer: String,
    /// Where the sources are: `https://HOST/OWNER/NAME`.
    pub source_repository: Option<String>,
    /// Whose authority it is.
    pub organisation: String,
}

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAuthorityMade {
    /// Short name of the root's key.
    pub root: String,
    /// Where the statement about it stands in the log.
    pub log_index: u64,
    /// The trust file that now names it.
    pub trust_file: PathBuf,
}

/// Makes an authority, and ends the one before.
///
/// Order: the key files, the statement in the log, the trust file. A crash after each leaves keys that nobody knows, or a logged
/// authority that no trust file names: neither certifies anything.
pub fn authority_new(world: &World, new: &NewAuthority, passphrase: &Passphrase) -> Result<NewAuthorityMade> {
    check(new)?;
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let generate = || {
        EncryptedKey::generate_p256(passphrase.bytes(), Cost::Machine)
            .map_err(|source| Error::Key { name: "authority", source })
    };
    let made = [generate()?, generate()?, generate()?];
    let keys = AuthorityKeys { root: &made[0].1, timestamps: &made[1].1, certificate_log: &made[2].1 };
    let claims = Claims {
        identity: &new.identity,
        issuer: &new.issuer,
        source_repository: new.source_repository.as_deref(),
    };
    let serials = [random()?, random()?];
    let authority = authority::create(&keys, &claims, &new.organisation, world.now(), serials)
        .map_err(Error::Authority)?;
    for (part, (file, _)) in PARTS.iter().zip(&made) {
        files::write_secret(&world.layout().key(&file_name(&authority, part)), file.pem().as_bytes())?;
    }
    let statement =
        KeyStatement { role: "authority".into(), change: KeyChange::Added, reason: None, since: world.now() };
    let subject = ResourceDescriptor::named("authority", &Digest::of(authority.root.key().der()));
    let envelope = signed(&Statement::new(vec![subject], &statement), &release)?;
    let log_index = append_one(world, &envelope, &log_key)?.index;
    let root = authority.root.key().short();
    let now = world.now();
    let trust_file = world.change_trust(|trust| {
        for before in trust.authorities.iter_mut().filter(|before| before.until.is_none()) {
            before.until = Some(now);
        }
        trust.authorities.push(authority);
    })?;
    Ok(NewAuthorityMade { root, log_index, trust_file })
}

/// Names go into certificates, and their readers compare them byte by byte.
fn check(new: &NewAuthority) -> Result<()> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let bad = |text: &str, why| Err(Error::Claim(text.to_owned(), why));
    if !plain(&new.identity) || !new.identity.contains(':') {
        return bad(&new.identity, "an identity is a URI, such as `https://vendor.example/releases`");
    }
    for url in [Some(&new.issuer), new.source_repository.as_ref()].into_iter().flatten() {
        if !plain(url) || !url.starts_with("https://") {
            return bad(url, "it is an `https://` address");
        }
    }
    if new.organisation.trim().is_empty() || new.organisation.chars().count() > 64 {
        return bad(
            &new.organisation,
            "an organisation is 1 to 64 characters (RFC 5280, `ub-organization-name`)",
        );
    }
    Ok(())
}

/// An authority whose keys are open.
pub(crate) struct OpenAuthority {
    authority: Authority,
    keys: [Box<dyn Signer>; 3],
}

/// Opens the authority that holds at a moment, if the trust file has one.
pub(crate) fn open(world: &World, passphrase: &Passphrase, now: Timestamp) -> Result<Option<OpenAuthority>> {
    let Some(authority) = world.trust.authorities.iter().find(|authority| authority.until.is_none()) else {
        return Ok(None);
    };
    // Before anything is logged.
    authority.can_certify(now).map_err(Error::Authority)?;
    let key = |part: &str| world.open_file_key("authority", &file_name(authority, part), passphrase);
    let keys = [key(PARTS[0])?, key(PARTS[1])?, key(PARTS[2])?];
    Ok(Some(OpenAuthority { authority: authority.clone(), keys }))
}

impl OpenAuthority {
    /// Names the signatory of an envelope by a new certificate, and has the signature stamped.
    pub(crate) fn certified(
        &self,
        envelope: Envelope,
        clock: &dyn Fn() -> Timestamp,
    ) -> Result<(Envelope, Option<Vec<u8>>)> {
        let [root, timestamps, certificate_log] = &self.keys;
        let keys = AuthorityKeys { root, timestamps, certificate_log };
        let certificate = self.authority.certify(&keys, envelope.key(), clock(), random()?);
        let envelope = envelope.certified(certificate.map_err(Error::Authority)?).map_err(log_error)?;
        let stamper = Stamper {
            signer: timestamps,
            certificate: &self.authority.timestamps,
            root: &self.authority.root,
        };
        let request = Request::of(Digest::of(&envelope.signature));
        let timestamp = stamper.respond(&request, clock(), random()?).map_err(Error::Authority)?;
        Ok((envelope, Some(timestamp)))
    }
}

fn file_name(authority: &Authority, part: &str) -> String {
    format!("authority-{}-{part}", authority.root.key().short())
}

/// A random number for a serial.
pub(crate) fn random() -> Result<[u8; 16]> {
    let random = attest::key::random().map_err(|source| Error::Key { name: "authority", source })?;
    let mut serial = [0; 16];
    serial.copy_from_slice(&random[..16]);
    Ok(serial)
}
