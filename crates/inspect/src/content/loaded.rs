//! What a source does by itself as soon as somebody loads it: statements outside of functions, and the functions, and methods of
//! classes, that those call.
//!
//! Honest modules define things when they are loaded; what they start, fetch or run stands in functions that somebody calls.
//! Attacks on packages begin at once, for nobody calls them. Which parts run is told by how sources are laid out
//! ([`python`]: "Compound statements"; [`javascript`]: ECMA-262, "Function definitions"), not by running them: what is too
//! clever for that is missed.

mod aliases;
mod calls;
mod javascript;
mod python;
mod words;

use std::collections::BTreeMap;
use std::ops::Range;

use evidence::BytePath;
use evidence::tree::Content;

use super::{addresses, base, short};
use aliases::Aliases;
use words::{CONSTRUCTORS, WORDS, Words};

/// Larger sources are bundles of many.
const SOURCE_MAX: usize = 4 << 20;
/// So many functions are kept apart; what is defined beyond them counts as run.
const FUNCTIONS_MAX: usize = 1 << 16;

/// A source in parts: what runs when it is loaded, and functions by name.
#[derive(Default)]
struct Parts<'a> {
    load: Vec<Range<usize>>,
    functions: Vec<Function<'a>>,
}

impl Parts<'_> {
    /// All of a source runs.
    fn whole(source: &[u8]) -> Self {
        Self { load: std::iter::once(0..source.len()).collect(), functions: Vec::new() }
    }

    /// Everything but comments, and texts that only document.
    fn all(&self) -> impl Iterator<Item = Range<usize>> {
        let bodies = self.functions.iter().flat_map(|function| &function.body);
        self.load.iter().chain(bodies).cloned()
    }
}

#[derive(Default)]
struct Function<'a> {
    name: Option<&'a [u8]>,
    /// The class whose method it is.
    class: Option<&'a [u8]>,
    body: Vec<Range<usize>>,
}

/// What is asked of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    JavaScript,
    Rust,
}

fn language(name: &BytePath, interpreter: Option<&str>, bytes: &[u8]) -> Option<Language> {
    match addresses::language(name, interpreter) {
        b"py" | b"pyw" => Some(Language::Python),
        b"js" | b"mjs" | b"cjs" => Some(Language::JavaScript),
        b"rs"
            if base(name) == b"build.rs"
                || CONSTRUCTORS.iter().any(|word| holds(bytes, word))
                || holds(bytes, b"#[proc_macro") =>
        {
            Some(Language::Rust)
        }
        _ => None,
    }
}

/// Collects what a source does when it is loaded, and of the hosts that were found in it those which its code names.
pub(super) fn read(name: &BytePath, bytes: &[u8], content: &mut Content) {
    let language = language(name, content.interpreter.as_deref(), bytes);
    let Some(language) = language.filter(|_| bytes.len() <= SOURCE_MAX) else { return };
    let words = &WORDS[language as usize];
    let aliases = match language {
        Language::Python => Aliases::of_python(bytes),
        Language::JavaScript => Aliases::of_javascript(bytes),
        Language::Rust => Aliases::default(),
    };
    // Most sources have none of the words anywhere, and no address.
    let has_words = !aliases.is_empty() || words.are_in(bytes);
    let has_address = !content.hosts.is_empty() && language != Language::Rust;
    if !has_words && !has_address {
        return;
    }
    let parts = match language {
        Language::Python => python::parts(bytes),
        Language::JavaScript => javascript::parts(bytes),
        Language::Rust => Parts::whole(bytes),
    };
    let reading = Reading { language, words, aliases, starts_programs: holds(bytes, b"child_process") };
    if has_address {
        let mut code = Vec::with_capacity(bytes.len());
        for range in parts.all() {
            code.extend_from_slice(&bytes[range]);
            code.push(b'\n');
        }
        addresses::collect(
            code,
            |code| reading.families(code).keys().any(|family| TALKS.contains(family)),
            content,
        );
    }
    if !has_words {
        return;
    }
    let text = calls::run(bytes, &parts, language);
    // Pages load scripts for good reasons; the hosts of these are told above.
    for (family, at) in reading.families(&text).into_iter().filter(|(family, _)| *family != "page script") {
        content.at_load.entry(family.to_owned()).or_insert_with(|| short(&line(&text, at)));
    }
}

/// Families by which a source may call the hosts that its code names.
const TALKS: &[&str] = &["network", "page script", "interception", "input"];
/// What a source is looked through for.
struct Reading<'a> {
    language: Language,
    words: &'static Words,
    aliases: Aliases<'a>,
    starts_programs: bool,
}

impl Reading<'_> {
    /// Returns which families a text has, and where each stands first.
    fn families(&self, text: &[u8]) -> BTreeMap<&'static str, usize> {
        let mut named = BTreeMap::new();
        for hit in self.words.machine.find_iter(text) {
            let (family, word) = self.words.families[hit.pattern().as_usize()];
            if !named.contains_key(family) && self.counts(text, hit.start(), family, word) {
                named.insert(family, hit.start());
            }
        }
        self.aliases.each(text, |family, at, end| {
            if !is_definition(text, at, end) {
                named.entry(family).or_insert(at);
            }
        });
        named
    }

    /// Whether a word that stands somewhere says what it seems to say.
    fn counts(&self, text: &[u8], at: usize, family: &str, word: &[u8]) -> bool {
        let before = at.checked_sub(1).map(|at| text[at]);
        let begins_inside = in_name(word[0]) && before.is_some_and(in_name);
        // A method of somebody: `pattern.exec(`, `model.eval(`.
        let bare = matches!(word, b"exec(" | b"eval(" | b"spawn(" | b"Function(");
        let end = at + word.len();
        let is_usual = is_definition(text, at, end)
            || (word.ends_with(b"Function(") && argument(text, end) == Some(&b"return this"[..]))
            || (word.ends_with(b"=") && text.get(end) == Some(&b'='));
        let needs_module = self.language == Language::JavaScript
            && family == "process start"
            && word != b"process.binding("
            && !self.starts_programs;
        !(begins_inside || (bare && before == Some(b'.')) || is_usual || needs_module)
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// What stands between the quotes of an only argument.
fn argument(text: &[u8], from: usize) -> Option<&[u8]> {
    let rest = text.get(from..)?;
    let quote = rest.first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let end = rest.iter().take(256).skip(1).position(|byte| byte == quote)?;
    Some(&rest[1..=end])
}

/// Whether a method or function of that name is defined here, and not called: `function fetch(…)`, `eval(x) {`.
fn is_definition(text: &[u8], at: usize, parenthesis: usize) -> bool {
    const PARAMETERS_MAX: usize = 240;
    if text[..at].ends_with(b"function ") || text[..at].ends_with(b"#") {
        return true;
    }
    let rest = text.get(parenthesis..).unwrap_or_default();
    let mut depth = 1_u32;
    for (at, byte) in rest.iter().enumerate().take(PARAMETERS_MAX) {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest[at + 1..].trim_ascii_start().starts_with(b"{");
        }
    }
    false
}

/// The line in which something stands, or what is around it in a line that nobody reads.
fn line(text: &[u8], at: usize) -> std::borrow::Cow<'_, str> {
    const AROUND: usize = 60;
    let begin = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length);
    let begin = begin.max(at.saturating_sub(AROUND));
    String::from_utf8_lossy(text[begin..end.min(at + 2 * AROUND)].trim_ascii())
}

/// Where names stand in a piece of source.
fn names(piece: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < piece.len() && !in_name(piece[at]) {
            at += 1;
        }
        let begin = at;
        while at < piece.len() && in_name(piece[at]) {
            at += 1;
        }
        (begin < at).then_some(begin..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &[&str]) {
        // Any host lets it look for those that code names.
        let mut found = Content { hosts: std::iter::once("x".to_owned()).collect(), ..Content::default() };
        read(&name.into(), text.as_bytes(), &mut found);
        let families = found.at_load.into_iter().map(|(family, line)| format!("{family}: {line}"));
        let called = found.called_hosts.into_iter().map(|host| format!("calls {host}"));
        let named = found.code_hosts.into_iter().map(|host| format!("names {host}"));
        assert_eq!(families.chain(called).chain(named).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn what_python_runs_when_a_module_is_loaded_is_told_from_what_it_defines() {
        let starts = "process start: subprocess.Popen(['x'])";
        for runs in [
            "import subprocess\nsubprocess.Popen(['x'])\n",
            "try:\n    subprocess.Popen(['x'])\nexcept Exception:\n    pass\n",
            "def f():\n    subprocess.Popen(['x'])\n\nf()\n",
            "def f():\n    subprocess.Popen(['x'])\ndef g():\n    f()\nthreading.Thread(target=g).start()\n",
            "class A:\n    subprocess.Popen(['x'])\n    def f(self): pass\n",
            "if True:\n  def f(\n    a,\n  ):\n    subprocess.Popen(['x'])\n  f()\n",
            "@atexit.register\ndef f():\n    subprocess.Popen(['x'])\n",
            "s = '''\ndef f():\n'''\nsubprocess.Popen(['x'])\n",
            "class A(B):\n    def __init__(self):\n        subprocess.Popen(['x'])\n    def g(self): pass\n_a = A()\n",
            "class A:\n    def __init__(self):\n        self.g()\n    def g(self):\n        subprocess.Popen(['x'])\nx = A()\n",
            "class A:\n  class B:\n    pass\n  @staticmethod\n  def g():\n    subprocess.Popen(['x'])\nA.g()\n",
            "def f(a):\n    a.g()\nclass A:\n    def g(self):\n        subprocess.Popen(['x'])\nf(A())\n",
        ] {
            check("a/b.py", runs, &[starts]);
        }
        for defines in [
            "def f():\n    subprocess.Popen(['x'])\n",
            "async def f(a):\n\n    if a:\n        subprocess.Popen(['x'])\n",
            "class A:\n    def f(self):\n        subprocess.Popen(['x'])\na = A()\nA.g()\n",
            "class A:\n    def __init__(self):\n        subprocess.Popen(['x'])\nclass B:\n    def f(self): pass\nb = B()\nx.f()\n",
            "class A:\n    def f(self):\n        subprocess.Popen(['x'])\nx.f()\n",
            "if __name__ == '__main__':\n    subprocess.Popen(['x'])\n",
            "# subprocess.Popen(['x'])\n",
            "def f(): return subprocess.Popen(['x'])\n",
            "def f():\n    s = '''\na\n'''\n    subprocess.Popen(['x'])\n",
            "class A:\n    '''\n    subprocess.Popen(['x'])\n    '''\n",
            "r\"\"\"\nsubprocess.Popen(['x'])\n\"\"\"\n",
            "def f(a=(\n1)):\n    subprocess.Popen(['x'])\nself.f()\n",
        ] {
            check("a/b.py", defines, &[]);
        }
        check("a.py", "model.eval()\nre.compile('x')\nplatform.system()\nretrieval(x)\n", &[]);
        check(
            "a.py",
            "open(os.path.expanduser('~/.bashrc'), 'a')\nexec(x)\n",
            &["persistence: open(os.path.expanduser('~/.bashrc'), 'a')", "run text: exec(x)"],
        );
        check("a.txt", "subprocess.Popen(['x'])\n", &[]);
        // Under other names.
        check("a.py", "import os, subprocess as s\ns.run(['x'])\n", &["process start: s.run(['x'])"]);
        check("a.py", "from os import path, system as t\nt('x')\n", &["process start: t('x')"]);
        check(
            "a.py",
            "from urllib.request import (Request, urlopen as u)\nu(Request('x'))\n",
            &["network: u(Request('x'))"],
        );
        check(
            "a.py",
            "import subprocess as s\nfrom os import path\nsystem('x')\npath.join('x')\nx.s.run()\n",
            &[],
        );
    }

    #[test]
    fn what_javascript_runs_when_a_module_is_loaded_is_told_from_what_it_defines() {
        let with = |text: &str| format!("const c = require('child_process');\n{text}");
        let starts = "process start: c.execSync('x')";
        for runs in [
            "c.execSync('x')",
            "(function () {\nc.execSync('x')\n})();",
            "(() => {\nc.execSync('x')\n})()",
            "!function(){\nc.execSync('x')\n}()",
            "(async () => {\nc.execSync('x')\n})()",
            "function f() {\nc.execSync('x')\n}\nf();",
            "const f = async (a) => {\nc.execSync('x')\n};\nsetTimeout(f, 10);",
            "const f = function () {\nc.execSync('x')\n}\nfunction g() { f() }\ng()",
            "setTimeout(() => {\nc.execSync('x')\n}, 10);",
            "r.get('x', (res) => {\nres.on('end', function () {\nc.execSync('x')\n}) })",
            "if (a) {\nc.execSync('x')\n} else { for (;;) { } }",
            "const s = `function f() {`; const t = '{'; /[{/]{/.test(s);\nc.execSync('x')",
            "try {\nc.execSync('x')\n} catch (e) {}",
            "const a = b => b + 1\nc.execSync('x')",
            "(function f() {\nc.execSync('x')\n}).call(this)",
            "(function () {\nc.execSync('x')\n}())",
            "(() =>\nc.execSync('x')\n)()",
            "class A extends B { constructor() {\nc.execSync('x')\n} }\nnew A()",
            "const A = class { run() {\nc.execSync('x')\n} }\nconst a = new A(); a.run()",
            "class A { static run(a = {}) {\nc.execSync('x')\n} }\nA.run()",
        ] {
            check("a/b.js", &with(runs), &[starts]);
        }
        for defines in [
            "function f() { c.execSync('x') }",
            "const f = () => { c.execSync('x') }; module.exports = f",
            "const f = () => c.execSync('x');",
            "const f = a => c.execSync(a)\nmodule.exports = { f }",
            "class A { run() { c.execSync('x') } static get b() { return c.execSync('x') } }",
            "class A { run() { c.execSync('x') } go() { } }\nnew A().go(); class B { }\nnew B()",
            "module.exports = { run() { c.execSync('x') }, go: function () { c.execSync('x') } }",
            "exports.f = async function (a, b = {}) { if (a) { c.execSync('x') } }\nthis.f()",
            "// c.execSync('x')\n/* c.execSync('x') */",
            "export default function () { c.execSync('x') }",
            "function f(a) { return function () { c.execSync('x') } }",
            "var a = { 1: (function () { c.execSync('x') }), 2: ((b) => { c.execSync('x') }) }",
        ] {
            check("a/b.js", &with(defines), &[]);
        }
        // Under other names.
        for (text, found) in [
            ("const h = require(\"https\"); setTimeout(function () {\nh.get(u)\n}, 1)", "network: h.get(u)"),
            ("const { execSync: e, spawn } = require('child_process')\ne('x')", "process start: e('x')"),
            ("import * as c from 'node:child_process'\nc.exec('x')", "process start: c.exec('x')"),
            ("import { exec as e } from \"child_process\"\ne('x')", "process start: e('x')"),
            ("var c = __importStar(require('child_process'))\nc.fork('x')", "process start: c.fork('x')"),
            ("const d = await import('dns')\nd.resolveTxt(x)", "network: d.resolveTxt(x)"),
        ] {
            check("a.mjs", text, &[found]);
        }
        check(
            "a.js",
            "const h = require('https'); function f() { h.get(u) }\nx.h.get(u); h.agent(); hh.get()",
            &[],
        );
        check(
            "a.js",
            "const { spawn } = require('child_process')\nclass A { async #spawn(a, b = {}) { } }",
            &[],
        );
        check("a.js", "window.fetch==x; if (window.fetch===y) {}", &[]);
        check("a.js", "window.fetch=x", &["interception: window.fetch=x"]);
        // A pattern's method, and a function of that name in a file that starts no programs.
        check("a.js", "const m = /x/.exec(y); spawn(y); medieval(y);", &[]);
        check("a.js", "class A { async fetch(a, b) { } eval(t) {\n} }\nFunction('return this')()", &[]);
        check(
            "a.mjs",
            "fetch('https://x.invalid')\n",
            &["network: fetch('https://x.invalid')", "calls x.invalid"],
        );
    }

    #[test]
    fn hosts_of_code_are_told_from_those_of_comments() {
        for (name, text) in [
            (
                "a.py",
                "def f():\n    # https://a.invalid/\n    \"\"\"See https://b.invalid/.\"\"\"\n    requests.post('https://c.invalid/x')\n",
            ),
            (
                "a.js",
                "// https://a.invalid/\nfunction f() { /* https://b.invalid */ fetch('https://c.invalid/x') }",
            ),
        ] {
            check(name, text, &["calls c.invalid"]);
        }
        check(
            "a.js",
            "const see = 'https://c.invalid/x'; eval(y)",
            &["run text: const see = 'https://c.invalid/x'; eval(y)", "names c.invalid"],
        );
    }

    #[test]
    fn build_scripts_and_macros_of_crates_run_whole() {
        let shell = "fn f() { std::process::Command::new(\"sh\").spawn(); }";
        let found = format!("process start: {shell}");
        check("a-1/build.rs", shell, &[&found]);
        check("a-1/src/lib.rs", shell, &[]);
        check("a-1/src/lib.rs", &format!("#[proc_macro]\npub fn x() {{}}\n{shell}"), &[&found]);
        check("a-1/build.rs", "Command::new(rustc); Command::new(\"pkg-config\");", &[]);
    }

    #[test]
    fn what_is_broken_or_endless_ends() {
        for text in [
            "(".repeat(1 << 20),
            "{".repeat(1 << 20),
            "f(".repeat(1 << 19),
            "`${".repeat(1 << 18),
            "=>".repeat(1 << 19),
            "def f(): f()\n".repeat(1 << 16),
            "/".repeat(1 << 20),
            "'".repeat(1 << 20),
            "function f(){f(".repeat(1 << 16),
            "f(){}".repeat(1 << 17),
            "/[".repeat(1 << 19),
            "def f():\n f()\n".repeat(1 << 17),
            "src=\"".repeat(1 << 18),
            "class A:\n def f(): A.f()\n".repeat(1 << 16),
            "class A{f(){A.f()}}".repeat(1 << 16),
        ] {
            for name in ["a.py", "a.js"] {
                let mut found =
                    Content { hosts: std::iter::once("x".to_owned()).collect(), ..Content::default() };
                read(&name.into(), format!("{text}\nexecSync( eval( ").as_bytes(), &mut found);
            }
        }
    }
}
