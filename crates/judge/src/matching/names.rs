//! Names within one edit of a popular one: what squatters count on.

use std::collections::{HashMap, HashSet};

/// Shorter names are within one edit of half of everything.
const LENGTH_MIN: usize = 4;

/// The popular names of an ecosystem.
#[derive(Clone, Debug, Default)]
pub struct Popular {
    names: HashSet<String>,
    /// Each name with one character left out, and the name itself: two names that share one are close.
    shortened: HashMap<String, Vec<String>>,
}

impl Popular {
    /// Takes the names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut popular = Self::default();
        for name in names {
            popular.names.insert(name.to_owned());
            if name.chars().count() >= LENGTH_MIN {
                for short in shortened(name) {
                    popular.shortened.entry(short).or_default().push(name.to_owned());
                }
            }
        }
        popular
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Finds a popular name that this one is within one edit of, and is not: a character added, left out, exchanged, or two
    /// neighbours swapped.
    pub fn like(&self, name: &str) -> Option<&str> {
        if self.names.contains(name) || name.chars().count() < LENGTH_MIN {
            return None;
        }
        let close = shortened(name).into_iter().filter_map(|short| self.shortened.get(&short)).flatten();
        close.filter(|known| is_one_edit(known, name)).min().map(String::as_str)
    }
}

fn shortened(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    for (at, c) in name.char_indices() {
        all.push([&name[..at], &name[at + c.len_utf8()..]].concat());
    }
    all
}

fn is_one_edit(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let tail = |one: usize, other_skip: usize, a: &[char], b: &[char]| a.get(one..) == b.get(other_skip..);
    match one.len() as i64 - other.len() as i64 {
        1 => tail(same + 1, same, &one, &other),
        -1 => tail(same, same + 1, &one, &other),
        0 if same < one.len() => {
            tail(same + 1, same + 1, &one, &other)
                || (one.get(same) == other.get(same + 1)
                    && one.get(same + 1) == other.get(same)
                    && tail(same + 2, same + 2, &one, &other))
        }
        _ => false,
    }
}
