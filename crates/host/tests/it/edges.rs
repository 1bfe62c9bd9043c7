use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;
use std::time::Duration;

use evidence::record::Exit;
use evidence::{Digest, EventKind};
use host::{Ptrace, Seccomp, TraceError};

use crate::tracing::{TRIES, Traced, folder, is_ptrace, launch, run, shell, skipped, tracer, try_run};

#[test]
fn the_machine_is_supported() {
    assert!(Seccomp::probe().unwrap().to_string().contains("seccomp user notification"));
    assert!(Ptrace::probe().unwrap().contains("ptrace"));
    let (tracer, what) = host::automatic().unwrap();
    assert_eq!((tracer.mode(), what), ("seccomp", Seccomp::probe().unwrap().to_string()));
}

#[test]
fn paths_that_are_not_text_stay_what_they_are() {
    let (_keep, folder) = folder();
    let name = OsString::from_vec(b"a\xff\nb".to_vec());
    fs::write(folder.join(&name), "odd").unwrap();
    let mut launch = launch(&folder, &["cp", "--"]);
    launch.command.extend([name.clone(), OsString::from_vec(b"\xfe".to_vec())]);
    let seen = try_run(&launch).unwrap().whole();
    assert_eq!(seen.digest(EventKind::Read, &folder.join(&name)), Some(Digest::of(b"odd")));
    assert_eq!(
        seen.digest(EventKind::Left, &folder.join(OsString::from_vec(b"\xfe".to_vec()))),
        Some(Digest::of(b"odd"))
    );
    let exec = seen.of(EventKind::Exec).next().unwrap();
    assert_eq!(exec.arguments[2].as_bytes(), name.as_bytes());
}

/// Who stops its callers says that there was a race.
fn raced(seen: Traced) -> Traced {
    if is_ptrace() { seen.whole_but(&["open-raced"]) } else { seen.whole() }
}

/// A second thread flips one byte of the path all the time: what was hashed is what was read, every time.
#[test]
fn a_path_that_changes_under_the_call_deceives_nobody() {
    let (_keep, folder) = folder();
    fs::write(folder.join("a"), "A").unwrap();
    fs::write(folder.join("b"), "B").unwrap();
    let source = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile char path[] = "a";
static volatile int stop;
static void *flip(void *x) { while (!stop) path[0] ^= 'a' ^ 'b'; return x; }
int main(void) {
    pthread_t thread; pthread_create(&thread, 0, flip, 0);
    for (int i = 0; i < 4000; i++) {
        int fd = open((const char *)path, O_RDONLY); char got;
        if (fd < 0 || read(fd, &got, 1) != 1) return 1;
        putchar(got); close(fd);
    }
    stop = 1; pthread_join(thread, 0); return 0;
}
"#;
    fs::write(folder.join("race.c"), source).unwrap();
    let built = Command::new("gcc")
        .args(["-O1", "-pthread", "-o", "race", "race.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success());
    let took_place = (0..TRIES).any(|_| {
        let seen = raced(shell(&folder, "./race > read"));
        let really = fs::read(folder.join("read")).unwrap();
        let recorded: Vec<u8> = seen
            .of(EventKind::Read)
            .filter_map(|event| match event.digest {
                Some(digest) if digest == Digest::of(b"A") => Some(b'A'),
                Some(digest) if digest == Digest::of(b"B") => Some(b'B'),
                _ => None,
            })
            .collect();
        assert_eq!(really.len(), 4000);
        assert_eq!(recorded, really);
        really.contains(&b'A') && really.contains(&b'B')
    });
    assert!(took_place, "the race took place");
}

/// The same between a folder, which holds nothing, and a file: no read of the file hides behind the folder.
#[test]
fn a_folder_that_becomes_a_file_under_the_call_hides_nothing() {
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("a")).unwrap();
    fs::write(folder.join("b"), "B").unwrap();
    let source = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile char path[] = "a";
static volatile int stop;
static void *flip(void *x) { while (!stop) path[0] ^= 'a' ^ 'b'; return x; }
int main(void) {
    pthread_t thread; pthread_create(&thread, 0, flip, 0);
    for (int i = 0; i < 4000; i++) {
        int fd = open((const char *)path, O_RDONLY); char got = 'D';
        if (fd < 0) return 1;
        if (read(fd, &got, 1) != 1) got = 'D';
        putchar(got); close(fd);
    }
    stop = 1; pthread_join(thread, 0); return 0;
}
"#;
    fs::write(folder.join("race.c"), source).unwrap();
    let built = Command::new("gcc")
        .args(["-O1", "-pthread", "-o", "race", "race.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success());
    let took_place = (0..TRIES).any(|_| {
        let seen = raced(shell(&folder, "./race > read"));
        let really = fs::read(folder.join("read")).unwrap();
        let files = really.iter().filter(|byte| **byte == b'B').count();
        let recorded =
            seen.of(EventKind::Read).filter(|event| event.digest == Some(Digest::of(b"B"))).count();
        assert_eq!(recorded, files);
        files > 0 && files < really.len()
    });
    assert!(took_place, "the race took place");
}

/// The same, and a third thread reads what was opened and puts what was expected in its place.
#[test]
fn a_descriptor_that_changes_behind_the_call_hides_nothing() {
    let (_keep, folder) = folder();
    fs::write(folder.join("a"), "A").unwrap();
    fs::write(folder.join("b"), "B").unwrap();
    let source = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile char path[] = "a";
static volatile int stop, number = -1, expected, turn, stolen;
static volatile char got_b[3000];
static void *flip(void *x) { while (!stop) path[0] ^= 'a' ^ 'b'; return x; }
static void *steal(void *x) {
    while (!stop) {
        char got = 0;
        int now = turn;
        if (pread(number, &got, 1, 0) != 1 || got != 'B' || now != turn) continue;
        got_b[now] = 1;
        stolen++;
        dup2(expected, number);
    }
    return x;
}
int main(void) {
    pthread_t flips, steals;
    expected = open("a", O_RDONLY);
    number = open("a", O_RDONLY); close(number);
    pthread_create(&flips, 0, flip, 0); pthread_create(&steals, 0, steal, 0);
    for (int i = 0; i < 3000; i++) {
        turn = i;
        int fd = open((const char *)path, O_RDONLY);
        char got;
        if (fd < 0 || pread(fd, &got, 1, 0) != 1) return 1;
        if (got == 'B') got_b[i] = 1;
        close(fd); close(number);
    }
    stop = 1; pthread_join(flips, 0); pthread_join(steals, 0);
    int count = 0;
    for (int i = 0; i < 3000; i++) count += got_b[i];
    printf("%d", stolen ? count : 0); return 0;
}
"#;
    fs::write(folder.join("race.c"), source).unwrap();
    let built = Command::new("gcc")
        .args(["-O1", "-pthread", "-o", "race", "race.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success());
    // The thief has a moment between two calls of another thread: on a busy machine it may miss all of them.
    let took_place = (0..TRIES).any(|_| {
        let seen = raced(shell(&folder, "./race > read"));
        let really: usize = fs::read_to_string(folder.join("read")).unwrap().parse().unwrap();
        let recorded =
            seen.of(EventKind::Read).filter(|event| event.digest == Some(Digest::of(b"B"))).count();
        assert!(recorded >= really, "{recorded} of {really}");
        really > 0
    });
    assert!(took_place, "the race took place");
}

#[test]
fn an_input_that_was_swapped_and_restored_is_told() {
    let (_keep, folder) = folder();
    fs::write(folder.join("source"), "good").unwrap();
    let before = fs::metadata(folder.join("source")).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let path = folder.join("source");
    let outside = std::thread::spawn({
        let (path, marker) = (path.clone(), folder.join("read-it"));
        move || {
            while !marker.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            fs::write(&path, "evil").unwrap();
            fs::write(&path, "good").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
            fs::write(marker.with_extension("done"), "").unwrap();
        }
    });
    let seen =
        shell(&folder, "cat source > copy; : > read-it; while [ ! -e read-it.done ]; do sleep 0.01; done");
    outside.join().unwrap();
    let mutated = seen.on(EventKind::Mutated, &path).unwrap();
    assert_eq!(
        mutated.digest,
        Some(Digest::of(b"good")),
        "the bytes are back, the time of the last change is not"
    );
    let foreign = seen.on(EventKind::Foreign, &path).unwrap();
    assert_eq!(foreign.detail.as_deref(), Some("bytes"), "seen while it happened");
    assert!(foreign.sequence < mutated.sequence);
    assert!(seen.trace.completeness.watched_files >= 1);
}

/// A file that was changed before it is read is told when it is read; one that is never read is not told.
#[test]
fn only_inputs_are_anybody_s_business() {
    let (_keep, folder) = folder();
    for name in ["read-later", "never-read"] {
        fs::write(folder.join(name), "1").unwrap();
    }
    let outside = std::thread::spawn({
        let folder = folder.clone();
        move || {
            while !folder.join("begun").exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            for name in ["read-later", "never-read"] {
                fs::write(folder.join(name), "2").unwrap();
            }
            fs::write(folder.join("done"), "").unwrap();
        }
    });
    let seen = shell(&folder, ": > begun; while [ ! -e done ]; do sleep 0.01; done; cat read-later > copy");
    outside.join().unwrap();
    let foreign: Vec<String> = seen.paths(EventKind::Foreign);
    assert_eq!(foreign, [folder.join("read-later").display().to_string()]);
    let read = seen.on(EventKind::Read, &folder.join("read-later")).unwrap();
    assert!(seen.on(EventKind::Foreign, &folder.join("read-later")).unwrap().sequence < read.sequence);
}

/// What the build does to its own files is nothing foreign, whatever the way.
#[test]
fn the_build_s_own_changes_are_not_foreign() {
    let (_keep, folder) = folder();
    for name in ["written", "touched", "renamed", "removed", "replaced", "linked"] {
        fs::write(folder.join(name), "1").unwrap();
    }
    let script = "cat written; echo 2 >> written; chmod 600 touched; touch touched; mv renamed elsewhere; rm removed; \
         echo 3 > new; mv new replaced; ln linked twice; rm twice; sed -i s/1/2/ linked";
    let seen = shell(&folder, script).whole();
    assert_eq!(seen.paths(EventKind::Foreign), Vec::<String>::new());
}

/// The digests of one build save the next one the work, and no change escapes for it.
#[test]
fn digests_are_remembered_and_changes_are_not_missed() {
    let keep = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let folder = keep.path().canonicalize().unwrap();
    fs::write(folder.join("tool"), "good").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    let mut launch = launch(&folder, &["cat", "tool"]);
    let first = try_run(&launch).unwrap().whole();
    assert!(first.trace.learned.len() > 1);
    launch.known = first.trace.learned;
    let second = try_run(&launch).unwrap().whole();
    let digest = |seen: &crate::tracing::Traced| seen.digest(EventKind::Read, &folder.join("tool"));
    assert_eq!(digest(&second), Some(Digest::of(b"good")));
    let before = fs::metadata(folder.join("tool")).unwrap().modified().unwrap();
    fs::write(folder.join("tool"), "evil").unwrap();
    fs::File::options().write(true).open(folder.join("tool")).unwrap().set_modified(before).unwrap();
    let third = try_run(&launch).unwrap().whole();
    assert_eq!(digest(&third), Some(Digest::of(b"evil")));
}

#[test]
fn what_outlives_the_build_is_ended_and_told() {
    let (_keep, folder) = folder();
    let mut launch = launch(&folder, &["sh", "-c", "sleep 600 > /dev/null & exit 0"]);
    launch.grace = Duration::from_millis(300);
    let seen = try_run(&launch).unwrap();
    assert_eq!(seen.trace.exit, Exit::Code(0));
    assert_eq!(seen.trace.completeness.gaps.get("outlived-build"), Some(&1));
}

#[test]
fn a_signal_from_outside_marks_the_trace() {
    let (_keep, folder) = folder();
    let own = std::process::id().to_string();
    let signaller = std::thread::spawn({
        let marker = folder.join("up");
        move || {
            while !marker.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(Command::new("kill").args(["-TERM", &own]).status().unwrap().success());
        }
    });
    // The signal may be taken by any thread that does not block it: this test's helpers inherit the mask.
    let seen = shell(&folder, "echo > up; sleep 600");
    signaller.join().unwrap();
    assert!(seen.trace.completeness.interrupted);
    assert_ne!(seen.trace.exit, Exit::Code(0));
}

#[test]
fn a_build_that_signals_its_own_group_does_not_interrupt_the_record() {
    // The group is the recorder's as well. It must not be that of whoever runs these tests.
    rustix::process::setpgid(None, None).unwrap();
    let (_keep, folder) = folder();
    let seen = shell(&folder, "trap '' TERM; kill -TERM 0; sleep 0.2; exit 0");
    assert_eq!(seen.trace.exit, Exit::Code(0));
    assert!(!seen.trace.completeness.interrupted);
}

#[test]
fn a_failing_consumer_ends_the_build() {
    let (_keep, folder) = folder();
    let mut count = 0;
    let error = tracer()
        .trace(&launch(&folder, &["sh", "-c", "while :; do /bin/true; done"]), &mut |_| {
            count += 1;
            if count > 100 { Err("disk full".into()) } else { Ok(()) }
        })
        .unwrap_err();
    assert!(matches!(error, TraceError::Sink(_)), "{error}");
    assert!(!error.is_before_start());
    assert_eq!(count, 101, "nothing is handed over after a failure");
}

/// More processes live at once than this process may have open files.
#[test]
fn many_processes_at_once_are_no_trouble() {
    use rustix::process::{Resource, Rlimit};
    let before = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(128), ..before }).unwrap();
    let (_keep, folder) = folder();
    let script = "i=0; while [ $i -lt 300 ]; do sleep 1 & i=$((i+1)); done; wait; ulimit -n > limit";
    let seen = shell(&folder, script).whole();
    assert_eq!(rustix::process::getrlimit(Resource::Nofile).current, Some(128));
    rustix::process::setrlimit(Resource::Nofile, before).unwrap();
    assert!(seen.of(EventKind::Fork).count() >= 301);
    assert_eq!(fs::read_to_string(folder.join("limit")).unwrap(), "128\n", "the build keeps its own limit");
}

#[test]
fn what_cannot_be_started_is_an_error_and_no_trace() {
    let (_keep, folder) = folder();
    fs::write(folder.join("data"), "no program").unwrap();
    for command in [&["/nonexistent"][..], &["no-such-program"], &["./data"], &[]] {
        let error = try_run(&launch(&folder, command)).err().unwrap();
        assert!(error.is_before_start(), "{error}");
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.join("data"), PermissionsExt::from_mode(0o755)).unwrap();
    let error = try_run(&launch(&folder, &["./data"])).err().unwrap();
    assert!(error.is_before_start(), "not a format that the kernel runs: {error}");
}

#[test]
fn another_view_of_the_file_system_is_a_gap() {
    let (_keep, folder) = folder();
    let command = ["unshare", "-r", "-m", "cat", "/etc/hostname"];
    if !Command::new(command[0]).args(&command[1..]).output().unwrap().status.success() {
        return skipped("this machine does not allow another view of the file system");
    }
    let seen = run(&folder, &command);
    assert_eq!(seen.trace.exit, Exit::Code(0));
    assert!(seen.trace.completeness.gaps.contains_key("other-root"), "{:?}", seen.trace.completeness.gaps);
}
