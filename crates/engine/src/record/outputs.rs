//! Declared outputs: which patterns there are, which files match.

use evidence::BytePath;
use glob::{MatchOptions, Pattern};

use crate::error::{Error, Result};

/// `*` stays within a folder, `**` crosses them, and hidden files are files too.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Parses the patterns.
pub(crate) fn patterns(texts: &[String]) -> Result<Vec<Pattern>> {
    texts
        .iter()
        .map(|text| {
            let relative = text.strip_prefix("./").unwrap_or(text);
            Pattern::new(relative).map_err(|source| Error::Pattern { pattern: text.clone(), source })
        })
        .collect()
}

/// Returns the position of the first pattern that a path matches: relative to the working directory, or absolute.
/// A pattern that names a folder matches all that is below it.
pub(crate) fn matching(patterns: &[Pattern], workdir: &BytePath, path: &BytePath) -> Option<usize> {
    let whole = String::from_utf8_lossy(path.as_bytes());
    let relative = path.is_below(workdir.as_bytes()).then(|| {
        let rest = &path.as_bytes()[workdir.as_bytes().len()..];
        String::from_utf8_lossy(rest.strip_prefix(b"/").unwrap_or(rest))
    });
    patterns.iter().position(|pattern| {
        [relative.as_deref(), Some(&*whole)].into_iter().flatten().any(|name| {
            let below = |ancestor: &str| pattern.matches_with(ancestor, OPTIONS);
            below(name)
                || name.match_indices('/').any(|(at, _)| at > 0 && is_literal(pattern) && below(&name[..at]))
        })
    })
}

fn is_literal(pattern: &Pattern) -> bool {
    !pattern.as_str().contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        matching(&patterns(&[pattern.to_owned()]).unwrap(), &"/w".into(), &path.into()).is_some()
    }

    #[test]
    fn patterns_are_relative_to_the_working_directory() {
        assert!(matches("dist/*", "/w/dist/a.tar.gz"));
        assert!(matches("./dist/*", "/w/dist/.hidden"));
        assert!(!matches("dist/*", "/w/dist/sub/a"));
        assert!(matches("dist/**", "/w/dist/sub/a"));
        assert!(matches("dist", "/w/dist/sub/a"));
        assert!(matches("/out/*.bin", "/out/a.bin"));
        assert!(!matches("dist/*", "/other/dist/a"));
        assert!(patterns(&["a[".to_owned()]).is_err());
    }
}
