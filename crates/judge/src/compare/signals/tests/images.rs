//! Rules about images that a hold-out of attacks and honest releases asked for.

use super::*;
use Severity::{High, Medium};

#[test]
fn data_becomes_code() {
    image_check(|_, after| after.sections[1].executable = true, &[("data-made-code", High)]);
    image_check(|before, _| before.sections[1].executable = true, &[]);
    // Constants of Mach-O lie in the segment of the code.
    image_check(
        |before, after| {
            for image in [before, &mut *after] {
                image.sections[1].name = "__TEXT,__const".into();
            }
            after.sections[1].executable = true;
        },
        &[],
    );
}

#[test]
fn initialisers_in_a_new_form_are_the_same_and_cxx_has_some_more() {
    let count =
        |image: &mut Executable, place: &str, count| _ = image.initializers.insert(place.into(), count);
    image_check(
        |before, after| {
            count(before, "__mod_init_func", 2);
            count(after, "__init_offsets", 2);
        },
        &[],
    );
    image_check(
        |before, after| {
            count(before, "__mod_init_func", 2);
            count(after, "__init_offsets", 3);
        },
        &[("initializer-added", High)],
    );
    let cxx = |image: &mut Executable| _ = image.imports.insert("_ZNSt8ios_base4InitC1Ev@GLIBCXX_3.4".into());
    let grown = |before: &mut Executable, after: &mut Executable| {
        cxx(before);
        cxx(after);
        count(before, ".init_array", 2);
        count(after, ".init_array", 4);
    };
    image_check(grown, &[("initializer-added", Medium)]);
    // An array that was made longer in the finished image is no compiler's.
    image_check(
        |before, after| {
            grown(before, after);
            after.initializers_outside_code = 1;
        },
        &[("initializer-added", High)],
    );
    image_check(
        |before, after| {
            cxx(before);
            cxx(after);
            count(after, "tls-callbacks", 1);
        },
        &[("initializer-added", High)],
    );
}

#[test]
fn what_was_left_between_the_sections_is_told_from_what_was_put_there() {
    let loose = |before: u64, after: u64| {
        move |old: &mut Executable, new: &mut Executable| {
            (old.unaccounted_nonzero_bytes, new.unaccounted_nonzero_bytes) = (before, after);
        }
    };
    image_check(loose(40, 400), &[("code-cave", High)]);
    image_check(loose(40, 90), &[]);
    image_check(loose(400, 40), &[]);
    image_check(|_, after| after.overlay_bytes = 100, &[("overlay-added", High)]);
    image_check(|before, after| (before.overlay_bytes, after.overlay_bytes) = (50, 100), &[]);
}

#[test]
fn a_program_begins_as_its_c_library_does() {
    let entry = |image: &mut Executable, bytes: &str| {
        image.entry = Some(Entry { address: 8192, section: Some(".text".into()), bytes: bytes.into() });
    };
    let check = |old: &str, new: &str, expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                entry(before, old);
                entry(after, new);
            },
            expected,
        );
    };
    check("f30f1efa31ed4989d15e", "4883ec28488b05", &[("entry-point-moved", High)]);
    check("31ed4989d15e4889e2", "f30f1efa31ed4989d15e", &[]);
    check("4883ec28488b05", "4157415641554154", &[]);
    check("1d0080d21e0080d2", "fd7bbfa9fd030091", &[("entry-point-moved", High)]);
}

#[test]
fn another_loader_and_exports_that_lead_elsewhere() {
    let loader = |image: &mut Executable, path: &str| image.interpreter = Some(path.into());
    let check = |new: &str, expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                loader(before, "/lib64/ld-linux-x86-64.so.2");
                loader(after, new);
            },
            expected,
        );
    };
    check("/tmp/.x/ld.so", &[("foreign-library", High)]);
    check("/lib/ld-musl-x86_64.so.1", &[]);
    let forward = |image: &mut Executable, to: &str| _ = image.forwarders.insert("Open".into(), to.into());
    image_check(|_, after| forward(after, "OTHER.Open"), &[("foreign-library", High)]);
    image_check(|_, after| forward(after, "KERNEL32.HeapAlloc"), &[]);
    image_check(
        |before, after| {
            forward(before, "OTHER.Open");
            forward(after, "OTHER.Open2");
        },
        &[],
    );
}

#[test]
fn names_that_only_begin_like_a_library_of_the_system() {
    let load = |name: &str, expected: &[(&str, Severity)]| {
        image_check(|_, after| _ = after.libraries.insert(name.into()), expected);
    };
    let foreign: &[_] = &[("foreign-library", High)];
    for name in ["VCRUNTIMEX40.dll", "VCRUNTIME140_2.dll", "kernel32x.dll", "mfevil.dll", "d3dharm.dll"] {
        load(name, foreign);
    }
    for name in [
        "VCRUNTIME140_1.dll",
        "d3dcompiler_47.dll",
        "MFPlat.DLL",
        "mfc140u.dll",
        "python312.dll",
        "d3d11.dll",
    ] {
        load(name, &[]);
    }
    let moved = |path: &str, expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                before.libraries = set(&["/usr/lib/libSystem.B.dylib"]);
                before.imports = set(&["_malloc"]);
                (after.libraries, after.imports) = (before.libraries.clone(), before.imports.clone());
                after.libraries.insert(path.into());
                after.imports.insert("_free".into());
            },
            expected,
        );
    };
    moved("/tmp/libSystem.B.dylib", foreign);
    moved("/usr/lib/libz.1.dylib", &[]);
    // A symbol that is called like a library is no reason to load it.
    let elf = |image: &mut Executable| image.imports = set(&["malloc"]);
    image_check(
        |before, after| {
            elf(before);
            elf(after);
            after.libraries.insert("libz.so.1".into());
            after.imports.insert("libz.so.1".into());
        },
        foreign,
    );
    image_check(
        |before, after| {
            elf(before);
            elf(after);
            after.libraries.insert("libz.so.1".into());
            after.imports.insert("inflate".into());
        },
        &[],
    );
}

#[test]
fn another_library_under_the_name_of_one() {
    let check = |exports: [&str; 2], imports: &[&str], expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                before.exports = set(&["PyInit_a", "_init"]);
                before.imports = set(&["a", "b", "c", "d", "e"]);
                after.exports = exports.map(str::to_owned).into();
                after.imports = set(imports);
            },
            expected,
        );
    };
    check(["PyInit_b", "_init"], &["v", "w", "x", "y", "z"], &[("executable-replaced", High)]);
    check(["PyInit_b", "_init"], &["a", "b", "c", "d", "e"], &[("executable-replaced", High)]);
    check(["PyInit_A", "_init"], &["a", "b", "c", "d", "e"], &[]);
    check(["other", "_init"], &["a", "b", "c", "d", "e"], &[]);
    check(["other", "_init"], &["v", "w", "x", "y", "z"], &[("executable-replaced", High)]);
    check(["PyInit_a", "_init"], &["v", "w", "x", "y", "z"], &[]);
}

#[test]
fn ports_shadows_and_bytecode() {
    let image_of = |machine: &str| Executable { machine: machine.into(), ..image() };
    let program = |folder: &str, machine: &str| {
        node(&format!("{folder}/tool.exe"), Some(image_of(machine)), Content::default())
    };
    let mut old = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
    old.members = ["x86_64", "i386", "aarch64"].map(|machine| program(machine, machine)).into();
    let judged = |new: &Node| -> Vec<(String, Severity)> {
        let around = Around::of(&old, new);
        suspicions(&new.name, None, new, &around).into_iter().map(|one| (one.code, one.severity)).collect()
    };
    assert_eq!(judged(&program("riscv64", "riscv64")), [("foreign-executable".to_owned(), Medium)]);
    let other = node("riscv64/other.exe", Some(image_of("riscv64")), Content::default());
    assert_eq!(judged(&other), [("foreign-executable".to_owned(), High)]);
    // Other bytes than those that were there before.
    let other = || Executable { version: Some("9".into()), ..image() };
    let shadow = node("x/version.dll", Some(other()), Content::default());
    assert!(judged(&shadow).contains(&("disguised-file".to_owned(), High)));
    let own = node("x/versions.dll", Some(other()), Content::default());
    assert_eq!(judged(&own), [("executable-added".to_owned(), Severity::Low)]);
    let bytecode = |path: &str| {
        let mut node = node(path, None, Content { kind: "pyc".into(), ..Content::default() });
        node.format = "data".into();
        node
    };
    assert_eq!(judged(&bytecode("a/x.pyc")), [("foreign-executable".to_owned(), High)]);
    assert_eq!(judged(&bytecode("a/__pycache__/x.cpython-312.pyc")), []);
    old.members.push(bytecode("a/y.pyc"));
    let around = Around::of(&old, &old);
    assert_eq!(suspicions(&"a/x.pyc".into(), None, &bytecode("a/x.pyc"), &around), []);
}

#[test]
fn a_stack_that_runs_code_is_more_than_an_option() {
    let program = |format: &str, mitigations: &[&str]| {
        let image = Executable { mitigations: set(mitigations), ..image() };
        Node { format: format.into(), ..node("a.so", Some(image), Content::default()) }
    };
    let found = |format: &str| found(Some(&program(format, &["nx", "relro"])), &program(format, &["relro"]));
    assert!(found("elf").contains(&("hardening-lost".to_owned(), High)));
    assert!(found("pe").contains(&("hardening-lost".to_owned(), Medium)));
}

#[test]
fn functions_that_were_made_to_end_at_once() {
    let cut = |image: &mut Executable, places: &[&str]| {
        image.cut_functions = places.len() as u64;
        let how = "returns at once though 269 bytes of code follow";
        image.cut_places = places.iter().map(|place| ((*place).to_owned(), how.to_owned())).collect();
    };
    let check = |old: &[&str], new: &[&str], expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                cut(before, old);
                cut(after, new);
            },
            expected,
        );
    };
    let patched: &[_] = &[("function-patched", High)];
    check(&[], &["ssh_key_cmp"], patched);
    check(&[], &["0x1040", "0x2000"], patched);
    // Assembly by hand has it in each release, elsewhere, and more of it.
    check(&["0x1000"], &["0x1040", "0x2000"], &[]);
    check(&["ssh_key_cmp"], &[], &[]);
    let doubled = |old: &[&str], new: &[&str], expected: &[(&str, Severity)]| {
        image_check(
            |before, after| (before.doubled_slots, after.doubled_slots) = (set(old), set(new)),
            expected,
        );
    };
    doubled(&[], &["umask"], patched);
    doubled(&["umask"], &["umask"], &[]);
    doubled(&["umask"], &[], &[]);
}

#[test]
fn a_net_program_refers_to_what_reaches_out() {
    let refers = |image: &mut Executable, references: &[&str]| {
        image.managed = Some(BTreeSet::new());
        image.references = set(references);
    };
    let check = |old: &[&str], new: &[&str], expected: &[(&str, Severity)]| {
        image_check(
            |before, after| {
                refers(before, old);
                refers(after, new);
            },
            expected,
        );
    };
    let lookup = "System!System.Net.Dns.GetHostEntry";
    let new: &[_] = &[("capability-added", High)];
    check(&[], &[lookup], new);
    check(&["System!System.Diagnostics.Process.Start"], &[lookup], new);
    check(&["System!System.Net.Dns.GetHostAddresses"], &[lookup], &[]);
    check(&[lookup], &[], &[]);
    image_check(|_, after| refers(after, &[lookup]), &[]);
    // Another image of the old release had it.
    let with = |name: &str, version: &str, references: &[&str]| {
        let mut image = Executable { version: Some(version.into()), ..image() };
        refers(&mut image, references);
        node(name, Some(image), Content::default())
    };
    let mut old = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
    old.members = vec![with("a.dll", "1", &[]), with("b.dll", "1", &[lookup])];
    let new = with("a.dll", "2", &[lookup]);
    let around = Around::of(&old, &new);
    assert_eq!(suspicions(&new.name, Some(&old.members[0]), &new, &around), []);
}
