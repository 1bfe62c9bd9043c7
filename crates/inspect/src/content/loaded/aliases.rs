//! What names of a source stand for: `import subprocess as s`, `const { exec: e } = require('child_process')`.

use std::collections::BTreeMap;

use memchr::memmem;

use super::{in_name, names};

/// A module of a language, by its names, and what its functions do, by the beginnings of their names.
pub(super) struct Module {
    pub(super) names: &'static [&'static [u8]],
    pub(super) functions: &'static [(&'static [u8], &'static str)],
}

const STARTS: &str = "process start";
const NETWORK: &str = "network";
const TEXT: &str = "run text";

pub(super) const PYTHON: &[Module] = &[
    Module {
        names: &[b"subprocess"],
        functions: &[
            (b"run", STARTS),
            (b"call", STARTS),
            (b"check_", STARTS),
            (b"getoutput", STARTS),
            (b"Popen", STARTS),
        ],
    },
    Module {
        names: &[b"os"],
        functions: &[
            (b"system", STARTS),
            (b"popen", STARTS),
            (b"exec", STARTS),
            (b"spawn", STARTS),
            (b"startfile", STARTS),
        ],
    },
    Module { names: &[b"urllib.request"], functions: &[(b"urlopen", NETWORK), (b"urlretrieve", NETWORK)] },
    Module {
        names: &[b"requests", b"httpx"],
        functions: &[(b"get", NETWORK), (b"post", NETWORK), (b"put", NETWORK), (b"request", NETWORK)],
    },
    Module {
        names: &[b"socket"],
        functions: &[(b"socket", NETWORK), (b"create_connection", NETWORK), (b"gethostbyname", NETWORK)],
    },
];

pub(super) const JAVASCRIPT: &[Module] = &[
    Module {
        names: &[b"child_process", b"node:child_process"],
        functions: &[(b"exec", STARTS), (b"spawn", STARTS), (b"fork", STARTS)],
    },
    Module {
        names: &[b"http", b"https", b"node:http", b"node:https"],
        functions: &[(b"get", NETWORK), (b"request", NETWORK)],
    },
    Module {
        names: &[b"net", b"tls", b"node:net", b"node:tls"],
        functions: &[(b"connect", NETWORK), (b"createConnection", NETWORK), (b"Socket", NETWORK)],
    },
    Module {
        names: &[b"dns", b"node:dns", b"dns/promises", b"node:dns/promises"],
        functions: &[(b"lookup", NETWORK), (b"resolve", NETWORK)],
    },
    Module { names: &[b"dgram", b"node:dgram"], functions: &[(b"createSocket", NETWORK)] },
    Module { names: &[b"vm", b"node:vm"], functions: &[(b"runIn", TEXT)] },
];

/// So much of what stands before a module's name, or behind it, is looked at.
const BEFORE_MAX: usize = 240;
/// Names of modules are shorter.
const NAME_MAX: usize = 64;

/// The names that a source binds: to a module, or to one of its functions.
#[derive(Default)]
pub(super) struct Aliases<'a> {
    modules: BTreeMap<&'a [u8], &'static Module>,
    functions: BTreeMap<&'a [u8], &'static str>,
}

impl<'a> Aliases<'a> {
    /// Finds `X = require('M')`, `{ f: X } = require('M')`, `import X from 'M'`, `import { f as X } from 'M'`.
    pub(super) fn of_javascript(source: &'a [u8]) -> Self {
        let mut aliases = Self::default();
        for word in [&b"require("[..], b"from", b"import("] {
            for at in memmem::find_iter(source, word) {
                let end = at + word.len();
                let rest = source[end..].get(..NAME_MAX).unwrap_or(&source[end..]).trim_ascii_start();
                let Some(quote) = rest.first().filter(|byte| matches!(byte, b'\'' | b'"')) else { continue };
                let name = rest[1..].split(|byte| byte == quote).next().unwrap_or_default();
                if let Some(module) = JAVASCRIPT.iter().find(|module| module.names.contains(&name)) {
                    aliases.bound(&source[at.saturating_sub(BEFORE_MAX)..end], module);
                }
            }
        }
        aliases
    }

    pub(super) fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.functions.is_empty()
    }

    /// Finds `import M as X`, `from M import f as X`.
    pub(super) fn of_python(source: &'a [u8]) -> Self {
        let mut aliases = Self::default();
        for at in memmem::find_iter(source, b"import ") {
            let before = &source[at.saturating_sub(NAME_MAX)..at];
            let before = before.rsplit(|byte| matches!(byte, b'\n' | b';')).next().unwrap_or_default();
            let rest = &source[at + b"import ".len()..];
            let list = rest.get(..BEFORE_MAX).unwrap_or(rest).trim_ascii_start();
            let (list, end) = match list.strip_prefix(b"(") {
                Some(list) => (list, &b")"[..]),
                None => (list, &b"\n;#"[..]),
            };
            let list = list.split(|byte| end.contains(byte)).next().unwrap_or_default();
            let known = |name: &[u8]| PYTHON.iter().find(|module| module.names.contains(&name));
            match before.trim_ascii().strip_prefix(b"from ") {
                Some(name) => {
                    if let Some(module) = known(name.trim_ascii()) {
                        aliases.listed(list, module);
                    }
                }
                None if before.trim_ascii().is_empty() => {
                    for part in list.split(|byte| *byte == b',') {
                        let mut words = part.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                        let (name, keyword, alias) = (words.next(), words.next(), words.next());
                        if let (Some(module), Some(b"as"), Some(alias)) =
                            (name.and_then(known), keyword, alias)
                        {
                            aliases.modules.insert(alias, module);
                        }
                    }
                }
                None => {}
            }
        }
        aliases
    }

    /// Takes the names before `require('M')` or `from 'M'`.
    fn bound(&mut self, before: &'a [u8], module: &'static Module) {
        let mut before = before.trim_ascii_end();
        let is_import = before.ends_with(b"from");
        if is_import {
            before = before[..before.len() - 4].trim_ascii_end();
        } else {
            // `require(`, `await import(`, and what compilers put around them.
            while let Some(inner) = before.strip_suffix(b"(") {
                before = &inner[..inner.iter().rposition(|byte| !in_name(*byte)).map_or(0, |at| at + 1)];
                before = before.trim_ascii_end();
                before = before.strip_suffix(b"await").unwrap_or(before).trim_ascii_end();
            }
            match before.strip_suffix(b"=") {
                Some(rest) => before = rest.trim_ascii_end(),
                None => return,
            }
        }
        if let Some(list) = before.strip_suffix(b"}") {
            let open = list.iter().rposition(|byte| *byte == b'{').map_or(0, |open| open + 1);
            self.listed(&list[open..], module);
        } else if let Some(name) = names(before).last() {
            self.modules.insert(&before[name], module);
        }
    }

    /// Takes `f`, `f as X`, `f: X` of a list.
    fn listed(&mut self, list: &'a [u8], module: &'static Module) {
        for part in list.split(|byte| *byte == b',') {
            let words: Vec<&[u8]> =
                names(part).map(|range| &part[range]).filter(|word| word != b"as").collect();
            if let (Some(function), Some(alias)) = (words.first(), words.last())
                && let Some(family) = module.family(function)
            {
                self.functions.insert(alias, family);
            }
        }
    }

    /// Visits the calls of what was bound: the family, where each begins, and where its arguments do.
    pub(super) fn each(&self, text: &[u8], mut visit: impl FnMut(&'static str, usize, usize)) {
        if self.is_empty() {
            return;
        }
        for name in names(text) {
            let (word, rest) = (&text[name.clone()], &text[name.end..]);
            if text[..name.start].ends_with(b".") {
                continue;
            }
            if let Some(family) = self.functions.get(word).filter(|_| rest.starts_with(b"(")) {
                visit(family, name.start, name.end + 1);
            }
            if let Some(module) = self.modules.get(word)
                && let Some(rest) = rest.strip_prefix(b".")
            {
                let end = rest.iter().position(|byte| !in_name(*byte)).unwrap_or(rest.len());
                let is_call = rest.get(end) == Some(&b'(');
                if let Some(family) = module.family(&rest[..end]).filter(|_| is_call) {
                    visit(family, name.start, name.end + end + 2);
                }
            }
        }
    }
}

impl Module {
    fn family(&self, function: &[u8]) -> Option<&'static str> {
        self.functions.iter().find(|(begin, _)| function.starts_with(begin)).map(|(_, family)| *family)
    }
}
