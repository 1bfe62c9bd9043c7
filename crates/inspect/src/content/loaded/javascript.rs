//! Which parts of a JavaScript source run when it is loaded: all but the bodies of functions, unless they are called on the
//! spot or handed to a call that runs by itself (ECMA-262, 15 and 13.3).

use super::{FUNCTIONS_MAX, Function, Parts, in_name};

/// Brackets inside each other.
const DEPTH_MAX: usize = 4096;
/// Words with parentheses that are no calls.
const CONTROL: &[&[u8]] = &[b"if", b"for", b"while", b"switch", b"catch", b"with"];
/// Words behind which an expression begins, so that a slash begins a pattern.
const BEFORE_EXPRESSION: &[&[u8]] = &[
    b"return", b"typeof", b"case", b"in", b"of", b"do", b"else", b"void", b"delete", b"await", b"yield",
    b"new",
];

/// A token, as far as it is asked for: a name, or one character of punctuation. Texts and numbers are `Other`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Start,
    Name(&'a [u8]),
    Mark(u8),
    Arrow,
    Other,
}

/// The last tokens, the newest first.
type Last<'a> = [Token<'a>; 5];

/// A bracket that is open.
struct Open<'a> {
    bracket: u8,
    /// What stood before it.
    before: Last<'a>,
    /// Which function what is inside belonged to before the bracket.
    owner: Option<usize>,
    /// The function in parentheses whose body this is: it runs if it is called behind them.
    candidate: Option<usize>,
}

/// The body of an arrow function without braces: up to which depth, and who goes on behind it.
struct Short {
    depth: usize,
    owner: Option<usize>,
    candidate: Option<usize>,
}

struct Reader<'a> {
    source: &'a [u8],
    at: usize,
    last: Last<'a>,
    open: Vec<Open<'a>>,
    short: Vec<Short>,
    /// What stood before the parenthesis that was closed last, and whether it was an argument of a call.
    closed: Last<'a>,
    owner: Option<usize>,
    candidate: Option<usize>,
    /// Up to here, slashes begin no patterns.
    divisions: usize,
    begin: usize,
    parts: Parts<'a>,
}

pub(super) fn parts(source: &[u8]) -> Parts<'_> {
    let nothing = [Token::Start; 5];
    let mut reader = Reader {
        source,
        at: 0,
        last: nothing,
        open: Vec::new(),
        short: Vec::new(),
        closed: nothing,
        owner: None,
        candidate: None,
        divisions: 0,
        begin: 0,
        parts: Parts::default(),
    };
    while reader.at < source.len() {
        reader.step();
        // Nobody writes that by hand or by machine: all of it counts as run.
        if reader.open.len().max(reader.short.len()) > DEPTH_MAX
            || reader.parts.functions.len() > FUNCTIONS_MAX
        {
            return Parts::whole(source);
        }
    }
    reader.hand_over(reader.owner);
    reader.parts
}

impl<'a> Reader<'a> {
    /// Gives what was read since to its owner; another one goes on.
    fn hand_over(&mut self, owner: Option<usize>) {
        if self.begin < self.at.min(self.source.len()) {
            let range = self.begin..self.at.min(self.source.len());
            match self.owner {
                Some(number) => self.parts.functions[number].body.push(range),
                None => self.parts.load.push(range),
            }
        }
        self.begin = self.at;
        self.owner = owner;
    }

    fn push(&mut self, token: Token<'a>) {
        self.last.rotate_right(1);
        self.last[0] = token;
    }

    fn step(&mut self) {
        let rest = &self.source[self.at..];
        match rest[0] {
            b'\n' => {
                // A short body ends with its line, unless the expression goes on.
                let goes_on = matches!(self.last[0], Token::Arrow)
                    || matches!(self.last[0], Token::Mark(mark) if !matches!(mark, b')' | b']' | b'}'));
                if !goes_on {
                    self.end_short(self.open.len(), true);
                }
                self.at += 1;
            }
            byte if byte.is_ascii_whitespace() => self.at += 1,
            b'/' if rest.starts_with(b"//") => {
                self.skip(memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = memchr::memmem::find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4);
                self.skip(end);
            }
            b'/' if self.at >= self.divisions && self.is_pattern() => {
                match pattern(rest) {
                    Ok(length) => self.at += length,
                    Err(length) => {
                        // It does not end in its line: this and what follows there are divisions.
                        self.divisions = self.at + length;
                        self.at += 1;
                    }
                }
                self.push(Token::Other);
            }
            quote @ (b'\'' | b'"' | b'`') => {
                self.at += text(rest, quote);
                self.push(Token::Other);
            }
            b'=' if rest.starts_with(b"=>") => {
                self.at += 2;
                self.arrow();
            }
            byte if in_name(byte) => {
                let end = rest.iter().position(|byte| !in_name(*byte)).unwrap_or(rest.len());
                let name = &rest[..end];
                self.at += end;
                self.push(if name[0].is_ascii_digit() { Token::Other } else { Token::Name(name) });
            }
            bracket @ (b'(' | b'[' | b'{') => self.opening(bracket),
            b')' | b']' | b'}' => self.closing(),
            mark => {
                if mark == b';' || mark == b',' {
                    self.end_short(self.open.len(), true);
                }
                self.at += 1;
                self.push(Token::Mark(mark));
            }
        }
    }

    /// Leaves a comment out.
    fn skip(&mut self, length: usize) {
        self.hand_over(self.owner);
        self.at += length;
        self.begin = self.at;
    }

    /// Whether a slash begins a pattern, by what stands before it.
    fn is_pattern(&self) -> bool {
        match self.last[0] {
            Token::Start | Token::Arrow => true,
            Token::Mark(mark) => !matches!(mark, b')' | b']' | b'}'),
            Token::Name(name) => BEFORE_EXPRESSION.contains(&name),
            Token::Other => false,
        }
    }

    /// The parentheses around, if they are those of a call.
    fn is_argument(&self) -> bool {
        self.open.last().is_some_and(|open| {
            open.bracket == b'('
                && match open.before[0] {
                    Token::Name(name) => !CONTROL.contains(&name) && name != b"function" && name != b"return",
                    Token::Mark(mark) => matches!(mark, b')' | b']'),
                    _ => false,
                }
        })
    }

    /// Who owns a function, by what stands before it: whoever runs now if it is handed to a call, else itself. One
    /// that could be called on the spot is remembered.
    fn function(&mut self, before: Last<'a>) -> Option<usize> {
        let at_once = match before[0] {
            Token::Mark(b'(' | b',') => self.is_argument(),
            Token::Mark(b'!' | b'+' | b'-' | b'~') | Token::Name(b"void") => true,
            _ => false,
        };
        if at_once || self.owner.is_some() {
            return self.owner;
        }
        if before[0] == Token::Mark(b'(') {
            self.candidate = self.define(None);
            return self.candidate;
        }
        let name = match before {
            [Token::Mark(b'='), Token::Name(name), ..] => Some(name),
            _ => None,
        };
        self.define(name)
    }

    /// Lets a function in parentheses run at once if it is called here: `…}()` or `…})()`, `…}).call(this)`.
    fn call(&mut self, candidate: Option<usize>) {
        let Some(number) = candidate else { return };
        let mut rest = self.source[self.at..].trim_ascii_start();
        if let Some(behind) = rest.strip_prefix(b")") {
            rest = behind.trim_ascii_start();
        }
        if [&b"("[..], b".call(", b".apply("].iter().any(|call| rest.starts_with(call)) {
            let body = std::mem::take(&mut self.parts.functions[number].body);
            self.parts.load.extend(body);
        }
    }

    fn define(&mut self, name: Option<&'a [u8]>) -> Option<usize> {
        if self.owner.is_some() {
            return self.owner;
        }
        self.parts.functions.push(Function { name, class: None, body: Vec::new() });
        Some(self.parts.functions.len() - 1)
    }

    /// What stood before the parameters of an arrow function.
    fn before_parameters(&self) -> Last<'a> {
        let before = match self.last[0] {
            Token::Mark(b')') => self.closed,
            // One parameter without parentheses.
            _ => shifted(self.last, 1),
        };
        if before[0] == Token::Name(b"async") { shifted(before, 1) } else { before }
    }

    fn arrow(&mut self) {
        let before = self.before_parameters();
        let mut ahead = self.source[self.at..].iter().take(256).skip_while(|byte| byte.is_ascii_whitespace());
        if ahead.next() == Some(&b'{') {
            self.push(Token::Arrow);
            // The brace asks for this.
            self.closed = before;
            return;
        }
        let owner = self.function(before);
        let candidate = self.candidate.take();
        self.push(Token::Arrow);
        if owner != self.owner {
            self.short.push(Short { depth: self.open.len(), owner: self.owner, candidate });
            self.hand_over(owner);
        }
    }

    /// Ends bodies without braces that do not go on at this depth.
    fn end_short(&mut self, depth: usize, also_here: bool) {
        while let Some(short) =
            self.short.pop_if(|short| short.depth > depth || (also_here && short.depth == depth))
        {
            self.hand_over(short.owner);
            self.call(short.candidate);
        }
    }

    fn opening(&mut self, bracket: u8) {
        let mut owner = self.owner;
        if bracket == b'{' {
            owner = match self.last[0] {
                Token::Arrow => self.function(self.closed),
                Token::Mark(b')') => self.body(),
                _ => self.owner,
            };
        }
        let candidate = self.candidate.take();
        self.open.push(Open { bracket, before: self.last, owner: self.owner, candidate });
        self.at += 1;
        self.push(Token::Mark(bracket));
        if owner != self.owner {
            self.hand_over(owner);
        }
    }

    /// A brace behind parentheses: of a statement, of a function, or of a method.
    fn body(&mut self) -> Option<usize> {
        match self.closed {
            [Token::Name(b"function"), before @ ..] => self.function(without_async(extended(before))),
            [Token::Mark(b'*'), Token::Name(b"function"), ..] => {
                self.function(without_async(shifted(self.closed, 2)))
            }
            [Token::Name(name), Token::Name(b"function"), ..] => {
                // `(function name() {…})()` is called on the spot as well.
                let before = without_async(shifted(self.closed, 2));
                match before[0] {
                    Token::Mark(b'(' | b'!' | b'+' | b'-' | b'~' | b',') => self.function(before),
                    _ => self.define(Some(name)),
                }
            }
            [Token::Name(name), ..] if CONTROL.contains(&name) => self.owner,
            [Token::Name(name), ..] => self.method(name),
            [Token::Mark(b']') | Token::Other, ..] => self.define(None),
            _ => self.owner,
        }
    }

    /// Defines a method of whatever has the brace around.
    fn method(&mut self, name: &'a [u8]) -> Option<usize> {
        let class = self.open.last().and_then(|open| class(open.before));
        let is_new = self.owner.is_none();
        let owner = self.define(class.and(Some(name)));
        if let Some(number) = owner.filter(|_| is_new) {
            self.parts.functions[number].class = class;
        }
        owner
    }

    fn closing(&mut self) {
        let depth = self.open.len().saturating_sub(1);
        self.end_short(depth, false);
        self.at += 1;
        let Some(open) = self.open.pop() else {
            self.push(Token::Mark(self.source[self.at - 1]));
            return;
        };
        if open.owner != self.owner {
            self.hand_over(open.owner);
        }
        self.call(open.candidate);
        if open.bracket == b'(' {
            self.closed = open.before;
        }
        self.push(Token::Mark(self.source[self.at - 1]));
    }
}

/// The name of the class whose brace stands behind these: `class Name`, `class Name extends Other`, `Name = class`.
fn class(before: Last<'_>) -> Option<&[u8]> {
    let before = match before {
        [Token::Name(_), Token::Name(b"extends"), ..] => shifted(before, 2),
        _ => before,
    };
    match before {
        [Token::Name(b"class"), Token::Mark(b'='), Token::Name(name), ..]
        | [Token::Name(name), Token::Name(b"class"), ..] => Some(name),
        _ => None,
    }
}

/// Leaves the newest tokens out.
fn shifted(last: Last<'_>, by: usize) -> Last<'_> {
    std::array::from_fn(|at| last.get(at + by).copied().unwrap_or(Token::Start))
}

fn extended<'a>(rest: [Token<'a>; 4]) -> Last<'a> {
    std::array::from_fn(|at| rest.get(at).copied().unwrap_or(Token::Start))
}

fn without_async(before: Last<'_>) -> Last<'_> {
    if before[0] == Token::Name(b"async") { shifted(before, 1) } else { before }
}

/// How long a text is that begins here. Those in one line end with it.
fn text(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'\n' if quote != b'`' => return at,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// How long a pattern is that begins here, or how far the line goes in which it does not end.
fn pattern(rest: &[u8]) -> Result<usize, usize> {
    let (mut at, mut in_class) = (1, false);
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => return Ok(at + 1),
            b'\n' => return Err(at),
            _ => {}
        }
        at += 1;
    }
    Err(rest.len())
}
