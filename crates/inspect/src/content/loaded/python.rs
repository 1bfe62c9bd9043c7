//! Which lines of a Python source run when it is loaded, by their indentation ("The Python Language Reference", 2.1 and 8).

use std::ops::Range;

use super::{FUNCTIONS_MAX, Function, Parts};

/// A logical line: without comments, with all that brackets and texts hold together.
struct Line {
    indent: usize,
    pieces: Vec<Range<usize>>,
}

pub(super) fn parts(source: &[u8]) -> Parts<'_> {
    let mut parts = Parts::default();
    // Blocks that are open: how far they are indented at least, and which function they belong to.
    let mut open: Vec<(usize, usize)> = Vec::new();
    // The classes that are open at load, with how far they are indented.
    let mut classes: Vec<(usize, &[u8])> = Vec::new();
    let mut registered = false;
    each_line(source, |line| {
        while open.last().is_some_and(|(indent, _)| line.indent <= *indent) {
            open.pop();
        }
        while classes.last().is_some_and(|(indent, _)| line.indent <= *indent) {
            classes.pop();
        }
        let Some(first) = line.pieces.first() else { return };
        let text = &source[first.clone()];
        let owner = open.last().map(|(_, function)| *function);
        let name = definition(text);
        let is_main = text.starts_with(b"if ") && memchr::memmem::find(text, b"__name__").is_some();
        let number = match owner {
            // What a function defines belongs to it.
            Some(owner) => owner,
            None if (name.is_some() || is_main) && parts.functions.len() < FUNCTIONS_MAX => {
                let name = name.filter(|_| !registered);
                let class = classes.last().map(|(_, class)| *class);
                parts.functions.push(Function { name, class, body: Vec::new() });
                open.push((line.indent, parts.functions.len() - 1));
                parts.functions.len() - 1
            }
            None => {
                registered = text.starts_with(b"@atexit.register");
                classes.extend(after(text, b"class ").map(|class| (line.indent, class)));
                if !is_documentation(text) {
                    parts.load.extend(line.pieces);
                }
                return;
            }
        };
        // A text alone is documentation.
        if is_documentation(text) {
            return;
        }
        if registered && owner.is_none() {
            // Its body runs without being called by name.
            open.pop();
            registered = false;
        }
        parts.functions[number].body.extend(line.pieces);
    });
    parts
}

/// The name of the function that a line begins to define.
fn definition(text: &[u8]) -> Option<&[u8]> {
    after(text.strip_prefix(b"async").map_or(text, <[u8]>::trim_ascii_start), b"def ")
}

/// The name that stands behind a word with which a line begins.
fn after<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(word)?.trim_ascii_start();
    let end = rest.iter().position(|byte| !super::in_name(*byte)).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether a statement is nothing but a text.
fn is_documentation(text: &[u8]) -> bool {
    let quote = text.iter().position(|byte| !matches!(byte, b'r' | b'R' | b'u' | b'U')).unwrap_or(0);
    matches!(text.get(quote), Some(b'\'' | b'"')) && text_end(text, quote) >= text.trim_ascii_end().len()
}

/// Visits the logical lines of a source.
fn each_line(source: &[u8], mut visit: impl FnMut(Line)) {
    let (mut at, mut depth) = (0, 0_usize);
    while at < source.len() {
        let begin = at;
        while at < source.len() && matches!(source[at], b' ' | b'\t' | b'\x0c') {
            at += 1;
        }
        let mut line = Line { indent: at - begin, pieces: Vec::new() };
        let mut piece = at;
        while at < source.len() {
            match source[at] {
                b'\n' if depth == 0 => break,
                b'#' => {
                    line.pieces.push(piece..at);
                    at += memchr::memchr(b'\n', &source[at..]).unwrap_or(source.len() - at);
                    piece = at;
                    continue;
                }
                b'\\' => at += 1,
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b'\'' | b'"' => {
                    at = text_end(source, at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        let end = at.min(source.len());
        line.pieces.push(piece.min(end)..end);
        line.pieces.retain(|piece| !source[piece.clone()].trim_ascii().is_empty());
        at = end + 1;
        if !line.pieces.is_empty() {
            visit(line);
        }
    }
}

/// Where a text that begins at `at` ends: behind its last quote, or at the end of the line that never closes it.
fn text_end(source: &[u8], at: usize) -> usize {
    let quote = source[at];
    let is_long = source[at..].starts_with(&[quote, quote, quote]);
    let mut at = at + if is_long { 3 } else { 1 };
    while at < source.len() {
        match source[at] {
            b'\\' => at += 1,
            b'\n' if !is_long => return at,
            byte if byte == quote => {
                if !is_long {
                    return at + 1;
                }
                if source[at..].starts_with(&[quote, quote, quote]) {
                    return at + 3;
                }
            }
            _ => {}
        }
        at += 1;
    }
    source.len()
}
