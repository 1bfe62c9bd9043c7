//! What `cargo xtask bench serve` measures: verified entries over loopback HTTP, client and server on the same machine.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a developer reads it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attest::key::Cost;
use attest::{Credential, EncryptedKey, Leaf, Signer, rekor};
use engine::evidence::Timestamp;
use engine::{GroupLimits, LogService, Passphrase};
use evidence::Digest;
use server::{Limits, log_routes, serve};

const CONNECTIONS: usize = 128;
/// Different signed requests; the server verifies each time.
const REQUESTS: usize = 4096;

fn now() -> Timestamp {
    Timestamp::from_unix(1_700_000_000)
}

fn main() {
    let seconds: u64 = std::env::args().nth(1).map_or(5, |word| word.parse().unwrap());
    let folder = tempfile::Builder::new().prefix("bench-serve-").tempdir_in(".").unwrap();
    let passphrase = Passphrase::new(b"only a measurement".to_vec());
    let key = EncryptedKey::generate_p256(b"only a measurement", Cost::Machine).unwrap().1;
    let requests: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|number| {
            let message = number.to_be_bytes();
            let signature = key.sign(&message).unwrap();
            let leaf = Leaf {
                statement: Digest::of(&message),
                signature,
                credential: Credential::Key(key.public_key().clone()),
            };
            let body = rekor::write(&leaf);
            let head = format!(
                "POST /api/v2/log/entries HTTP/1.1\r\nHost: log\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.into_bytes(), body].concat()
        })
        .collect();
    let limits = GroupLimits::default();
    let service = Arc::new(
        LogService::open(folder.path(), "log.example", Vec::new(), &passphrase, limits, now()).unwrap(),
    );
    let serving = serve("127.0.0.1:0", Limits::default(), log_routes(service, now)).unwrap();
    let address = serving.address();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (requests, stop, count) = (&requests, &stop, &count);
                scope.spawn(move || client(address, number, requests, stop, count))
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = began.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize] * 1000.0;
    println!(
        "{} verified entries over {CONNECTIONS} connections in {took:.2} s: {:.0} a second; median {:.2} ms, p99 {:.2} ms",
        count.load(Ordering::Relaxed),
        count.load(Ordering::Relaxed) as f64 / took,
        at(0.5),
        at(0.99)
    );
}

fn client(
    address: SocketAddr,
    number: usize,
    requests: &[Vec<u8>],
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let mut next = number;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        stream.write_all(&requests[next % requests.len()]).unwrap();
        next += CONNECTIONS;
        let mut have = 0;
        loop {
            have += stream.read(&mut buffer[have..]).unwrap();
            let Some(end) = buffer[..have].windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            assert!(head.starts_with("HTTP/1.1 201"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if have >= end + 4 + length.parse::<usize>().unwrap() {
                break;
            }
        }
        latencies.push(began.elapsed().as_secs_f64());
        count.fetch_add(1, Ordering::Relaxed);
    }
    latencies
}
