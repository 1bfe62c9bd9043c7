//! Whose statements count: as the policy says, for a while, with a reason. What is not heard is counted, never dropped.

use std::collections::BTreeMap;

use attest::PublicKey;
use evidence::{Digest, Timestamp};
use feeds::snapshot::Opened;
use feeds::vex::{About, Envelope, Statement, Status};
use judge::policy::{Advisories, Heard};

use crate::error::{Error, Result};

/// Who is heard.
pub(super) struct Hearing {
    issuers: Vec<Issuer>,
    signed_only: bool,
    max_days: u32,
    now: Timestamp,
}

struct Issuer {
    name: String,
    key: PublicKey,
    products: Vec<String>,
}

impl Hearing {
    /// Reads who is heard out of a policy.
    pub(super) fn of(policy: &Advisories, now: Timestamp) -> Result<Self> {
        let issuers = policy.issuers.iter().map(|(name, issuer)| {
            let key = public_key(&issuer.key).ok_or_else(|| Error::Issuer(name.clone()))?;
            Ok(Issuer { name: name.clone(), key, products: issuer.products.clone() })
        });
        Ok(Self {
            issuers: issuers.collect::<Result<_>>()?,
            signed_only: policy.vex == Heard::Signed,
            max_days: policy.vex_max_days,
            now,
        })
    }

    /// Says who signed an envelope. What it is signed by is remembered as name and key: another key of the name is somebody else.
    pub(super) fn opened(&self, envelope: &Envelope) -> Opened {
        if self.issuers.is_empty() {
            return Opened::Unasked;
        }
        let signed = self.issuers.iter().find(|issuer| {
            envelope.signatures.iter().any(|signature| issuer.key.verifies(&envelope.signed, signature))
        });
        signed.map_or(Opened::Unknown, |issuer| Opened::By(issuer.called()))
    }

    /// Tells whether a statement may take a finding away; the error says why not.
    fn hears(&self, statement: &Statement, bytes: &[Digest]) -> std::result::Result<(), &'static str> {
        if !statement.hashes.is_empty() && !statement.hashes.iter().any(|hash| bytes.contains(hash)) {
            return Err("are about other bytes than were seen");
        }
        if statement.status == Status::NotAffected && statement.reason.trim().is_empty() {
            return Err("give no reason");
        }
        let Some(at) = statement.at else { return Err("have no date") };
        if at > self.now {
            return Err("are dated in the future");
        }
        if self.now >= self.expires(at) {
            return Err("have expired");
        }
        let signer = statement.signer.as_deref();
        let issuer = self.issuers.iter().find(|issuer| signer == Some(issuer.called().as_str()));
        match issuer {
            None if self.signed_only => Err("are signed by nobody who is trusted"),
            None => Ok(()),
            Some(issuer) if issuer.may_speak_of(statement) => Ok(()),
            Some(_) => Err("are about products of which their issuer may not speak"),
        }
    }

    /// Until when a statement counts.
    pub(super) fn expires(&self, at: Timestamp) -> Timestamp {
        at.plus_days(self.max_days)
    }

    /// Of what is said, takes the latest word that is heard about these ids and bytes. What would suppress and is not heard is
    /// counted.
    pub(super) fn latest<'a>(
        &self,
        said: &[About<'a>],
        names: &dyn Fn(&str) -> bool,
        bytes: &[Digest],
        unheard: &mut BTreeMap<String, u64>,
    ) -> Option<&'a Statement> {
        let mut latest: Option<&Statement> = None;
        for about in said.iter().filter(|about| about.certain) {
            let statement = about.statement;
            if !statement.vulnerabilities.iter().any(|id| names(id)) {
                continue;
            }
            let suppresses = matches!(statement.status, Status::NotAffected | Status::Fixed);
            match self.hears(statement, bytes) {
                // What says that something is affected needs nobody's leave.
                Err(why) if suppresses => *unheard.entry(why.to_owned()).or_default() += 1,
                _ if latest.is_none_or(|known| known.at <= statement.at) => latest = Some(statement),
                _ => {}
            }
        }
        latest.filter(|one| matches!(one.status, Status::NotAffected | Status::Fixed))
    }
}

impl Issuer {
    fn called(&self) -> String {
        format!("{} {}", self.name, self.key.short())
    }

    fn may_speak_of(&self, statement: &Statement) -> bool {
        let own = |purl: &String| self.products.iter().any(|start| is_below(purl, start));
        self.products.is_empty() || statement.products.iter().all(own)
    }
}

/// `pkg:npm/ours` is the beginning of `pkg:npm/ours@1` and `pkg:npm/ours/x`, and not of `pkg:npm/oursnot`.
fn is_below(purl: &str, start: &str) -> bool {
    let start = start.trim_end_matches(['*', '/']);
    purl.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@', '?', '#']))
}

/// Reads a public key: PEM, or base64 alone.
fn public_key(text: &str) -> Option<PublicKey> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let der = inspect::catalog::base64(&lines.collect::<String>())?;
    PublicKey::from_der(&der).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_speaks_of_what_is_below_its_products() {
        for (purl, start, expected) in [
            ("pkg:npm/ours@1", "pkg:npm/ours", true),
            ("pkg:npm/%40ours/a@1", "pkg:npm/%40ours/*", true),
            ("pkg:npm/oursnot@1", "pkg:npm/ours", false),
            ("pkg:npm/ours", "pkg:npm/ours@1", false),
            ("pkg:npm/ours@10", "pkg:npm/ours@1", false),
        ] {
            assert_eq!(is_below(purl, start), expected, "{purl} {start}");
        }
    }
}
