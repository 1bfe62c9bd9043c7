//! Rules of somebody's own, put to the bytes of each member.

use std::fmt::Debug;
use std::io::Read;

use evidence::tree::RuleMatch;
use evidence::{BytePath, Node};

use super::Inspection;
use crate::source::Source;

/// Puts rules to bytes. Whoever implements it bounds time and memory.
pub trait Matcher: Debug + Send + Sync {
    /// Returns the rules that match the bytes of the member at `place`, which its container calls `name`; and, if it is not known
    /// whether other rules match, why.
    fn look(&self, place: &BytePath, name: &BytePath, bytes: &[u8]) -> (Vec<RuleMatch>, Option<String>);
}

impl Inspection<'_> {
    /// Puts the rules to a member that is held.
    pub(super) fn match_held(&mut self, node: &mut Node, path: &BytePath, bytes: &[u8]) {
        if self.catalog.is_some() {
            return;
        }
        let Some(matcher) = self.matcher.clone() else { return };
        let (matches, open) = matcher.look(path, &node.name, bytes);
        node.rules = matches;
        if let Some(why) = open {
            self.problem(path, "rules-undecided", why);
        }
    }

    /// Puts the rules to a member that is not held: it is, for that, if it fits.
    pub(super) fn match_far(&mut self, node: &mut Node, path: &BytePath, source: &Source) {
        if self.matcher.is_none() || self.catalog.is_some() || self.wanted.is_some() {
            return;
        }
        let mut hold = self.room.hold();
        if !self.grow(&mut hold, node.size) {
            let most = self.room.most();
            let detail = format!("its {} bytes do not fit into the {most} that rules are put to", node.size);
            return self.problem(path, "rules-undecided", detail);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(node.size).unwrap_or(0));
        match source.reader().take(node.size + 1).read_to_end(&mut bytes) {
            Ok(read) if read as u64 == node.size => self.match_held(node, path, &bytes),
            Ok(_) => self.problem(path, "changed-while-read", "its size is another one now"),
            Err(error) => self.problem(path, "rules-undecided", error),
        }
    }
}
