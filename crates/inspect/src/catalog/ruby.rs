//! Ruby: `Gemfile.lock`, and the specifications of installed gems.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};

use super::found::{Found, Stated};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "gemfile-lock",
        wants: &[Pattern::Name("Gemfile.lock"), Pattern::Name("gems.locked")],
        read: lock,
    },
    Cataloger { name: "gem-specification", wants: &[Pattern::Extension("gemspec")], read: specification },
];

/// Bundler's lock: sections, in `GEM`, `GIT` and `PATH` a list `specs` with names at four columns, their dependencies at six.
fn lock(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut places: HashMap<String, u32> = HashMap::new();
    let (mut dependencies, mut direct) = (Vec::new(), Vec::new());
    let (mut section, mut remote, mut current) = ("", "", None);
    for line in text.lines() {
        let content = line.trim_start_matches(' ');
        match (line.len() - content.len(), section) {
            (0, _) => (section, remote, current) = (content, "", None),
            (2, "GIT" | "PATH") => {
                if let Some(url) = content.strip_prefix("remote: ") {
                    remote = url;
                }
            }
            (2, "DEPENDENCIES") => {
                let name = content.split([' ', '!']).next().unwrap_or(content);
                direct.push(name.to_owned());
            }
            (2, "CHECKSUMS") => {
                // `  rack (3.0.0) sha256=…`
                if let Some((name, rest)) = content.split_once(" (")
                    && let Some((_, digest)) = rest.split_once("sha256=")
                    && let Some(stated) =
                        places.get(name).and_then(|place| found.packages.get_mut(*place as usize))
                {
                    stated.hash(Algorithm::Sha256, digest.split(',').next().unwrap_or(digest));
                }
            }
            (4, "GEM" | "GIT" | "PATH") => {
                current = None;
                let Some((name, version)) = content.split_once(" (") else { continue };
                let version = version.trim_end_matches(')');
                // `1.15.0-x86_64-linux`: version and platform.
                let (number, platform) = version.split_once('-').unwrap_or((version, ""));
                let mut stated =
                    Stated::new("gem", name, number, State::Locked).qualified("platform", platform);
                if section == "GIT" {
                    stated = stated.qualified("vcs_url", format!("git+{remote}"));
                }
                if section == "PATH" {
                    stated = stated.with("own", "true");
                }
                current = found.take(stated);
                if let Some(place) = current {
                    places.entry(name.to_owned()).or_insert(place);
                }
            }
            (6, "GEM" | "GIT" | "PATH") => {
                if let Some(from) = current {
                    dependencies.push((from, content.split(' ').next().unwrap_or(content).to_owned()));
                }
            }
            _ => {}
        }
    }
    let to = |name: &String| places.get(name).copied();
    found.relations = dependencies.iter().filter_map(|(from, name)| Some((*from, to(name)?))).collect();
    found.direct = direct.iter().filter_map(to).collect();
}

/// A gem's specification as RubyGems installs it: assignments of literals. A source's own specification computes its version;
/// it names nothing that is installed.
fn specification(input: &Input, found: &mut Found) {
    let parent = input.path.rsplit('/').nth(1).unwrap_or_default();
    if !matches!(parent, "specifications" | "default") {
        return;
    }
    let text = input.text();
    let assigned = |name: &str| {
        text.lines().find_map(|line| {
            let (field, value) = line.trim().split_once('=')?;
            (field.trim().rsplit('.').next()? == name).then(|| value.trim())
        })
    };
    let literal = |name: &str| {
        let value = assigned(name)?;
        let quote = value.chars().find(|c| matches!(c, '"' | '\''))?;
        value.split(quote).nth(1).map(str::to_owned)
    };
    let (Some(name), Some(version)) = (literal("name"), literal("version")) else {
        return found.problem("malformed-gemspec", "without a literal name or version");
    };
    let mut stated = Stated::new("gem", name, version, State::Installed);
    if let Some(platform) = literal("platform").filter(|platform| platform != "ruby") {
        stated = stated.qualified("platform", platform);
    }
    for licence in assigned("licenses").unwrap_or_default().split('"').skip(1).step_by(2) {
        stated.licence(licence);
    }
    stated.supplier = literal("authors");
    let Some(place) = found.take(stated) else { return };
    // `s.add_runtime_dependency(%q<name>.freeze, …)`
    for line in
        text.lines().filter(|line| line.contains("add_runtime_dependency") || line.contains("add_dependency"))
    {
        let name = line.split_once("%q<").and_then(|(_, rest)| rest.split_once('>')).map(|(name, _)| name);
        found.needs.extend(name.map(|name| (place, name.to_owned())));
    }
    found.needs.dedup();
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, relations, scan};

    #[test]
    fn a_lock_file_is_read() {
        let text = b"GIT\n  remote: https://g.test/x.git\n  revision: abc\n  specs:\n    x (0.1.0)\n      rack\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    nokogiri (1.15.0-x86_64-linux)\n      racc (~> 1.4)\n    racc (1.7.1)\n    rack (3.0.0)\n\nPLATFORMS\n  x86_64-linux\n\nDEPENDENCIES\n  nokogiri (~> 1.15)\n  x!\n\nCHECKSUMS\n  rack (3.0.0) sha256=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\nBUNDLED WITH\n   2.4.1\n";
        let catalog = scan(&[("Gemfile.lock", text)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:gem/nokogiri@1.15.0?platform=x86_64-linux",
                "pkg:gem/racc@1.7.1",
                "pkg:gem/rack@3.0.0",
                "pkg:gem/x@0.1.0?vcs_url=git%2Bhttps:%2F%2Fg.test%2Fx.git"
            ]
        );
        assert_eq!(relations(&catalog), [("nokogiri", "racc"), ("x", "rack")]);
        assert_eq!(direct(&catalog), ["nokogiri", "x"]);
        assert_eq!(catalog.bom.packages[2].hashes.len(), 1);
    }

    #[test]
    fn installed_gems_are_read() {
        let rack = b"# -*- encoding: utf-8 -*-\nGem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"3.0.0\"\n  s.authors = [\"A B\".freeze]\n  s.licenses = [\"MIT\".freeze]\n  s.add_runtime_dependency(%q<webrick>.freeze, [\">= 0\"])\nend\n";
        let webrick =
            b"Gem::Specification.new do |s|\n  s.name = \"webrick\"\n  s.version = \"1.8.1\"\nend\n";
        let catalog = scan(&[
            ("usr/lib/ruby/gems/3.1.0/specifications/rack-3.0.0.gemspec", rack),
            ("usr/lib/ruby/gems/3.1.0/specifications/webrick-1.8.1.gemspec", webrick),
            ("src/x.gemspec", b"s.name = 'x'\n"),
        ]);
        assert_eq!(purls(&catalog), ["pkg:gem/rack@3.0.0", "pkg:gem/webrick@1.8.1"]);
        assert_eq!(relations(&catalog), [("rack", "webrick")]);
    }
}
