//! Which functions of a source run when it is loaded, besides its statements: those that they call, and that these call.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Language, Parts, names};

/// Methods that run when somebody makes an object of their class, or enters it.
const CONSTRUCTORS: &[&[u8]] = &[b"__init__", b"__new__", b"__post_init__", b"__enter__", b"constructor"];

/// Joins what runs at load with the bodies of the functions that it calls, and that those call.
pub(super) fn run(source: &[u8], parts: &Parts<'_>, language: Language) -> Vec<u8> {
    let mut waiting = Waiting::of(parts);
    let mut text = Vec::new();
    while let Some(ranges) = waiting.bodies.pop() {
        for range in ranges {
            let piece = &source[range.clone()];
            text.extend_from_slice(piece);
            text.push(b'\n');
            if parts.functions.is_empty() {
                continue;
            }
            // Each part is looked at once, and each function leaves its table when it is called.
            for name in names(piece) {
                let word = &piece[name.clone()];
                match call(piece, name, language) {
                    Some(Call::Plain) => waiting.called(word),
                    Some(Call::OfObject) => waiting.asked(word),
                    Some(Call::Named) => _ = waiting.touched(word),
                    None => {}
                }
            }
        }
    }
    text
}

/// Bodies that wait to be looked at, and the functions that nobody has called so far.
struct Waiting<'p, 'a> {
    parts: &'p Parts<'a>,
    bodies: Vec<&'p [Range<usize>]>,
    functions: BTreeMap<&'a [u8], Vec<usize>>,
    classes: BTreeMap<&'a [u8], Vec<usize>>,
    /// Methods of classes that somebody has made an object of, or named.
    methods: BTreeMap<&'a [u8], Vec<usize>>,
    /// Methods that somebody has asked an object for.
    asked: BTreeSet<Vec<u8>>,
}

impl<'p, 'a> Waiting<'p, 'a> {
    fn of(parts: &'p Parts<'a>) -> Self {
        let (mut functions, mut classes): (BTreeMap<_, Vec<_>>, BTreeMap<_, Vec<_>>) = Default::default();
        for (number, function) in parts.functions.iter().enumerate() {
            if let Some(class) = function.class {
                classes.entry(class).or_default().push(number);
            } else if let Some(name) = function.name {
                functions.entry(name).or_default().push(number);
            }
        }
        let methods = BTreeMap::new();
        Self { parts, bodies: vec![&parts.load], functions, classes, methods, asked: BTreeSet::new() }
    }

    fn wait_for(&mut self, numbers: Vec<usize>) {
        self.bodies.extend(numbers.into_iter().map(|number| self.parts.functions[number].body.as_slice()));
    }

    /// `name(…)`: a function, or a class of which an object is made.
    fn called(&mut self, name: &[u8]) {
        let functions = self.functions.remove(name).unwrap_or_default();
        self.wait_for(functions);
        if self.touched(name) {
            for constructor in CONSTRUCTORS {
                let methods = self.methods.remove(*constructor).unwrap_or_default();
                self.wait_for(methods);
            }
        }
    }

    /// `….name(…)`: a method of an object of which only the class is known to exist.
    fn asked(&mut self, name: &[u8]) {
        let methods = self.methods.remove(name).unwrap_or_default();
        self.wait_for(methods);
        if !self.classes.is_empty() && !self.asked.contains(name) {
            self.asked.insert(name.to_vec());
        }
    }

    /// From here on the methods of a class can be called. Says whether there is such a class.
    fn touched(&mut self, name: &[u8]) -> bool {
        let Some(numbers) = self.classes.remove(name) else { return false };
        for number in numbers {
            let Some(name) = self.parts.functions[number].name else { continue };
            if self.asked.contains(name) {
                self.wait_for(vec![number]);
            } else {
                self.methods.entry(name).or_default().push(number);
            }
        }
        true
    }
}

/// How a name is used.
enum Call {
    /// It is called, or given to what will call it: `name(…)`, `Thread(target=name)`, `setTimeout(name, 100)`.
    Plain,
    /// It is called of something: `….name(…)`.
    OfObject,
    /// Something of it is asked for: `name.…`.
    Named,
}

/// What functions are given to, to be called.
const PYTHON_CALLERS: &[&[u8]] = &[
    b"register(",
    b"submit(",
    b"start_new_thread(",
    b"run_until_complete(",
    b"Timer(",
    b"target=",
    b"target =",
];
const JAVASCRIPT_CALLERS: &[&[u8]] =
    &[b"setTimeout(", b"setImmediate(", b"setInterval(", b"nextTick(", b"queueMicrotask(", b".then("];

fn call(piece: &[u8], name: Range<usize>, language: Language) -> Option<Call> {
    let is_python = language == Language::Python;
    let before = piece[..name.start].trim_ascii_end();
    match piece.get(name.end) {
        Some(b'(') if before.ends_with(b".") => Some(Call::OfObject),
        Some(b'(') => {
            let defines: &[u8] = if is_python { b"class" } else { b"function" };
            (!before.ends_with(defines)).then_some(Call::Plain)
        }
        Some(b'.') if !before.ends_with(b".") => Some(Call::Named),
        _ => {
            let callers = if is_python { PYTHON_CALLERS } else { JAVASCRIPT_CALLERS };
            callers.iter().any(|caller| before.ends_with(caller)).then_some(Call::Plain)
        }
    }
}
