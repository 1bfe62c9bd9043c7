//! Each rule with a change that it names and one, as close as possible, that it does not.

mod alone;
mod carried;
mod images;
mod scripts;
mod taken_up;

use std::fmt::Debug;
use std::str::FromStr;

use evidence::tree::{CodeSignature, Content, Embedded, Entry, Executable, Resource, Section};
use evidence::{Digest, Node, Severity};

use super::*;
use crate::codes;

fn section(name: &str, content: &str, executable: bool) -> Section {
    Section {
        name: name.into(),
        size: 8000,
        digest: Digest::of(content.as_bytes()),
        entropy_millibits: 6000,
        writable: false,
        executable,
        slack_nonzero_bytes: 0,
    }
}

fn image() -> Executable {
    Executable {
        machine: "x86_64".into(),
        kind: "library".into(),
        sections: vec![section(".text", "1", true), section(".data", "d", false)],
        libraries: ["KERNEL32.dll".to_owned()].into(),
        imports: ["KERNEL32.dll!HeapAlloc".to_owned()].into(),
        version: Some("1.0.0.0".into()),
        linker: Some("14.29".into()),
        timestamp: Some(1_700_000_000),
        entry: Some(Entry { address: 4096, section: Some(".text".into()), bytes: "48895c2408".into() }),
        mitigations: ["aslr", "nx"].map(str::to_owned).into(),
        ..Executable::default()
    }
}

fn node(name: &str, image: Option<Executable>, content: Content) -> Node {
    let mut node =
        Node::leaf(name.into(), "pe", Digest::of(format!("{image:?}{content:?}").as_bytes()), 9000);
    node.executables.extend(image);
    node.content = Some(content);
    node
}

fn found(old: Option<&Node>, new: &Node) -> Vec<(String, Severity)> {
    let nothing = Node::leaf("none".into(), "data", Digest::of(b""), 0);
    let mut around = Around::of(old.unwrap_or(&nothing), new);
    // Other sources of the old release did all of it already; `sources` has the rules about the first one.
    around.families.extend(sources::FIRST.iter().map(|family| (*family).to_owned()));
    let mut found: Vec<_> = suspicions(&new.name, old, new, &around)
        .into_iter()
        .map(|finding| (finding.code, finding.severity))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Changes an image, and expects exactly these codes at these severities.
#[track_caller]
fn image_check(change: impl FnOnce(&mut Executable, &mut Executable), expected: &[(&str, Severity)]) {
    let (mut before, mut after) = (image(), image());
    // As releases are: another version, another link.
    after.version = Some("1.0.1.0".into());
    after.timestamp = Some(1_710_000_000);
    after.sections[0].digest = Digest::of(b"2");
    change(&mut before, &mut after);
    let (old, new) =
        (node("a.dll", Some(before), Content::default()), node("a.dll", Some(after), Content::default()));
    let expected: Vec<_> = expected.iter().map(|(code, severity)| ((*code).to_owned(), *severity)).collect();
    assert_eq!(found(Some(&old), &new), expected);
}

#[track_caller]
fn content_check(name: &str, before: Content, after: Content, expected: &[(&str, Severity)]) {
    let expected: Vec<_> = expected.iter().map(|(code, severity)| ((*code).to_owned(), *severity)).collect();
    assert_eq!(found(Some(&node(name, None, before)), &node(name, None, after)), expected);
}

fn set<T: FromStr<Err: Debug> + Ord>(names: &[&str]) -> BTreeSet<T> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

use Severity::{Critical, High, Low, Medium};

#[test]
fn an_honest_release_is_silent() {
    image_check(|_, _| (), &[]);
    image_check(|_, after| after.imports.extend(["KERNEL32.dll!HeapSize".to_owned()]), &[]);
}

#[test]
fn code_after_the_link() {
    let same = |before: &mut Executable, after: &mut Executable| {
        before.build_id = Some("ab".into());
        after.build_id = Some("ab".into());
        after.timestamp = before.timestamp;
    };
    image_check(same, &[("patched-after-link", Critical)]);
    // Renaming libraries keeps the id and touches no code.
    image_check(
        |before, after| {
            same(before, after);
            after.sections[0].digest = before.sections[0].digest;
            after.sections[1].digest = Digest::of(b"renamed");
        },
        &[],
    );
    image_check(
        |before, after| {
            same(before, after);
            after.build_id = Some("cd".into());
        },
        &[],
    );
    // Without an id, the second of the link tells.
    image_check(|before, after| after.timestamp = before.timestamp, &[("same-version-changed", High)]);
    image_check(|before, after| (before.timestamp, after.timestamp) = (Some(0), Some(0)), &[]);
}

#[test]
fn the_same_version_with_new_parts() {
    let imports = |after: &mut Executable| _ = after.imports.insert("KERNEL32.dll!GetModuleFileNameW".into());
    image_check(
        |before, after| {
            after.version = before.version.clone();
            imports(after);
        },
        &[("same-version-changed", High)],
    );
    image_check(|_, after| imports(after), &[]);
    image_check(
        |before, after| {
            after.version = before.version.clone();
            after.linker = Some("14.44".into());
            imports(after);
        },
        &[],
    );
}

#[test]
fn sections_and_hardening() {
    image_check(|_, after| after.sections.push(section(".new", "n", true)), &[("section-added", High)]);
    image_check(|_, after| after.sections.push(section(".retplne", "n", true)), &[("section-added", Low)]);
    image_check(
        |_, after| {
            after.sections.push(Section { writable: true, ..section(".new", "n", true) });
            after.writable_code_segments = 1;
        },
        &[("section-added", High), ("writable-code", High)],
    );
    image_check(
        |_, after| after.sections.push(Section { entropy_millibits: 7900, ..section(".new", "n", false) }),
        &[("packed-section", High), ("section-added", Low)],
    );
    image_check(|_, after| _ = after.mitigations.remove("aslr"), &[("hardening-lost", Medium)]);
    image_check(|_, after| _ = after.mitigations.insert("cfg".into()), &[]);
}

#[test]
fn entry_points_and_initializers() {
    let entry = |after: &mut Executable, section: &str, bytes: &str| {
        after.entry = Some(Entry { address: 8192, section: Some(section.into()), bytes: bytes.into() });
    };
    image_check(|_, after| entry(after, ".data", "48895c2408"), &[("entry-point-moved", High)]);
    image_check(|_, after| entry(after, ".text", "e900100000"), &[("entry-point-moved", High)]);
    image_check(|_, after| entry(after, ".text", "4883ec28e8"), &[]);
    let count = |image: &mut Executable, count| _ = image.initializers.insert(".init_array".into(), count);
    image_check(|_, after| count(after, 1), &[("initializer-added", High)]);
    image_check(
        |before, after| {
            count(before, 40);
            count(after, 42);
        },
        &[],
    );
    image_check(|_, after| after.indirect_relocations = 1, &[("initializer-added", High)]);
    image_check(|before, after| (before.indirect_relocations, after.indirect_relocations) = (3, 9), &[]);
    image_check(
        |_, after| _ = after.indirect_functions.insert("lzma_crc64".into()),
        &[("initializer-added", High)],
    );
    image_check(|_, after| after.initializers_outside_code = 1, &[("initializer-added", High)]);
}

#[test]
fn caves_and_overlays() {
    image_check(|_, after| after.sections[0].slack_nonzero_bytes = 40, &[("code-cave", High)]);
    image_check(|_, after| after.sections[0].slack_nonzero_bytes = 3, &[]);
    image_check(|_, after| after.unaccounted_nonzero_bytes = 40, &[("code-cave", High)]);
    image_check(
        |before, after| (before.unaccounted_nonzero_bytes, after.unaccounted_nonzero_bytes) = (900, 1800),
        &[],
    );
    image_check(|_, after| after.overlay_bytes = 5000, &[("overlay-added", High)]);
    image_check(|before, after| (before.overlay_bytes, after.overlay_bytes) = (5000, 90_000), &[]);
}

#[test]
fn libraries_and_search_paths() {
    image_check(|_, after| _ = after.libraries.insert("evil.dll".into()), &[("foreign-library", High)]);
    image_check(|_, after| _ = after.libraries.insert("VCRUNTIME140.dll".into()), &[]);
    // ELF: one more library, and no symbol of it.
    let elf = |image: &mut Executable| image.imports = ["malloc".to_owned()].into();
    image_check(
        |before, after| {
            elf(before);
            elf(after);
            after.libraries.insert("libz.so.1".into());
        },
        &[("foreign-library", High)],
    );
    // Compilers ask for their own libraries without a need: three of 737 honest pairs.
    image_check(
        |before, after| {
            elf(before);
            elf(after);
            after.libraries.insert("libm.so.6".into());
        },
        &[],
    );
    image_check(
        |before, after| {
            elf(before);
            elf(after);
            after.libraries.insert("libm.so.6".into());
            after.imports.insert("cos".into());
        },
        &[],
    );
    let path = |after: &mut Executable, path: &str| _ = after.search_paths.insert(path.into());
    image_check(|_, after| path(after, "/home/ci/lib"), &[("search-path-added", Medium)]);
    image_check(|_, after| path(after, "/tmp/x"), &[("search-path-added", High)]);
    image_check(|_, after| path(after, "$ORIGIN/../x.libs"), &[]);
    let import = |after: &mut Executable, name: &str| _ = after.imports.insert(name.into());
    image_check(|_, after| import(after, "KERNEL32.dll!WriteProcessMemory"), &[("capability-added", High)]);
    image_check(|_, after| import(after, "KERNEL32.dll!WriteFile"), &[]);
}

#[test]
fn signatures_and_rights() {
    let signed = |organisation: &str| CodeSignature {
        kind: "authenticode".into(),
        organisation: Some(organisation.into()),
        signer: Some("n".into()),
        ..CodeSignature::default()
    };
    let sign = |old: Option<CodeSignature>, new: Option<CodeSignature>| {
        move |before: &mut Executable, after: &mut Executable| {
            (before.signature, after.signature) = (old, new)
        }
    };
    image_check(sign(Some(signed("A")), Some(signed("A"))), &[]);
    image_check(sign(Some(signed("A")), Some(signed("B"))), &[("signer-changed", High)]);
    image_check(sign(Some(signed("A")), None), &[("signature-removed", High)]);
    image_check(sign(None, Some(signed("A"))), &[]);
    let apple = |team: &str, flags: &[&str], rights: &[&str]| CodeSignature {
        kind: "apple".into(),
        team: Some(team.into()),
        flags: set(flags),
        entitlements: set(rights),
        ..CodeSignature::default()
    };
    let jit = "com.apple.security.cs.allow-jit";
    image_check(sign(Some(apple("T", &["runtime"], &[])), Some(apple("T", &["runtime"], &[jit]))), &[]);
    image_check(
        sign(Some(apple("T", &["runtime"], &[])), Some(apple("T", &[], &[]))),
        &[("hardening-lost", Medium)],
    );
    image_check(sign(Some(apple("T", &[], &[])), Some(apple("U", &[], &[]))), &[("signer-changed", High)]);
    image_check(
        sign(Some(apple("T", &[], &[])), Some(apple("T", &[], &["com.apple.security.get-task-allow"]))),
        &[("entitlement-added", High)],
    );
    // What the linker signs by itself has nobody behind it.
    let adhoc = CodeSignature { kind: "apple".into(), ..CodeSignature::default() };
    image_check(sign(Some(adhoc), None), &[]);
}

#[test]
fn a_capability_needs_a_partner() {
    let with = |capabilities: &[&str], encoded: u64, hosts: &[&str]| Content {
        kind: "text".into(),
        capabilities: set(capabilities),
        longest_encoded: encoded,
        hosts: set(hosts),
        ..Content::default()
    };
    let decode = "decode-and-run/script";
    content_check("a.js", with(&[], 0, &[]), with(&[decode], 0, &[]), &[("capability-added", Low)]);
    content_check("a.js", with(&[], 0, &[]), with(&[decode], 4000, &[]), &[("capability-added", High)]);
    content_check("a.js", with(&[], 0, &[]), with(&[], 4000, &["x.example"]), &[]);
    let network = "network/script";
    content_check(
        "a.js",
        with(&[], 0, &[]),
        with(&[network], 0, &["x.example"]),
        &[("capability-added", Low)],
    );
    content_check(
        "a.js",
        with(&[], 0, &[]),
        with(&[network, "credential-access/script"], 0, &["x.example"]),
        &[("capability-added", High)],
    );
    content_check(
        "a.js",
        with(&[decode], 0, &[]),
        Content { longest_line: 5000, ..with(&[decode], 4000, &[]) },
        &[("capability-added", High)],
    );
    content_check(
        "a.dll",
        Content::default(),
        Content { capabilities: set(&["code-injection/import"]), ..Content::default() },
        &[("capability-added", High)],
    );
}

#[test]
fn hooks_disguises_and_hidden_text() {
    let hook = |hook: &str| Content { hooks: set(&[hook]), ..Content::default() };
    let none = Content::default;
    content_check(
        "package.json",
        none(),
        hook("npm-install: postinstall: node x.js"),
        &[("install-hook-added", High)],
    );
    content_check("package.json", hook("npm-install: a 1.0"), hook("npm-install: a 1.1"), &[]);
    content_check("package.json", none(), hook("npm-publish: prepare: tsc"), &[("install-hook-added", Low)]);
    let claims =
        |claim: &str| Content { kind: "elf".into(), claims: Some(claim.into()), ..Content::default() };
    content_check("a.png", none(), claims("png"), &[("disguised-file", High)]);
    content_check("a.png", claims("png"), claims("png"), &[]);
    let text = |bidirectional, invisible| Content {
        kind: "text".into(),
        bidirectional,
        invisible,
        ..Content::default()
    };
    content_check("a.py", text(0, 0), text(1, 0), &[("hidden-text", High)]);
    content_check("a.py", text(0, 0), text(0, 24), &[("hidden-text", High)]);
    content_check("a.py", text(0, 0), text(0, 3), &[]);
    content_check("a.po", text(0, 0), text(9, 0), &[]);
    let embedded = |kinds: &[&str]| Content {
        embedded: kinds.iter().map(|kind| Embedded { kind: (*kind).to_owned(), offset: 7 }).collect(),
        ..Content::default()
    };
    content_check("a.dat", none(), embedded(&["elf"]), &[("embedded-payload", High)]);
    content_check("a.dat", embedded(&["elf"]), embedded(&["elf", "elf"]), &[]);
    content_check("a.dat", none(), embedded(&["zip"]), &[]);
}

#[test]
fn new_scripts_and_classes_with_two_families() {
    let new = |kind: &str, capabilities: &[&str]| {
        let content = Content { kind: kind.into(), capabilities: set(capabilities), ..Content::default() };
        found(None, &node("x", None, content))
    };
    let high = [("capability-added".to_owned(), High)];
    assert_eq!(new("class", &["process-start/class", "network/class"]), high);
    assert_eq!(new("class", &["network/class"]), []);
    assert_eq!(new("text", &["decode-and-run/script", "network/script"]), high);
    assert_eq!(new("text", &["process-start/script", "network/script"]), []);
    assert_eq!(new("", &["process-start/class", "network/class"]), []);
}

#[test]
fn new_members_and_causes_of_many() {
    let new = node("new.dll", Some(image()), Content::default());
    assert_eq!(found(None, &new), [("foreign-executable".to_owned(), High)]);
    let old = node("old.dll", Some(image()), Content { kind: "pe".into(), ..Content::default() });
    let around = Around::of(&old, &new);
    let found = suspicions(&new.name, None, &new, &around);
    assert_eq!(found[0].code, "executable-added");
    // What only moved is not new.
    assert_eq!(suspicions(&new.name, None, &new, &Around::of(&new, &new)), []);
    let many: Vec<Finding> = (0..9)
        .map(|number| {
            let node = node(&format!("{number}.dll"), Some(image()), Content::default());
            codes::SECTION_ADDED.finding(subject(&node.name, &node), vec!["one cause".into()])
        })
        .collect();
    let merged = collapse(many.clone());
    assert_eq!(merged.len(), 1);
    assert!(merged[0].because[1].starts_with("the same in 9 files: 0.dll, 1.dll"), "{:?}", merged[0].because);
    let mut other = many;
    other[3].subject.digest = Some(Digest::of(b"other"));
    assert_ne!(collapse(other)[0].id, merged[0].id, "an approval holds for these bytes only");
}

#[test]
fn a_script_that_fetches_and_runs_calls_somebody_else() {
    let script = |hosts: &[&str], capabilities: &[&str]| Content {
        kind: "script".into(),
        hosts: set(hosts),
        capabilities: set(capabilities),
        ..Content::default()
    };
    let both = ["network/script", "process-start/script"];
    content_check(
        "install.js",
        script(&["a.test"], &both),
        script(&["a.test", "b.test"], &both),
        &[("host-added", High)],
    );
    content_check("install.js", script(&["a.test"], &both), script(&["a.test"], &both), &[]);
    let reads = ["network/script"];
    content_check("page.js", script(&["a.test"], &reads), script(&["b.test"], &reads), &[]);
}

#[test]
fn a_file_gets_the_rights_of_its_owner() {
    let with = |mode| {
        let mut node = node("tool", None, Content::default());
        node.mode = Some(mode);
        node
    };
    assert_eq!(found(Some(&with(0o755)), &with(0o4755)), [("rights-added".to_owned(), High)]);
    assert_eq!(found(None, &with(0o2755)), [("rights-added".to_owned(), High)]);
    assert_eq!(found(Some(&with(0o4755)), &with(0o4755)), []);
    assert_eq!(found(Some(&with(0o644)), &with(0o755)), []);
    // A folder with this bit only says who owns what is made in it.
    let mut folder = with(0o2755);
    folder.format = "directory".into();
    assert_eq!(found(None, &folder), []);
}

#[test]
fn something_else_stands_where_a_program_was() {
    let program = node("a.dll", Some(image()), Content::default());
    let mut data = node("a.dll", None, Content::default());
    data.format = "data".into();
    assert_eq!(found(Some(&program), &data), [("executable-replaced".to_owned(), High)]);
    // The other way round it is a new program, judged as one.
    assert_eq!(found(Some(&data), &program), found(None, &program));
    assert_eq!(found(Some(&data), &data), []);
}

#[test]
fn another_compiler() {
    let made_by = |image: &mut Executable, tool: &str| _ = image.compilers.insert(tool.to_owned());
    let both = |before: &mut Executable, after: &mut Executable, then: &str, now: &str| {
        made_by(before, then);
        made_by(after, now);
    };
    let (gcc, newer, clang) = ("GCC: (Debian 12.2.0-14) 12.2.0", "GCC: (GNU) 14.1.0", "clang version 17.0.6");
    image_check(|before, after| both(before, after, gcc, clang), &[("compiler-added", Medium)]);
    image_check(|before, after| both(before, after, gcc, newer), &[]);
    image_check(|_, after| made_by(after, clang), &[]);
    let go = |after: &mut Executable| after.sections.push(section(".gopclntab", "x", false));
    image_check(
        |before, after| {
            made_by(before, gcc);
            go(after);
        },
        &[("compiler-added", Medium), ("section-added", Low)],
    );
    // A new program among others: the old release had none by that compiler.
    let mut made = image();
    made_by(&mut made, gcc);
    let old = node("a.dll", Some(made.clone()), Content::default());
    let codes = |image: Executable| {
        let around = Around::of(&old, &old);
        let new = node("b.dll", Some(image), Content::default());
        let found = suspicions(&new.name, None, &new, &around);
        found.iter().any(|finding| finding.code == "compiler-added")
    };
    let mut brought = image();
    made_by(&mut brought, "rustc version 1.95.0");
    assert!(codes(brought));
    made.version = Some("2".into());
    assert!(!codes(made));
}

#[test]
fn a_time_that_does_not_fit() {
    let day = 86_400;
    image_check(
        |before, after| after.timestamp = before.timestamp.map(|then| then - 2 * day),
        &[("timestamp-implausible", Medium)],
    );
    image_check(|before, after| after.timestamp = before.timestamp.map(|then| then - day / 2), &[]);
    image_check(
        |before, after| {
            after.timestamp = before.timestamp.map(|then| then - 2 * day);
            after.timestamp_is_digest = true;
        },
        &[],
    );
    image_check(|_, after| after.timestamp = Some(0), &[]);
    // In a record the build's end is known.
    let late = |until: i64| {
        let (old, mut new) = (node("a.dll", Some(image()), Content::default()), image());
        new.timestamp = Some(1_710_000_000);
        let new = node("a.dll", Some(new), Content::default());
        let mut around = Around::of(&old, &new);
        around.built_until = Some(until);
        let found = suspicions(&new.name, Some(&old), &new, &around);
        found.iter().any(|finding| finding.code == "timestamp-implausible")
    };
    assert!(late(1_710_000_000 - 2 * 86_400));
    assert!(!late(1_710_000_000));
}

#[test]
fn signatures_of_containers() {
    let jar = |signer: Option<&str>, left_out: &[&str]| {
        let mut node = node("a.jar", None, Content::default());
        node.digest = Some(Digest::of(format!("{signer:?}{left_out:?}").as_bytes()));
        let place = |name: &&str| evidence::tree::Uncovered {
            place: (*name).into(),
            offset: 0,
            size: 1,
            entropy_millibits: 0,
            tag: None,
        };
        node.signature = signer.map(|organisation| {
            Box::new(CodeSignature {
                kind: "jar".into(),
                organisation: Some(organisation.into()),
                uncovered: left_out.iter().map(place).collect(),
                ..CodeSignature::default()
            })
        });
        node
    };
    let signed = jar(Some("A"), &[]);
    assert_eq!(found(Some(&signed), &jar(None, &[])), [("signature-removed".to_owned(), High)]);
    assert_eq!(found(Some(&signed), &jar(Some("B"), &[])), [("signer-changed".to_owned(), High)]);
    assert_eq!(
        found(Some(&signed), &jar(Some("A"), &["member `x`"])),
        [("signature-removed".to_owned(), High)]
    );
    assert_eq!(found(Some(&signed), &jar(Some("A"), &[])), []);
    assert_eq!(found(Some(&jar(Some("A"), &["x"])), &jar(Some("A"), &["x", "y"])), []);
}

#[test]
fn an_android_package_is_known_by_its_certificate_and_keeps_its_best_scheme() {
    use Severity::High;
    let package = |kind: &str, certificate: &str, schemes: &[&str]| {
        let mut node =
            Node::leaf("a.apk".into(), "zip", Digest::of(format!("{certificate}{schemes:?}").as_bytes()), 9);
        node.signature = Some(Box::new(CodeSignature {
            kind: kind.into(),
            organisation: Some("Android".into()),
            identifier: (kind == "apk").then(|| certificate.to_owned()),
            flags: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
            ..CodeSignature::default()
        }));
        node
    };
    let old = package("apk", "sha256:a", &["v1", "v2", "v3"]);
    assert_eq!(found(Some(&old), &package("apk", "sha256:a", &["v3"])), []);
    assert_eq!(found(Some(&old), &package("apk", "sha256:a", &["v2", "v3", "v3.1"])), []);
    let signer_changed = [("signer-changed".to_owned(), High)];
    assert_eq!(found(Some(&old), &package("apk", "sha256:b", &["v1", "v2", "v3"])), signer_changed);
    let removed = [("signature-removed".to_owned(), High)];
    assert_eq!(found(Some(&old), &package("apk", "sha256:a", &["v1", "v2"])), removed);
    assert_eq!(found(Some(&old), &package("jar", "", &["v1"])), removed);
}
