//! Who may do what: roles bound to keys by the policy's section `[roles]`.
//!
//! Machines build and sign, people approve, ask for releases and audit. A key of a person never builds or signs, whatever the
//! policy says: everyday keys lie where mail is read and pages are visited.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What somebody does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Signs records and provenance.
    Builder,
    /// Signs releases.
    Signer,
    /// Answers for findings.
    Approver,
    /// Asks for a release.
    Releaser,
    /// Signs what a monitor saw.
    Auditor,
}

impl Role {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Signer => "signer",
            Self::Approver => "approver",
            Self::Releaser => "releaser",
            Self::Auditor => "auditor",
        }
    }

    /// Tells whether it is a machine's.
    const fn is_machine(self) -> bool {
        matches!(self, Self::Builder | Self::Signer)
    }
}

/// Somebody who does something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// What is done.
    pub role: Role,
    /// Short name of the key that does it.
    pub key: String,
    /// Whose key it is, if it is a person's.
    pub person: Option<String>,
}

/// The roles of a policy. A role that is not bound is everybody's whom the trust file names for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roles {
    everyday: BTreeSet<String>,
    bound: BTreeMap<Role, BTreeSet<String>>,
}

/// The section as it is written: keys by their short names, people by theirs.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    everyday: BTreeSet<String>,
    builder: Option<BTreeSet<String>>,
    signer: Option<BTreeSet<String>>,
    approver: Option<BTreeSet<String>>,
    releaser: Option<BTreeSet<String>>,
    auditor: Option<BTreeSet<String>>,
}

/// Roles that one key or person cannot have together.
const APART: &[(Role, Role)] = &[
    (Role::Builder, Role::Signer),
    (Role::Builder, Role::Approver),
    (Role::Builder, Role::Releaser),
    (Role::Builder, Role::Auditor),
    (Role::Signer, Role::Approver),
    (Role::Signer, Role::Releaser),
    (Role::Signer, Role::Auditor),
    (Role::Auditor, Role::Approver),
    (Role::Auditor, Role::Releaser),
];

impl Roles {
    /// Takes the section; says which two roles somebody has that do not go together.
    pub(crate) fn new(file: File) -> Result<Self, String> {
        let written = [
            (Role::Builder, file.builder),
            (Role::Signer, file.signer),
            (Role::Approver, file.approver),
            (Role::Releaser, file.releaser),
            (Role::Auditor, file.auditor),
        ];
        let bound: BTreeMap<Role, BTreeSet<String>> =
            written.into_iter().filter_map(|(role, names)| Some((role, names?))).collect();
        for (role, names) in &bound {
            if let Some(name) = names.intersection(&file.everyday).next().filter(|_| role.is_machine()) {
                return Err(format!("`{name}` is a person's everyday key and {}", role.word()));
            }
        }
        for (one, other) in APART {
            let both = bound.get(one).zip(bound.get(other));
            if let Some(name) = both.and_then(|(one, other)| one.intersection(other).next()) {
                return Err(format!("`{name}` is {} and {}", one.word(), other.word()));
            }
        }
        Ok(Self { everyday: file.everyday, bound })
    }

    /// Tells whether the policy says who has a role.
    pub fn binds(&self, role: Role) -> bool {
        self.bound.contains_key(&role)
    }

    /// Says why somebody may not do what they do; none if they may.
    pub fn refuses(&self, actor: &Actor) -> Option<String> {
        let role = actor.role.word();
        if actor.role.is_machine() {
            if let Some(person) = &actor.person {
                return Some(format!(
                    "the key {} is that of `{person}`: no person's key is {role}",
                    actor.key
                ));
            }
            if self.everyday.contains(&actor.key) {
                return Some(format!("the key {} is a person's everyday key: none is {role}", actor.key));
            }
        }
        let named = self.bound.get(&actor.role)?;
        let is_named = |name: &String| named.contains(name);
        if is_named(&actor.key) || actor.person.as_ref().is_some_and(is_named) {
            return None;
        }
        let who = actor
            .person
            .as_ref()
            .map_or_else(|| format!("the key {}", actor.key), |name| format!("`{name}`"));
        Some(format!("the policy does not name {who} as {role}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &str) -> Result<Roles, String> {
        Roles::new(toml::from_str(text).unwrap())
    }

    fn actor(role: Role, key: &str, person: Option<&str>) -> Actor {
        Actor { role, key: key.into(), person: person.map(str::to_owned) }
    }

    #[test]
    fn an_everyday_key_never_builds_or_signs() {
        let bound = roles("everyday = ['k9']\nbuilder = ['k1']\nsigner = ['k2']").unwrap();
        for role in [Role::Builder, Role::Signer] {
            // In the list or not, of a person whom the trust file names or one whom only the policy knows.
            assert!(bound.refuses(&actor(role, "k9", None)).unwrap().contains("everyday"));
            for roles in [&bound, &Roles::default()] {
                assert!(roles.refuses(&actor(role, "k1", Some("anna"))).unwrap().contains("no person"));
            }
        }
        for text in ["everyday = ['k1']\nbuilder = ['k1']", "everyday = ['k1']\nsigner = ['k1', 'k2']"] {
            assert!(roles(text).unwrap_err().contains("everyday"));
        }
    }

    #[test]
    fn roles_that_exclude_each_other_are_refused() {
        for (one, other) in APART {
            let text = format!("{} = ['x']\n{} = ['x', 'y']", one.word(), other.word());
            assert!(roles(&text).is_err(), "{text}");
        }
        assert!(
            roles("approver = ['anna']\nreleaser = ['anna']").is_ok(),
            "not for the same release, though"
        );
    }

    #[test]
    fn a_role_that_is_bound_is_nobody_else_s() {
        let bound = roles("builder = ['k1']\napprover = ['anna']\nreleaser = []").unwrap();
        assert_eq!(bound.refuses(&actor(Role::Builder, "k1", None)), None);
        assert!(bound.refuses(&actor(Role::Builder, "k2", None)).is_some());
        assert_eq!(bound.refuses(&actor(Role::Approver, "k3", Some("anna"))), None);
        assert!(bound.refuses(&actor(Role::Approver, "k3", Some("ben"))).is_some());
        assert!(
            bound.refuses(&actor(Role::Releaser, "k3", Some("anna"))).is_some(),
            "an empty list is nobody"
        );
        assert_eq!(bound.refuses(&actor(Role::Auditor, "k3", Some("ben"))), None, "not bound");
        assert!(bound.binds(Role::Releaser) && !bound.binds(Role::Auditor));
    }
}
