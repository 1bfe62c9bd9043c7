//! Why two builds of one source differ: the usual causes, and what people do against each.
//!
//! The causes are those that the Reproducible Builds project has found over the years ("Source code analysis of
//! non-determinism", reproducible-builds.org/docs). They explain nothing away: a difference keeps its status, and a
//! member whose texts differ beyond these causes is said to.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use evidence::Node;
use evidence::tree::{Contrast, Executable};
use regex::Regex;
use serde::Serialize;

/// One cause of a difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Cause {
    /// A word for it.
    pub kind: &'static str,
    /// Where it shows, with both values.
    pub evidence: String,
    /// What is done against it.
    pub fix: &'static str,
}

/// A cause: its word, and what is done against it.
type Kind = (&'static str, &'static str);

const MODIFICATION_TIME: Kind = (
    "modification-time",
    "give members one time: SOURCE_DATE_EPOCH, `tar --mtime=@$SOURCE_DATE_EPOCH`, `touch -d` before `zip -X`, `gzip -n`, or run strip-nondeterminism",
);
const MEMBER_ORDER: Kind = (
    "member-order",
    "sort what is packed: `tar --sort=name`, `LC_ALL=C sort` before `zip -@` or `ar`; folders are listed in the order of the disk",
);
const OWNER: Kind = ("owner", "`tar --owner=0 --group=0 --numeric-owner`, `ar D`, `cpio --reproducible`");
const MODE: Kind = ("mode", "set `umask 022` in the build, or `tar --mode=go=rX,u+rw,a-s`");
const COMPRESSION: Kind =
    ("compression", "pin the packing tool and its level: the same content was compressed to other bytes");
const EMBEDDED_TIME: Kind = (
    "embedded-time",
    "SOURCE_DATE_EPOCH, `-Wdate-time` to find `__DATE__` and `__TIME__`, `link /Brepro` or `-Wl,--no-insert-timestamp` for PE",
);
const BUILD_PATH: Kind = (
    "build-path",
    "`-ffile-prefix-map=$PWD=.`, `--remap-path-prefix`, `go build -trimpath`, `/pathmap`; or build at one fixed path",
);
const IDENTIFIER: Kind = (
    "random-identifier",
    "derive identifiers from the content: `-frandom-seed=`, `--build-id=sha1`, a fixed seed, PYTHONHASHSEED=0",
);
const BUILD_ID: Kind = ("build-id", "it follows from the other differences of the image: mend those first");
const TOOLCHAIN: Kind =
    ("toolchain", "pin the compiler and linker by digest: the two builds used different ones");
const LINE_ORDER: Kind = (
    "line-order",
    "sort before writing: `LC_ALL=C sort`, ordered maps instead of hash tables, one worker or a merge in fixed order",
);
const PERSON_OR_HOST: Kind = (
    "user-or-host",
    "do not write who built it and where: set `KBUILD_BUILD_USER`, `KBUILD_BUILD_HOST` or the like to fixed values",
);
const SIGNATURE: Kind = (
    "signature",
    "compare what is signed (`inspect` shows the Authenticode digest), and sign after the comparison",
);

fn cause((kind, fix): Kind, evidence: String) -> Cause {
    Cause { kind, evidence, fix }
}

/// Finds the causes for which two versions of a member differ. `contrast` is there if somebody looked at their bytes.
pub(super) fn causes(old: &Node, new: &Node, contrast: Option<&Contrast>) -> Vec<Cause> {
    let mut found = Vec::new();
    packing(old, new, &mut found);
    for (before, after) in super::signals::slices(old, new) {
        image(before, after, &mut found);
    }
    if let Some(contrast) = contrast {
        content(contrast, &mut found);
    }
    found.sort();
    found.dedup_by_key(|cause| cause.kind);
    found
}

/// Tells whether two containers hold the same under the same names.
fn same_members(old: &Node, new: &Node) -> bool {
    let listed = |node: &Node| -> Vec<_> {
        let mut list: Vec<_> =
            node.members.iter().map(|member| (member.name.clone(), member.digest)).collect();
        list.sort();
        list
    };
    !old.members.is_empty() && old.members.len() == new.members.len() && listed(old) == listed(new)
}

fn packing(old: &Node, new: &Node, found: &mut Vec<Cause>) {
    let mut times = 0_u64;
    let mut owners = BTreeMap::new();
    let mut modes = BTreeMap::new();
    let mut example = String::new();
    let before: BTreeMap<_, _> = old.members.iter().map(|member| (&member.name, member)).collect();
    for after in &new.members {
        let Some(before) = before.get(&after.name) else { continue };
        if let (Some(then), Some(now)) = (&before.packing, &after.packing) {
            if then.modified != now.modified {
                times += 1;
                let second =
                    |time: Option<i64>| time.map_or_else(|| "none".to_owned(), |time| format!("@{time}"));
                if example.is_empty() {
                    example =
                        format!("`{}` {} → {}", after.name, second(then.modified), second(now.modified));
                }
            }
            if let (Some(then), Some(now)) = (&then.owner, &now.owner)
                && then != now
            {
                *owners.entry((then, now)).or_insert(0_u64) += 1;
            }
        }
        if let (Some(then), Some(now)) = (before.mode, after.mode)
            && then != now
        {
            *modes.entry((then, now)).or_insert(0_u64) += 1;
        }
    }
    if times > 0 {
        found.push(cause(MODIFICATION_TIME, format!("{times} members, as {example}")));
    }
    if let Some(((then, now), count)) = owners.first_key_value() {
        found.push(cause(OWNER, format!("{count} members: `{then}` → `{now}`")));
    }
    if let Some(((then, now), count)) = modes.first_key_value() {
        found.push(cause(MODE, format!("{count} members: {then:04o} → {now:04o}")));
    }
    if same_members(old, new) {
        if old.order != new.order {
            found.push(cause(
                MEMBER_ORDER,
                format!("the same {} members in another order", new.members.len()),
            ));
        } else if times == 0 && owners.is_empty() && modes.is_empty() && old.digest != new.digest {
            found.push(cause(COMPRESSION, format!("{} bytes → {} bytes", old.size, new.size)));
        }
    }
}

fn image(old: &Executable, new: &Executable, found: &mut Vec<Cause>) {
    if old.timestamp != new.timestamp
        && let (Some(then), Some(now)) = (old.timestamp, new.timestamp)
    {
        found.push(cause(EMBEDDED_TIME, format!("TimeDateStamp {then} → {now}")));
    }
    if let (Some(then), Some(now)) = (&old.debug_path, &new.debug_path)
        && then != now
    {
        found.push(cause(BUILD_PATH, format!("debug file `{then}` → `{now}`")));
    }
    if let (Some(then), Some(now)) = (&old.build_id, &new.build_id)
        && then != now
    {
        found.push(cause(BUILD_ID, format!("{then} → {now}")));
    }
    if old.compilers != new.compilers || old.linker != new.linker || old.rich_digest != new.rich_digest {
        let words = |image: &Executable| {
            image.compilers.iter().chain(&image.linker).cloned().collect::<Vec<_>>().join(", ")
        };
        found.push(cause(TOOLCHAIN, format!("`{}` → `{}`", words(old), words(new))));
    }
    let same_code = !old.sections.is_empty() && old.sections == new.sections;
    if same_code && old.signature != new.signature {
        found.push(cause(SIGNATURE, "all sections are the same, the signature is another".into()));
    }
}

/// What texts look like that builds write without meaning to, and what stands for each while the rest is compared.
static PATTERNS: LazyLock<Vec<(Kind, Regex, &str)>> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("the pattern is well-formed");
    vec![
        (
            TOOLCHAIN,
            pattern(
                r"GCC: \([^)]*\) [0-9.]+|clang version [^ ]+|rustc (version )?[0-9][^ ]+|LLD [0-9][^ ]*|(?-u:\b)go1\.[0-9]+(\.[0-9]+)?",
            ),
            "<tool>",
        ),
        (
            EMBEDDED_TIME,
            pattern(
                r"(?-u:\b)(19|20)[0-9][0-9]-[01][0-9]-[0-3][0-9]([T ][0-9][0-9]:[0-9][0-9](:[0-9][0-9])?(\.[0-9]+)?Z?)?|(?-u:\b)(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* +[0-9]{1,2},? ([0-9][0-9]:[0-9][0-9]:[0-9][0-9] )?(19|20)[0-9][0-9]|(?-u:\b)[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?-u:\b)",
            ),
            "<time>",
        ),
        (
            IDENTIFIER,
            pattern(
                r"(?-u:\b)[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?-u:\b)|(?-u:\b)[0-9a-fA-F]{16,}(?-u:\b)",
            ),
            "<id>",
        ),
        (PERSON_OR_HOST, pattern(r"(?-u:\b)[a-z_][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9.-]*"), "<user@host>"),
        // Last: what is left of a path after the times and identifiers in it were taken out.
        (BUILD_PATH, pattern(r"([A-Za-z]:)?([/\\][A-Za-z0-9_.@+~<>-]+)+([/\\]|(?-u:\b))"), "<path>"),
    ]
});

/// Seconds since 1970 that a build of our time may write: 2001 to 2100.
const TIMES: std::ops::RangeInclusive<u32> = 978_307_200..=4_102_444_800;
/// Two builds of one source are rarely further apart than this.
const APART_MAX_SECONDS: u32 = 400 * 86_400;

/// A text without what builds write into it.
struct Plain {
    text: String,
    /// What was taken out, by pattern.
    parts: Vec<Vec<String>>,
}

impl Plain {
    fn of(text: &str) -> Self {
        let mut plain = Self { text: text.to_owned(), parts: Vec::new() };
        for (_, pattern, stands_for) in PATTERNS.iter() {
            let parts = pattern.find_iter(&plain.text).map(|part| part.as_str().to_owned()).collect();
            plain.text = pattern.replace_all(&plain.text, *stands_for).into_owned();
            plain.parts.push(parts);
        }
        plain
    }
}

fn content(contrast: &Contrast, found: &mut Vec<Cause>) {
    if contrast.reordered_lines {
        found.push(cause(LINE_ORDER, "the same lines in another order".into()));
        return;
    }
    let removed: Vec<Plain> = contrast.strings_removed.iter().map(|text| Plain::of(text)).collect();
    let mut taken = vec![false; removed.len()];
    for text in &contrast.strings_added {
        let now = Plain::of(text);
        // A pair that is the same but for what builds write.
        let pair = removed.iter().enumerate().find(|(at, then)| !taken[*at] && then.text == now.text);
        let Some((at, then)) = pair else { continue };
        taken[at] = true;
        for (kind, (then, now)) in PATTERNS.iter().zip(then.parts.iter().zip(&now.parts)) {
            if let Some((then, now)) = then.iter().zip(now).find(|(then, now)| then != now) {
                found.push(cause(kind.0, format!("`{then}` → `{now}`")));
            }
        }
    }
    for region in &contrast.regions {
        let seconds = |bytes: &[u8]| -> Option<[u32; 2]> {
            let four: [u8; 4] = bytes.try_into().ok()?;
            Some([u32::from_le_bytes(four), u32::from_be_bytes(four)])
        };
        // The high bytes of two times are mostly the same: a difference of four bytes is rare, and of two or three usual.
        let (old, new) = (&region.old.shown, &region.new.shown);
        if let (Some(then), Some(now)) = (seconds(old), seconds(new))
            && let Some((then, now)) = then.into_iter().zip(now).find(|(then, now)| {
                TIMES.contains(then) && TIMES.contains(now) && then.abs_diff(*now) < APART_MAX_SECONDS
            })
        {
            let evidence = format!("at byte {}: @{then} → @{now}", region.new.offset);
            found.push(cause(EMBEDDED_TIME, evidence));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Digest;
    use evidence::tree::{Packing, Region, Stretch};

    fn texts(removed: &[&str], added: &[&str]) -> Vec<&'static str> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let contrast =
            Contrast { strings_added: own(added), strings_removed: own(removed), ..Contrast::default() };
        let mut found = Vec::new();
        content(&contrast, &mut found);
        found.into_iter().map(|cause| cause.kind).collect()
    }

    #[test]
    fn what_builds_write_without_meaning_to_is_named() {
        assert_eq!(texts(&["built Nov 25 2026"], &["built Nov 26 2026"]), ["embedded-time"]);
        assert_eq!(texts(&["12:00:01"], &["23:59:59"]), ["embedded-time"]);
        assert_eq!(texts(&["/home/anna/w/src/x.c"], &["/tmp/b/src/x.c"]), ["build-path"]);
        assert_eq!(texts(&["C:\\a\\x.pdb"], &["D:\\b\\c\\x.pdb"]), ["build-path"]);
        assert_eq!(texts(&["id 0123456789abcdef01"], &["id fedcba98765432100f"]), ["random-identifier"]);
        assert_eq!(
            texts(&["GCC: (Debian 12.2.0-14) 12.2.0"], &["GCC: (Debian 13.1.0-1) 13.1.0"]),
            ["toolchain"]
        );
        assert_eq!(texts(&["by anna@build1"], &["by root@build2.example"]), ["user-or-host"]);
        let both = texts(&["/a/b/x.c", "12:00:01"], &["/c/d/e/x.c", "13:00:00"]);
        assert_eq!(both, ["build-path", "embedded-time"]);
    }

    #[test]
    fn other_texts_have_no_cause() {
        assert!(texts(&["hello"], &["goodbye"]).is_empty());
        assert!(texts(&["/bin/sh"], &["connect to 192.0.2.1"]).is_empty());
        assert!(texts(&[], &["2026-11-26"]).is_empty(), "a new text is not a changed one");
    }

    #[test]
    fn a_time_in_binary_is_seen() {
        let stretch = |seconds: u32| Stretch { offset: 8, size: 4, shown: seconds.to_le_bytes().to_vec() };
        let region = |then, now| Region { old: stretch(then), new: stretch(now) };
        let kinds = |then, now| {
            let mut found = Vec::new();
            let contrast = Contrast { regions: vec![region(then, now)], ..Contrast::default() };
            content(&contrast, &mut found);
            found.len()
        };
        assert_eq!(kinds(1_790_000_000, 1_790_090_000), 1);
        assert_eq!(kinds(5, 1_790_090_000), 0);
        assert_eq!(kinds(1_000_000_000, 1_790_090_000), 0);
    }

    fn member(name: &str, content: &str, seconds: i64, owner: &str) -> Node {
        let mut node = Node::leaf(name.into(), "data", Digest::of(content.as_bytes()), 1);
        node.mode = Some(0o644);
        node.packing = Some(Packing { modified: Some(seconds), owner: Some(owner.into()) });
        node
    }

    fn archive(members: Vec<Node>, order: &str) -> Node {
        let mut node = Node::leaf("a.tar".into(), "tar", Digest::of(format!("{members:?}").as_bytes()), 9);
        node.order = Some(Digest::of(order.as_bytes()));
        node.members = members;
        node
    }

    fn kinds_of(old: &Node, new: &Node) -> Vec<&'static str> {
        causes(old, new, None).into_iter().map(|cause| cause.kind).collect()
    }

    #[test]
    fn what_archives_say_of_their_members_is_a_cause() {
        let old = archive(vec![member("a", "1", 5, "0:0"), member("b", "2", 5, "0:0")], "ab");
        let times = archive(vec![member("a", "1", 6, "0:0"), member("b", "2", 6, "0:0")], "ab");
        assert_eq!(kinds_of(&old, &times), ["modification-time"]);
        assert_eq!(causes(&old, &times, None)[0].evidence, "2 members, as `a` @5 → @6");
        let owners = archive(vec![member("a", "1", 5, "1000:1000"), member("b", "2", 5, "0:0")], "ab");
        assert_eq!(kinds_of(&old, &owners), ["owner"]);
        let order = archive(old.members.clone(), "ba");
        assert_eq!(kinds_of(&old, &order), ["member-order"]);
        let mut modes = old.clone();
        modes.members[0].mode = Some(0o600);
        assert_eq!(kinds_of(&old, &modes), ["mode"]);
        let mut packed = old.clone();
        packed.digest = Some(Digest::of(b"other"));
        assert_eq!(kinds_of(&old, &packed), ["compression"]);
        let content = archive(vec![member("a", "X", 5, "0:0"), member("b", "2", 5, "0:0")], "ab");
        assert!(kinds_of(&old, &content).is_empty(), "another content has no such cause");
        assert!(kinds_of(&old, &old).is_empty());
    }

    #[test]
    fn images_show_time_path_and_tools() {
        let image = |seconds, path: &str, tool: &str| {
            let mut node = member("x.exe", path, 0, "");
            let mut image = Executable {
                timestamp: Some(seconds),
                debug_path: Some(path.into()),
                ..Executable::default()
            };
            image.compilers.insert(tool.into());
            node.executables = vec![image];
            node
        };
        let kinds = kinds_of(&image(1, "/a/x.pdb", "GCC 12"), &image(2, "/b/x.pdb", "GCC 13"));
        assert_eq!(kinds, ["build-path", "embedded-time", "toolchain"]);
    }
}
