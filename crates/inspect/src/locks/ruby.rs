//! `Gemfile` against `Gemfile.lock`. A `Gemfile` is a program: only lines that name a gem and its ranges in plain texts are
//! compared, and none behind a condition.

use std::collections::BTreeMap;

use super::release::Release;

pub(super) fn compare(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let (manifest, lock) = (std::str::from_utf8(manifest).ok()?, std::str::from_utf8(lock).ok()?);
    let (mut section, mut made_for, mut versions) =
        ("", BTreeMap::<&str, &str>::new(), BTreeMap::<&str, Vec<&str>>::new());
    for line in lock.lines() {
        let content = line.trim_start();
        let (name, rest) = content.split_once(' ').unwrap_or((content, ""));
        let range = rest.trim().trim_start_matches('(').trim_end_matches(')');
        match (line.len() - content.len(), section) {
            (0, _) => section = content,
            // `!` says that it comes from elsewhere.
            (2, "DEPENDENCIES") => drop(made_for.insert(name.trim_end_matches('!'), range)),
            (4, "GEM" | "GIT" | "PATH") => versions.entry(name).or_default().push(range),
            _ => {}
        }
    }
    if made_for.is_empty() {
        return None;
    }
    let mut wrong = Vec::new();
    for (name, ranges, is_plain) in gems(manifest) {
        let wanted = ranges.join(", ");
        let Some(known) = made_for.get(name) else {
            wrong
                .push(format!("the manifest asks for {name} {wanted}, which the lock file was not made for"));
            continue;
        };
        if is_plain
            && sorted(&ranges)
                != sorted(&known.split(", ").filter(|range| !range.is_empty()).collect::<Vec<_>>())
        {
            wrong.push(format!("the manifest asks for {name} {wanted}, the lock file was made for {known}"));
        }
        // `1.2.3-x86_64-linux` is of one platform.
        let locked: Vec<&str> = versions
            .get(name)
            .into_iter()
            .flatten()
            .map(|version| version.split('-').next().unwrap_or(version))
            .collect();
        if is_plain && !locked.is_empty() && locked.iter().all(|version| has(&ranges, version) == Some(false))
        {
            wrong.push(format!("the manifest asks for {name} {wanted}, {} is locked", locked.join(", ")));
        }
    }
    wrong.iter_mut().for_each(|text| *text = text.replace(" ,", ","));
    Some(wrong)
}

/// The gems: name, ranges, and whether nothing else is said of where they come from.
fn gems(manifest: &str) -> Vec<(&str, Vec<&str>, bool)> {
    let mut gems = Vec::new();
    for line in manifest.lines() {
        let Some(rest) = line.trim().strip_prefix("gem ") else { continue };
        if rest.contains(" if ") || rest.contains(" unless ") || rest.contains("#{") {
            continue;
        }
        let words: Vec<&str> = rest.split(" #").next().unwrap_or(rest).split(',').map(str::trim).collect();
        let texts: Vec<&str> = words.iter().map_while(|word| quoted(word)).collect();
        let Some((name, ranges)) = texts.split_first() else { continue };
        let elsewhere = ["git", "github", "path", "source", "platform", "install_if", "gist"];
        let is_plain =
            !words.iter().skip(texts.len()).any(|word| elsewhere.iter().any(|way| word.contains(way)));
        gems.push((*name, ranges.to_vec(), is_plain));
    }
    gems
}

/// Takes a text out of its quotes, if it is one.
fn quoted(word: &str) -> Option<&str> {
    let quote = word.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    word.strip_prefix(quote)?.strip_suffix(quote)
}

/// Ranges as Bundler writes them: a bare number asks for that version.
fn sorted(ranges: &[&str]) -> Vec<String> {
    let plain = |range: &&str| {
        let range = range.trim();
        if range.starts_with(|c: char| c.is_ascii_digit()) { format!("= {range}") } else { range.to_owned() }
    };
    let mut all: Vec<String> = ranges.iter().map(plain).map(|range| range.replace(' ', "")).collect();
    // `>= 0` is no wish.
    all.retain(|range| range != ">=0");
    all.sort();
    all
}

fn has(ranges: &[&str], version: &str) -> Option<bool> {
    let version = Release::parse(version)?;
    let mut all = true;
    for range in ranges {
        let end = range.find(|c: char| !"<>=!~".contains(c)).unwrap_or(range.len());
        let (sign, number) = range.split_at(end);
        let number = Release::parse(number)?;
        all &= match sign {
            "~>" => {
                version >= number && version.starts_with(&number.without_last().unwrap_or(number.clone()))
            }
            sign => version.compares(sign, &number)?,
        };
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rubygems() {
        for (range, version, expected) in [
            ("~> 7.0", "7.1.2", Some(true)),
            ("~> 7.0.1", "7.1.0", Some(false)),
            (">= 1.0", "0.9", Some(false)),
            ("1.2", "1.2.0", Some(true)),
            ("~> 1.0", "1.0.pre", None),
        ] {
            assert_eq!(has(&[range], version), expected, "{range} {version}");
        }
    }

    #[test]
    fn only_plain_lines_are_gems() {
        let text = "source 'x'\ngem 'rails', '~> 7.0' # web\ngem \"a\", \">= 1\", \"< 2\", require: false\ngem 'b', git: 'x'\ngem 'c' if windows?\n# gem 'd'\n";
        assert_eq!(
            gems(text),
            [("rails", vec!["~> 7.0"], true), ("a", vec![">= 1", "< 2"], true), ("b", vec![], false)]
        );
    }
}
