//! Python: requirements files, lock files of Poetry, uv, PDM and Pipenv, `pylock.toml`, and installed distributions.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::Fields;
use super::loose::{Either, Flag, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "python-requirements",
        wants: &[
            Pattern::Around("requirements", ".txt"),
            Pattern::Around("", "requirements.txt"),
            Pattern::Around("constraints", ".txt"),
            // `requirements/base.txt`.
            Pattern::Folder("requirements"),
        ],
        read: requirements,
    },
    Cataloger {
        name: "python-lock",
        wants: &[
            Pattern::Name("poetry.lock"),
            Pattern::Name("uv.lock"),
            Pattern::Name("pdm.lock"),
            Pattern::Name("pylock.toml"),
        ],
        read: lock,
    },
    Cataloger { name: "pipfile-lock", wants: &[Pattern::Name("Pipfile.lock")], read: pipfile },
    Cataloger {
        name: "python-installed",
        wants: &[Pattern::Name("METADATA"), Pattern::Name("PKG-INFO"), Pattern::Extension("egg-info")],
        read: installed,
    },
];

/// Brings a name to the form in which names are compared (PEP 503).
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// `requirements.txt` as pip reads it: a version that is pinned is locked, anything else is a wish.
fn requirements(input: &Input, found: &mut Found) {
    // In a folder of that name there may be anything.
    if !input.name().ends_with(".txt") {
        return;
    }
    let text = input.text().replace("\\\r\n", " ").replace("\\\n", " ");
    let mut registries = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        registries.extend(INDEXES.iter().filter_map(|option| {
            let rest = line.strip_prefix(option)?.trim_start_matches('=').trim();
            (!rest.is_empty() && !rest.starts_with('-')).then(|| rest.to_owned())
        }));
        if line.is_empty() || line.starts_with(['#', '-', '.', '/']) {
            continue;
        }
        let mut words = line.split_whitespace();
        let requirement = line.split(" --").next().unwrap_or(line);
        let requirement = requirement.split(';').next().unwrap_or(requirement).trim();
        let end = requirement
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(requirement.len());
        let (name, rest) = requirement.split_at(end);
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest).trim_start(),
            None => rest,
        };
        // Prose, addresses and anything else that is no requirement.
        if name.is_empty() || !(rest.is_empty() || rest.starts_with(['=', '<', '>', '~', '!', '@', '('])) {
            continue;
        }
        let pinned = rest.strip_prefix("===").or_else(|| rest.strip_prefix("==")).map(str::trim);
        let pinned = pinned.filter(|version| !version.contains(['*', ',']) && !version.is_empty());
        let mut stated = match pinned {
            Some(version) => Stated::new("pypi", name, version, State::Locked),
            None => Stated::new("pypi", name, "", State::Declared).with("wanted", rest),
        };
        for digest in words.by_ref().filter_map(|word| word.strip_prefix("--hash=")) {
            if let Some((algorithm, digest)) = digest.split_once(':')
                && let Some(algorithm) = Algorithm::of(algorithm)
            {
                stated.hash(algorithm, digest);
            }
        }
        let place = found.take(stated);
        found.direct.extend(place);
    }
    // pip asks all of them for every package.
    for package in &mut found.packages {
        package.properties.extend(registries.iter().take(8).map(|url| ("registry".into(), url.clone())));
    }
}

/// How a requirements file names registries.
const INDEXES: [&str; 3] = ["--index-url", "-i", "--extra-index-url"];

#[derive(Deserialize)]
struct Lock {
    #[serde(default, alias = "packages")]
    package: List<Locked>,
    #[serde(default)]
    metadata: Either<Metadata>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    /// Where Poetry had the digests before version 1.5.
    files: Table<List<File>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Locked {
    name: Text,
    version: Text,
    files: List<File>,
    wheels: List<File>,
    sdist: Either<File>,
    dependencies: Either<Dependencies>,
    source: Either<Source>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    hash: Text,
    hashes: Table<Text>,
}

/// Poetry has a table of names, uv a list of tables, PDM a list of requirements.
#[derive(Deserialize)]
#[serde(untagged)]
enum Dependencies {
    Named(HashMap<String, serde::de::IgnoredAny>),
    Listed(Vec<Dependency>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Dependency {
    Written(String),
    Described { name: String },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source {
    editable: Text,
    r#virtual: Text,
    git: Text,
    registry: Text,
    /// Poetry: of a source that is not the usual one.
    url: Text,
}

fn lock(input: &Input, found: &mut Found) {
    let Some(mut lock) = found.toml::<Lock>(input.bytes) else { return };
    let older = lock.metadata.0.take().map(|metadata| metadata.files.0).unwrap_or_default();
    let mut places: HashMap<String, u32> = HashMap::new();
    let mut dependencies = Vec::new();
    for package in lock.package.0 {
        let (name, version) = (package.name.take(), package.version.take());
        let source = package.source.0.unwrap_or_default();
        let own = source.editable.0.is_some() || source.r#virtual.0.is_some();
        let mut stated = Stated::new("pypi", name.as_str(), version, State::Locked);
        if let Some(url) = source.git.0 {
            stated = stated.qualified("vcs_url", format!("git+{url}"));
        } else if let Some(registry) = source.registry.0.or(source.url.0) {
            stated = stated.with("registry", registry);
        }
        let files = package.files.0.iter().chain(&package.wheels.0).chain(&package.sdist.0);
        for file in files.chain(older.get(&name).into_iter().flat_map(|list| &list.0)) {
            if let Some((algorithm, digest)) = file.hash.as_str().split_once(':')
                && let Some(algorithm) = Algorithm::of(algorithm)
            {
                stated.hash(algorithm, digest);
            }
            for (algorithm, digest) in &file.hashes.0 {
                if let Some(algorithm) = Algorithm::of(algorithm) {
                    stated.hash(algorithm, digest.as_str());
                }
            }
        }
        let place = if own { None } else { found.take(stated) };
        if let Some(place) = place {
            places.insert(normal(&name), place);
        }
        if place.is_some() || own {
            dependencies.push((place, package.dependencies.0));
        }
    }
    for (from, list) in dependencies {
        let names: Vec<String> = match list {
            Some(Dependencies::Named(table)) => table.into_keys().collect(),
            Some(Dependencies::Listed(list)) => list
                .into_iter()
                .map(|dependency| match dependency {
                    Dependency::Written(text) => requirement_name(&text).to_owned(),
                    Dependency::Described { name } => name,
                })
                .collect(),
            None => Vec::new(),
        };
        for to in names.iter().filter_map(|name| places.get(&normal(name))) {
            match from {
                Some(from) => found.relations.push((from, *to)),
                None => found.direct.push(*to),
            }
        }
    }
    found.relations.sort_unstable();
}

/// The name in a requirement (PEP 508).
fn requirement_name(text: &str) -> &str {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    &text[..end.unwrap_or(text.len())]
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pipfile {
    default: Table<Piped>,
    develop: Table<Piped>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Piped {
    version: Text,
    hashes: List<Text>,
    editable: Flag,
}

fn pipfile(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Pipfile>(input.bytes) else { return };
    for (table, development) in [(lock.default, ""), (lock.develop, "true")] {
        for (name, entry) in table.0.into_iter().filter(|(_, entry)| !entry.editable.0) {
            let version = entry.version.as_str().trim_start_matches('=');
            let mut stated =
                Stated::new("pypi", name, version, State::Locked).with("development", development);
            for hash in &entry.hashes.0 {
                if let Some((algorithm, digest)) = hash.as_str().split_once(':')
                    && let Some(algorithm) = Algorithm::of(algorithm)
                {
                    stated.hash(algorithm, digest);
                }
            }
            found.take(stated);
        }
    }
}

/// `METADATA` of a `.dist-info`, `PKG-INFO` of an `.egg-info` folder, or an `.egg-info` file (core metadata).
fn installed(input: &Input, found: &mut Found) {
    let parent = input.path.rsplit('/').nth(1).unwrap_or_default();
    let by_folder = match input.name() {
        "METADATA" => parent.ends_with(".dist-info"),
        "PKG-INFO" => parent.ends_with(".egg-info") || parent == "EGG-INFO",
        _ => true,
    };
    if !by_folder || input.bytes.first().is_none_or(|byte| !byte.is_ascii_alphabetic()) {
        return;
    }
    let text = input.text();
    let fields = Fields::read(&text);
    let (Some(name), Some(version)) = (fields.one("Name"), fields.one("Version")) else {
        found.problem("malformed-python-metadata", "without a name or a version");
        return;
    };
    let mut stated = Stated::new("pypi", name, version, State::Installed);
    match fields.one("License-Expression") {
        Some(expression) => stated.licence(expression),
        None => {
            let said = fields
                .one("License")
                .filter(|text| text.len() < 80 && !text.is_empty() && *text != "UNKNOWN");
            let classified = fields
                .all("Classifier")
                .filter_map(|text| text.strip_prefix("License :: ")?.rsplit(" :: ").next())
                .filter(|text| *text != "OSI Approved");
            match said {
                Some(text) => stated.licence(text),
                None => classified.for_each(|text| stated.licence(text)),
            }
        }
    }
    let people = ["Author", "Author-email", "Maintainer", "Maintainer-email"];
    stated.supplier = people
        .into_iter()
        .filter_map(|field| fields.one(field))
        .find(|text| !text.is_empty() && *text != "UNKNOWN")
        .map(str::to_owned);
    stated.provides = vec![normal(name)];
    let Some(place) = found.take(stated) else { return };
    for requirement in fields.all("Requires-Dist") {
        // What an extra asks for is asked for by nobody yet.
        if !requirement.contains("extra ==") && !requirement.contains("extra==") {
            found.needs.push((place, normal(requirement_name(requirement))));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn requirements_in_a_folder_of_that_name_are_read() {
        let catalog =
            scan(&[("app/requirements/dev.txt", b"pylint==3.3.7\n"), ("requirements/base", b"a==1\n")]);
        assert_eq!(purls(&catalog), ["pkg:pypi/pylint@3.3.7"]);
    }

    #[test]
    fn requirements_are_pinned_or_wishes() {
        let text = b"# c\n-r other.txt\nDjango==4.2.1 \\\n    --hash=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nrequests[socks] == 2.31.0 ; python_version > '3'\nnumpy>=1.2\nthis is prose\nzope.interface===5.0\nx @ https://x.test/x.whl\n";
        let catalog = scan(&[("requirements-dev.txt", text)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:pypi/django@4.2.1",
                "pkg:pypi/numpy",
                "pkg:pypi/requests@2.31.0",
                "pkg:pypi/x",
                "pkg:pypi/zope.interface@5.0"
            ]
        );
        assert_eq!(catalog.bom.packages[0].hashes.len(), 1);
        assert_eq!(catalog.bom.packages[1].state.word(), "declared");
    }

    #[test]
    fn lock_files_of_poetry_uv_and_pdm_are_read() {
        let sum = "a".repeat(64);
        let poetry = format!(
            "[[package]]\nname = \"requests\"\nversion = \"2.31.0\"\nfiles = [{{file = \"r.whl\", hash = \"sha256:{sum}\"}}]\n[package.dependencies]\nidna = \">=2.5\"\n[package.extras]\nsocks = [\"x\"]\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\n[metadata]\nlock-version = \"2.0\"\n"
        );
        let uv = format!(
            "version = 1\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\nsource = {{ virtual = \".\" }}\ndependencies = [{{ name = \"requests\" }}]\n[[package]]\nname = \"requests\"\nversion = \"2.31.0\"\nsource = {{ registry = \"https://r.test\" }}\ndependencies = [{{ name = \"idna\" }}]\nwheels = [{{ url = \"u\", hash = \"sha256:{sum}\", size = 1 }}]\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\n"
        );
        let pdm = format!(
            "[[package]]\nname = \"requests\"\nversion = \"2.31.0\"\ndependencies = [\"idna<4,>=2.5\"]\nfiles = [{{file = \"r.whl\", hash = \"sha256:{sum}\"}}]\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\n"
        );
        for (name, text) in [("poetry.lock", poetry), ("uv.lock", uv), ("pdm.lock", pdm)] {
            let catalog = scan(&[(name, text.as_bytes())]);
            assert_eq!(purls(&catalog), ["pkg:pypi/idna@3.4", "pkg:pypi/requests@2.31.0"], "{name}");
            assert_eq!(relations(&catalog), [("requests", "idna")], "{name}");
            assert_eq!(catalog.bom.packages[1].hashes.len(), 1, "{name}");
            assert_eq!(catalog.problems, [], "{name}");
        }
    }

    #[test]
    fn pipenv_is_read() {
        let text = br#"{"_meta":{"x":1},"default":{"flask":{"version":"==3.0.0","hashes":["sha256:00"]},"me":{"editable":true,"path":"."}},"develop":{"pytest":{"version":"==7.0"}}}"#;
        let catalog = scan(&[("Pipfile.lock", text)]);
        assert_eq!(purls(&catalog), ["pkg:pypi/flask@3.0.0", "pkg:pypi/pytest@7.0"]);
    }

    #[test]
    fn installed_distributions_are_read() {
        let flask = b"Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.0\nLicense: BSD-3-Clause\nAuthor: A\nRequires-Dist: Werkzeug>=3\nRequires-Dist: asgiref>=3 ; extra == 'async'\n\nName: no\n";
        let other = b"Metadata-Version: 1.0\nName: Werkzeug\nVersion: 3.0.1\nClassifier: License :: OSI Approved :: MIT License\n";
        let asgi = b"Name: asgiref\nVersion: 3\n";
        let catalog = scan(&[
            ("v/lib/python3/site-packages/flask-3.0.0.dist-info/METADATA", flask),
            ("v/lib/python3/site-packages/werkzeug.egg-info/PKG-INFO", other),
            ("v/lib/python3/site-packages/asgiref-3.egg-info", asgi),
            ("v/other/METADATA", b"Name: x\nVersion: 1\n"),
        ]);
        assert_eq!(
            purls(&catalog),
            ["pkg:pypi/asgiref@3", "pkg:pypi/flask@3.0.0", "pkg:pypi/werkzeug@3.0.1"]
        );
        assert_eq!(relations(&catalog), [("Flask", "Werkzeug")]);
        assert_eq!(catalog.bom.packages[2].licences, ["MIT".into()]);
    }
}
