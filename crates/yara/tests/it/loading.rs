//! What is read when rules are loaded, and what is refused.

use yara::{Error, Limits, Rules};

use crate::{folder, load, names, refused};

const ONE: &str = "rule one { strings: $a = \"marker-one\" condition: $a }";

#[test]
fn a_folder_is_read_with_what_its_files_include_once() {
    let folder = folder(&[
        ("index.yar", "include \"sub/b.yar\"\ninclude \"./one.yar\"\n"),
        ("one.yar", ONE),
        ("sub/b.yar", "include \"c.yar\"\nrule b { condition: c }"),
        ("sub/c.yar", "rule c { strings: $a = \"marker-c\" condition: $a }"),
        ("sub/alone.yara", "rule one { condition: filesize == 8 }"),
        ("notes.txt", "no rules"),
    ]);
    let rules = load(folder.path());
    assert_eq!(rules.len(), 4);
    let looked = rules.look("x", "x", b"marker-c");
    assert_eq!(names(&looked), ["c", "b", "one"]);
    assert_eq!(looked.matches[2].file, "sub/alone.yara");
    // A file alone may include what lies beside and below it.
    assert_eq!(load(&folder.path().join("index.yar")).len(), 3);
    assert_eq!(load(&folder.path().join("one.yar")).len(), 1);
}

#[test]
fn nothing_outside_of_the_folder_is_included() {
    let outside = folder(&[("secret.yar", ONE), ("rules/a.yar", "// first\n\ninclude \"../secret.yar\"")]);
    let rules = outside.path().join("rules");
    let why = "a.yar:3: include \"../secret.yar\": it leads out of the folder of the rules";
    assert_eq!(refused(&rules), why);
    assert_eq!(refused(&rules.join("a.yar")), why);
    std::fs::write(rules.join("a.yar"), "include \"/etc/passwd\"").unwrap();
    assert!(refused(&rules).ends_with("include \"/etc/passwd\": it leads out of the folder of the rules"));
    std::fs::write(rules.join("a.yar"), "include \"link.yar\"").unwrap();
    std::os::unix::fs::symlink("../secret.yar", rules.join("link.yar")).unwrap();
    assert!(refused(&rules).contains("it leads out of the folder of the rules"));
    std::fs::remove_file(rules.join("a.yar")).unwrap();
    assert!(refused(&rules).contains("it is a link out of the folder"));
    std::fs::remove_file(rules.join("link.yar")).unwrap();
    std::fs::write(rules.join("a.yar"), "include \"missing.yar\"").unwrap();
    assert!(refused(&rules).ends_with("include \"missing.yar\": there is no such file"));
}

#[test]
fn circles_and_towers_of_includes_end() {
    let circle = folder(&[("a.yar", "include \"b.yar\""), ("b.yar", "\ninclude \"a.yar\"")]);
    assert_eq!(
        refused(circle.path()),
        "b.yar:2: include \"a.yar\": the files include each other in a circle"
    );
    let tower: Vec<(String, String)> =
        (0..20).map(|n| (format!("{n:02}.yar"), format!("include \"{:02}.yar\"", n + 1))).collect();
    let mut tower: Vec<(&str, &str)> = tower.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    tower.push(("20.yar", ONE));
    assert!(refused(folder(&tower).path()).ends_with("more than 16 files, each included by another"));
}

#[test]
fn a_rule_that_does_not_compile_is_named_with_its_place() {
    let told = |text: &str| refused(folder(&[("sub/broken.yar", text), ("one.yar", ONE)]).path());
    let syntax = told("rule a { condition: true }\nrule b { strings: condition }\n");
    assert!(syntax.starts_with("sub/broken.yar:2:"), "{syntax}");
    let unknown = told("rule a {\n  condition:\n    filetype == \"EXE\"\n}");
    assert!(unknown.starts_with("sub/broken.yar:3:5: error: ") && unknown.contains("filetype"), "{unknown}");
    let included = refused(
        folder(&[("a.yar", "include \"sub/b.yar\"\nrule a { condition: true }"), ("sub/b.yar", "\n\nrule")])
            .path(),
    );
    assert!(included.starts_with("sub/b.yar:"), "{included}");
    let twice = told("rule a { condition: true }\nrule a { condition: true }");
    assert!(twice.starts_with("sub/broken.yar:2:6: error: "), "{twice}");
}

#[test]
fn a_module_that_is_not_read_is_named_with_those_that_are() {
    let folder = folder(&[("a.yar", "import \"vt\"\nrule a { condition: vt.metadata.file_size > 1 }")]);
    let told = refused(folder.path());
    assert!(told.starts_with("a.yar:1:1: error: ") && told.contains("vt"), "{told}");
    assert!(
        told.ends_with("the modules that are read are dex, dotnet, elf, hash, macho, math, pe, string, time")
    );
}

#[test]
fn without_rules_there_is_an_error() {
    let empty = folder(&[("a.txt", ONE), ("comment.yar", "// nothing\n")]);
    assert!(matches!(Rules::load(empty.path(), Limits::default()), Err(Error::Nothing(_))));
    let missing = empty.path().join("missing.yar");
    assert!(matches!(Rules::load(&missing, Limits::default()), Err(Error::Read { .. })));
    std::fs::write(empty.path().join("latin.yar"), b"// caf\xe9\n").unwrap();
    assert!(refused(&empty.path().join("latin.yar")).contains("latin.yar"));
}

#[test]
fn given_texts_include_each_other_and_nothing_else() {
    let of = |files: &[(&str, &str)]| {
        let texts = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Rules::of_texts(&texts, Limits::default())
    };
    let rules = of(&[
        ("rules/a.yar", "include \"../shared/one.yar\"\nrule a { condition: one }"),
        ("shared/one.yar", ONE),
    ]);
    let rules = rules.unwrap();
    assert_eq!(rules.len(), 2);
    let looked = rules.look("x", "x", b"marker-one");
    assert_eq!(names(&looked), ["one", "a"]);
    assert!(names(&rules.look("x", "x", b"marker-two")).is_empty());
    let refused = |files: &[(&str, &str)]| of(files).unwrap_err().to_string();
    // What lies on the disk is not read.
    let folder = folder(&[("one.yar", ONE)]);
    let path = folder.path().join("one.yar");
    for include in ["one.yar", "../../one.yar", "/etc/passwd", path.to_str().unwrap()] {
        let text = format!("\ninclude \"{include}\"");
        assert_eq!(
            refused(&[("a.yar", &text)]),
            format!("a.yar:2: include \"{include}\": it is none of the files that were given")
        );
    }
    let circle = refused(&[("a.yar", "include \"b.yar\""), ("b.yar", "include \"./a.yar\"")]);
    assert!(
        circle.starts_with("a.yar:1: include \"b.yar\": the files include each other in a circle"),
        "{circle}"
    );
    let tower: Vec<(String, String)> =
        (0..20).map(|n| (format!("{n:02}.yar"), format!("include \"{:02}.yar\"", n + 1))).collect();
    let mut tower: Vec<(&str, &str)> = tower.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    tower.push(("20.yar", ONE));
    assert!(refused(&tower).ends_with("in a circle, or more than 16 deep"));
    assert!(of(&tower[6..]).is_ok());
    assert!(refused(&[("a.yar", "rule x { condition: nothing }")]).starts_with("a.yar:1:"));
    assert!(matches!(of(&[("a.yar", "// no rule\n")]), Err(Error::Nothing(_))));
}
