//! Exported pages of public logs, searched for our keys, certificates and names.
//!
//! A signature there by one of our keys must be one that our log has; one under one of our names must be over what a signing event
//! came to; a certificate for one of our keys or names must be one that we know. Our log's own entries are followed to their
//! intents elsewhere ([`crate::log`]).

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use attest::exported::{self, Bearer, Exported, Page};
use evidence::{Digest, Finding, Problem, Subject};
use judge::codes;

use super::{MonitorReport, Sweep, byte_path, walk};
use crate::error::{Error, Result};
use crate::files;
use crate::world::World;

/// What a data tile begins with that was kept as it was sent.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// More findings of one run are not kept: by then it is clear.
const FINDINGS_MAX: usize = 10_000;

/// What is ours: keys, names, certificates that we know of.
struct Ours {
    keys: BTreeSet<Vec<u8>>,
    names: Vec<Name>,
    certificates: Vec<Vec<u8>>,
}

/// A name to look for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Name {
    /// Exactly this one, in small letters.
    Exact(String),
    /// Whatever ends so: `*.example.com`, `@example.com`.
    Ending(String),
    /// Whatever begins so: `https://github.com/example/*`.
    Beginning(String),
}

impl Name {
    fn parse(text: &str) -> Result<Self> {
        let small = text.trim().to_ascii_lowercase();
        let name = match (small.strip_prefix('*'), small.strip_suffix('*')) {
            (Some(ending), None) => Self::Ending(ending.to_owned()),
            (None, Some(beginning)) => Self::Beginning(beginning.to_owned()),
            _ if small.starts_with('@') => Self::Ending(small),
            _ => Self::Exact(small),
        };
        let words = name.words();
        if words.len() < 3 || words.contains('*') {
            return Err(Error::Identity(text.to_owned()));
        }
        Ok(name)
    }

    fn words(&self) -> &str {
        match self {
            Self::Exact(words) | Self::Ending(words) | Self::Beginning(words) => words,
        }
    }

    fn fits(&self, found: &str) -> bool {
        let found = found.to_ascii_lowercase();
        match self {
            Self::Exact(words) => found == *words,
            Self::Ending(words) => found.ends_with(words.as_str()),
            Self::Beginning(words) => found.starts_with(words.as_str()),
        }
    }
}

/// How an entry is ours.
enum Match {
    Key(String),
    Name(String),
    /// In a certificate that cannot be read.
    Bytes(String),
}

impl Ours {
    fn gather(world: &World, signers: &BTreeSet<String>, what: &super::Monitor) -> Result<Self> {
        let trust = &world.trust;
        let mut keys: BTreeSet<Vec<u8>> = BTreeSet::new();
        for key in [world.release_keys(), world.builder_keys(), world.approver_keys()].into_iter().flatten() {
            keys.insert(key.der().to_vec());
        }
        let mut names: Vec<Name> =
            what.identities.iter().map(|text| Name::parse(text)).collect::<Result<_>>()?;
        let authorities = trust.authorities.iter().map(|authority| authority.identity.clone());
        names.extend(
            authorities.chain(signers.iter().cloned()).map(|name| Name::Exact(name.to_ascii_lowercase())),
        );
        let mut certificates = Vec::new();
        for path in &what.certificates {
            let bearers = Bearer::all(&files::read(path, 1 << 20)?);
            if bearers.is_empty() || bearers.iter().any(|bearer| bearer.key.is_none()) {
                return Err(Error::NoCertificate(path.clone()));
            }
            for bearer in bearers {
                keys.extend(bearer.key);
                if bearer.is_certificate {
                    certificates.push(bearer.der);
                }
            }
        }
        Ok(Self { keys, names, certificates })
    }

    fn find(&self, bearer: &Bearer) -> Option<Match> {
        let Some(key) = &bearer.key else {
            // What cannot be read is searched for the bytes of keys and names.
            let text = String::from_utf8_lossy(&bearer.der).to_ascii_lowercase();
            let named = self.names.iter().find(|name| text.contains(name.words()));
            let holds = |key: &&Vec<u8>| bearer.der.windows(key.len()).any(|part| part == key.as_slice());
            let keyed = self.keys.iter().find(holds).map(|key| Digest::of(key).short());
            return keyed.or_else(|| named.map(|name| name.words().to_owned())).map(Match::Bytes);
        };
        if self.keys.contains(key) {
            return Some(Match::Key(Digest::of(key).short()));
        }
        let named = |found: &&String| self.names.iter().any(|name| name.fits(found));
        bearer.names.iter().find(named).cloned().map(Match::Name)
    }

    fn knows(&self, bearer: &Bearer) -> bool {
        self.certificates.iter().any(|known| exported::same_certificate(&bearer.der, known))
    }
}

/// Searches everything.
pub(super) fn search(sweep: &Sweep<'_>, what: &super::Monitor, report: &mut MonitorReport) -> Result<()> {
    let ours = Ours::gather(sweep.world, &sweep.signers, what)?;
    let mut claims = Vec::new();
    for path in &what.public_logs {
        walk(path, &mut |at, _| {
            let name = at.to_string_lossy();
            if exported::is_beside(&name) {
                return Ok(());
            }
            match page(at, &name) {
                Ok(page) => entries(sweep, &ours, at, &page, &mut claims, report)?,
                Err(detail) => {
                    report.problems.push(Problem {
                        path: byte_path(at),
                        kind: "not-a-log-page".into(),
                        detail,
                    });
                }
            }
            Ok(())
        })?;
    }
    settle(sweep.world, claims, report)
}

fn page(path: &Path, name: &str) -> std::result::Result<Page, String> {
    let mut bytes = files::read(path, exported::PAGE_MAX_BYTES as u64).map_err(|error| error.to_string())?;
    if bytes.starts_with(GZIP) {
        let mut opened = Vec::new();
        let limit = exported::PAGE_MAX_BYTES as u64 + 1;
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .take(limit)
            .read_to_end(&mut opened)
            .map_err(|error| error.to_string())?;
        bytes = opened;
    }
    exported::read(name, &bytes).map_err(|error| error.to_string())
}

/// A signature by one of our keys, which is in order if our log has it.
struct Claim {
    key: Vec<u8>,
    signature: Vec<u8>,
    finding: Finding,
}

fn entries(
    sweep: &Sweep<'_>,
    ours: &Ours,
    path: &Path,
    page: &Page,
    claims: &mut Vec<Claim>,
    report: &mut MonitorReport,
) -> Result<()> {
    let mut problem = |kind: &str, count: usize, first: String| {
        if count > 0 {
            let detail = format!("{count} entries cannot be read; the first: {first}");
            report.problems.push(Problem { path: byte_path(path), kind: kind.into(), detail });
        }
    };
    let first = page.unread.first().map(|(position, why)| format!("number {position}: {why}"));
    problem("unread-entry", page.unread.len(), first.unwrap_or_default());
    let unread = |entry: &&Exported| {
        entry.signed.iter().any(|signed| signed.bearer.key.is_none() && ours.find(&signed.bearer).is_none())
    };
    let opaque: Vec<&Exported> = page.entries.iter().filter(unread).collect();
    let first = opaque.first().map(|entry| format!("number {}", entry.position));
    problem("unread-certificate", opaque.len(), first.unwrap_or_default());
    report.public_entries += page.entries.len() as u64;
    for entry in &page.entries {
        for signed in &entry.signed {
            let Some(found) = ours.find(&signed.bearer) else { continue };
            report.public_sightings += 1;
            if report.findings.len() + claims.len() >= FINDINGS_MAX {
                let detail = format!("more than {FINDINGS_MAX} findings: the rest is not listed");
                report.problems.push(Problem { path: byte_path(path), kind: "too-many".into(), detail });
                return Ok(());
            }
            let place = entry.index.map_or_else(
                || format!("entry number {} of the page", entry.position),
                |index| format!("entry {index}"),
            );
            let digest = entry.digests.first().copied().unwrap_or_else(|| Digest::of(&signed.bearer.der));
            let finding = |why: &str| {
                let who = match &found {
                    Match::Key(key) => format!("our key {key}"),
                    Match::Name(name) => format!("our name `{name}`"),
                    Match::Bytes(words) => format!("`{words}`, in a certificate that cannot be read"),
                };
                let because = format!("{place} ({}) has {who}, and {why}", entry.kind);
                let subject = Subject { path: Some(byte_path(path)), digest: Some(digest) };
                codes::UNRECORDED_SIGNATURE.finding(subject, vec![because])
            };
            match (&found, &signed.signature, &signed.bearer.key) {
                (Match::Key(_), Some(signature), Some(key)) => claims.push(Claim {
                    key: key.clone(),
                    signature: signature.clone(),
                    finding: finding("our log does not have this signature"),
                }),
                (Match::Name(_), Some(_), _) => {
                    if !any_event(sweep, &entry.digests)? {
                        report.findings.push(finding("no signing event of our log came to these bytes"));
                    }
                }
                _ if ours.knows(&signed.bearer) => {}
                _ if signed.bearer.is_certificate => {
                    report.findings.push(finding("it is no certificate that we know"));
                }
                _ => report.findings.push(finding("there is no signature to compare with our log")),
            }
        }
    }
    Ok(())
}

fn any_event(sweep: &Sweep<'_>, digests: &[Digest]) -> Result<bool> {
    for digest in digests {
        if sweep.is_logged_event(digest)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One way through our log for all claims.
fn settle(world: &World, mut claims: Vec<Claim>, report: &mut MonitorReport) -> Result<()> {
    for index in 0..report.size {
        if claims.is_empty() {
            return Ok(());
        }
        let leaf = world.leaf(index)?;
        claims.retain(|claim| {
            leaf.credential.key().der() != claim.key.as_slice() || leaf.signature != claim.signature
        });
    }
    report.findings.extend(claims.into_iter().map(|claim| claim.finding));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_exactly_or_by_one_end() {
        let fits = |name: &str, found: &str| Name::parse(name).unwrap().fits(found);
        assert!(fits("Release@Example.com", "release@example.COM"));
        assert!(!fits("release@example.com", "prerelease@example.com"));
        assert!(fits("@example.com", "anybody@example.com") && !fits("@example.com", "a@example.com.evil"));
        assert!(fits("*.example.com", "www.example.com") && !fits("*.example.com", "notexample.com"));
        assert!(fits("https://host/acme/*", "https://host/acme/app/.github/workflows/x@refs/heads/main"));
        assert!(!fits("https://host/acme/*", "https://host/acmeevil/x"));
        for bad in ["", "*", "a", "*a", "a*b*", "*a*b", "*abc*"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }
}
