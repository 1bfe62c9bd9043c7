//! PHP: `composer.lock`, and what Composer and PEAR have installed.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::loose::{Either, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "composer-lock", wants: &[Pattern::Name("composer.lock")], read: lock },
    Cataloger {
        name: "composer-installed",
        wants: &[Pattern::End("composer/installed.json")],
        read: installed,
    },
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lock {
    packages: List<Package>,
    #[serde(rename = "packages-dev")]
    development: List<Package>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Package {
    name: Text,
    version: Text,
    license: Either<Licences>,
    require: Table<Text>,
    dist: Either<Dist>,
    source: Either<Dist>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Licences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dist {
    shasum: Text,
    reference: Text,
}

fn lock(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Lock>(input.bytes) else { return };
    let marked = lock.packages.0.into_iter().map(|package| (package, ""));
    let marked = marked.chain(lock.development.0.into_iter().map(|package| (package, "true")));
    all(marked.collect(), State::Locked, found);
}

/// Composer 2 has an object with `packages`, Composer 1 had the list alone.
fn installed(input: &Input, found: &mut Found) {
    let list = if input.bytes.trim_ascii_start().first() == Some(&b'[') {
        found.json::<List<Package>>(input.bytes)
    } else {
        found.json::<Lock>(input.bytes).map(|object| object.packages)
    };
    let list = list.unwrap_or_default().0;
    all(list.into_iter().map(|package| (package, "")).collect(), State::Installed, found);
}

fn all(packages: Vec<(Package, &'static str)>, state: State, found: &mut Found) {
    let (mut places, mut requires) = (HashMap::new(), Vec::new());
    for (package, development) in packages {
        let name = package.name.take();
        let mut stated = Stated::new("composer", name.as_str(), package.version.take(), state)
            .split_name('/')
            .with("development", development);
        match package.license.0 {
            Some(Licences::One(one)) => stated.licence(&one),
            // "The licence, or if several: the user's choice" (Composer, schema).
            Some(Licences::Many(list)) => stated.licence(&list.join(" OR ")),
            None => {}
        }
        let dist = package.dist.0.unwrap_or_default();
        stated.hash(Algorithm::Sha1, dist.shasum.as_str());
        let source = package.source.0.unwrap_or_default();
        stated = stated.with("reference", source.reference.0.or(dist.reference.0).unwrap_or_default());
        let Some(place) = found.take(stated) else { continue };
        places.insert(name.to_lowercase(), place);
        requires.push((place, package.require));
    }
    for (from, names) in requires {
        let to = names.0.keys().filter_map(|name| places.get(&name.to_lowercase()));
        found.relations.extend(to.map(|to| (from, *to)));
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn locked_and_installed_packages_are_read() {
        let lock = br#"{"packages":[{"name":"Monolog/monolog","version":"3.5.0","license":["MIT"],"require":{"php":">=8","psr/log":"^2"},"dist":{"shasum":""}},{"name":"psr/log","version":"2.0.0","license":["MIT","Apache-2.0"]}],"packages-dev":[{"name":"phpunit/phpunit","version":"10.0"}]}"#;
        let catalog = scan(&[("composer.lock", lock)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:composer/monolog/monolog@3.5.0",
                "pkg:composer/phpunit/phpunit@10.0",
                "pkg:composer/psr/log@2.0.0"
            ]
        );
        assert_eq!(relations(&catalog), [("monolog", "log")]);
        assert_eq!(catalog.bom.packages[2].licences, ["MIT OR Apache-2.0".into()]);
        for text in [
            &br#"{"packages":[{"name":"psr/log","version":"2.0.0"}],"dev":false}"#[..],
            br#"[{"name":"psr/log","version":"2.0.0"}]"#,
        ] {
            let catalog = scan(&[("vendor/composer/installed.json", text)]);
            assert_eq!(purls(&catalog), ["pkg:composer/psr/log@2.0.0"]);
        }
    }
}
