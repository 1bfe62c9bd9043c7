//! Rules about what images and archives carry along: resources, data at their ends, libraries that nobody asked for.

use super::*;
use Severity::{High, Low};

#[test]
fn late_loading_is_a_partner_of_what_it_brings() {
    let late = |image: &mut Executable, library: &str, symbol: &str| {
        image.libraries.insert(library.into());
        image.delayed_libraries.insert(library.into());
        image.imports.insert(format!("{library}!{symbol}"));
    };
    let check = |late_before: Option<&str>, capability: &str, expected: &[(&str, Severity)]| {
        let (mut before, mut after) = (image(), image());
        after.sections[0].digest = Digest::of(b"2");
        (after.version, after.timestamp) = (Some("1.0.1.0".into()), Some(1_710_000_000));
        if let Some(library) = late_before {
            late(&mut before, library, "InternetOpenA");
        }
        late(&mut after, "WININET.dll", "InternetOpenUrlA");
        let content = Content { capabilities: set(&[capability]), ..Content::default() };
        let old = node("a.dll", Some(before), Content::default());
        let expected: Vec<_> = expected.iter().map(|(code, severity)| ((*code).into(), *severity)).collect();
        assert_eq!(found(Some(&old), &node("a.dll", Some(after), content)), expected);
    };
    check(None, "network/import", &[("capability-added", High)]);
    check(Some("ole32.dll"), "network/import", &[("capability-added", High)]);
    check(Some("wininet.dll"), "network/import", &[("capability-added", Low)]);
    // The functions that load late need these themselves.
    check(None, "code-in-memory/import", &[("capability-added", Low)]);
    check(None, "dynamic-loading/import", &[("capability-added", Low)]);
}

#[test]
fn a_table_of_imports_that_moved_is_a_partner_of_what_it_brings() {
    let check = |from: &str, to: &str, capability: &str, expected: &[(&str, Severity)]| {
        let (mut before, mut after) = (image(), image());
        (after.version, after.timestamp) = (Some("1.0.1.0".into()), Some(1_710_000_000));
        after.sections[0].digest = Digest::of(b"2");
        (before.import_section, after.import_section) = (Some(from.into()), Some(to.into()));
        let content = Content { capabilities: set(&[capability]), ..Content::default() };
        let old = node("a.dll", Some(before), Content::default());
        let expected: Vec<_> = expected.iter().map(|(code, severity)| ((*code).into(), *severity)).collect();
        assert_eq!(found(Some(&old), &node("a.dll", Some(after), content)), expected);
    };
    check(".rdata", ".idata", "network/import", &[("capability-added", High)]);
    check(".rdata", ".rdata", "network/import", &[("capability-added", Low)]);
    check(".rdata", ".idata", "dynamic-loading/import", &[("capability-added", Low)]);
}

#[test]
fn imports_that_no_code_uses_were_put_in() {
    let put = |from: &'static str, to: &'static str, code: &'static [u8]| {
        move |before: &mut Executable, after: &mut Executable| {
            (before.import_section, after.import_section) = (Some(from.into()), Some(to.into()));
            before.sections[0].digest = Digest::of(b"1");
            after.sections[0].digest = Digest::of(code);
            after.imports.insert("KERNEL32.dll!WriteFile".into());
        }
    };
    image_check(put(".rdata", ".idata", b"1"), &[("patched-after-link", Critical)]);
    // A linker that moves the table moves what the code reads; one more import in the old place is a release.
    image_check(put(".rdata", ".idata", b"2"), &[]);
    image_check(put(".rdata", ".rdata", b"1"), &[]);
}

#[test]
fn a_resource_of_noise_is_new_or_grew() {
    let resource = |name: &str, size: u64, entropy_millibits: u32, kind: &str| Resource {
        path: format!("rcdata/{name}/1033"),
        size,
        digest: Digest::of(format!("{name}{size}").as_bytes()),
        entropy_millibits,
        kind: kind.into(),
    };
    let payload: &[_] = &[("embedded-payload", High)];
    image_check(|_, after| after.resources.push(resource("1", 4096, 7950, "")), payload);
    image_check(|_, after| after.resources.push(resource("1", 60_000, 7997, "gzip")), payload);
    for kind in ["png", "font", "jpeg"] {
        image_check(|_, after| after.resources.push(resource("1", 60_000, 7997, kind)), &[]);
    }
    image_check(|_, after| after.resources.push(resource("1", 4095, 7950, "")), &[]);
    // A program under a mask has the entropy of a program.
    image_check(
        |_, after| after.resources.push(resource("1", 9000, 5900, Resource::MASKED_PROGRAM)),
        payload,
    );
    image_check(
        |before, after| {
            before.resources.push(resource("1", 9000, 5900, Resource::MASKED_PROGRAM));
            after.resources.push(resource("1", 9000, 5900, Resource::MASKED_PROGRAM));
        },
        &[],
    );
    image_check(|_, after| after.resources.push(resource("1", 60_000, 7700, "")), &[]);
    let grown = |from: u64, to: u64| {
        move |before: &mut Executable, after: &mut Executable| {
            before.resources.push(resource("1", from, 7997, ""));
            after.resources.push(resource("1", to, 7997, ""));
        }
    };
    image_check(grown(60_000, 130_000), payload);
    image_check(grown(60_000, 100_000), &[]);
    image_check(grown(60_000, 60_000), &[]);
}

/// An artifact of one image and other files.
fn artifact(format: &str, image: Executable, names: &[&str]) -> Node {
    let mut root = Node::leaf("a".into(), "zip", Digest::of(b"a"), 0);
    root.members =
        names.iter().map(|name| Node::leaf((*name).into(), "data", Digest::of(name.as_bytes()), 1)).collect();
    let digest = Digest::of(format!("{image:?}").as_bytes());
    let mut member = Node::leaf("pkg/m.so".into(), format, digest, 9000);
    member.executables.push(image);
    root.members.insert(0, member);
    root
}

#[track_caller]
fn artifact_check(
    format: &str,
    names: &[&str],
    change: impl FnOnce(&mut Executable, &mut Executable),
    expected: &[(&str, Severity)],
) {
    let plain = || Executable { imports: set(&["malloc"]), libraries: set(&["libc.so.6"]), ..image() };
    let (mut before, mut after) = (plain(), plain());
    (after.version, after.timestamp) = (Some("1.0.1.0".into()), Some(1_710_000_000));
    change(&mut before, &mut after);
    let (old, new) = (artifact(format, before, names), artifact(format, after, names));
    let around = Around::of(&old, &new);
    let mut found: Vec<_> = suspicions(&"a!pkg/m.so".into(), Some(&old.members[0]), &new.members[0], &around)
        .into_iter()
        .map(|finding| (finding.code, finding.severity))
        .collect();
    found.sort();
    let expected: Vec<_> = expected.iter().map(|(code, severity)| ((*code).to_owned(), *severity)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_search_path_leads_to_a_folder_that_is_not_there() {
    let path = |path: &'static str| {
        move |_: &mut Executable, after: &mut Executable| _ = after.search_paths.insert(path.into())
    };
    let added: &[_] = &[("search-path-added", High)];
    let names = ["pkg.libs/libz.so.1"];
    // A folder whose name moves with the release, absent before and after.
    let moves = |before: &mut Executable, after: &mut Executable| {
        before.search_paths.insert("@loader_path/m@1.2.0".into());
        after.search_paths.insert("@loader_path/m@1.2.1".into());
    };
    artifact_check("macho", &names, moves, &[]);
    artifact_check("elf", &names, path("$ORIGIN/../pkg.lib"), added);
    artifact_check("elf", &names, path("$ORIGIN/../pkg.libs:$ORIGIN/.x"), added);
    artifact_check("macho", &names, path("@loader_path/../dylibs"), added);
    artifact_check("elf", &names, path("$ORIGIN/../pkg.libs"), &[]);
    // A folder called like the file, and its release.
    artifact_check("elf", &names, path("$ORIGIN/m@1.2.1"), &[]);
    artifact_check("elf", &names, path("$ORIGIN/m.d"), added);
    artifact_check("elf", &names, path("$ORIGIN/../../nvidia/lib"), &[]);
    artifact_check(
        "elf",
        &names,
        |before, after| {
            before.search_paths = set(&["$ORIGIN/../pkg.lib"]);
            after.search_paths = set(&["$ORIGIN/../pkg.lib:$ORIGIN/../pkg.libs"]);
        },
        &[],
    );
}

#[test]
fn little_data_behind_an_elf_image() {
    let overlay = |bytes: u64| move |_: &mut Executable, after: &mut Executable| after.overlay_bytes = bytes;
    artifact_check("elf", &[], overlay(16), &[("overlay-added", High)]);
    artifact_check("elf", &[], overlay(15), &[]);
    artifact_check("macho", &[], overlay(16), &[]);
    let grown = |from: u64, to: u64| {
        move |before: &mut Executable, after: &mut Executable| {
            (before.overlay_bytes, after.overlay_bytes) = (from, to);
        }
    };
    artifact_check("elf", &[], grown(1, 40), &[("overlay-added", High)]);
    artifact_check("elf", &[], grown(300, 40_000), &[("overlay-added", High)]);
    artifact_check("elf", &[], grown(300, 500), &[]);
    artifact_check("elf", &[], grown(1000, 40_000), &[]);
}

#[test]
fn a_library_to_which_nothing_is_bound() {
    let load = |name: &'static str, unused: bool| {
        move |before: &mut Executable, after: &mut Executable| {
            // As the next release does, it needs other functions than the last one.
            after.imports.insert("_free".into());
            before.libraries = set(&["/usr/lib/libSystem.B.dylib"]);
            after.libraries = set(&["/usr/lib/libSystem.B.dylib", name]);
            if unused {
                after.unused_libraries = set(&[name]);
            }
        }
    };
    let foreign: &[_] = &[("foreign-library", High)];
    artifact_check("macho", &[], load("/usr/lib/libharmless.dylib", true), foreign);
    artifact_check("macho", &[], load("/usr/lib/libz.1.dylib", false), &[]);
    artifact_check("macho", &[], load("/usr/lib/libc++.1.dylib", true), &[]);
    artifact_check(
        "macho",
        &[],
        load("/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation", true),
        &[],
    );
    artifact_check("macho", &["libown.dylib"], load("@rpath/libown.dylib", true), &[]);
}

#[test]
fn bytes_of_an_archive_beside_its_members() {
    let archive = |format: &str, parts: &[(&str, u64)]| {
        let digest = Digest::of(format!("{format}{parts:?}").as_bytes());
        let mut node = Node::leaf("a.whl".into(), format, digest, 9000);
        node.members = [("x.py", 10)]
            .iter()
            .chain(parts)
            .map(|(name, size)| Node::leaf((*name).into(), "data", Digest::of(name.as_bytes()), *size))
            .collect();
        node
    };
    let check = |old: &Node, new: &Node, expected: &[(&str, Severity)]| {
        let expected: Vec<_> =
            expected.iter().map(|(code, severity)| ((*code).to_owned(), *severity)).collect();
        assert_eq!(found(Some(old), new), expected);
    };
    let plain = archive("zip", &[]);
    check(&plain, &archive("data", &[]), &[("archive-misleads", High)]);
    check(&archive("data", &[]), &plain, &[]);
    check(&plain, &archive("zip", &[("#after", 64)]), &[("overlay-added", High)]);
    check(&plain, &archive("zip", &[("#comment", 4000)]), &[("overlay-added", High)]);
    check(&plain, &archive("zip", &[("#comment", 40)]), &[]);
    check(&plain, &archive("zip", &[("#unlisted/1", 900)]), &[("archive-misleads", High)]);
    check(&archive("zip", &[("#unlisted/1", 9)]), &archive("zip", &[("#unlisted/2", 900)]), &[]);
    for format in ["gzip", "xz", "tar"] {
        check(&archive(format, &[]), &archive(format, &[("#after", 900)]), &[("overlay-added", High)]);
        check(&archive(format, &[]), &archive(format, &[("other", 900)]), &[]);
    }
    check(&archive("ext", &[]), &archive("ext", &[("#unlisted/1", 900)]), &[]);
}

#[test]
fn a_library_of_which_no_version_is_needed() {
    let load = |versions: &'static [&'static str]| {
        move |before: &mut Executable, after: &mut Executable| {
            before.symbol_versions = set(&["libc.so.6:GLIBC_2.17"]);
            after.symbol_versions = set(versions);
            after.imports.insert("free".into());
            after.libraries.insert("libutil.so.1".into());
        }
    };
    let versions = &["libc.so.6:GLIBC_2.17", "libutil.so.10:X"];
    artifact_check("elf", &[], load(versions), &[("foreign-library", High)]);
    artifact_check("elf", &[], load(&["libc.so.6:GLIBC_2.17", "libutil.so.1:GLIBC_2.2.5"]), &[]);
    // What `g++` asks for by itself may be of no use.
    artifact_check(
        "elf",
        &[],
        |before, after| {
            before.symbol_versions = set(&["libc.so.6:GLIBC_2.17"]);
            after.symbol_versions = set(&["libc.so.6:GLIBC_2.17"]);
            after.imports.insert("free".into());
            after.libraries.insert("libstdc++.so.6".into());
        },
        &[],
    );
    // Other C libraries have no versions.
    artifact_check("elf", &[], load(&[]), &[]);
}

#[test]
fn one_more_part_is_loaded_to_be_executed() {
    let segments = |before: u64, after: u64| {
        move |old: &mut Executable, new: &mut Executable| {
            (old.code_segments, new.code_segments) = (before, after);
        }
    };
    artifact_check("elf", &[], segments(1, 2), &[("data-made-code", High)]);
    artifact_check("macho", &[], segments(2, 2), &[]);
    artifact_check("elf", &[], segments(2, 1), &[]);
    // What was recorded before these were counted.
    artifact_check("elf", &[], segments(0, 1), &[]);
}

#[test]
fn a_function_of_the_c_library_is_replaced() {
    let offer = |format: &str, names: &'static [&'static str], expected: &[(&str, Severity)]| {
        artifact_check(
            format,
            &[],
            |before, after| {
                before.exports = set(&["own", "fopen"]);
                after.exports = set(&["own", "fopen"]);
                after.exports.extend(set(names));
            },
            expected,
        );
    };
    offer("elf", &["write@@X_1"], &[("capability-added", High)]);
    offer("elf", &["fopen@@X_2", "write_all", "malloc"], &[]);
    offer("macho", &["write"], &[]);
}

#[test]
fn a_library_of_the_system_is_taken_from_elsewhere() {
    let moved = |from: &'static str, to: &'static str| {
        move |before: &mut Executable, after: &mut Executable| {
            before.libraries = set(&[from]);
            after.libraries = set(&[to]);
        }
    };
    let check = |from, to, expected: &[(&str, Severity)]| {
        artifact_check("macho", &["libz.1.dylib"], moved(from, to), expected);
    };
    check("/usr/lib/libz.1.dylib", "@loader_path/libz.1.dylib", &[("foreign-library", High)]);
    check("@rpath/libz.1.dylib", "@loader_path/libz.1.dylib", &[]);
    check("/usr/lib/libz.1.dylib", "/usr/lib/libz.1.dylib", &[]);
}

#[test]
fn constants_can_be_written() {
    image_check(|_, after| after.sections[1].writable = true, &[("hardening-lost", Severity::Medium)]);
    image_check(|before, _| before.sections[1].writable = true, &[]);
}

#[test]
fn a_library_that_came_along_and_that_nothing_is_bound_to() {
    let loads = |unused: bool| {
        move |_: &mut Executable, after: &mut Executable| {
            let name = "@loader_path/libnew.dylib".to_owned();
            after.imports.insert("_another".to_owned());
            after.libraries.insert(name.clone());
            after.unused_libraries.extend(unused.then_some(name));
        }
    };
    let check = |earlier: &[&str], unused: bool, expected: &[(&str, Severity)]| {
        let plain = || Executable { imports: set(&["malloc"]), libraries: set(&["libc.so.6"]), ..image() };
        let (mut before, mut after) = (plain(), plain());
        (after.version, after.timestamp) = (Some("1.0.1.0".into()), Some(1_710_000_000));
        loads(unused)(&mut before, &mut after);
        let old = artifact("macho", before, earlier);
        let new = artifact("macho", after, &["libnew.dylib"]);
        let mut around = Around::of(&old, &new);
        around.releases = ("1.2.0".to_owned(), "1.3.0".to_owned());
        let found = suspicions(&"a!pkg/m.so".into(), Some(&old.members[0]), &new.members[0], &around);
        let found: Vec<_> = found.iter().map(|finding| (finding.code.as_str(), finding.severity)).collect();
        assert_eq!(found, expected);
    };
    check(&[], true, &[("foreign-library", High)]);
    check(&[], false, &[]);
    check(&["libnew.dylib"], true, &[]);
}

#[test]
fn the_next_release_of_a_library_is_no_other_one() {
    let asks = |old: &'static str, new: &'static str| {
        move |before: &mut Executable, after: &mut Executable| {
            before.libraries.insert(old.into());
            after.libraries.insert(new.into());
            after.imports.insert("another".into());
        }
    };
    let foreign: &[_] = &[("foreign-library", High)];
    artifact_check(
        "elf",
        &[],
        asks("libdns-9.18.49-1~deb12u1-Debian.so", "libdns-9.18.49-1~deb12u3-Debian.so"),
        &[],
    );
    artifact_check(
        "elf",
        &[],
        asks("libdns-9.18.49-1~deb12u1-Debian.so", "libdnt-9.18.49-1~deb12u3-Debian.so"),
        foreign,
    );
    artifact_check("elf", &[], asks("liba.so", "liba1.so"), foreign);
}

#[test]
fn a_loader_that_the_package_brings_is_no_loader_of_the_system() {
    let loaded_by = |new: &'static str| {
        move |before: &mut Executable, after: &mut Executable| {
            before.interpreter = Some("/lib64/ld-linux-x86-64.so.2".into());
            after.interpreter = Some(new.into());
        }
    };
    let foreign: &[_] = &[("foreign-library", High)];
    artifact_check("elf", &[], loaded_by("/usr/lib/php/ld.so"), foreign);
    artifact_check("elf", &[], loaded_by("/opt/ld-linux-x86-64.so.2"), foreign);
    artifact_check("elf", &[], loaded_by("/lib/ld-musl-x86_64.so.1"), &[]);
}

#[test]
fn what_an_image_starts_is_known_wherever_the_old_one_said_it() {
    let config = |name: &str, starts: &str| {
        let mut node = Node::leaf(name.into(), "data", Digest::of(starts.as_bytes()), 700);
        node.content =
            Some(Content { hooks: set(&[&format!("image-start: Cmd {starts}")]), ..Content::default() });
        node
    };
    let judged = |starts: &str| {
        let mut old = Node::leaf("old".into(), "tar", Digest::of(b"old"), 0);
        old.members.push(config("blobs/sha256/aa", "/opt/app-1.2.3/run"));
        let new = config("blobs/sha256/bb", starts);
        let around = Around::of(&old, &new);
        let found = suspicions(&new.name, None, &new, &around);
        found.into_iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(judged("/opt/app-1.2.4/run"), []);
    assert_eq!(judged("/opt/x"), [("install-hook-added".to_owned(), High)]);
}

#[test]
fn a_layer_takes_away_what_limits_programs() {
    let judged = |format: &str, name: &str| {
        let mut whiteout = Node::leaf(name.into(), format, Digest::of(b""), 0);
        whiteout.content = None;
        let mut old = Node::leaf("old".into(), "tar", Digest::of(b"old"), 0);
        old.members.push(Node::leaf("empty".into(), "data", Digest::of(b""), 0));
        let around = Around::of(&old, &whiteout);
        let found = suspicions(&whiteout.name, None, &whiteout, &around);
        found.into_iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
    };
    let high = [("hardening-lost".to_owned(), High)];
    assert_eq!(judged("whiteout", "etc/apparmor.d/.wh.usr.bin.app"), high);
    assert_eq!(judged("whiteout", "var/cache/.wh.x"), []);
    assert_eq!(judged("data", "etc/apparmor.d/.wh.usr.bin.app"), []);
}
