//! Yarn: `yarn.lock` of the classic form and of Yarn 2 and later ("berry").

use std::collections::HashMap;

use evidence::bom::State;

use super::found::Found;
use super::lines::{unquoted, yaml};
use super::npm::package;
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] =
    &[Cataloger { name: "yarn-lock", wants: &[Pattern::Name("yarn.lock")], read: lock }];

fn lock(input: &Input, found: &mut Found) {
    let text = input.text();
    if text.contains("\n__metadata:") { berry(&text, found) } else { classic(&text, found) }
}

/// One entry while its lines are read.
#[derive(Default)]
struct Entry {
    wanted: Vec<String>,
    name: String,
    version: String,
    integrity: String,
    resolved: String,
    dependencies: Vec<String>,
    own: bool,
}

#[derive(Default)]
struct Entries {
    places: HashMap<String, u32>,
    dependencies: Vec<(Option<u32>, Vec<String>)>,
}

impl Entries {
    fn take(&mut self, entry: Entry, found: &mut Found) {
        if entry.name.is_empty() || entry.version.is_empty() {
            return;
        }
        let place = if entry.own {
            None
        } else {
            let mut stated = package(&entry.name, &entry.version, State::Locked);
            stated.integrity(&entry.integrity);
            found.take(stated.with("resolved", entry.resolved))
        };
        if let Some(place) = place {
            self.places.extend(entry.wanted.into_iter().map(|wanted| (wanted, place)));
        }
        self.dependencies.push((place, entry.dependencies));
    }

    fn finish(self, found: &mut Found) {
        for (from, list) in self.dependencies {
            for to in list.iter().filter_map(|wanted| self.places.get(wanted)) {
                match from {
                    Some(from) => found.relations.push((from, *to)),
                    None => found.direct.push(*to),
                }
            }
        }
    }
}

/// The classic form: keys end with a colon, fields are a name and a value with a blank between.
fn classic(text: &str, found: &mut Found) {
    let (mut entries, mut entry, mut in_list) = (Entries::default(), Entry::default(), false);
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let content = line.trim_start_matches(' ');
        match line.len() - content.len() {
            0 => {
                entries.take(std::mem::take(&mut entry), found);
                in_list = false;
                entry.wanted =
                    content.trim_end_matches(':').split(", ").map(|key| unquoted(key).to_owned()).collect();
                entry.name = entry.wanted.first().map(|wanted| real_name(wanted)).unwrap_or_default();
            }
            2 => {
                in_list = matches!(content, "dependencies:" | "optionalDependencies:");
                let (key, value) = content.split_once(' ').unwrap_or((content, ""));
                match key {
                    "version" => entry.version = unquoted(value).to_owned(),
                    "resolved" => entry.resolved = unquoted(value).to_owned(),
                    "integrity" => entry.integrity = unquoted(value).to_owned(),
                    _ => {}
                }
            }
            _ if in_list => {
                let (name, range) = match content.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    Some((name, range)) => (name, range),
                    None => content.split_once(' ').unwrap_or((content, "")),
                };
                entry.dependencies.push(format!("{name}@{}", unquoted(range)));
            }
            _ => {}
        }
    }
    entries.take(entry, found);
    entries.finish(found);
}

/// The name in `name@range`; of an alias (`x@npm:name@range`) the real one.
fn real_name(wanted: &str) -> String {
    let after_scope = wanted.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
    let Some(at) = after_scope else { return wanted.to_owned() };
    match wanted[at + 1..].strip_prefix("npm:") {
        Some(alias) if alias.char_indices().skip(1).any(|(_, c)| c == '@') => real_name(alias),
        _ => wanted[..at].to_owned(),
    }
}

/// The YAML of later versions. `resolution` names the package, `checksum` is one of Yarn's own archive and no package's.
fn berry(text: &str, found: &mut Found) {
    let (mut entries, mut entry, mut in_list) = (Entries::default(), Entry::default(), false);
    for line in yaml(text) {
        match line.indent {
            0 => {
                entries.take(std::mem::take(&mut entry), found);
                in_list = false;
                entry.wanted = line.key.split(", ").map(str::to_owned).collect();
            }
            2 => {
                in_list = line.value.is_empty() && line.key == "dependencies";
                match line.key {
                    "version" => entry.version = line.value.to_owned(),
                    "resolution" => {
                        let full = line.value;
                        let at = full.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
                        let (name, from) = full.split_at(at.unwrap_or(full.len()));
                        entry.name = name.to_owned();
                        entry.own = from.starts_with("@workspace:");
                    }
                    _ => {}
                }
            }
            _ if in_list => entry.dependencies.push(format!("{}@{}", line.key, line.value)),
            _ => {}
        }
    }
    entries.take(entry, found);
    entries.finish(found);
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, relations, scan};

    #[test]
    fn the_classic_form_is_read() {
        let lock = "# yarn lockfile v1\n\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.26.0\"\n  resolved \"https://r.test/core.tgz#00\"\n  integrity sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n  dependencies:\n    \"@s/x\" \"^1.0.0\"\n    ms \"^2.1.0\"\n\n\"@s/x@^1.0.0\":\n  version \"1.0.1\"\n\nms@^2.1.0:\n  version \"2.1.3\"\n\nold@npm:real@^1:\n  version \"1.5.0\"\n";
        let catalog = scan(&[("yarn.lock", lock.as_bytes())]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:npm/%40babel/core@7.26.0",
                "pkg:npm/%40s/x@1.0.1",
                "pkg:npm/ms@2.1.3",
                "pkg:npm/real@1.5.0"
            ]
        );
        assert_eq!(relations(&catalog), [("core", "x"), ("core", "ms")]);
        assert_eq!(catalog.bom.packages[0].hashes.len(), 1);
    }

    #[test]
    fn berry_is_read() {
        let lock = "# c\n\n__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\"@babel/core@npm:^7.0.0, @babel/core@npm:^7.1.0\":\n  version: 7.26.0\n  resolution: \"@babel/core@npm:7.26.0\"\n  dependencies:\n    ms: \"npm:^2.1.0\"\n  checksum: 10c0/aa\n  languageName: node\n  linkType: hard\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    \"@babel/core\": \"npm:^7.0.0\"\n\n\"ms@npm:^2.1.0\":\n  version: 2.1.3\n  resolution: \"ms@npm:2.1.3\"\n";
        let catalog = scan(&[("yarn.lock", lock.as_bytes())]);
        assert_eq!(purls(&catalog), ["pkg:npm/%40babel/core@7.26.0", "pkg:npm/ms@2.1.3"]);
        assert_eq!(relations(&catalog), [("core", "ms")]);
        assert_eq!(direct(&catalog), ["core"]);
    }
}
