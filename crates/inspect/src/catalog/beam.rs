//! Elixir's `mix.lock` and Erlang's `rebar.lock`: terms of those languages, of which the entries are read.

use evidence::bom::{Algorithm, State};

use super::found::{Found, Stated};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "mix-lock", wants: &[Pattern::Name("mix.lock")], read: mix },
    Cataloger { name: "rebar-lock", wants: &[Pattern::Name("rebar.lock")], read: rebar },
];

/// The texts in double quotes of a line, in order.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// `"jason": {:hex, :jason, "1.4.1", "INNER", [:mix], [{:decimal, …}], "hexpm", "OUTER"},` one a line.
fn mix(input: &Input, found: &mut Found) {
    for line in input.text().lines() {
        let texts = quoted(line);
        if line.contains("{:hex,") {
            let [key, version, ..] = texts.as_slice() else { continue };
            let name = line.split("{:hex, :").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or(key);
            let mut stated = Stated::new("hex", name.trim_matches('"'), *version, State::Locked);
            if let Some(outer) = texts.last().filter(|_| texts.len() > 3) {
                stated.hash(Algorithm::Sha256, outer);
            }
            found.take(stated);
        } else if line.contains("{:git,") {
            let [name, url, revision, ..] = texts.as_slice() else { continue };
            let stated = Stated::new("hex", *name, *revision, State::Locked);
            found.take(stated.qualified("vcs_url", format!("git+{url}")));
        }
    }
}

/// `{<<"cowlib">>,{pkg,<<"cowlib">>,<<"2.12.1">>},1}`, and the hashes by name behind it.
fn rebar(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut hashes = false;
    for line in text.lines() {
        hashes |= line.contains("{pkg_hash_ext,");
        let texts = quoted(line);
        if line.contains("{pkg,") {
            if let [_, name, version, ..] = texts.as_slice() {
                found.take(Stated::new("hex", *name, *version, State::Locked));
            }
        } else if hashes
            && let [name, digest] = texts.as_slice()
            && let Some(stated) = found.packages.iter_mut().find(|stated| stated.name == *name)
        {
            stated.hash(Algorithm::Sha256, digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, scan};

    #[test]
    fn both_locks_are_read() {
        let sum = "A".repeat(64);
        let mix = format!(
            "%{{\n  \"jason\": {{:hex, :jason, \"1.4.1\", \"{sum}\", [:mix], [{{:decimal, \"~> 1.0\", [hex: :decimal, optional: true]}}], \"hexpm\", \"{sum}\"}},\n  \"own\": {{:git, \"https://g.test/own.git\", \"abc\", []}},\n}}\n"
        );
        let catalog = scan(&[("mix.lock", mix.as_bytes())]);
        assert_eq!(
            purls(&catalog),
            ["pkg:hex/jason@1.4.1", "pkg:hex/own@abc?vcs_url=git%2Bhttps:%2F%2Fg.test%2Fown.git"]
        );
        assert_eq!(catalog.bom.packages[0].hashes.len(), 1);
        let rebar = format!(
            "{{\"1.2.0\",\n[{{<<\"cowlib\">>,{{pkg,<<\"cowlib\">>,<<\"2.12.1\">>}},1}}]}}.\n[\n{{pkg_hash,[\n {{<<\"cowlib\">>, <<\"{sum}\">>}}]}},\n{{pkg_hash_ext,[\n {{<<\"cowlib\">>, <<\"{sum}\">>}}]}}\n].\n"
        );
        let catalog = scan(&[("rebar.lock", rebar.as_bytes())]);
        assert_eq!(purls(&catalog), ["pkg:hex/cowlib@2.12.1"]);
        assert_eq!(catalog.bom.packages[0].hashes.len(), 1);
    }
}
