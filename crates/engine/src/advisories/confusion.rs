//! Dependency confusion: a name that only our own registries serve, and that was resolved from another.

use evidence::bom::{Package, State};
use evidence::{Finding, Subject};
use judge::codes;
use judge::policy::Dependencies;

use super::targets::Named;

/// What a document says of where a package comes from, beside its name.
const PLACES: [&str; 2] = ["resolved", "registry"];
const QUALIFIERS: [&str; 3] = ["repository_url", "download_url", "vcs_url"];

/// Checks a package of a target.
pub(super) fn check(dependencies: &Dependencies, named: &Named<'_>) -> Option<Finding> {
    of_package(dependencies, named.package?, &named.sighting.within)
}

/// Checks a package of a lock file. What a manifest asks for comes from nowhere yet.
pub(super) fn of_package(dependencies: &Dependencies, package: &Package, within: &str) -> Option<Finding> {
    let kind = package.ecosystem()?;
    if dependencies.internal.is_empty() || package.state == State::Declared {
        return None;
    }
    if !dependencies.is_internal(kind, &package.full_name()) {
        return None;
    }
    let places = places(package);
    let foreign: Vec<&String> =
        places.iter().filter(|place| !is_local(place) && !dependencies.is_ours(place)).collect();
    // A lock file that names no registry leaves it to whoever installs. Go's names say themselves where a module is.
    let silent = places.is_empty() && package.state == State::Locked && !is_own(package) && kind != "golang";
    if foreign.is_empty() && !silent {
        return None;
    }
    let mut because: Vec<String> =
        foreign.iter().map(|place| format!("it was resolved from {place}")).collect();
    if silent {
        because.push("the lock file names no registry for it".to_owned());
    }
    because.push(format!(
        "`{}` is internal, as the policy says; ours are {}",
        package.full_name(),
        ours(dependencies)
    ));
    let subject = Subject { path: package.purl.as_deref().map(Into::into), digest: None };
    let mut finding = codes::DEPENDENCY_CONFUSION.finding(subject, because);
    let said = package.evidence.first().map(|evidence| format!("{within}: {}", evidence.path));
    finding.because.extend(said);
    Some(finding)
}

fn ours(dependencies: &Dependencies) -> String {
    if dependencies.registries.is_empty() { "none".to_owned() } else { dependencies.registries.join(", ") }
}

/// A package of the workspace itself.
fn is_own(package: &Package) -> bool {
    package.properties.iter().any(|property| property.name == "own")
}

/// A folder or file beside.
fn is_local(place: &str) -> bool {
    place.starts_with("file:") || place.starts_with(['.', '/']) || !place.contains([':', '@'])
}

/// The addresses that a document gives for a package.
fn places(package: &Package) -> Vec<String> {
    let said = package.properties.iter().filter(|property| PLACES.contains(&&*property.name));
    let mut places: Vec<String> = said.map(|property| bare(&property.value)).collect();
    let purl = package.purl.as_deref().and_then(|text| evidence::Purl::parse_lenient(text).ok());
    if let Some(purl) = purl {
        places.extend(QUALIFIERS.iter().filter_map(|key| purl.qualifier(key)).map(bare));
    }
    places.retain(|place| !place.is_empty());
    places
}

/// `registry+https://…`, `sparse+https://…`, `git+https://…`.
fn bare(place: &str) -> String {
    let known = ["registry+", "sparse+", "git+"];
    known.iter().find_map(|start| place.strip_prefix(start)).unwrap_or(place).to_owned()
}

#[cfg(test)]
mod tests {
    use evidence::BytePath;
    use inspect::catalog::Scan;
    use judge::Policy;

    use super::*;

    fn confused(name: &str, lock: &str) -> Vec<String> {
        let policy = Policy::parse(
            b"[dependencies]\ninternal = [\"npm:@corp/*\", \"corp-*\"]\nregistries = [\"https://npm.corp.example\"]",
        )
        .unwrap();
        let mut scan = Scan::new();
        scan.offer(&BytePath::from(name), lock.as_bytes());
        let catalog = scan.finish();
        assert_eq!(catalog.problems, [], "{lock}");
        let found = catalog.bom.packages.iter();
        found
            .filter_map(|package| of_package(&policy.dependencies, package, "test"))
            .filter_map(|finding| finding.subject.path.map(|path| path.to_string()))
            .collect()
    }

    #[test]
    fn internal_names_come_from_our_registries() {
        let npm = |name: &str, resolved: &str| {
            let lock = format!(
                r#"{{"lockfileVersion": 3, "packages": {{"": {{}}, "node_modules/{name}": {{"version": "9.9.9"{resolved}}}}}}}"#
            );
            confused("package-lock.json", &lock)
        };
        let from = |place: &str| format!(r#", "resolved": "{place}""#);
        assert_eq!(npm("@corp/ui", &from("https://npm.corp.example/ui.tgz")), Vec::<String>::new());
        assert_eq!(
            npm("@corp/ui", &from("https://registry.npmjs.example/ui.tgz")),
            ["pkg:npm/%40corp/ui@9.9.9"]
        );
        assert_eq!(npm("corp-ui", &from("https://npm.corp.example.evil/ui.tgz")), ["pkg:npm/corp-ui@9.9.9"]);
        assert_eq!(npm("corp-ui", ""), ["pkg:npm/corp-ui@9.9.9"], "a lock file that does not say");
        assert_eq!(npm("corp-ui", &from("github:else/corp-ui")), ["pkg:npm/corp-ui@9.9.9"]);
        assert_eq!(npm("corp-ui", &from("packages/corp-ui")), Vec::<String>::new(), "a folder beside");
        assert_eq!(npm("react", &from("https://registry.npmjs.example/r.tgz")), Vec::<String>::new());
        let cargo = |source: &str| {
            let lock = format!("[[package]]\nname = \"corp-core\"\nversion = \"1.0.0\"\n{source}");
            confused("Cargo.lock", &lock)
        };
        assert_eq!(cargo(""), Vec::<String>::new(), "a package of the workspace");
        assert_eq!(cargo("source = \"sparse+https://npm.corp.example/index/\"\n"), Vec::<String>::new());
        assert_eq!(
            cargo("source = \"registry+https://github.example/index\"\n"),
            ["pkg:cargo/corp-core@1.0.0"]
        );
    }
}
