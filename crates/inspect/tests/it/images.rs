//! Executable images: facts, signatures, damage.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use evidence::Tree;
use evidence::tree::Executable;
use forge::{
    Hiding, PeImage, PeSection, TestSigner, ThreeCx, elf_executable, hide, noise, stuff_certificate_table,
};
use inspect::{Budget, open_file};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::corpus::{mach_o, signed_mach_o, wasm};

fn open(bytes: &[u8]) -> Tree {
    let tree = open_file(&"x".into(), bytes, &mut Budget::default());
    assert_eq!(tree.problems, []);
    tree
}

fn image(bytes: &[u8]) -> Executable {
    let tree = open(bytes);
    assert_eq!(tree.root.executables.len(), 1, "{}", tree.root.format);
    tree.root.executables[0].clone()
}

fn library() -> PeImage {
    PeImage {
        name: "x.dll".into(),
        exports: vec!["b".into(), "a".into()],
        imports: vec![
            ("K.dll".into(), vec!["One".into(), "Two".into()]),
            ("U.dll".into(), vec!["Three".into()]),
        ],
        content: noise(1, 5000),
        sections: vec![PeSection { name: ".odd".into(), data: noise(2, 8000), flags: 0xE000_0020 }],
        timestamp: 7,
    }
}

#[test]
fn a_windows_library_shows_its_facts() {
    let facts = image(&library().bytes());
    assert_eq!((facts.machine.as_str(), facts.kind.as_str()), ("x86_64", "library"));
    assert_eq!(facts.exports.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        facts.imports.iter().map(String::as_str).collect::<Vec<_>>(),
        ["K.dll!One", "K.dll!Two", "U.dll!Three"]
    );
    assert_eq!(facts.libraries.len(), 2);
    let odd = facts.sections.iter().find(|section| section.name.starts_with(".odd")).unwrap();
    assert!(odd.writable && odd.executable && odd.entropy_millibits > 7500, "{odd:?}");
    assert!(facts.mitigations.contains("aslr") && facts.mitigations.contains("nx"));
    assert_eq!((facts.overlay_bytes, facts.signature), (0, None));
    assert_eq!(
        (facts.timestamp, facts.linker.as_deref(), facts.writable_code_segments),
        (Some(7), Some("0.0"), 1)
    );
    assert_eq!((facts.initializers.len(), facts.unaccounted_nonzero_bytes, facts.managed), (0, 0, None));
    let with_overlay = [library().bytes(), vec![1; 77]].concat();
    assert_eq!(image(&with_overlay).overlay_bytes, 77);
}

#[test]
fn hidden_bytes_do_not_disturb_the_signature_and_are_seen() {
    let signer = TestSigner::new("A Tester");
    let signed = signer.sign(&library().bytes());
    let facts = image(&signed).signature.unwrap();
    assert_eq!(facts.digest_matches, Some(true));
    assert_eq!(
        (facts.signer.as_deref(), facts.organisation.as_deref()),
        (Some("A Tester"), Some("Countersign Test (harmless)"))
    );
    assert!(facts.entries == 1 && facts.trailing_bytes < 8 && !facts.trailing_nonzero);
    let stuffed = stuff_certificate_table(&signed, &noise(9, 275 * 1024));
    let hidden = image(&stuffed).signature.unwrap();
    assert_eq!(hidden.digest_matches, Some(true), "the attack works on those who ask only for this");
    assert_eq!(hidden.image_digest, facts.image_digest);
    assert!(
        hidden.trailing_bytes >= 275 * 1024
            && hidden.trailing_nonzero
            && hidden.trailing_entropy_millibits > 7900
    );
    let mut broken = signed.clone();
    broken[0x500] ^= 1;
    assert_eq!(image(&broken).signature.unwrap().digest_matches, Some(false));
}

#[test]
fn every_place_that_a_signature_does_not_cover_is_named() {
    let signed = TestSigner::new("A Tester").sign(&library().bytes());
    let clean = image(&signed).signature.unwrap();
    assert_eq!(
        (clean.signature_valid, clean.chain_valid, clean.chain_complete),
        (Some(true), Some(true), true)
    );
    assert_eq!(clean.chain, ["A Tester"]);
    assert_eq!((clean.uncovered, clean.unknown_entries, clean.stray_certificates.len()), (vec![], 0, 0));
    for (way, place) in Hiding::ALL.into_iter().zip([
        "behind the PKCS#7",
        "entry 2 of the table",
        "entry 2 of the table",
        "unsigned attribute 1.3.6.1.4.1.42921.1.2.1",
        "certificate outside of every chain",
        "behind the table",
    ]) {
        let payload = noise(5, 9000);
        let hidden = hide(&signed, way, &payload);
        let facts = image(&hidden).signature.unwrap();
        assert_eq!(
            (facts.digest_matches, facts.signature_valid),
            (
                match way {
                    // The digest is over what follows the table as well.
                    Hiding::Overlay => Some(false),
                    _ => Some(true),
                },
                Some(true)
            ),
            "{way:?}"
        );
        let [found] = &facts.uncovered[..] else { panic!("{way:?}: {:?}", facts.uncovered) };
        assert_eq!(found.place, place);
        assert!(found.size >= 9000 && found.entropy_millibits > 7900, "{found:?}");
        let at = found.offset as usize;
        let inside = &hidden[at..at + found.size as usize];
        assert!(
            inside.windows(payload.len()).any(|window| window == payload),
            "{way:?}: the offset is exact"
        );
    }
}

#[test]
fn tags_of_vendors_are_known_by_their_content() {
    let signed = TestSigner::new("A Tester").sign(&library().bytes());
    let tag = |payload: &[u8]| {
        image(&hide(&signed, Hiding::Behind, payload)).signature.unwrap().uncovered[0].tag.clone()
    };
    assert_eq!(tag(b"Gact2.0Omaha\0\x10appguid={8A69D345}").as_deref(), Some("Omaha"));
    assert_eq!(tag(b"__MOZCUSTOM__:campaign%3Dx").as_deref(), Some("Mozilla"));
    assert_eq!(tag(&[b"__MOZCUSTOM__:".as_slice(), &noise(1, 300)].concat()), None);
    assert_eq!(tag(&[b"__MOZCUSTOM__:".as_slice(), &[b'A'; 3000]].concat()), None);
    assert_eq!(tag(b"something else"), None);
}

#[test]
fn a_signature_of_another_content_does_not_verify() {
    let signed = TestSigner::new("A Tester").sign(&library().bytes());
    let table = image(&signed).signature.unwrap().table_offset as usize;
    // Bytes of the signature, of the signed digest, of the attributes: nothing in the structure may be changed.
    let mut refused = 0;
    for position in (table + 8..signed.len() - 8).step_by(3) {
        let mut broken = signed.clone();
        broken[position] ^= 4;
        let facts = open_file(&"x".into(), &broken, &mut Budget::default()).root.executables[0].clone();
        let facts = facts.signature.unwrap();
        let whole = facts.signature_valid == Some(true)
            && facts.digest_matches == Some(true)
            && facts.chain_valid == Some(true);
        refused += usize::from(!whole);
    }
    assert!(refused > 150, "{refused}");
}

/// A peer agrees: `osslsigncode` recomputes the same digest, on the signed and on the stuffed image.
#[test]
fn osslsigncode_says_the_same() {
    if Command::new("osslsigncode").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have osslsigncode");
        eprintln!("SKIPPED: osslsigncode is not installed");
        return;
    }
    let product = ThreeCx::new();
    let folder = tempfile::tempdir().unwrap();
    for release in [product.first(), product.poisoned()] {
        let bytes = release.file("vendor/d3dcompiler_47.dll").unwrap();
        let path = folder.path().join("x.dll");
        fs::write(&path, bytes).unwrap();
        let output = Command::new("osslsigncode").args(["verify", "-in"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let digest = image(bytes).signature.unwrap().image_digest.unwrap();
        let digest = digest.strip_prefix("sha256:").unwrap().to_ascii_uppercase();
        let mentions = text
            .lines()
            .filter(|line| line.contains("message digest") && line.trim_end().ends_with(&digest))
            .count();
        assert_eq!(mentions, 2, "current and calculated: {text}");
    }
}

#[test]
fn real_programs_show_their_facts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.c"), "#include <stdio.h>\nint visible(void) { return puts(\"x\"); }\nint main(void) { return visible(); }\n").unwrap();
    let build = |arguments: &[&str]| {
        assert!(Command::new("gcc").args(arguments).current_dir(folder.path()).status().unwrap().success());
        image(&fs::read(folder.path().join("out")).unwrap())
    };
    let program = build(&[
        "-pie",
        "-fPIE",
        "-Wl,-z,relro,-z,now",
        "-Wl,-rpath,/opt/x",
        "-Wl,--build-id",
        "-o",
        "out",
        "a.c",
    ]);
    assert_eq!(program.kind, "executable");
    assert!(
        program.libraries.contains("libc.so.6")
            && program.imports.iter().any(|name| name.starts_with("puts"))
    );
    assert!(program.interpreter.as_ref().unwrap().contains("ld-linux"));
    assert!(
        ["pie", "relro", "bind-now", "nx"].iter().all(|word| program.mitigations.contains(*word)),
        "{:?}",
        program.mitigations
    );
    assert!(program.search_paths.contains("/opt/x") && program.build_id.is_some());
    assert_eq!(program.entry.as_ref().unwrap().section.as_deref(), Some(".text"));
    assert!(program.compilers.iter().any(|name| name.starts_with("GCC")), "{:?}", program.compilers);
    assert!(program.symbol_versions.iter().any(|name| name.starts_with("libc.so.6:GLIBC_")));
    assert_eq!((program.initializers.get(".init_array"), program.indirect_relocations), (Some(&1), 0));
    assert_eq!((program.writable_code_segments, program.unaccounted_nonzero_bytes), (0, 0));
    assert_eq!(program.code_segments, 1);
    // `patchelf` writes the table of the sections again and leaves the old one where it was.
    let mut moved = fs::read(folder.path().join("out")).unwrap();
    let table = u64::from_le_bytes(moved[0x28..0x30].try_into().unwrap()) as usize;
    let copy = moved[table..].to_vec();
    moved.resize(moved.len().next_multiple_of(8), 0);
    let place = (moved.len() as u64).to_le_bytes();
    moved[0x28..0x30].copy_from_slice(&place);
    moved.extend(copy);
    assert_eq!(image(&moved).unaccounted_nonzero_bytes, 0);
    // A type of section that the image does not have is no entry of an old table.
    moved[table + 64 + 4..table + 64 + 8].copy_from_slice(&[0x99; 4]);
    assert!(image(&moved).unaccounted_nonzero_bytes > 4);
    fs::write(
        folder.path().join("i.c"),
        "static int one(void) { return 1; }\nstatic void *choose(void) { return one; }\n\
         int f(void) __attribute__((ifunc(\"choose\")));\n\
         __attribute__((constructor)) static void early(void) {}\nint g(void) { return f(); }\n",
    )
    .unwrap();
    let indirect = build(&["-shared", "-fPIC", "-o", "out", "i.c"]);
    assert!(indirect.indirect_functions.contains("f"), "{:?}", indirect.indirect_functions);
    assert_eq!(indirect.initializers.get(".init_array"), Some(&2));
    let library = build(&["-shared", "-fPIC", "-o", "out", "a.c"]);
    assert_eq!(library.kind, "library");
    assert!(library.exports.contains("visible"));
    assert_eq!(build(&["-c", "-o", "out", "a.c"]).kind, "object");
    let forged = image(&[elf_executable(b"x"), vec![0; 9]].concat());
    assert_eq!(
        (forged.machine.as_str(), forged.kind.as_str(), forged.overlay_bytes),
        ("x86_64", "executable", 9)
    );
}

/// What was edited in a finished library: a function of 200 bytes that returns with its first, and calls of one function of the C
/// library that lead to another.
#[test]
fn functions_that_were_patched_in_a_finished_library_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = "#include <unistd.h>\n#include <stdlib.h>\n\
        int check(const volatile char *key) { int sum = 0; for (int n = 0; n < 64; n++) sum += key[n] * (n ^ key[n]); return sum == 42; }\n\
        void drop(void) { if (setuid(65534)) abort(); if (setgid(65534)) abort(); }\n";
    fs::write(folder.path().join("a.c"), source).unwrap();
    let options = ["-shared", "-fPIC", "-O2", "-Wl,-z,lazy", "-o", "out", "a.c"];
    assert!(Command::new("gcc").args(options).current_dir(folder.path()).status().unwrap().success());
    let library = fs::read(folder.path().join("out")).unwrap();
    let honest = image(&library);
    assert_eq!((honest.cut_functions, &honest.doubled_slots), (0, &BTreeSet::new()));

    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(&*library).unwrap();
    let check = file.dynamic_symbols().find(|symbol| symbol.name() == Ok("check")).unwrap();
    let text = file.section_by_name(".text").unwrap();
    let at = (check.address() - text.address() + text.file_range().unwrap().0) as usize;
    let at = if library[at..].starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) { at + 4 } else { at };
    let mut cut = library.clone();
    cut[at..at + 3].copy_from_slice(&[0x31, 0xc0, 0xc3]);
    let cut = image(&cut);
    assert_eq!(cut.cut_functions, 1);
    assert!(cut.cut_places["check"].starts_with("returns at once though "), "{:?}", cut.cut_places);

    let slots = file.section_by_name(".rela.plt").unwrap().file_range().unwrap();
    let entry = |number: u64| (slots.0 + 24 * number) as usize + 12;
    let mut bound = library.clone();
    let (first, second) = (entry(0), entry(1));
    bound.copy_within(second..second + 4, first);
    let named = image(&bound).doubled_slots;
    assert_eq!(named.len(), 1);
    assert!(
        honest.imports.iter().any(|import| import.split('@').next() == named.first().map(String::as_str))
    );
}

/// An image with two more libraries, the last of which needs a symbol: `number` is that of the library from which it comes.
fn bound(number: u8) -> Vec<u8> {
    let mut file = mach_o();
    let word = |value: u32| value.to_le_bytes();
    let library = |name: &[u8; 16]| {
        [&[word(0xc), word(40), word(24), [0; 4], [0; 4], [0; 4]].concat(), &name[..]].concat()
    };
    let table = [2, 24, 0x900, 1, 0x980, 8].map(word).concat();
    let more = [library(b"/usr/lib/libz.1\0"), library(b"/usr/lib/libx.1\0"), table].concat();
    let size = u32::from_le_bytes(file[20..24].try_into().unwrap());
    let end = 32 + size as usize;
    file[end..end + more.len()].copy_from_slice(&more);
    file[16..20].copy_from_slice(&word(7));
    file[20..24].copy_from_slice(&word(size + more.len() as u32));
    // The flag of a two-level namespace.
    file[24..28].copy_from_slice(&word(0x20_0080));
    file[0x900..0x908].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, number]);
    file[0x980..0x988].copy_from_slice(b"\0_free\0\0");
    file
}

#[test]
fn libraries_of_apple_images_to_which_nothing_is_bound_are_named() {
    let unused = |bytes: &[u8]| image(bytes).unused_libraries.into_iter().collect::<Vec<_>>();
    assert_eq!(unused(&bound(1)), ["/usr/lib/libx.1", "/usr/lib/libz.1"]);
    assert_eq!(unused(&bound(2)), ["/usr/lib/libSystem.B.dylib", "/usr/lib/libx.1"]);
    // Any library may have it.
    assert_eq!(unused(&bound(0xfe)).len(), 3);
    let mut flat = bound(1);
    flat[24] = 0;
    assert!(unused(&flat).is_empty());
    assert_eq!(image(&bound(1)).code_segments, 1);
}

#[test]
fn apple_images_show_their_facts() {
    let facts = image(&mach_o());
    assert_eq!((facts.machine.as_str(), facts.kind.as_str()), ("x86_64", "library"));
    assert!(facts.libraries.contains("/usr/lib/libSystem.B.dylib") && facts.mitigations.contains("pie"));
    assert_eq!(facts.build_id.as_deref(), Some("abababababababababababababababab"));
    assert_eq!(facts.sections[0].name, "__TEXT,__text");
    assert!(facts.sections[0].executable && !facts.sections[0].writable);
    let signature = facts.signature.unwrap();
    assert_eq!(
        (signature.kind.as_str(), signature.table_bytes, signature.bytes_after_table),
        ("apple", 0x200, 0)
    );
    let mut fat = [0xcafe_babe_u32, 1, 0x0100_0007, 3, 0x1000, 0x1000, 12].map(u32::to_be_bytes).concat();
    fat.resize(0x1000, 0);
    fat.extend(mach_o());
    assert_eq!(open(&fat).root.executables.len(), 1);
}

#[test]
fn apple_signatures_are_recomputed() {
    let facts = image(&signed_mach_o()).signature.unwrap();
    assert_eq!(facts.digest_matches, Some(true));
    assert_eq!((facts.identifier.as_deref(), facts.team.as_deref()), (Some("app"), Some("TEAM")));
    assert!(facts.flags.contains("runtime") && !facts.flags.contains("adhoc"));
    assert!(facts.entitlements.contains("com.apple.security.cs.allow-jit"));
    assert!(facts.code_digest.unwrap().starts_with("sha256:") && !facts.trailing_nonzero);
    assert_eq!(facts.uncovered, []);
    let matches = |position: usize| {
        let mut broken = signed_mach_o();
        broken[position] ^= 1;
        image(&broken).signature.unwrap().digest_matches
    };
    // Code, and the entitlements behind the directory.
    assert_eq!(matches(0x800), Some(false));
    let at = signed_mach_o().windows(9).position(|window| window == b"allow-jit").unwrap();
    assert_eq!(matches(at), Some(false));
    let mut stuffed = signed_mach_o();
    stuffed[0xff0..0xff8].copy_from_slice(b"smuggled");
    let facts = image(&stuffed).signature.unwrap();
    assert_eq!(facts.digest_matches, Some(true), "the attack works on those who ask only for this");
    assert!(facts.trailing_nonzero);
    assert_eq!(facts.uncovered[0].place, "behind the code signature");
}

#[test]
fn what_an_earlier_signature_left_is_told_from_what_somebody_put_there() {
    let bytes = signed_mach_o();
    let (at, length) = (0xe00, u32::from_be_bytes(bytes[0xe04..0xe08].try_into().unwrap()) as usize);
    let room = at + length..0x1000;
    assert!(room.len() >= 60, "{room:?}");
    let page = evidence::Digest::of(&bytes[..at]);
    let left = |change: fn(&mut [u8])| {
        let mut bytes = bytes.clone();
        // The end of one hash, and a whole one.
        let mut hashes = [&page.as_bytes()[12..], page.as_bytes()].concat();
        change(&mut hashes);
        bytes[room.start..room.start + hashes.len()].copy_from_slice(&hashes);
        let facts = image(&bytes).signature.unwrap();
        (facts.digest_matches, facts.uncovered.len())
    };
    assert_eq!(left(|_| ()), (Some(true), 0));
    assert_eq!(left(|hashes| hashes[25] ^= 1), (Some(true), 1));
    assert_eq!(left(|hashes| hashes[0] ^= 1), (Some(true), 1));
}

#[test]
fn damaged_apple_images_are_survived() {
    let bytes = signed_mach_o();
    for position in (0..0x120).chain(0xe00..0x1000) {
        for value in [0, 0xff, bytes[position] ^ 0x10] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            open_file(&"x".into(), &damaged, &mut Budget::default());
        }
    }
}

#[test]
fn a_webassembly_module_shows_its_facts() {
    let image = image(&wasm());
    assert_eq!((image.machine.as_str(), image.kind.as_str()), ("wasm32", "executable"));
    assert_eq!(image.imports, ["wasi_snapshot_preview1!sock_open".to_owned()].into());
    assert_eq!(image.exports, ["run".to_owned()].into());
    assert_eq!(image.compilers, ["rustc 1.95.0".to_owned()].into());
    assert_eq!(image.initializers["start"], 1);
    let names: Vec<&str> = image.sections.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["type", "import", "function", "memory", "export", "start", "code", "producers"]);
    assert!(image.sections[6].executable);
    let whole = wasm();
    for cut in 9..whole.len() {
        // What is cut off in the middle of a section is a problem, never a module without it.
        let tree = open_file(&"x".into(), &whole[..cut], &mut Budget::default());
        let sections = &tree.root.executables.first().map_or(0, |image| image.sections.len());
        assert!(!tree.problems.is_empty() || *sections < 8, "{cut}");
    }
}

#[test]
fn a_timestamp_that_is_a_digest_is_known() {
    // One entry of the debug directory (PE Format, "Debug Directory"), alone in its section.
    let entry = |kind: u32| {
        let words = [0, 0x1234_5678, 0, kind, 0, 0, 0_u32];
        words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()
    };
    let read = |kind: u32| {
        let section = PeSection { name: ".rdata2".into(), data: entry(kind), flags: 0x4000_0040 };
        let mut bytes =
            PeImage { name: "a.dll".into(), sections: vec![section], ..PeImage::default() }.bytes();
        let directory = 0x80 + 24 + 112 + 6 * 8;
        bytes[directory..directory + 4].copy_from_slice(&0x2000_u32.to_le_bytes());
        bytes[directory + 4..directory + 8].copy_from_slice(&28_u32.to_le_bytes());
        image(&bytes).timestamp_is_digest
    };
    assert!(read(16));
    assert!(!read(2));
}

/// The library of the corpus with one initialiser more, in a segment of data of its own.
fn with_initialiser(pointer: u64) -> Vec<u8> {
    let mut file = mach_o();
    let word = |value: u32| value.to_le_bytes();
    let mut segment = [word(0x19), word(72 + 80)].concat();
    segment.extend(b"__DATA\0\0\0\0\0\0\0\0\0\0");
    for value in [0x1000_u64, 0x1000, 0x900, 8] {
        segment.extend(value.to_le_bytes());
    }
    segment.extend([3, 3, 1, 0].map(word).concat());
    segment.extend(b"__mod_init_func\0__DATA\0\0\0\0\0\0\0\0\0\0");
    segment.extend([0x1000_u64.to_le_bytes(), 8_u64.to_le_bytes()].concat());
    segment.extend([0x900, 3, 0, 0, 9, 0, 0, 0].map(word).concat());
    let commands = u32::from_le_bytes(file[20..24].try_into().unwrap()) as usize;
    file[32 + commands..32 + commands + segment.len()].copy_from_slice(&segment);
    file[16..20].copy_from_slice(&word(5));
    file[20..24].copy_from_slice(&word((commands + segment.len()) as u32));
    file[0x900..0x908].copy_from_slice(&pointer.to_le_bytes());
    file
}

#[test]
fn an_initialiser_of_mach_o_outside_of_the_code_is_counted() {
    // The code of that library is 4 bytes from 0x800 on.
    for (pointer, outside) in [(0x800, 0), (0x803, 0), (0x804, 1), (0x400, 1), (1 << 51 | 0x800, 0), (0, 0)] {
        let image = image(&with_initialiser(pointer));
        assert_eq!(image.initializers["__mod_init_func"], 1);
        assert_eq!(image.initializers_outside_code, outside, "{pointer:#x}");
    }
}
