//! What a build reaches of the network, and what it does not. Servers are on loopback, outside the build's network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evidence::{Event, EventKind};
use host::{AllowList, Egress, Launch, Names};

use crate::tracing::{Traced, folder, launch, try_run};

fn python(folder: &Path, egress: Egress, script: &str) -> Launch {
    let prelude = "import os, socket, sys, threading\n\
        def fails(call):\n try: call()\n except OSError as e: return e\n raise SystemExit('it went through')\n";
    let mut launch = launch(folder, &["python3", "-S", "-c", &format!("{prelude}{script}")]);
    launch.egress = egress;
    launch
}

fn done(launch: &Launch) -> Traced {
    let seen = try_run(launch).unwrap();
    let code = format!("{:?}", seen.trace.exit);
    assert_eq!(code, "Code(0)", "{:#?}", network(&seen));
    seen
}

/// Target and `errno` of what had to do with the network, in order.
fn network(seen: &Traced) -> Vec<(EventKind, String, u16, String)> {
    let kinds = [EventKind::Connect, EventKind::Bind, EventKind::Resolve, EventKind::Request, EventKind::Gap];
    let line = |event: &Event| {
        let target = event.target.as_ref().map(ToString::to_string).unwrap_or_default();
        (event.kind, target, event.errno, event.detail.clone().unwrap_or_default())
    };
    seen.events.iter().filter(|event| kinds.contains(&event.kind)).map(line).collect()
}

fn errno(seen: &Traced, kind: EventKind, target: &str) -> Option<u16> {
    network(seen).iter().find(|line| line.0 == kind && line.1 == target).map(|line| line.2)
}

fn why(seen: &Traced, kind: EventKind, target: &str) -> String {
    let line = network(seen).into_iter().find(|line| line.0 == kind && line.1 == target);
    line.unwrap_or_else(|| panic!("{target}: {:#?}", network(seen))).3
}

/// A server outside that greets each client with its own words and what it heard; counts them.
struct Server {
    address: SocketAddr,
    clients: Arc<AtomicUsize>,
}

impl Server {
    fn start(greeting: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, clients) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&clients);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || greet(client.unwrap(), greeting));
            }
        });
        Self { address, clients }
    }

    fn clients(&self) -> usize {
        self.clients.load(Ordering::SeqCst)
    }
}

fn greet(mut client: TcpStream, greeting: &str) {
    let mut heard = [0; 4096];
    let Ok(read) = client.read(&mut heard) else { return };
    let body = format!("{greeting} {read}");
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    client.write_all(answer.as_bytes()).ok();
}

/// Allows a list; all its names lead to this server.
fn allow(launch: &mut Launch, list: &str, server: SocketAddr) {
    launch.egress = Egress::Allow(AllowList::parse(list).unwrap());
    launch.names = Names::new(move |_, _| Ok(vec![server]));
}

#[test]
fn denied_builds_reach_nobody_and_the_attempts_are_recorded() {
    let (_keep, folder) = folder();
    let outside = Server::start("outside");
    let _service = UnixListener::bind(folder.join("outside.sock")).unwrap();
    let script = format!(
        r#"
tcp = lambda a, f=socket.AF_INET: lambda: socket.socket(f).connect(a)
udp = lambda a, f=socket.AF_INET: lambda: socket.socket(f, socket.SOCK_DGRAM).sendto(b"x", a)
fails(tcp(("192.0.2.1", 443)))
fails(tcp(("127.0.0.1", {port})))
fails(udp(("192.0.2.1", 9)))
fails(udp(("192.0.2.53", 53)))
fails(tcp(("192.0.2.53", 53)))
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("192.0.2.1", 10)))
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 11)))
fails(tcp(("2001:db8::1", 443), socket.AF_INET6))
fails(udp(("2001:db8::1", 443), socket.AF_INET6))
fails(lambda: socket.getaddrinfo("example.com", 443))
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
fails(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
fails(lambda: socket.socket(40, socket.SOCK_STREAM))
fails(lambda: socket.socket().bind(("192.0.2.7", 0)))
assert fails(lambda: socket.socket(socket.AF_UNIX).connect("outside.sock")).errno == 13
os.symlink("outside.sock", "link.sock"); assert fails(lambda: socket.socket(socket.AF_UNIX).connect("link.sock")).errno == 13
"#,
        port = outside.address.port()
    );
    let seen = done(&python(&folder, Egress::Deny, &script));
    assert_eq!(seen.trace.network, "denied-namespace");
    let unreachable = u16::try_from(101).unwrap();
    for target in [
        "tcp:192.0.2.1:443",
        "udp:192.0.2.1:9",
        "udp:192.0.2.53:53",
        "tcp:192.0.2.53:53",
        "udp:192.0.2.1:10",
        "udp:192.0.2.1:11",
        "tcp:[2001:db8::1]:443",
        "udp:[2001:db8::1]:443",
    ] {
        assert_eq!(errno(&seen, EventKind::Connect, target), Some(unreachable), "{target}");
    }
    assert_eq!(errno(&seen, EventKind::Bind, "tcp:192.0.2.7:0"), Some(99));
    let service = format!("unix:{}/outside.sock", folder.display());
    let hits = network(&seen).iter().filter(|line| line.1 == service && line.2 == 13).count();
    assert_eq!(hits, 2, "{:#?}", network(&seen));
    assert_eq!(outside.clients(), 0);
    assert!(seen.trace.completeness.gaps.is_empty(), "{:?}", seen.trace.completeness.gaps);
}

#[test]
fn servers_inside_a_denied_build_work() {
    let (_keep, folder) = folder();
    let script = r#"
def serve(s, peer):
    c, _ = s.accept(); c.sendall(c.recv(9) * 2); c.close()
for family, address in (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0)), (socket.AF_UNIX, "own.sock"), (socket.AF_UNIX, "\0own"):
    s = socket.socket(family); s.bind(address); s.listen()
    t = threading.Thread(target=serve, args=(s, None)); t.start()
    c = socket.socket(family); c.connect(s.getsockname() if family != socket.AF_UNIX else address); c.sendall(b"ab")
    assert c.recv(9) == b"abab"; t.join()
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("127.0.0.1", 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.sendto(b"hello", a.getsockname()); assert a.recv(9) == b"hello"
open("made", "w").write("x"); assert os.stat("made").st_uid == os.getuid()
"#;
    let seen = done(&python(&folder, Egress::Deny, script)).whole();
    assert_eq!(seen.trace.network, "denied-namespace");
}

#[test]
fn listed_names_are_reached_and_nothing_else_is() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = r#"
def get(host, header=None, port=80):
    c = socket.create_connection((host, port), 10)
    c.sendall(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % (header or host)).encode())
    data = b""
    while True:
        more = c.recv(999)
        if not more: return data
        data += more
assert b"hello" in get("allowed.test")
assert b"hello" in get("a.wild.test")
assert b"hello" in get("allowed.test.")
assert get("allowed.test", "other.test") == b""
assert get("allowed.test", "evil.test") == b""
fails(lambda: get("other.test"))
fails(lambda: get("al1owed.test"))
fails(lambda: get("allowed.test.evil.test"))
fails(lambda: get("wild.test"))
fails(lambda: get("allowed.test", port=8080))
fails(lambda: get("192.0.2.1"))
fails(lambda: get("198.18.0.200"))
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "allowed.test\n*.wild.test\n", outside.address);
    let seen = done(&launch).whole();
    assert_eq!(seen.trace.network, "allowed-namespace");
    assert_eq!(outside.clients(), 3);
    for (kind, target, number) in [
        (EventKind::Resolve, "allowed.test", 0),
        (EventKind::Request, "allowed.test:80", 0),
        (EventKind::Request, "a.wild.test:80", 0),
        (EventKind::Request, "other.test:80", 13),
        (EventKind::Request, "evil.test:80", 13),
        (EventKind::Resolve, "other.test", 13),
        (EventKind::Resolve, "al1owed.test", 13),
        (EventKind::Resolve, "allowed.test.evil.test", 13),
        (EventKind::Resolve, "wild.test", 13),
        (EventKind::Connect, "tcp:198.18.0.1:8080", 13),
        (EventKind::Connect, "tcp:192.0.2.1:80", 13),
        (EventKind::Connect, "tcp:198.18.0.200:80", 13),
    ] {
        assert_eq!(errno(&seen, kind, target), Some(number), "{target} {:#?}", network(&seen));
    }
    assert_eq!(why(&seen, EventKind::Request, "evil.test:80"), "host-mismatch");
}

#[test]
fn audit_holds_nothing_back() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script =
        format!("c = socket.create_connection(('127.0.0.1', {})); c.sendall(b'x')", outside.address.port());
    let seen = done(&python(&folder, Egress::Audit, &script)).whole();
    assert_eq!(seen.trace.network, "observed");
    assert_eq!(errno(&seen, EventKind::Connect, &format!("tcp:{}", outside.address)), Some(0));
}
