//! Selections: maps of fields to values, compiled. A list of maps is any of them.

use evidence::EventKind;
use serde_json::{Map, Value};

use super::expression::{Compare, Expression, Kinds, Test};
use super::fields::{Field, Shape};
use super::patterns::{How, Patterns};
use super::roles::Roles;

/// How the words of a rule are to be read.
pub(super) trait Dialect {
    /// The field for a word.
    fn field(&self, word: &str) -> Result<Field, String>;
    /// Whether case is ignored unless the rule says `cased`.
    fn folds(&self) -> bool;
}

/// Our own rules: our own fields, and case matters, because paths have it.
pub(super) struct Own;

impl Dialect for Own {
    fn field(&self, word: &str) -> Result<Field, String> {
        Field::from_word(word).ok_or_else(|| format!("there is no field `{word}`"))
    }

    fn folds(&self) -> bool {
        false
    }
}

/// Compiles a selection.
pub(super) fn compile(value: &Value, dialect: &dyn Dialect) -> Result<Expression, String> {
    match value {
        Value::Object(map) => all(map, dialect),
        Value::Array(list) => {
            let maps = list.iter().map(|item| match item {
                Value::Object(map) => all(map, dialect),
                _ => Err("values without a field are not supported".to_owned()),
            });
            Ok(Expression::Any(maps.collect::<Result<_, _>>()?))
        }
        _ => Err("a selection is a map of fields, or a list of maps".to_owned()),
    }
}

fn all(map: &Map<String, Value>, dialect: &dyn Dialect) -> Result<Expression, String> {
    if map.is_empty() {
        return Err("an empty selection would match everything".to_owned());
    }
    let tests = map
        .iter()
        .map(|(key, value)| test(key, value, dialect).map_err(|reason| format!("field `{key}`: {reason}")));
    Ok(Expression::All(tests.collect::<Result<_, _>>()?))
}

struct Modifiers {
    how: How,
    compare: Compare,
    all: bool,
    exists: bool,
    fold: bool,
}

fn modifiers<'a>(words: impl Iterator<Item = &'a str>, fold: bool) -> Result<Modifiers, String> {
    let mut modifiers =
        Modifiers { how: How::Equals, compare: Compare::Equal, all: false, exists: false, fold };
    for word in words {
        match word {
            "contains" => modifiers.how = How::Contains,
            "startswith" => modifiers.how = How::StartsWith,
            "endswith" => modifiers.how = How::EndsWith,
            "re" => (modifiers.how, modifiers.fold) = (How::Regex, false),
            "i" if modifiers.how == How::Regex => modifiers.fold = true,
            "cidr" => modifiers.how = How::Cidr,
            "all" => modifiers.all = true,
            "exists" => modifiers.exists = true,
            "cased" => modifiers.fold = false,
            "nocase" => modifiers.fold = true,
            "gt" => modifiers.compare = Compare::Greater,
            "gte" => modifiers.compare = Compare::GreaterOrEqual,
            "lt" => modifiers.compare = Compare::Less,
            "lte" => modifiers.compare = Compare::LessOrEqual,
            _ => return Err(format!("the modifier `{word}` is not supported")),
        }
    }
    Ok(modifiers)
}

fn test(key: &str, value: &Value, dialect: &dyn Dialect) -> Result<Expression, String> {
    let mut words = key.split('|');
    let field = dialect.field(words.next().unwrap_or_default())?;
    let modifiers = modifiers(words, dialect.folds())?;
    let values = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if values.is_empty() {
        return Err("it has no value".to_owned());
    }
    if modifiers.exists {
        let [Value::Bool(wanted)] = values else { return Err("`exists` is `true` or `false`".to_owned()) };
        return Ok(Expression::Test(Test::Exists(field, *wanted)));
    }
    let shape = field.shape();
    let pattern = modifiers.how != How::Equals;
    if pattern && shape != Shape::Text || modifiers.compare != Compare::Equal && shape != Shape::Number {
        return Err("the modifier does not fit the field".to_owned());
    }
    match shape {
        Shape::Text => text(field, values, &modifiers),
        Shape::Flag => match values {
            [Value::Bool(wanted)] => Ok(Expression::Test(Test::Flag(field, *wanted))),
            _ => Err("it is `true` or `false`".to_owned()),
        },
        Shape::Roles => roles(field, values, modifiers.all),
        Shape::Number => {
            let numbers = values.iter().map(|value| {
                let text = value.as_str().and_then(|text| text.parse().ok());
                value.as_i64().or(text).ok_or_else(|| "it is a number".to_owned())
            });
            Ok(Expression::Test(Test::Number(field, modifiers.compare, numbers.collect::<Result<_, _>>()?)))
        }
        Shape::Kind => {
            let mut kinds = Kinds::NONE;
            for value in values {
                let kind = value.as_str().and_then(EventKind::from_word);
                kinds = kinds.with(Kinds::of(kind.ok_or_else(|| format!("there is no kind {value}"))?));
            }
            Ok(Expression::Test(Test::Kind(kinds)))
        }
    }
}

fn roles(field: Field, values: &[Value], all: bool) -> Result<Expression, String> {
    let mut sets = Vec::new();
    for value in values {
        let set = value.as_str().and_then(Roles::from_word);
        sets.push(set.ok_or_else(|| format!("there is no role {value}"))?);
    }
    let test = |set| Expression::Test(Test::Roles(field, set));
    Ok(if all {
        Expression::All(sets.into_iter().map(test).collect())
    } else {
        test(sets.into_iter().fold(Roles::default(), Roles::with))
    })
}

fn text(field: Field, values: &[Value], modifiers: &Modifiers) -> Result<Expression, String> {
    let mut tests = Vec::new();
    let mut patterns = Patterns::new(modifiers.fold);
    let mut absent = false;
    for value in values {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => {
                absent = true;
                continue;
            }
            _ => return Err("a value is a text or a number".to_owned()),
        };
        patterns.add(modifiers.how, &value)?;
        if modifiers.all {
            tests.push(Expression::Test(Test::Text(
                field,
                std::mem::replace(&mut patterns, Patterns::new(modifiers.fold)),
            )));
        }
    }
    if modifiers.all {
        return if absent {
            Err("`all` does not go with `null`".to_owned())
        } else {
            Ok(Expression::All(tests))
        };
    }
    let found = Expression::Test(Test::Text(field, patterns));
    // Sigma: `field: null` is a field that is not there.
    Ok(if absent {
        Expression::Any(vec![found, Expression::Test(Test::Exists(field, false))])
    } else {
        found
    })
}
