//! Rules in other languages that the policy names: what a release must be in Rego, who may do what in Cedar, what bytes it must not
//! have in YARA.
//!
//! They are asked besides the built-in checks, never instead: what they say becomes findings that deny. The policy names each file
//! by its digest, and the files go into the vault when the policy is first logged, so that a verification summary, which names the
//! policy's digest, names the very rules. Whatever keeps a rule from being asked denies as well: another digest, a syntax error, an
//! error while it is asked, a program that was built without the language.

#[cfg(feature = "cedar")]
mod cedar;
#[cfg(feature = "rego")]
mod rego;

use std::collections::BTreeMap;
use std::path::Path;

use evidence::record::Record;
use evidence::{Digest, Finding, Subject, Timestamp};
use judge::Policy;
use judge::codes;
use judge::gate::{Approved, Case, Weighed};
use judge::roles::{Actor, Role};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::{self, inspect_with_rules};
use crate::world::World;

/// A longer file of rules is not read.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Public sets of YARA rules come in files of some megabytes.
const YARA_MAX_BYTES: u64 = 16 << 20;

/// What was asked for, or why there is none, in words.
type Answer<T> = std::result::Result<T, String>;
/// A file of rules: its name and its text, or why it cannot be asked.
type RuleFile = (String, Answer<String>);

/// The rules that a policy names, read.
pub(crate) struct Rules {
    rego: Vec<RuleFile>,
    cedar: Vec<RuleFile>,
    yara: Vec<RuleFile>,
}

/// Why somebody may not do what they do.
pub(crate) struct Refusal {
    code: &'static codes::Code,
    /// In words.
    pub(crate) why: String,
}

impl Rules {
    /// Reads the files in the store's folder. What cannot be read denies later.
    pub(crate) fn load(world: &World, policy: &Policy) -> Self {
        let read = |files: &BTreeMap<String, Digest>, most| -> Vec<RuleFile> {
            files.iter().map(|(name, digest)| (name.clone(), text(world, name, digest, most))).collect()
        };
        Self {
            rego: read(&policy.rules.rego, FILE_MAX_BYTES),
            cedar: read(&policy.rules.cedar, FILE_MAX_BYTES),
            yara: read(&policy.rules.yara, YARA_MAX_BYTES),
        }
    }

    /// Whether none asks about a whole case.
    pub(crate) fn ask_nothing(&self) -> bool {
        self.rego.is_empty() && self.cedar.is_empty()
    }

    /// Puts the rules in YARA to the artifact and to every member of it. What they leave open denies as what they match does.
    ///
    /// # Errors
    /// If the artifact cannot be read, or is another one than was hashed.
    pub(crate) fn matched(&self, path: &Path, artifact: &Digest) -> Result<Vec<Finding>> {
        if self.yara.is_empty() {
            return Ok(Vec::new());
        }
        let rules = match compiled(&self.yara) {
            Ok(rules) => rules,
            Err(why) => {
                let name = path.file_name().map(|name| name.as_encoded_bytes().into());
                let subject = Subject { path: name, digest: Some(*artifact) };
                return Ok(vec![codes::RULE_UNANSWERED.finding(subject, vec![why])]);
            }
        };
        let tree = inspect_with_rules(path, &rules)?;
        if tree.root.digest != Some(*artifact) {
            return Err(Error::Unstable(path.to_path_buf()));
        }
        let open = tree.problems.iter().map(judge::gate::unread);
        Ok(judge::matched::matched(&tree).into_iter().chain(open).collect())
    }

    /// The files' bytes, for the vault.
    pub(crate) fn into_bytes(self) -> Vec<Vec<u8>> {
        self.rego
            .into_iter()
            .chain(self.cedar)
            .chain(self.yara)
            .filter_map(|(_, text)| Some(text.ok()?.into_bytes()))
            .collect()
    }

    /// Leaves those approvals that their people may give.
    pub(crate) fn approvals(&self, approvals: Vec<Approved>, record: Option<&Record>) -> Vec<Approved> {
        if self.cedar.is_empty() {
            return approvals;
        }
        let may = |approved: &Approved| {
            let (key, person) = (approved.key.clone(), Some(approved.person.clone()));
            self.refuses(&Actor { role: Role::Approver, key, person }, record).is_none()
        };
        approvals.into_iter().filter(may).collect()
    }

    /// Says why somebody may not do what they do; none if they may, or nobody asks.
    pub(crate) fn refuses(&self, actor: &Actor, record: Option<&Record>) -> Option<Refusal> {
        if self.cedar.is_empty() {
            return None;
        }
        let (who, role) = (actor.person.as_ref().unwrap_or(&actor.key), actor.role.word());
        match permitted(&self.cedar, actor, record) {
            Ok(true) => None,
            Ok(false) => {
                let why =
                    format!("`{who}` may not be {role}: no rule in Cedar permits it, or one forbids it");
                Some(Refusal { code: &codes::ROLE_DENIED, why })
            }
            Err(why) => {
                let why = format!("whether `{who}` may be {role} could not be asked: {why}");
                Some(Refusal { code: &codes::RULE_UNANSWERED, why })
            }
        }
    }

    /// Asks all rules about a case in which something was found already.
    pub(crate) fn judge(&self, case: &Case<'_>, found: &[Weighed], now: Timestamp) -> Vec<Finding> {
        let about = || Subject { path: Some(case.name.clone()), digest: Some(case.artifact) };
        let unanswered = |why: String| codes::RULE_UNANSWERED.finding(about(), vec![why]);
        let mut findings = Vec::new();
        if !self.rego.is_empty() {
            match denials(&self.rego, &input(case, found, now)) {
                Ok(denials) => {
                    findings.extend(
                        denials.into_iter().map(|why| codes::RULE_DENIED.finding(about(), vec![why])),
                    );
                }
                Err(why) => findings.push(unanswered(why)),
            }
        }
        let record = case.record.as_ref().map(|record| record.document);
        let refused = case.actors.iter().filter_map(|actor| self.refuses(actor, record));
        findings.extend(refused.map(|refusal| refusal.code.finding(about(), vec![refusal.why])));
        findings
    }
}

/// The rules in YARA, or why there are none.
fn compiled(files: &[RuleFile]) -> Answer<std::sync::Arc<inspect_path::Rules>> {
    let given = texts(files)?.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
    inspect_path::Rules::of_texts(&given.collect()).map_err(|error| error.to_string())
}

fn text(world: &World, name: &str, digest: &Digest, most: u64) -> Answer<String> {
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{name}` is no name of a file in the store's folder"));
    }
    let path = world.root().join(name);
    let bytes = files::read(&path, most).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(format!("`{name}` is {found}, and the policy names {digest}"));
    }
    String::from_utf8(bytes).map_err(|_| format!("`{name}` is not UTF-8"))
}

/// The text of all files, or why there is none.
fn texts(files: &[RuleFile]) -> Answer<Vec<(&str, &str)>> {
    files
        .iter()
        .map(|(name, text)| Ok((name.as_str(), text.as_ref().map_err(String::clone)?.as_str())))
        .collect()
}

/// What rules in Rego see.
fn input(case: &Case<'_>, found: &[Weighed], now: Timestamp) -> Value {
    let record = case.record.as_ref();
    let actors: Vec<Value> = case
        .actors
        .iter()
        .map(|actor| json!({"role": actor.role.word(), "key": actor.key, "person": actor.person}))
        .collect();
    json!({
        "artifact": {"name": case.name, "digest": case.artifact},
        "record": record.map(|record| record.document),
        "recordDigest": record.map(|record| record.digest),
        "tree": case.tree,
        "findings": found,
        "actors": actors,
        "builders": case.quorum.as_ref().map(|quorum| json!({"agreed": quorum.agreed, "of": quorum.of})),
        "now": now,
    })
}

/// The reasons for which rules in Rego deny.
#[cfg(feature = "rego")]
fn denials(files: &[RuleFile], input: &Value) -> Answer<Vec<String>> {
    rego::denials(&texts(files)?, input)
}

#[cfg(not(feature = "rego"))]
fn denials(files: &[RuleFile], _input: &Value) -> Answer<Vec<String>> {
    texts(files)?;
    Err("the policy has rules in Rego, and this program was built without the feature `rego`".into())
}

/// Whether rules in Cedar permit what somebody does.
#[cfg(feature = "cedar")]
fn permitted(files: &[RuleFile], actor: &Actor, record: Option<&Record>) -> Answer<bool> {
    cedar::permitted(&texts(files)?, actor, record)
}

#[cfg(not(feature = "cedar"))]
fn permitted(files: &[RuleFile], _actor: &Actor, _record: Option<&Record>) -> Answer<bool> {
    texts(files)?;
    Err("the policy has rules in Cedar, and this program was built without the feature `cedar`".into())
}
