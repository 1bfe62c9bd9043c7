use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use evidence::{Digest, EventKind};

use crate::tracing::{folder, is_ptrace, launch, run, shell, try_run};

#[test]
fn names_are_followed_through_renames_links_and_folders() {
    let (_keep, folder) = folder();
    fs::write(folder.join("source"), "s").unwrap();
    let seen = shell(
        &folder,
        "mkdir a && echo x > a/one && mv a b && ln b/one two && ln -s b/one three && cat three > four && rm two && mv four five \
         && cp source copied && mv source moved",
    )
    .whole();
    let at = |name: &str| folder.join(name);
    assert_eq!(
        seen.on(EventKind::Rename, &at("a")).unwrap().target.as_ref().unwrap().as_bytes(),
        at("b").as_os_str().as_bytes()
    );
    assert_eq!(
        seen.on(EventKind::Link, &at("b/one")).unwrap().target.as_ref().unwrap().as_bytes(),
        at("two").as_os_str().as_bytes()
    );
    assert_eq!(
        seen.on(EventKind::Symlink, &at("three")).unwrap().target.as_ref().unwrap().as_bytes(),
        b"b/one"
    );
    assert_eq!(
        seen.digest(EventKind::Read, &at("b/one")),
        Some(Digest::of(b"x\n")),
        "the real path, not the link"
    );
    for (name, content) in [("b/one", "x\n"), ("five", "x\n"), ("copied", "s"), ("moved", "s")] {
        assert_eq!(seen.digest(EventKind::Left, &at(name)), Some(Digest::of(content.as_bytes())), "{name}");
    }
    for name in ["a/one", "two", "four", "source"] {
        assert!(seen.on(EventKind::Left, &at(name)).is_none(), "{name}");
    }
    assert!(seen.of(EventKind::Mutated).next().is_none());
}

#[test]
fn modes_masks_and_open_flags_are_the_callers_own() {
    use std::os::unix::fs::PermissionsExt;
    let (_keep, folder) = folder();
    let script = r#"
import os
os.umask(0o077); os.close(os.open("private", os.O_CREAT | os.O_WRONLY, 0o666))
os.umask(0o002); os.close(os.open("shared", os.O_CREAT | os.O_WRONLY, 0o666))
fd = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND); os.write(fd, b"1"); os.lseek(fd, 0, 0); os.write(fd, b"2"); os.close(fd)
try: os.open("log", os.O_CREAT | os.O_EXCL | os.O_WRONLY); raise SystemExit("exclusive")
except FileExistsError: pass
os.symlink("log", "link")
try: os.open("link", os.O_RDONLY | os.O_NOFOLLOW); raise SystemExit("nofollow")
except OSError as e: assert e.errno == 40, e
os.symlink("made", "dangling"); open("dangling", "w").write("through")
fd = os.open("log", os.O_RDWR); assert os.read(fd, 9) == b"12"; os.ftruncate(fd, 0); os.close(fd)
fd = os.open("log", os.O_RDONLY); assert not os.get_inheritable(fd); os.close(fd)
import fcntl
fd = os.open("log", os.O_RDONLY); assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK == 0; os.close(fd)
os.mkfifo("fifo")
import threading
t = threading.Thread(target=lambda: open("fifo", "w").write("through the pipe")); t.start()
assert open("fifo").read() == "through the pipe"; t.join()
fd = os.memfd_create("x"); os.write(fd, b"memory"); assert open("/proc/self/fd/%d" % fd).read() == "memory"
open("long", "w").write("0123456789"); os.truncate("long", 3)
try: os.truncate("absent", 3); raise SystemExit("truncate")
except FileNotFoundError: pass
import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
files = []
try:
    while True: files.append(open("log"))
except OSError as e: assert e.errno == 24, e
"#;
    let seen = run(&folder, &["python3", "-S", "-c", script]);
    // Two threads that open one pipe wait for each other, and who stops its callers lets only one of them open.
    let seen = if is_ptrace() { seen.whole_but(&["open-raced"]) } else { seen.whole() };
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("private"), mode("shared")), (0o600, 0o664));
    assert_eq!(seen.digest(EventKind::Left, &folder.join("made")), Some(Digest::of(b"through")));
    assert_eq!(seen.digest(EventKind::Left, &folder.join("long")), Some(Digest::of(b"012")));
    assert!(seen.of(EventKind::Read).any(|event| event.digest == Some(Digest::of(b"memory"))));
}

/// Times, owners and attributes come out as they were given, by every way of giving them.
#[test]
fn attributes_are_set_as_they_were_given() {
    use std::os::unix::fs::MetadataExt;
    let (_keep, folder) = folder();
    let script = r#"
import ctypes, os
for name in ["a", "b", "c", "d", "e"]: open(name, "w")
os.utime("a", ns=(1_000_000_007, 2_000_000_000_000_000_003))
fd = os.open("b", os.O_RDONLY); os.utime(fd, (5, 6))
os.symlink("a", "link"); os.utime("link", (7, 8), follow_symlinks=False)
libc = ctypes.CDLL(None)
libc.syscall(235, b"c", (ctypes.c_long * 4)(9, 10, 11, 12))
libc.syscall(132, b"d", (ctypes.c_long * 2)(13, 14))
assert os.stat("a").st_atime_ns == 1_000_000_007 and os.stat("b").st_atime == 5 and os.lstat("link").st_atime == 7
os.chmod("e", 0o4755); os.chown("e", -1, -1)
try: os.utime("absent"); raise SystemExit("utime")
except FileNotFoundError: pass
try:
    os.setxattr("a", "user.x", b"1"); os.setxattr("link", "user.y", b"")
    assert os.getxattr("a", "user.x") == b"1" and sorted(os.listxattr("a")) == ["user.x", "user.y"]
    os.removexattr("a", "user.x"); assert os.listxattr("a") == ["user.y"]
    try: os.setxattr("a", "user.y", b"", os.XATTR_CREATE); raise SystemExit("xattr")
    except FileExistsError: pass
except OSError as e: assert e.errno == 95, e
"#;
    let seen = run(&folder, &["python3", "-S", "-c", script]).whole();
    let facts = |name: &str| fs::symlink_metadata(folder.join(name)).unwrap();
    assert_eq!((facts("a").mtime(), facts("a").mtime_nsec()), (2_000_000_000, 3));
    // The times of the last access are asked for above: what is left is read once more at the end.
    assert_eq!((facts("b").mtime(), facts("link").mtime()), (6, 8));
    if cfg!(target_arch = "x86_64") {
        assert_eq!((facts("c").mtime(), facts("c").mtime_nsec()), (11, 12_000));
        assert_eq!(facts("d").mtime(), 14);
    }
    let modes: Vec<_> = seen.of(EventKind::Attribute).filter_map(|event| event.detail.clone()).collect();
    assert!(modes.contains(&"mode 4755".to_owned()), "{modes:?}");
}

/// A change of status by the build itself is no change from outside.
#[test]
fn what_the_build_does_to_its_own_inputs_is_explained() {
    let (_keep, folder) = folder();
    for name in ["moded", "linked", "timed", "renamed", "replaced", "attributed"] {
        fs::write(folder.join(name), name).unwrap();
    }
    fs::hard_link(folder.join("renamed"), folder.join("other-name")).unwrap();
    let script = "cat moded linked timed other-name replaced attributed > all; chmod 600 moded; ln linked link2; touch timed; \
        mv renamed elsewhere; echo new > new; mv new replaced; \
        python3 -c 'import os; os.setxattr(\"attributed\", \"user.x\", b\"1\")' 2>&-; exit 0";
    std::thread::sleep(std::time::Duration::from_millis(50));
    let seen = shell(&folder, script).whole();
    let mutated: Vec<String> = seen.paths(EventKind::Mutated);
    assert_eq!(mutated, [] as [String; 0]);
}

#[test]
fn failed_attempts_are_attempts() {
    let (_keep, folder) = folder();
    let seen = shell(&folder, "cat absent; echo x > no/where; rm absent2; mv a b; ./nothing; exit 0");
    for path in ["absent", "no/where", "absent2"] {
        let full = folder.join(path);
        let hit = seen.events.iter().find(|event| {
            event.path.as_ref().is_some_and(|path| path.as_bytes() == full.as_os_str().as_bytes())
        });
        assert_eq!(hit.map(|event| event.errno), Some(2), "{path}");
    }
    assert_eq!(seen.paths(EventKind::Left), [] as [String; 0]);
}

#[test]
fn destinations_are_named() {
    let (_keep, folder) = folder();
    let _listener = UnixListener::bind(folder.join("outside.sock")).unwrap();
    let script = r#"
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname()); c.send(b"x")
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b"x", ("127.0.0.1", 9)); u.sendmsg([b"x"], [], 0, ("127.0.0.1", 10))
own = socket.socket(socket.AF_UNIX); own.bind("own.sock"); own.listen()
socket.socket(socket.AF_UNIX).connect("own.sock")
socket.socket(socket.AF_UNIX).connect("outside.sock")
"#;
    let seen = run(&folder, &["python3", "-c", script]);
    let targets =
        |kind| seen.of(kind).map(|event| event.target.as_ref().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(
        targets(EventKind::Bind),
        ["tcp:127.0.0.1:0".to_owned(), format!("unix:{}/own.sock", folder.display())]
    );
    let connects = targets(EventKind::Connect);
    assert!(connects[0].starts_with("tcp:127.0.0.1:"), "{connects:?}");
    assert_eq!(connects[1..3], ["udp:127.0.0.1:9", "udp:127.0.0.1:10"]);
    assert_eq!(
        seen.trace.completeness.gaps.get("outside-service"),
        Some(&1),
        "only the one that was there before"
    );
    assert_eq!(seen.trace.completeness.gaps.len(), 1);
}

#[test]
fn our_own_folder_and_process_are_out_of_reach() {
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("store")).unwrap();
    fs::write(folder.join("store/key"), "secret").unwrap();
    fs::write(folder.join("store/.gitignore"), "*").unwrap();
    let script = r#"
ok=0
cat store/.gitignore || ok=1
cat store/key && ok=1; cat ./store/../store/key && ok=1; echo x >> store/key && ok=1; echo x > store/new && ok=1
mv store elsewhere && ok=1; rm store/key && ok=1; ln store/key out && ok=1; ln -s store link; cat link/key && ok=1
echo x > link/new && ok=1; chmod 777 store/key && ok=1; mv ../$(basename $PWD) ../gone && ok=1
kill -9 $PPID && ok=1; cat /proc/$PPID/environ && ok=1
python3 -c "import os; os.truncate('store/key', 0)" && ok=1
python3 -c "import os; os.kill(-1, 0)" && ok=1
exit $ok
"#;
    let mut launch = launch(&folder, &["sh", "-c", script]);
    launch.protected = vec![folder.join("store")];
    launch.secret = vec![folder.join("store/key")];
    let seen = try_run(&launch).unwrap().whole();
    assert_eq!(fs::read(folder.join("store/key")).unwrap(), b"secret");
    assert!(seen.trace.completeness.refused >= 14, "{}", seen.trace.completeness.refused);
    let refused = seen.events.iter().filter(|event| event.kind == EventKind::Refused).count();
    assert_eq!(refused as u64, seen.trace.completeness.refused);
}

#[test]
fn what_goes_round_the_recorder_does_not_exist() {
    let (_keep, folder) = folder();
    let source = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    char parameters[120] = {0};
    if (syscall(425, 1, parameters) != -1 || errno != ENOSYS) return 1;
    if (syscall(SYS_open_by_handle_at, AT_FDCWD, parameters, 0) != -1 || errno != EPERM) return 2;
#ifdef __x86_64__
    if (syscall(0x40000002, "/etc/passwd", 0) != -1 || errno != ENOSYS) return 3;
    int i386;
    __asm__ volatile("int $0x80" : "=a"(i386) : "a"(5), "b"(0), "c"(0) : "memory");
    if (i386 != -ENOSYS) return 4;
#endif
    return 0;
}
"#;
    fs::write(folder.join("round.c"), source).unwrap();
    let built = std::process::Command::new("gcc")
        .args(["-o", "round", "round.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success());
    run(&folder, &["./round"]).whole();
}

#[test]
fn every_way_of_opening_is_seen() {
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("sub")).unwrap();
    let ways = ["open", "openat", "openat2", "dirfd", "chdir", "reopen", "child"];
    for way in ways {
        fs::write(folder.join("sub").join(way), way).unwrap();
    }
    let source = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static int check(int fd, const char *want) {
    char got[32] = {0};
    if (fd < 0 || read(fd, got, 31) < 0 || strcmp(got, want)) { printf("%s: %d %s\n", want, fd, got); return 1; }
    return 0;
}
int main(void) {
    int bad = 0;
    bad += check(syscall(SYS_open, "sub/open", O_RDONLY), "open");
    bad += check(syscall(SYS_openat, AT_FDCWD, "sub/openat", O_RDONLY), "openat");
    unsigned long long how[3] = {O_RDONLY, 0, 0x08};
    int dir = open("sub", O_DIRECTORY);
    bad += check(syscall(437, dir, "openat2", how, 24), "openat2");
    bad += check(openat(dir, "dirfd", O_RDONLY), "dirfd");
    int path = open("sub/reopen", O_PATH);
    char name[64]; sprintf(name, "/proc/self/fd/%d", path);
    bad += check(open(name, O_RDONLY), "reopen");
    chdir("sub");
    bad += check(open("chdir", O_RDONLY), "chdir");
    if (vfork() == 0) _exit(check(open("child", O_RDONLY), "child"));
    int status; wait(&status); bad += status;
    int made = syscall(SYS_creat, "creat", 0644);
    bad += write(made, "x", 1) != 1;
    return bad;
}
"#;
    fs::write(folder.join("ways.c"), source).unwrap();
    let built = std::process::Command::new("gcc")
        .args(["-o", "ways", "ways.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success());
    let seen = run(&folder, &["./ways"]).whole();
    for way in ways {
        let read = seen.digest(EventKind::Read, &folder.join("sub").join(way));
        assert_eq!(read, Some(Digest::of(way.as_bytes())), "{way}");
    }
    assert_eq!(seen.digest(EventKind::Left, &folder.join("sub/creat")), Some(Digest::of(b"x")));
    assert_eq!(seen.trace.completeness.hashed_after, 0, "nothing is left to the kernel");
}
