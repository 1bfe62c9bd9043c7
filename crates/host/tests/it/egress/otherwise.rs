//! The same for another user, and where user namespaces are not allowed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

use evidence::EventKind;
use host::Egress;

use super::{Secure, Server, abstract_service, allow, done, errno, network, python, why};
use crate::tracing::{folder, launch};

/// Runs tests once more, by a command that changes who or where we are.
fn again(command: &[&str], tests: &[&str]) {
    let (_keep, folder) = folder();
    let program = folder.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::create_dir(folder.join("tmp")).unwrap();
    for open in [&folder, &folder.join("tmp")] {
        std::fs::set_permissions(open, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let ran = Command::new(command[0])
        .args(&command[1..])
        .arg(&program)
        .args(["--test-threads=1", "--include-ignored", "--exact"])
        .args(tests.iter().map(|test| format!("egress::{test}")))
        .env("TMPDIR", folder.join("tmp"))
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains(&format!("{} passed", tests.len())), "{said}");
}

#[test]
fn the_same_holds_for_a_user_without_privileges() {
    let tests = [
        "denied_builds_reach_nobody_and_the_attempts_are_recorded",
        "servers_inside_a_denied_build_work",
        "listed_names_are_reached_and_nothing_else_is",
        "other_roads_are_closed_and_recorded",
        "tls_goes_to_the_name_that_was_asked_for",
        "services::a_service_outside_is_known_by_who_listens",
        "otherwise::the_build_is_the_same_user_with_the_same_files",
    ];
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        again(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], &tests);
    }
}

#[test]
fn the_build_is_the_same_user_with_the_same_files() {
    let (_keep, folder) = folder();
    std::fs::write(folder.join("own"), "x").unwrap();
    let own = std::fs::metadata(folder.join("own")).unwrap();
    let script = format!(
        r#"
assert (os.getuid(), os.getgid()) == ({uid}, {gid})
s = os.stat("own"); assert (s.st_uid, s.st_gid) == ({uid}, {gid})
open("made", "w").write("x"); s = os.stat("made"); assert (s.st_uid, s.st_gid) == ({uid}, {gid})
if os.getuid() == 0:
    assert os.stat("/etc/passwd").st_uid == 0
    os.chown("own", 12, 34); assert os.stat("own").st_uid == 12
open("/etc/passwd").read()
assert open("/proc/self/cmdline").read().startswith("python3")
assert os.readlink("/proc/self/cwd") == os.getcwd()
if os.getuid() == 0: os.setgroups([7]); os.setgid(12); os.setuid(12)
"#,
        uid = own.uid(),
        gid = own.gid(),
    );
    let seen = done(&python(&folder, Egress::Deny, &script)).whole();
    assert_eq!(seen.trace.network, "denied-namespace");
    assert!(seen.on(EventKind::Left, &folder.join("made")).is_some());
}

/// The recorder alone holds the build back.
#[test]
fn user_namespaces_are_not_needed() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"";
    let tests = [
        "otherwise::denied_beside_the_recorder",
        "otherwise::allowed_beside_the_recorder",
        "otherwise::plain_requests_beside_the_recorder",
        "services::a_service_outside_is_known_by_who_listens",
        "services::a_path_that_changes_under_us_leads_nowhere_else",
    ];
    again(&["unshare", "-Ur", "sh", "-c", script], &tests);
}

/// Clients that keep a connection to the proxy for several hosts.
#[test]
#[ignore = "run by others here"]
fn plain_requests_beside_the_recorder() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = "curl -sf --max-time 20 http://a.test/ http://b.test/ http://evil.test/ http://a.test/ > got; \
        test $(grep -o hello got | wc -l) = 3";
    let mut launch = launch(&folder, &["sh", "-c", script]);
    allow(&mut launch, "a.test\nb.test\n", outside.address);
    let seen = done(&launch).whole();
    assert_eq!(errno(&seen, EventKind::Request, "b.test:80"), Some(0));
    assert_eq!(errno(&seen, EventKind::Request, "evil.test:80"), Some(13));
}

/// As in many containers: neither namespaces, nor other processes' descriptors.
#[test]
fn other_processes_descriptors_are_not_needed() {
    let (_keep, folder) = folder();
    let source = r#"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int n, char **words) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 438, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 3;
    execv(words[1], words + 1);
    return 4;
}
"#;
    std::fs::write(folder.join("without.c"), source).unwrap();
    let built = Command::new("gcc").args(["-o", "without", "without.c"]).current_dir(&folder).status();
    assert!(built.unwrap().success());
    let tests = [
        "otherwise::denied_beside_the_recorder",
        "otherwise::allowed_beside_the_recorder",
        "otherwise::plain_requests_beside_the_recorder",
        "services::a_service_outside_is_known_by_who_listens",
        "services::a_path_that_changes_under_us_leads_nowhere_else",
    ];
    again(&[folder.join("without").to_str().unwrap()], &tests);
}

#[test]
#[ignore = "run by others here"]
fn denied_beside_the_recorder() {
    let (_keep, folder) = folder();
    let _service = UnixListener::bind(folder.join("outside.sock")).unwrap();
    let (name, _abstract) = abstract_service();
    let script = format!(
        r#"
assert fails(lambda: socket.socket().connect(("192.0.2.1", 443))).errno == 101
fails(lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 443)))
fails(lambda: socket.socket().sendto(b"x", 0x20000000, ("192.0.2.1", 443)))
assert fails(lambda: socket.socket().connect(("127.0.0.53", 53))).errno == 101
for family in socket.AF_INET, socket.AF_INET6: fails(lambda: socket.socket(family, socket.SOCK_DGRAM))
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))
fails(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)); fails(lambda: socket.socket(40, socket.SOCK_STREAM))
fails(lambda: socket.getaddrinfo("example.com", 443))
assert fails(lambda: socket.socket(socket.AF_UNIX).connect("outside.sock")).errno == 13
assert fails(lambda: socket.socket(socket.AF_UNIX).connect("\0{name}")).errno == 13
if os.fork() == 0: # one whose memory may not be read by its own user
    import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    fails(lambda: socket.socket().connect(("192.0.2.1", 444))); os._exit(0)
assert os.wait()[1] == 0
own = (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0)), (socket.AF_UNIX, "own.sock"), (socket.AF_UNIX, "\0own-{name}")
for family, address in own:
    s = socket.socket(family); s.bind(address); s.listen()
    for timeout in None, 5:
        c = socket.socket(family); c.settimeout(timeout); c.connect(s.getsockname())
        p, _ = s.accept(); p.sendall(b"ab"); assert c.recv(9) == b"ab"
assert fails(lambda: socket.socket().connect(("127.0.0.1", 1))).errno == 111
"#
    );
    let seen = done(&python(&folder, Egress::Deny, &script));
    assert_eq!(seen.trace.network, "denied-notification");
    for target in ["tcp:192.0.2.1:443", "tcp:[2001:db8::1]:443", "tcp:127.0.0.53:53"] {
        assert_eq!(errno(&seen, EventKind::Connect, target), Some(101), "{target}");
    }
    assert!(seen.trace.completeness.gaps.is_empty(), "{:?}", seen.trace.completeness.gaps);
}

#[test]
#[ignore = "run by others here"]
fn allowed_beside_the_recorder() {
    let (_keep, folder) = folder();
    let outside = Secure::start(&folder);
    let script = "set -e
        curl -sf --max-time 20 --cacert cert.pem https://allowed.test/ | grep -qi cipher
        ! curl -sf --max-time 20 -k https://evil.test/
        ! curl -sf --max-time 20 http://evil.test/
        ! curl -sf --max-time 20 -k --connect-to evil.test:443:allowed.test:443 https://evil.test/
        ! curl -sf --max-time 20 --noproxy '*' http://192.0.2.1/
        exit 0";
    let mut launch = launch(&folder, &["bash", "-c", script]);
    allow(&mut launch, "allowed.test\n", outside.address);
    let seen = done(&launch).whole();
    assert_eq!(seen.trace.network, "allowed-notification");
    assert_eq!(errno(&seen, EventKind::Request, "allowed.test:443"), Some(0));
    for (target, reason) in [("evil.test:443", "not-allowed"), ("evil.test:80", "not-allowed")] {
        assert_eq!(why(&seen, EventKind::Request, target), reason, "{:#?}", network(&seen));
    }
    assert_eq!(errno(&seen, EventKind::Connect, "tcp:192.0.2.1:80"), Some(13));
}

/// A recorder of many builds does not run out of descriptors or threads.
#[test]
fn nothing_is_left_behind() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = "c = socket.create_connection((\"allowed.test\", 80), 10)
c.sendall(b\"GET / HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n\"); assert b\"hello\" in c.recv(999)
d = socket.create_connection((\"allowed.test\", 80), 10)";
    let count = || ["/proc/self/fd", "/proc/self/task"].map(|list| std::fs::read_dir(list).unwrap().count());
    let mut launch = python(&folder, Egress::Audit, script);
    let mut run = || {
        allow(&mut launch, "allowed.test\n", outside.address);
        done(&launch);
        // Threads that were told to end take a moment; the server's own are ours, too.
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    run();
    let before = count();
    for _ in 0..5 {
        run();
    }
    let after = count();
    assert!(after[0] <= before[0] + 2 && after[1] <= before[1] + 2, "{before:?} {after:?}");
}
