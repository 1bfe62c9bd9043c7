//! Compiled conditions, and whether they hold for an event.

use evidence::EventKind;

use super::facts::Need;
use super::fields::Field;
use super::patterns::Patterns;
use super::roles::Roles;
use super::view::View;

/// A condition over one event.
#[derive(Debug)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

/// One question about one field.
#[derive(Debug)]
pub(super) enum Test {
    Kind(Kinds),
    Text(Field, Patterns),
    Exists(Field, bool),
    Flag(Field, bool),
    Roles(Field, Roles),
    Number(Field, Compare, Vec<i64>),
}

/// How numbers are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compare {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A set of event kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kinds(u32);

impl Kinds {
    pub(super) const ALL: Self = Self(u32::MAX);
    pub(super) const NONE: Self = Self(0);

    pub(super) fn of(kind: EventKind) -> Self {
        Self(1 << position(kind))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn has(self, kind: EventKind) -> bool {
        self.and(Self::of(kind)) != Self::NONE
    }
}

/// The place of a kind in `EventKind::ALL`.
pub(super) fn position(kind: EventKind) -> usize {
    // The list is in the order of the declaration; a test holds the two together.
    kind as usize
}

impl Expression {
    /// Tells whether the condition holds.
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(view)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(view)),
            Self::Not(part) => !part.holds(view),
            Self::Test(test) => test.holds(view),
        }
    }

    /// The kinds of events for which the condition may hold.
    pub(super) fn kinds(&self) -> Kinds {
        match self {
            Self::All(parts) => parts.iter().fold(Kinds::ALL, |kinds, part| kinds.and(part.kinds())),
            Self::Any(parts) => parts.iter().fold(Kinds::NONE, |kinds, part| kinds.with(part.kinds())),
            Self::Not(_) => Kinds::ALL,
            Self::Test(Test::Kind(kinds)) => *kinds,
            Self::Test(_) => Kinds::ALL,
        }
    }

    /// Calls for every field asked for.
    pub(super) fn fields(&self, each: &mut dyn FnMut(Field)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.fields(each)),
            Self::Not(part) => part.fields(each),
            Self::Test(test) => each(test.field()),
        }
    }

    /// Whether some way for the condition to hold names a failure: asks for `errno`.
    pub(super) fn names_failures(&self) -> bool {
        let mut named = false;
        self.fields(&mut |field| named |= field == Field::Errno);
        named
    }

    /// The facts without which the condition has no meaning, ascending.
    pub(super) fn needs(&self, needs: &mut Vec<Need>) {
        self.fields(&mut |field| needs.extend(field.need()));
        needs.sort_unstable();
        needs.dedup();
    }

    /// Puts cheap questions first; the answer stays the same, for no question has an effect.
    pub(super) fn order(&mut self) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter_mut().for_each(Self::order);
                parts.sort_by_key(Self::cost);
            }
            Self::Not(part) => part.order(),
            Self::Test(_) => {}
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).sum(),
            Self::Not(part) => part.cost(),
            Self::Test(Test::Kind(_)) => 0,
            Self::Test(Test::Number(..)) => 1,
            Self::Test(Test::Roles(Field::WrittenBy | Field::InputRole, _)) => 8,
            Self::Test(Test::Roles(..)) => 1,
            Self::Test(Test::Flag(..)) => 6,
            Self::Test(Test::Text(Field::Area | Field::Machine, _)) => 2,
            Self::Test(Test::Text(..) | Test::Exists(..)) => 5,
        }
    }
}

impl Test {
    fn field(&self) -> Field {
        match self {
            Self::Kind(_) => Field::Kind,
            Self::Text(field, _)
            | Self::Exists(field, _)
            | Self::Flag(field, _)
            | Self::Roles(field, _)
            | Self::Number(field, ..) => *field,
        }
    }

    fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::Kind(kinds) => kinds.has(view.event.kind),
            Self::Text(field, patterns) => view.any(*field, &mut |text| patterns.matches(text)),
            Self::Exists(field, wanted) => {
                (view.any(*field, &mut |_| true) || view.number(*field).is_some()) == *wanted
            }
            Self::Flag(field, wanted) => view.flag(*field) == *wanted,
            Self::Roles(field, roles) => view.roles(*field).meets(*roles),
            Self::Number(field, compare, values) => view.number(*field).is_some_and(|number| {
                values.iter().any(|value| match compare {
                    Compare::Equal => number == *value,
                    Compare::Greater => number > *value,
                    Compare::GreaterOrEqual => number >= *value,
                    Compare::Less => number < *value,
                    Compare::LessOrEqual => number <= *value,
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_order() {
        for (at, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(position(kind), at);
        }
    }
}
