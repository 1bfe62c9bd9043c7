//! Go: `go.mod` and `go.sum`, and the vendored modules of `vendor/modules.txt`.

use std::collections::BTreeMap;

use evidence::bom::State;

use super::found::{Found, Stated};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "go-mod", wants: &[Pattern::Name("go.mod")], read: module },
    Cataloger { name: "go-sum", wants: &[Pattern::Name("go.sum")], read: sums },
    Cataloger { name: "go-vendor", wants: &[Pattern::End("vendor/modules.txt")], read: vendored },
];

/// Makes a package of a module path.
pub(super) fn package(path: &str, version: &str, state: State) -> Stated {
    Stated::new("golang", path, version, state).split_name('/')
}

/// `go.mod`: what the module requires, after its replacements.
fn module(input: &Input, found: &mut Found) {
    let text = input.text();
    let (mut required, mut replaced) = (Vec::new(), BTreeMap::new());
    let mut block = "";
    for line in text.lines() {
        let (content, comment) = line.split_once("//").unwrap_or((line, ""));
        let mut words: Vec<&str> = content.split_whitespace().collect();
        match words.as_slice() {
            [")"] => block = "",
            [directive, "("] => block = directive,
            _ => {
                let directive = if block.is_empty() {
                    if words.is_empty() { continue } else { words.remove(0) }
                } else {
                    block
                };
                match (directive, words.as_slice()) {
                    ("require", [path, version]) => {
                        required.push((path.trim_matches('"'), *version, comment.trim() == "indirect"));
                    }
                    ("replace", [path, rest @ ..]) => {
                        let (before, after) = match rest.split_first() {
                            Some((arrow, after)) if *arrow == "=>" => ("", after),
                            Some((version, [_, after @ ..])) => (*version, after),
                            _ => continue,
                        };
                        replaced.insert((*path, before), after.to_vec());
                    }
                    _ => {}
                }
            }
        }
    }
    for (path, version, indirect) in required {
        let other = replaced.get(&(path, version)).or_else(|| replaced.get(&(path, "")));
        let stated = match other.map(Vec::as_slice) {
            Some([other, number]) => package(other, number, State::Locked).with("replaces", path),
            // A folder beside: part of the project itself.
            Some(_) => continue,
            None => package(path, version, State::Locked),
        };
        let place = found.take(stated.with("indirect", if indirect { "true" } else { "" }));
        if !indirect {
            found.direct.extend(place);
        }
    }
}

/// `go.sum`: every module whose content was ever verified. Lines for `/go.mod` alone stand for modules of which only that
/// file was read: they are in no program.
fn sums(input: &Input, found: &mut Found) {
    for line in input.text().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [path, version, sum] = words.as_slice()
            && !version.ends_with("/go.mod")
        {
            found.take(package(path, version, State::Declared).with("go-sum", *sum));
        }
    }
}

/// `# path version` or `# path version => path version`.
fn vendored(input: &Input, found: &mut Found) {
    for line in input.text().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["#", path, version] | ["#", _, _, "=>", path, version] => {
                found.take(package(path, version, State::Installed));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, scan};

    #[test]
    fn modules_are_read_after_replacement() {
        let text = b"module example.test/app\n\ngo 1.22\n\nrequire github.com/one/Two v1.0.0\n\nrequire (\n\tgolang.org/x/net v0.17.0 // indirect\n\tk8s.io/api v0.28.0\n\tlocal.test/x v0.0.0\n)\n\nreplace k8s.io/api => k8s.io/api v0.29.0\nreplace local.test/x v0.0.0 => ./x\n";
        let catalog = scan(&[("go.mod", text)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:golang/github.com/one/Two@v1.0.0",
                "pkg:golang/golang.org/x/net@v0.17.0",
                "pkg:golang/k8s.io/api@v0.29.0"
            ]
        );
        assert_eq!(direct(&catalog), ["Two", "api"]);
    }

    #[test]
    fn sums_and_vendored_modules_are_read() {
        let sums = b"golang.org/x/net v0.17.0 h1:abc=\ngolang.org/x/net v0.17.0/go.mod h1:def=\ngolang.org/x/old v0.1.0/go.mod h1:x=\n";
        let vendored = b"# golang.org/x/net v0.17.0\n## explicit; go 1.17\ngolang.org/x/net/http2\n# a.test/b v1.0.0 => c.test/d v1.1.0\n";
        let catalog = scan(&[("go.sum", sums), ("vendor/modules.txt", vendored)]);
        assert_eq!(purls(&catalog), ["pkg:golang/c.test/d@v1.1.0", "pkg:golang/golang.org/x/net@v0.17.0"]);
        assert_eq!(catalog.bom.packages[1].evidence.len(), 2);
    }
}
