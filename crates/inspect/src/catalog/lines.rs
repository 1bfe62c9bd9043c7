//! Texts that tools write line by line: the YAML of lock files, where only indentation, keys and scalars occur, and small
//! helpers for lists and encodings. A line that is something else is skipped; nothing here recurses or grows with the depth.

/// One line that is not blank and not a comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    /// Columns before the content. A list item's dash counts as indentation.
    pub(crate) indent: usize,
    /// Whether the line begins a list item.
    pub(crate) item: bool,
    /// What stands before the colon, without quotes; the whole scalar of a list item or a key without a value.
    pub(crate) key: &'a str,
    /// What stands behind the colon, without quotes.
    pub(crate) value: &'a str,
    /// Whether there is a colon.
    pub(crate) mapping: bool,
}

/// Reads the lines of machine-written YAML.
pub(crate) fn yaml(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(yaml_line)
}

fn yaml_line(line: &str) -> Option<Line<'_>> {
    let content = line.trim_start_matches(' ');
    let mut indent = line.len() - content.len();
    let mut content = content.trim_end();
    let mut item = false;
    while let Some(rest) = content.strip_prefix("- ") {
        item = true;
        let trimmed = rest.trim_start_matches(' ');
        indent += content.len() - trimmed.len();
        content = trimmed;
    }
    if content.is_empty() || content.starts_with('#') || matches!(content, "---" | "-") {
        return None;
    }
    if let Some(rest) = content.strip_prefix("? ") {
        content = rest;
    }
    let (key, rest) = scalar(content);
    match rest {
        Some(value) => Some(Line { indent, item, key, value: unquoted(value), mapping: true }),
        None => Some(Line { indent, item, key, value: "", mapping: false }),
    }
}

/// Takes a key, quoted or not, and what follows its colon.
fn scalar(content: &str) -> (&str, Option<&str>) {
    let quote = content.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote {
        let inner = &content[1..];
        let Some(end) = inner.find(quote) else { return (content, None) };
        let (key, rest) = (&inner[..end], inner[end + 1..].trim_start());
        return (key, rest.strip_prefix(':').map(str::trim));
    }
    if let Some((key, value)) = content.split_once(": ") {
        return (key.trim_end(), Some(value.trim()));
    }
    match content.strip_suffix(':') {
        Some(key) => (key, Some("")),
        None => (content, None),
    }
}

/// Takes a value out of its quotes, without a comment behind it.
pub(crate) fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or(inner);
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

/// Finds a scalar in a flow mapping such as `{integrity: sha512-x, tarball: y}`.
pub(super) fn of_flow<'a>(flow: &'a str, key: &str) -> Option<&'a str> {
    let inner = flow.trim().strip_prefix('{')?.trim_end().trim_end_matches('}');
    inner.split(", ").find_map(|pair| {
        let (name, value) = pair.split_once(':')?;
        (unquoted(name) == key).then(|| unquoted(value))
    })
}

/// Reads a paragraph of `Name: value` lines, as Debian and Python's metadata have them: folded lines belong to the value.
pub(crate) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads up to the first blank line. Of a folded value, the first line counts.
    pub(crate) fn read(paragraph: &'a str) -> Self {
        let lines = paragraph.lines().take_while(|line| !line.trim_end().is_empty());
        Self(
            lines
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name, value.trim()))
                .collect(),
        )
    }

    /// Finds a field, whatever the case of its name.
    pub(crate) fn one(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Finds a field that may occur several times.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// Finds a value of a file of Java properties (`name=value`).
pub(crate) fn property<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
}

/// Splits a text into paragraphs: blocks of lines between blank ones.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find("\n\n").unwrap_or(rest.len());
        let end = rest.find("\n\r\n").map_or(end, |other| other.min(end));
        let (paragraph, after) = rest.split_at(end);
        rest = after;
        Some(paragraph)
    })
}

/// Decodes base64 with the usual or the URL-safe alphabet, padded or not.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    crate::base64::decode(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_lock_files_are_read() {
        let text = "# c\n'@a/b@1':\n  resolution: {integrity: sha512-x==, tarball: 'http://x'}\n  deps:\n    - \"name\": v # c\n    - plain\n";
        let lines: Vec<_> = yaml(text).map(|l| (l.indent, l.item, l.key, l.value, l.mapping)).collect();
        assert_eq!(
            lines,
            [
                (0, false, "@a/b@1", "", true),
                (2, false, "resolution", "{integrity: sha512-x==, tarball: 'http://x'}", true),
                (2, false, "deps", "", true),
                (6, true, "name", "v", true),
                (6, true, "plain", "", false),
            ]
        );
        assert_eq!(of_flow(lines[1].3, "integrity"), Some("sha512-x=="));
        assert_eq!(of_flow(lines[1].3, "tarball"), Some("http://x"));
    }

    #[test]
    fn paragraphs_and_fields() {
        let all: Vec<_> = paragraphs("A: 1\nB: 2\n more\n\n\nA: 3\r\n\r\nA: 4").collect();
        assert_eq!(all.len(), 3);
        let fields = Fields::read(all[0]);
        assert_eq!((fields.one("a"), fields.one("B"), fields.one("C")), (Some("1"), Some("2"), None));
    }

    #[test]
    fn base64_is_strict_about_its_alphabet() {
        assert_eq!(base64("aGk="), Some(b"hi".to_vec()));
        assert_eq!(base64("aGk"), Some(b"hi".to_vec()));
        assert_eq!(base64("a*k"), None);
    }
}
