use std::fs;
use std::process::Command;

use evidence::record::Exit;
use evidence::{Digest, EventKind};

use crate::tracing::{folder, run, shell};

#[test]
fn a_compile_is_seen_from_source_to_program() {
    let (_keep, folder) = folder();
    fs::write(folder.join("part.h"), "#define ANSWER 42\n").unwrap();
    fs::write(folder.join("main.c"), "#include \"part.h\"\nint main(void) { return ANSWER - 42; }\n")
        .unwrap();
    let seen = run(&folder, &["gcc", "-O1", "-o", "main", "main.c"]).whole();
    for source in ["part.h", "main.c"] {
        let content = Digest::of(&fs::read(folder.join(source)).unwrap());
        assert_eq!(seen.digest(EventKind::Read, &folder.join(source)), Some(content), "{source}");
    }
    let program = Digest::of(&fs::read(folder.join("main")).unwrap());
    assert_eq!(seen.digest(EventKind::Left, &folder.join("main")), Some(program));
    let programs = seen.paths(EventKind::Exec);
    for name in ["cc1", "-ld", "-as"] {
        assert!(programs.iter().any(|path| path.contains(name)), "{name} in {programs:?}");
    }
    assert!(seen.of(EventKind::Exec).all(|event| event.digest.is_some() && !event.arguments.is_empty()));
    assert!(
        seen.paths(EventKind::Read).iter().any(|path| path.contains("ld-linux")),
        "the loader is an input"
    );
    assert_eq!(seen.of(EventKind::Fork).count(), seen.of(EventKind::Exit).count());
    assert!(seen.of(EventKind::Exit).all(|event| event.status == Some(0)));
    assert!(seen.of(EventKind::Mutated).next().is_none());
    assert!(seen.trace.completeness.hashed_before_use > 0 && seen.trace.completeness.hashed_after == 0);
}

#[test]
fn a_parallel_make_keeps_its_job_server() {
    let (_keep, folder) = folder();
    let mut makefile = String::from("all: prog\nOBJECTS =");
    for number in 0..24 {
        fs::write(
            folder.join(format!("f{number}.c")),
            format!("int f{number}(void) {{ return {number}; }}\n"),
        )
        .unwrap();
        makefile += &format!(" f{number}.o");
    }
    makefile += "\nprog: main.o $(OBJECTS)\n\t$(CC) -o $@ $^\nclean:\n\trm -f *.o prog\n";
    fs::write(folder.join("Makefile"), makefile).unwrap();
    fs::write(folder.join("main.c"), "int main(void) { return 0; }\n").unwrap();
    let seen = run(&folder, &["make", "-s", "-j4"]).whole();
    assert_eq!(
        seen.paths(EventKind::Left).iter().filter(|path| path.ends_with(".o") && path.contains("/f")).count(),
        24
    );
    assert!(Command::new(folder.join("prog")).status().unwrap().success());
    let again = run(&folder, &["make", "-s", "clean"]).whole();
    assert_eq!(again.paths(EventKind::Unlink).len(), 26);
}

#[test]
fn a_static_program_is_seen_like_any_other() {
    let (_keep, folder) = folder();
    let source = "#include <stdio.h>\nint main(void) { FILE *in = fopen(\"in\", \"r\"), *out = fopen(\"out\", \"w\");\n\
        int c; while ((c = fgetc(in)) != EOF) fputc(c, out); return fclose(out); }\n";
    fs::write(folder.join("copy.c"), source).unwrap();
    fs::write(folder.join("in"), "content").unwrap();
    assert!(
        Command::new("gcc")
            .args(["-static", "-o", "copy", "copy.c"])
            .current_dir(&folder)
            .status()
            .unwrap()
            .success()
    );
    let seen = run(&folder, &["./copy"]).whole();
    assert_eq!(
        seen.digest(EventKind::Exec, &folder.join("copy")),
        Some(Digest::of(&fs::read(folder.join("copy")).unwrap()))
    );
    assert_eq!(seen.digest(EventKind::Read, &folder.join("in")), Some(Digest::of(b"content")));
    assert_eq!(seen.digest(EventKind::Left, &folder.join("out")), Some(Digest::of(b"content")));
    assert_eq!(seen.paths(EventKind::Read).len(), 1, "nothing else was read");
}

#[test]
fn scripts_bring_their_interpreters() {
    use std::os::unix::fs::PermissionsExt;
    let (_keep, folder) = folder();
    fs::write(folder.join("step"), "#!/bin/sh -e\nread line < in\necho $line > out\n").unwrap();
    fs::set_permissions(folder.join("step"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(folder.join("in"), "text\n").unwrap();
    let seen = run(&folder, &["./step"]).whole();
    assert!(seen.on(EventKind::Exec, &folder.join("step")).is_some());
    let shell = fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(seen.digest(EventKind::Read, &shell), Some(Digest::of(&fs::read(&shell).unwrap())));
    assert_eq!(seen.digest(EventKind::Left, &folder.join("out")), Some(Digest::of(b"text\n")));
}

#[test]
fn two_thousand_processes_are_all_there() {
    let (_keep, folder) = folder();
    let seen = shell(&folder, "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done").whole();
    let programs = seen.paths(EventKind::Exec);
    assert_eq!(programs.iter().filter(|path| path.ends_with("/true")).count(), 2000);
    assert_eq!(seen.of(EventKind::Fork).count(), 2001);
    assert_eq!(seen.of(EventKind::Exit).filter(|event| event.status == Some(0)).count(), 2001);
}

#[test]
fn failures_and_signals_are_told_apart() {
    let (_keep, folder) = folder();
    assert_eq!(shell(&folder, "exit 7").trace.exit, Exit::Code(7));
    assert_eq!(shell(&folder, "kill -9 $$").trace.exit, Exit::Signal(9));
    let seen = shell(&folder, "sleep 60 & sleep 0.2; kill -9 $!; wait $!; exit 0").whole();
    let ends: Vec<Option<i32>> = seen.of(EventKind::Exit).map(|event| event.status).collect();
    assert!(ends.contains(&Some(137)) && ends.contains(&Some(0)), "{ends:?}");
}

#[test]
fn pipes_connect_processes() {
    let (_keep, folder) = folder();
    let seen = shell(&folder, "cat /etc/hostname | sort | cat > out").whole();
    let pipes: Vec<_> = seen.of(EventKind::Exec).map(|event| (event.input, event.output)).collect();
    let sort = seen.of(EventKind::Exec).find(|event| event.arguments[0].as_bytes() == b"sort").unwrap();
    assert!(sort.input.is_some() && sort.output.is_some() && sort.input != sort.output);
    assert!(pipes.iter().any(|(_, output)| *output == sort.input), "{pipes:?}");
    assert!(pipes.iter().any(|(input, _)| *input == sort.output), "{pipes:?}");
}

#[test]
fn orphans_keep_their_parents() {
    let (_keep, folder) = folder();
    let seen =
        shell(&folder, "sh -c '(sleep 0.2; echo late > late; cat late > copy) & exit 0'; sleep 0.5").whole();
    assert!(seen.of(EventKind::Fork).skip(1).all(|event| event.other.is_some()));
    assert!(seen.on(EventKind::Left, &folder.join("copy")).is_some());
}
