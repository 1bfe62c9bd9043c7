//! Containers and executables, within a small budget. `COUNTERSIGN_FUZZ_READER` names one reader: what it does not read
//! is not kept.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use evidence::Tree;
use inspect::{Budget, format, open_file};
use judge::compare::{Contrasts, SourceChanged, trees};
use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    static READER: OnceLock<String> = OnceLock::new();
    let reader = READER.get_or_init(|| std::env::var("COUNTERSIGN_FUZZ_READER").unwrap_or_default());
    let small = Budget {
        members: 1_000,
        bytes: 16 << 20,
        member_bytes: 4 << 20,
        depth: 4,
        symbols: 50_000,
        ..Budget::default()
    };
    let (name, bytes) = match (reader.as_str(), bytes) {
        ("brotli", _) => ("input.br", bytes),
        // The rules for texts go by names as well: the first byte says which, and the others are the text.
        ("content", [first, rest @ ..]) => (NAMES[usize::from(*first) % NAMES.len()], rest),
        _ => ("input", bytes),
    };
    let tree = open_file(&name.into(), bytes, &mut small.clone());
    judge::anomalies::anomalies(&tree);
    // Once more as if it were too large to be held.
    let file = file(bytes);
    let far = inspect::open(&name.into(), file, &mut Budget { held_bytes: 4096, ..small.clone() });
    assert_eq!(far.expect("nobody changes the file").root.digest, tree.root.digest);
    // Against itself with one byte changed: most members are paired.
    let mut other = bytes.to_vec();
    if let Some(byte) = other.get_mut(bytes.len() / 2) {
        *byte ^= 0x55;
        let other = open_file(&name.into(), &other, &mut small.clone());
        trees(&other, &tree, SourceChanged::Unknown, &Contrasts::new());
    }
    if reads(reader, bytes, &tree) { Corpus::Keep } else { Corpus::Reject }
});

/// Names of what is taken apart or asked for hooks.
const NAMES: &[&str] = &[
    "input",
    "a.py",
    "a.js",
    "build.rs",
    "a.go",
    "a.html",
    "package.json",
    "entry_points.txt",
    "METADATA",
    "Cargo.toml",
    "Info.plist",
    "a.nuspec",
    "pom.properties",
    "./control",
    "a.json",
    "app-update.yml",
    "./etc/pam.d/a",
    "./lib/udev/rules.d/a",
    "bin/a",
    "a.nsh",
    "MANIFEST.MF",
    "binding.gyp",
    "./postinst",
    "./etc/a.conf",
    "./lib/systemd/system/a.service",
    "a.sh",
];

/// Writes an input to a file that has no name.
fn file(bytes: &[u8]) -> File {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("countersign-fuzz-{}", std::process::id()));
        let file = File::options().create_new(true).read(true).write(true).open(&path).expect("a file");
        std::fs::remove_file(&path).expect("its name goes away");
        file
    });
    file.set_len(bytes.len() as u64).expect("its length is set");
    file.write_all_at(bytes, 0).expect("it is written");
    file.try_clone().expect("it is opened again")
}

/// Tells whether an input is for the reader that is being tried.
fn reads(reader: &str, bytes: &[u8], tree: &Tree) -> bool {
    match reader {
        "" => true,
        "authenticode" => tree.root.executables.iter().any(|image| image.signature.is_some()),
        "apk" | "catalog" => {
            let own = tree.root.signature.as_ref().is_some_and(|signature| signature.kind == reader);
            own || tree
                .root
                .members
                .iter()
                .any(|member| member.signature.as_ref().is_some_and(|one| one.kind == reader))
        }
        "attached" => !tree.root.executables.is_empty() || !tree.root.members.is_empty(),
        "content" => tree.root.format == "data",
        "msi" => format(bytes).word() == "cfb",
        "brotli" => true,
        other => format(bytes).word() == other,
    }
}
