//! `inventory`: looks at machines, kept in the vault; who has what; what builds use of what is installed.

mod check;
mod import;
mod recipe;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::inventory::{Inventory, Item, Section};
use evidence::{BytePath, Digest, Timestamp};
use host::inventory::{PROBES, Root, Walk, holds_files, walk};
use inspect::catalog::Catalog;
use judge::policy::is_like;
use store::Heads;

use crate::error::{Error, Result};
use crate::world::{World, store_error};

pub use check::{InventoryChecked, inventory_accept, inventory_check};
pub use import::inventory_import;
pub use usage::{Unused, UnusedPackage, Used, inventory_unused, inventory_used};

/// The cell that holds the digest of the newest look.
const HEAD: &str = "inventory";
/// The section of packages.
pub(crate) const PACKAGES: &str = "packages";
/// Looks that are followed back from the newest.
const LOOKS_MAX: usize = 100_000;

/// How to look at a machine.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The root folder.
    pub root: &'a Path,
    /// The machine's name; of the running one the kernel says it.
    pub host: Option<String>,
    /// When.
    pub now: Timestamp,
    /// Where the walk remembers what files said.
    pub cache: Option<&'a Path>,
}

/// A look with its sections.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The document.
    pub inventory: Inventory,
    /// The sections by name.
    pub sections: BTreeMap<String, Section>,
    /// Its digest, once it is in a store.
    pub digest: Option<Digest>,
    /// How many of its sections the store had already.
    pub shared: usize,
}

/// Looks at a machine. Nothing is stored.
pub fn inventory_collect(look: &Look) -> Result<Looked> {
    let fail = |source| Error::Read { path: look.root.to_path_buf(), source };
    let root = Root::new(look.root).map_err(fail)?;
    let walked = walk(&Walk { root: root.path(), cache: look.cache, every_mount: false }).map_err(fail)?;
    let mut gaps: BTreeSet<String> = walked
        .not_entered
        .iter()
        .filter(|(_, kind)| holds_files(kind))
        .map(|(path, kind)| format!("{} was not entered: {kind}", path.display()))
        .collect();
    let Catalog { bom, problems, .. } = walked.scan.finish();
    let unreadable = problems.iter().filter(|problem| problem.kind == "unreadable");
    gaps.extend(unreadable.map(|problem| format!("{}: {}", problem.path, problem.detail)));
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut packages: Vec<Item> = bom.packages.iter().filter_map(package).collect();
    packages.sort();
    packages.dedup();
    sections.insert(PACKAGES.to_owned(), Section { items: packages });
    for probe in PROBES {
        let facts = probe.facts(&root);
        gaps.extend(facts.gaps);
        sections.insert(probe.section.to_owned(), Section { items: facts.items });
    }
    let host = match (&look.host, root.is_live()) {
        (Some(host), _) => host.clone(),
        (None, true) => host::facts_name(),
        (None, false) => root.path().display().to_string(),
    };
    let digests = sections
        .iter()
        .map(|(name, section)| (name.clone(), Digest::of(&evidence::wire::canonical(section))));
    let inventory = Inventory {
        schema: evidence::wire::schema("inventory"),
        host,
        root: BytePath::new(root.path().as_os_str().as_encoded_bytes()),
        collected: look.now,
        complete: gaps.is_empty(),
        gaps: gaps.into_iter().take(1000).collect(),
        counts: sections.iter().map(|(name, section)| (name.clone(), section.items.len() as u64)).collect(),
        sections: digests.collect(),
        previous: None,
    };
    Ok(Looked { inventory, sections, digest: None, shared: 0 })
}

/// A package that is installed or built in; what lock files say is of no machine.
fn package(package: &evidence::bom::Package) -> Option<Item> {
    use evidence::bom::{Place, State};
    if !matches!(package.state, State::Installed | State::Embedded) || package.place == Place::Fixture {
        return None;
    }
    let mut item = Item::named(package.full_name());
    item.version = package.version.to_string();
    item.purl = package.purl.as_deref().map(str::to_owned);
    item.path = package.evidence.first().map(|evidence| evidence.path.as_ref().clone());
    if package.place != Place::Product {
        item = item.with("place", package.place.word());
    }
    if package.state == State::Embedded {
        item = item.with("state", package.state.word());
    }
    Some(item)
}

/// Stores a look. Order: the sections, the document, then the cell. A crash before the last leaves objects that nothing names.
pub fn inventory_store(world: &World, looked: &mut Looked) -> Result<()> {
    let lock = world.lock()?;
    let newest = world.heads.load(HEAD).map_err(store_error)?;
    looked.inventory.previous = newest.as_deref().map(digest).transpose()?;
    let before = match &looked.inventory.previous {
        Some(digest) => world.document::<Inventory>("inventory", digest)?.sections.into_values().collect(),
        None => BTreeSet::new(),
    };
    for (name, section) in &looked.sections {
        let known = looked.inventory.sections.get(name).is_some_and(|digest| before.contains(digest));
        if known {
            looked.shared += 1;
        } else {
            world.put_document(section)?;
        }
    }
    let digest = world.put_document(&looked.inventory)?;
    world.heads.replace(HEAD, newest.as_deref(), digest.to_string().as_bytes()).map_err(store_error)?;
    looked.digest = Some(digest);
    drop(lock);
    Ok(())
}

fn digest(bytes: &[u8]) -> Result<Digest> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.parse().map_err(|error| Error::Store(Box::new(error)))
}

/// All looks, newest first.
pub fn inventories(world: &World) -> Result<Vec<(Digest, Inventory)>> {
    let mut next = world.heads.load(HEAD).map_err(store_error)?.as_deref().map(digest).transpose()?;
    let mut looks = Vec::new();
    while let Some(at) = next.filter(|_| looks.len() < LOOKS_MAX) {
        let inventory: Inventory = world.document("inventory", &at)?;
        next = inventory.previous;
        looks.push((at, inventory));
    }
    Ok(looks)
}

/// A question: every condition has to hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    conditions: Vec<(String, Relation, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    Is,
    IsNot,
    Less,
    AtMost,
    More,
    AtLeast,
}

const RELATIONS: [(&str, Relation); 6] = [
    ("!=", Relation::IsNot),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Is),
];

const FIELDS: &[&str] = &["name", "version", "type", "host", "section", "path", "since", "at"];

impl Query {
    /// Reads `name=openssl version<3.0.15 host=build-1`.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let conditions = text.split_whitespace().map(|word| {
            let found = RELATIONS
                .iter()
                .filter_map(|(sign, relation)| Some((word.find(sign)?, *sign, *relation)))
                .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
            let Some((at, sign, relation)) = found else {
                return Err(format!("`{word}` has no `=`, `<` or `>`"));
            };
            let (field, value) = (&word[..at], &word[at + sign.len()..]);
            if !FIELDS.contains(&field) {
                return Err(format!("`{field}` is not one of {}", FIELDS.join(", ")));
            }
            let ordered = matches!(field, "version" | "since" | "at");
            if !ordered && !matches!(relation, Relation::Is | Relation::IsNot) {
                return Err(format!("`{field}` has no order"));
            }
            Ok((field.to_owned(), relation, value.to_owned()))
        });
        Ok(Self { conditions: conditions.collect::<std::result::Result<_, _>>()? })
    }

    fn time(&self, field: &str) -> Option<&str> {
        self.conditions.iter().find(|(known, _, _)| known == field).map(|(_, _, value)| value.as_str())
    }

    fn holds(&self, host: &str, section: &str, item: &Item) -> bool {
        let kind = item.purl.as_deref().and_then(|purl| purl.strip_prefix("pkg:")?.split('/').next());
        self.conditions.iter().all(|(field, relation, value)| {
            let text = match field.as_str() {
                "name" => item.name.as_str(),
                "type" => kind.unwrap_or_default(),
                "host" => host,
                "section" => section,
                "path" => {
                    let path = item.path.as_ref().map(ToString::to_string).unwrap_or_default();
                    return is_like(&path, value) == (*relation == Relation::Is);
                }
                "version" => return version(kind.unwrap_or_default(), &item.version, *relation, value),
                _ => return true,
            };
            is_like(text, value) == (*relation == Relation::Is)
        })
    }
}

/// Orders versions by the rules of the ecosystem; what they do not order is in no relation but being different.
fn version(kind: &str, version: &str, relation: Relation, wanted: &str) -> bool {
    use std::cmp::Ordering;
    let order = versions::Order::of(kind).and_then(|order| order.compare(version, wanted));
    match relation {
        Relation::Is => version == wanted || order == Some(Ordering::Equal),
        Relation::IsNot => version != wanted && order != Some(Ordering::Equal),
        Relation::Less => order == Some(Ordering::Less),
        Relation::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Relation::More => order == Some(Ordering::Greater),
        Relation::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Something that a machine has or had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The machine.
    pub host: String,
    /// The section.
    pub section: String,
    /// The thing, as it was seen last.
    pub item: Item,
    /// The first look that showed it.
    pub first: Timestamp,
    /// The last look that showed it.
    pub last: Timestamp,
    /// Whether a later, complete look did not show it.
    pub gone: bool,
}

/// Answers a question over all looks.
pub fn inventory_query(world: &World, query: &Query) -> Result<Vec<Seen>> {
    let looks = inventories(world)?;
    let mut seen: BTreeMap<(String, String, String, String, Option<BytePath>), Seen> = BTreeMap::new();
    // The last complete look at each machine.
    let mut newest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for (_, look) in looks.iter().filter(|(_, look)| look.complete) {
        let known = newest.entry(look.host.clone()).or_insert(look.collected);
        *known = (*known).max(look.collected);
    }
    let mut read: BTreeMap<Digest, Section> = BTreeMap::new();
    for (_, look) in looks.iter().rev() {
        if query.time("since").is_some_and(|since| look.collected.to_string().as_str() < since)
            || query.time("at").is_some_and(|at| look.collected.to_string().as_str() > at)
        {
            continue;
        }
        for (name, digest) in &look.sections {
            if !read.contains_key(digest) {
                read.insert(*digest, world.document("inventory section", digest)?);
            }
            for item in read.get(digest).into_iter().flat_map(|section| &section.items) {
                if !query.holds(&look.host, name, item) {
                    continue;
                }
                let key = (
                    look.host.clone(),
                    name.clone(),
                    item.purl.clone().unwrap_or_else(|| item.name.clone()),
                    item.version.clone(),
                    item.path.clone(),
                );
                let entry = seen.entry(key).or_insert_with(|| Seen {
                    host: look.host.clone(),
                    section: name.clone(),
                    item: item.clone(),
                    first: look.collected,
                    last: look.collected,
                    gone: false,
                });
                entry.last = entry.last.max(look.collected);
            }
        }
    }
    let mut list: Vec<Seen> = seen.into_values().collect();
    for one in &mut list {
        one.gone = newest.get(&one.host).is_some_and(|newest| *newest > one.last);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_and_answered() {
        let item = Item {
            name: "openssl".into(),
            version: "3.0.11-1~deb12u2".into(),
            purl: Some("pkg:deb/debian/openssl@3.0.11-1~deb12u2".into()),
            ..Item::default()
        };
        for (text, expected) in [
            ("name=openssl", true),
            ("name=open*", true),
            ("name=*ss*", true),
            ("name=open", false),
            ("name!=openssl", false),
            ("name=openssl version<3.0.15", true),
            ("version>=3.0.15", false),
            ("version<3.0.11-1", true),
            ("type=deb host=build-*", true),
            ("host=other", false),
        ] {
            assert_eq!(Query::parse(text).unwrap().holds("build-1", PACKAGES, &item), expected, "{text}");
        }
        for wrong in ["name", "colour=red", "name<x"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
