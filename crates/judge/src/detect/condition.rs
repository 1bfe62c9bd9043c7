//! Sigma's conditions: names of selections, `and`, `or`, `not`, parentheses, `1 of x*`, `all of them`.

use super::expression::Expression;

/// How deep parentheses may be nested.
const DEPTH_MAX: usize = 16;
/// How many words a condition may have.
const WORDS_MAX: usize = 256;

/// Compiles a condition; `selection` compiles a selection by name, `names` are all their names.
pub(super) fn compile(
    text: &str,
    names: &[&str],
    selection: &dyn Fn(&str) -> Result<Expression, String>,
) -> Result<Expression, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if words.len() > WORDS_MAX {
        return Err(format!("the condition has more than {WORDS_MAX} words"));
    }
    let mut parser = Parser { words: &words, at: 0, names, selection };
    let expression = parser.any(0)?;
    match parser.words.get(parser.at) {
        None => Ok(expression),
        Some(word) => Err(format!("the condition does not go on with `{word}`")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    names: &'a [&'a str],
    selection: &'a dyn Fn(&str) -> Result<Expression, String>,
}

impl Parser<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|found| found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expression, String> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, String> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("and") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(format!("the condition is nested deeper than {DEPTH_MAX}"));
        }
        if self.takes("not") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes("(") {
            let inner = self.any(depth + 1)?;
            return if self.takes(")") { Ok(inner) } else { Err("the condition lacks a `)`".to_owned()) };
        }
        let word = *self.words.get(self.at).ok_or("the condition ends too early")?;
        self.at += 1;
        if (word == "1" || word == "any" || word == "all") && self.takes("of") {
            let which = *self.words.get(self.at).ok_or("the condition ends after `of`")?;
            self.at += 1;
            return self.several(word == "all", which);
        }
        (self.selection)(word)
    }

    fn several(&self, all: bool, which: &str) -> Result<Expression, String> {
        let wanted = |name: &str| match which.strip_suffix('*') {
            // Sigma: names that begin with an underscore are not meant by `them`.
            _ if which == "them" => !name.starts_with('_'),
            Some(start) => name.starts_with(start),
            None => name == which,
        };
        let names = self.names.iter().filter(|name| wanted(name));
        let parts = names.map(|name| (self.selection)(name)).collect::<Result<Vec<_>, _>>()?;
        match parts.is_empty() {
            true => Err(format!("no selection is meant by `of {which}`")),
            false if all => Ok(Expression::All(parts)),
            false => Ok(Expression::Any(parts)),
        }
    }
}
