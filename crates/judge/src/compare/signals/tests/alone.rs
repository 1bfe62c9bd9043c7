//! Rules about images that are new, or that begin as no compiler's do.

use super::*;

/// What is said of a new image `NAME`, beside images of the old release.
fn judged(old: &[Node], new: &Node) -> Vec<(String, Severity)> {
    let mut folder = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
    folder.members = old.to_vec();
    let around = Around::of(&folder, new);
    let mut found: Vec<_> = suspicions(&new.name, None, new, &around)
        .into_iter()
        .map(|finding| (finding.code, finding.severity))
        .filter(|(code, _)| code != "executable-added")
        .collect();
    found.sort();
    found
}

fn changed(name: &str, change: impl FnOnce(&mut Executable)) -> Node {
    let mut other = Executable { version: Some("9".into()), ..image() };
    change(&mut other);
    node(name, Some(other), Content::default())
}

fn begins(bytes: &'static str) -> impl Fn(&mut Executable) {
    move |image| {
        image.entry =
            Some(evidence::tree::Entry { address: 4096, section: Some(".text".into()), bytes: bytes.into() });
    }
}

#[test]
fn what_no_linker_makes_is_told_of_a_new_image() {
    let old = [node("a.dll", Some(image()), Content::default())];
    let of = |change: &dyn Fn(&mut Executable)| judged(&old, &changed("b.dll", change));
    assert_eq!(of(&|_| ()), []);
    let code = |name: &'static str| {
        move |image: &mut Executable| {
            (image.sections[1].name, image.sections[1].executable) = (name.into(), true)
        }
    };
    assert_eq!(of(&code(".reloc")), [("data-made-code".to_owned(), High)]);
    assert_eq!(of(&code(".textbss")), []);
    assert_eq!(of(&|image| image.initializers_outside_code = 1), [("initializer-added".to_owned(), High)]);
    let cut = |image: &mut Executable| image.cut_functions = 1;
    assert_eq!(of(&cut), [("function-patched".to_owned(), High)]);
    let moved = [("entry-point-moved".to_owned(), High)];
    for saves in ["51524150415148", "9c5053", "50515253"] {
        assert_eq!(judged(&old, &changed("b.dll", begins(saves))), moved, "{saves}");
    }
    for usual in ["4883ec28e86b08", "41574156415550", "5055", "4150488d", "f30f1efa31ed"] {
        assert_eq!(judged(&old, &changed("b.dll", begins(usual))), [], "{usual}");
    }
}

#[test]
fn a_new_image_is_held_against_one_of_its_name_and_machine() {
    let old = [node("x/tool-1.0.dll", Some(image()), Content::default())];
    let cave = |image: &mut Executable| image.unaccounted_nonzero_bytes = 400;
    let found = [("code-cave".to_owned(), High)];
    assert_eq!(judged(&old, &changed("y/tool-1.1.dll", cave)), found);
    assert_eq!(judged(&old, &changed("y/other.dll", cave)), []);
    let arm = |image: &mut Executable| {
        cave(image);
        image.machine = "aarch64".into();
    };
    assert_eq!(judged(&old, &changed("y/tool-1.1.dll", arm)), [("foreign-executable".to_owned(), High)]);
}

#[test]
fn the_entry_point_saves_what_it_need_not_or_calls_far_away() {
    let check = |old: &'static str, new: &'static str, expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                begins(old)(before);
                begins(new)(after);
            },
            expected,
        );
    };
    let moved = [("entry-point-moved", High)];
    check("4883ec28e86b080000", "51524150415148", &moved);
    check("51524150415148", "51524150415149", &[]);
    check("4883ec28e86b080000", "4883ec28e8f7130700", &moved);
    check("4883ec28e86b080000", "4883ec28e8f7130000", &[]);
    check("4883ec28e8f7130700", "4883ec28e8f7130800", &[]);
}

#[test]
fn the_first_image_that_starts_programs() {
    let with = |name: &str, capability: &str| {
        let content = Content { capabilities: set(&[capability]), ..Content::default() };
        node(
            name,
            Some(Executable { kind: "library".into(), version: Some(name.into()), ..image() }),
            content,
        )
    };
    let starts = "process-start/import";
    let high = ("capability-added".to_owned(), High);
    let plain = [with("a.dll", "x/import")];
    assert!(judged(&plain, &with("b.dll", starts)).contains(&high));
    assert!(!judged(&[with("a.dll", starts)], &with("b.dll", starts)).contains(&high));
    assert!(!judged(&[], &with("b.dll", starts)).contains(&high));
    assert!(!judged(&plain, &with("b.dll", "network/import")).contains(&high));
    assert!(found(Some(&with("a.dll", "x/import")), &with("a.dll", starts)).contains(&high));
}

#[test]
fn code_behind_the_last_function() {
    let behind = |before: u64, after: u64| {
        move |old: &mut Executable, new: &mut Executable| {
            (old.unlisted_code_bytes, new.unlisted_code_bytes) = (before, after);
        }
    };
    image_check(behind(11, 120), &[("code-cave", High)]);
    image_check(behind(4069, 4069), &[]);
    image_check(behind(0, 29), &[]);
    // The list of before was not whole.
    image_check(behind(320_923, 321_649), &[]);
}

#[test]
fn tls_callbacks_of_another_release_of_the_tools() {
    let callbacks = |linker: &'static str, outside: u64| {
        move |_: &mut Executable, after: &mut Executable| {
            after.initializers.insert("tls-callbacks".into(), 2);
            after.initializers_outside_code = outside;
            after.linker = Some(linker.into());
        }
    };
    image_check(callbacks("14.29", 0), &[("initializer-added", High)]);
    image_check(callbacks("14.44", 0), &[("initializer-added", Medium)]);
    image_check(callbacks("14.44", 1), &[("initializer-added", High)]);
}

#[test]
fn a_link_that_lost_its_id_at_the_same_second() {
    let at_once = |id: Option<&'static str>| {
        move |before: &mut Executable, after: &mut Executable| {
            (before.timestamp, after.timestamp) = (Some(1_700_000_000), Some(1_700_000_000));
            (before.build_id, after.build_id) = (Some("ab".into()), id.map(str::to_owned));
        }
    };
    image_check(at_once(None), &[("same-version-changed", High)]);
    image_check(at_once(Some("cd")), &[]);
}
