//! Hosts that code names: outside of comments, where documentation names those of everybody.
//!
//! Sources of Python and JavaScript are taken apart by [`super::loaded`]; of others, only comments are left out. Of pages and
//! templates of pages count what a browser fetches or opens by itself.

use evidence::BytePath;
use evidence::tree::Content;
use memchr::memmem;

use super::{base, bound, hosts};

/// Endings of sources by what begins their comments.
const SLASHES: &[&[u8]] = &[
    b"rs", b"ts", b"mts", b"cts", b"tsx", b"jsx", b"go", b"c", b"h", b"cc", b"cpp", b"hpp", b"java", b"cs",
    b"kt", b"swift", b"php",
];
const HASHES: &[&[u8]] = &[b"sh", b"bash", b"rb", b"pl", b"pm", b"ps1"];
/// Shells, and the commands by which their scripts call somebody.
const SHELLS: &[&[u8]] = &[b"sh", b"bash"];
const FETCHES: &[&[u8]] = &[b"curl ", b"wget ", b"/dev/tcp/", b"/dev/udp/"];
/// Interpreters, and the ending that their sources usually have.
const INTERPRETERS: &[(&str, &[u8])] = &[
    ("bash", b"bash"),
    ("dash", b"sh"),
    ("ksh", b"sh"),
    ("node", b"js"),
    ("perl", b"pl"),
    ("php", b"php"),
    ("python", b"py"),
    ("ruby", b"rb"),
    ("sh", b"sh"),
    ("zsh", b"sh"),
];
const PAGES: &[&[u8]] = &[b"html", b"htm", b"xhtml", b"jinja", b"j2", b"vue", b"svelte"];
/// What a browser follows without being asked.
const FETCHED: &[&[u8]] =
    &[b"src=", b"action=", b"window.open(", b"fetch(", b"sendBeacon(", b"WebSocket(", b"import("];
/// So much behind one of these is looked at.
const FETCHED_MAX: usize = 200;

/// The ending of a source, or that of its interpreter's sources where its name has none: `#!/usr/bin/env python3`.
pub(super) fn language<'a>(name: &'a BytePath, interpreter: Option<&str>) -> &'a [u8] {
    // Scripts of an RPM package, whose interpreter its header names: a shell, unless it says otherwise.
    if interpreter.is_none() && name.as_bytes().starts_with(b"#script/") {
        return b"sh";
    }
    let base = base(name);
    if let Some(dot) = base.iter().rposition(|byte| *byte == b'.') {
        return &base[dot + 1..];
    }
    let mut words = interpreter.unwrap_or_default().split_ascii_whitespace().map(|word| {
        let program = word.rsplit('/').next().unwrap_or_default();
        program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
    });
    let program = words.find(|word| *word != "env" && !word.starts_with('-')).unwrap_or_default();
    INTERPRETERS.iter().find(|(name, _)| *name == program).map_or(b"", |(_, ending)| ending)
}

/// Whether a file says where updates come from: settings that are called so, and the properties of an installer.
fn asks_for_updates(name: &BytePath, ending: &[u8]) -> bool {
    const SETTINGS: &[&[u8]] =
        &[b"yml", b"yaml", b"ini", b"json", b"conf", b"cfg", b"properties", b"xml", b"plist", b"toml"];
    let base = base(name).to_ascii_lowercase();
    let is_called = SETTINGS.contains(&ending) && memmem::find(&base, b"update").is_some();
    is_called || name.as_bytes().ends_with(b"#table/Property")
}

/// Collects the hosts of a source that is not taken apart.
pub(super) fn read(name: &BytePath, bytes: &[u8], content: &mut Content) {
    let ending = language(name, content.interpreter.as_deref());
    let (slashes, hashes) = (SLASHES.contains(&ending), HASHES.contains(&ending));
    if (slashes || hashes) && memmem::find(bytes, b"://").is_some() {
        let mark: &[u8] = if slashes { b"//" } else { b"#" };
        let calls = |code: &[u8]| {
            SHELLS.contains(&ending) && FETCHES.iter().any(|word| memmem::find(code, word).is_some())
        };
        collect(without_comments(bytes, mark), calls, content);
    } else if asks_for_updates(name, ending) && memmem::find(bytes, b"://").is_some() {
        collect(without_comments(bytes, b"#"), |_| true, content);
    } else if PAGES.contains(&ending) {
        let mut places: Vec<usize> = FETCHED.iter().flat_map(|word| memmem::find_iter(bytes, word)).collect();
        places.sort_unstable();
        let (mut code, mut looked) = (Vec::new(), 0);
        for at in places.into_iter().filter(|at| *at < bytes.len()) {
            // Nothing is taken twice.
            let at = at.max(looked);
            let rest = &bytes[at..(at + FETCHED_MAX).min(bytes.len())];
            let piece = rest.split(|byte| matches!(byte, b'\n' | b'>')).next().unwrap_or_default();
            looked = at + piece.len();
            code.extend_from_slice(piece);
            code.push(b'\n');
        }
        collect(code, |_| true, content);
    }
}

/// Collects the hosts of code without comments. `calls` says whether it calls anybody.
pub(super) fn collect(mut code: Vec<u8>, calls: impl Fn(&[u8]) -> bool, content: &mut Content) {
    // The begin of a name may be computed: `{secret}.example.com`.
    let computed: Vec<usize> = memmem::find_iter(&code, b"}.").collect();
    for at in computed {
        code[at + 1] = b'"';
    }
    let mut found = Content::default();
    hosts::read(&code, &mut found);
    if found.hosts.is_empty() {
        return;
    }
    let hosts = if calls(&code) { &mut content.called_hosts } else { &mut content.code_hosts };
    hosts.append(&mut found.hosts);
    bound(hosts);
}

/// A class has no comments: every host that it names is one of its code.
pub(super) fn of_class(content: &mut Content) {
    let calls = content.capabilities.iter().any(|name| name.starts_with("network/"));
    let hosts = if calls { &mut content.called_hosts } else { &mut content.code_hosts };
    *hosts = content.hosts.clone();
}

/// Leaves comments out: up to the end of the line, and of C between `/*` and `*/`. Texts in double quotes are kept whole.
fn without_comments(bytes: &[u8], mark: &[u8]) -> Vec<u8> {
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(mark) {
            at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        } else if mark == b"//" && rest.starts_with(b"/*") {
            at += memmem::find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4);
        } else if rest[0] == b'"' {
            let end = text_end(rest);
            code.extend_from_slice(&rest[..end]);
            at += end;
        } else {
            code.push(rest[0]);
            at += 1;
        }
    }
    code
}

/// How long a text in double quotes is, or what is left of the line that never closes it.
fn text_end(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at + 1,
            b'\n' => return at,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Content {
        let mut found = Content::default();
        read(&name.into(), text.as_bytes(), &mut found);
        found
    }

    fn named(name: &str, text: &str) -> Vec<String> {
        let found = of(name, text);
        assert!(found.called_hosts.is_empty(), "{found:?}");
        found.code_hosts.into_iter().collect()
    }

    #[test]
    fn comments_are_told_from_code() {
        let rust = "// https://a.invalid\n/* https://b.invalid */ let x = \"https://c.invalid/\\\"//\"; /// https://d.invalid\n";
        assert_eq!(named("a.rs", rust), ["c.invalid"]);
        assert_eq!(named("a.d.ts", "/** See https://a.invalid/ */\nexport {}\n"), [""; 0]);
        assert_eq!(named("a.sh", "# https://a.invalid\necho https://b.invalid/x\n"), ["b.invalid"]);
        assert_eq!(named("a.md", "https://b.invalid/x\n"), [""; 0]);
        assert_eq!(named("a.c", "\"https://a.invalid"), ["a.invalid"]);
        assert_eq!(named("a.c", "/* https://a.invalid"), [""; 0]);
    }

    #[test]
    fn scripts_without_an_ending_are_those_of_their_interpreter() {
        let text = "# https://a.invalid\ncurl -d x https://b.invalid/x\n";
        for (name, interpreter, ending) in [
            ("bin/a", Some("/bin/sh"), &b"sh"[..]),
            ("bin/a", Some("/usr/bin/env bash"), b"bash"),
            ("bin/a", Some("/usr/bin/env -S python3.12 -I"), b"py"),
            ("bin/a.pl", Some("/bin/sh"), b"pl"),
            ("bin/a", Some("/usr/bin/awk -f"), b""),
            ("bin/a", None, b""),
            ("#script/postin", None, b"sh"),
        ] {
            assert_eq!(language(&name.into(), interpreter), ending, "{interpreter:?}");
        }
        let mut found = Content { interpreter: Some("/bin/bash -e".to_owned()), ..Content::default() };
        read(&"bin/a".into(), text.as_bytes(), &mut found);
        assert_eq!(found.called_hosts.into_iter().collect::<Vec<_>>(), ["b.invalid"]);
        assert_eq!(of("bin/a", text), Content::default());
    }

    #[test]
    fn where_updates_come_from_is_told_of_settings() {
        let text = "provider: generic\n# https://a.invalid\nurl: https://b.invalid/x\n";
        for (name, count) in [
            ("resources/app-update.yml", 1),
            ("#table/Property", 1),
            ("resources/app.yml", 0),
            ("update.md", 0),
        ] {
            assert_eq!(of(name, text).called_hosts.len(), count, "{name}");
        }
    }

    #[test]
    fn what_a_page_fetches_is_told_from_what_it_links_to() {
        let page = "<a href=\"https://a.invalid/\">x</a><script src=\"https://b.invalid/x.js\"></script>\n<script>window.open('https://c.invalid/')</script>";
        let found: Vec<String> = of("layout.html", page).called_hosts.into_iter().collect();
        assert_eq!(found, ["b.invalid", "c.invalid"]);
    }
}
