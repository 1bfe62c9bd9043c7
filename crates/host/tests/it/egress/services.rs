//! Services of the machine behind a path.

use std::os::unix::net::UnixListener;
use std::process::Command;

use evidence::EventKind;
use host::Egress;

use super::{done, network, python};
use crate::tracing::{TRIES, folder, launch};

/// Two threads exchange the path of a service inside and of one outside while a third connects.
#[test]
fn a_path_that_changes_under_us_leads_nowhere_else() {
    let (_keep, folder) = folder();
    let service = UnixListener::bind(folder.join("out.sock")).unwrap();
    service.set_nonblocking(true).unwrap();
    let source = r#"
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static struct sockaddr_un address, outside = {AF_UNIX, "out.sock"};
static struct sockaddr_storage inside;
static volatile int done;
static void *flip(void *x) {
    while (!done) {
        for (int n = 0; n < 16; n++) ((volatile char *)&address)[n] = ((char *)&outside)[n];
        for (volatile int i = 0; i < 99; i++);
        for (int n = 0; n < 16; n++) ((volatile char *)&address)[n] = ((char *)&inside)[n];
        for (volatile int i = 0; i < 99; i++);
    }
    return x;
}
static void *serve(void *x) { for (;;) { int c = accept(*(int *)x, 0, 0); if (c < 0) return x; close(c); } }
int main(void) {
    struct sockaddr_un path = {AF_UNIX, "own.sock"};
    struct sockaddr_in four = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof inside;
    int s = socket(ADDRESS.FAMILY, SOCK_STREAM, 0); bind(s, (void *)&ADDRESS, sizeof ADDRESS); listen(s, 99);
    getsockname(s, (void *)&inside, &length); memcpy(&address, &inside, sizeof four);
    pthread_t a, b; pthread_create(&a, 0, flip, 0); pthread_create(&b, 0, serve, &s);
    for (int i = 0; i < 3000; i++) {
        int c = socket(AF_UNIX, SOCK_STREAM, 0); connect(c, (void *)&address, LENGTH); close(c);
    }
    done = 1; pthread_join(a, 0); _exit(0);
}
"#;
    std::fs::write(folder.join("race.c"), source).unwrap();
    for address in [
        ["-DADDRESS=path", "-DFAMILY=sun_family", "-DLENGTH=sizeof address"],
        // The same address may become one of another family.
        ["-DADDRESS=four", "-DFAMILY=sin_family", "-DLENGTH=16"],
    ] {
        let built = Command::new("gcc")
            .args(["-O1", "-pthread", "-o", "race", "race.c"])
            .args(address)
            .current_dir(&folder)
            .status();
        assert!(built.unwrap().success());
        let mut launch = launch(&folder, &["./race"]);
        launch.egress = Egress::Deny;
        let (mut inside, mut outside) = (0, 0);
        for _ in 0..TRIES {
            let seen = done(&launch);
            assert!(service.accept().is_err(), "nobody came");
            let count = |word: &str| {
                let lines = network(&seen);
                lines.iter().filter(|line| line.0 == EventKind::Connect && line.1.contains(word)).count()
            };
            inside += count("own.sock") + count("127.0.0.1");
            outside += count("out.sock");
            std::fs::remove_file(folder.join("own.sock")).ok();
            if inside > 10 && outside > 10 {
                break;
            }
        }
        println!("asked for: {inside} inside, {outside} outside");
        assert!(inside > 10 && outside > 10, "there was a race");
    }
}

/// A name inside put on a socket outside: by renaming, by linking.
#[test]
fn a_service_outside_is_known_by_who_listens() {
    let (_keep, folder) = folder();
    let _services = ["a.sock", "b.sock"].map(|name| UnixListener::bind(folder.join(name)).unwrap());
    let script = r#"
for other, trick in ("a.sock", os.rename), ("b.sock", os.link):
    s = socket.socket(socket.AF_UNIX); s.bind("own.sock"); os.unlink("own.sock")
    trick(other, "own.sock")
    c = socket.socket(socket.AF_UNIX)
    assert fails(lambda: c.connect("own.sock")).errno == 13
    fails(lambda: c.send(b"x"))
    os.unlink("own.sock")
"#;
    let seen = done(&python(&folder, Egress::Deny, script));
    let target = format!("unix:{}/own.sock", folder.display());
    let refused =
        network(&seen).iter().filter(|line| line.1 == target && line.3 == "outside-service").count();
    assert_eq!(refused, 2, "{:#?}", network(&seen));
}
