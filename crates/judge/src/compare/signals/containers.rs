//! Rules about what an archive holds beside its members: bytes before, between and behind them, which unpackers pass over.

use evidence::Node;

use super::Findings;
use crate::codes;

/// Formats whose tools leave no bytes outside of their members. Volumes have all sorts of tables that nobody reads.
const TIGHT: &[&str] = &["zip", "tar", "gzip", "xz", "bzip2"];
/// Fewer bytes are line ends and the like, or a comment that names a commit.
const LOOSE_MIN_BYTES: u64 = 64;
/// What `inspect` calls such bytes.
const AFTER: &str = "#after";
const COMMENT: &str = "#comment";
const BETWEEN: &str = "#unlisted/";

pub(super) fn judge(old: &Node, new: &Node, findings: &mut Findings) {
    if old.members.is_empty() || !TIGHT.contains(&old.format.as_str()) {
        return;
    }
    before(old, new, findings);
    if old.format != new.format {
        return;
    }
    let earlier = old.members.iter().filter_map(|member| part(member)).count();
    if earlier > 0 {
        return;
    }
    let (mut behind, mut between) = (Vec::new(), Vec::new());
    for member in &new.members {
        match part(member) {
            Some(BETWEEN) => between.push(member),
            Some(_) => behind.push(member),
            None => {}
        }
    }
    let said = |parts: &[&Node], place: &str| {
        let bytes: u64 = parts.iter().map(|part| part.size).sum();
        (bytes >= LOOSE_MIN_BYTES).then(|| format!("{bytes} bytes {place}, where none were"))
    };
    if let Some(because) = said(&behind, "behind the end of the archive") {
        findings.add(&codes::OVERLAY_ADDED, vec![because]);
    }
    if let Some(because) = said(&between, "of the archive belong to no member") {
        findings.add(&codes::ARCHIVE_MISLEADS, vec![because]);
    }
}

/// An archive that begins with something else now: by its first bytes it is none, and by its last it is. Programs that unpack
/// themselves are judged as programs.
fn before(old: &Node, new: &Node, findings: &mut Findings) {
    if old.format == "zip" && new.format == "data" && !new.members.is_empty() {
        let because =
            "something stands before the archive, where nothing was: who looks at its begin sees no archive";
        findings.add(&codes::ARCHIVE_MISLEADS, vec![because.to_owned()]);
    }
}

/// Tells whether a member is no member, but bytes beside them.
fn part(member: &Node) -> Option<&'static str> {
    let name = member.name.as_bytes();
    [AFTER, COMMENT]
        .into_iter()
        .find(|place| name == place.as_bytes())
        .or_else(|| name.starts_with(BETWEEN.as_bytes()).then_some(BETWEEN))
}
