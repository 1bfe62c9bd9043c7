//! Recorded conversations with services that hold keys, played back over loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A request as it came.
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value.unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers so many requests, one a connection; returns their first lines.
pub(crate) fn play(
    requests: usize,
    answer: impl Fn(&Request) -> (u16, Value) + Send + 'static,
) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        (0..requests)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
                let request = loop {
                    let count = stream.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..count]);
                    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let (line, rest) = head.split_once("\r\n").unwrap();
                    let headers: Vec<(String, String)> = rest
                        .lines()
                        .map(|line| line.split_once(": ").unwrap())
                        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                        .collect();
                    let length = headers.iter().find(|(name, _)| name == "content-length");
                    let length = length.map_or(0, |(_, value)| value.parse::<usize>().unwrap());
                    if bytes.len() >= end + 4 + length {
                        break Request { line: line.to_owned(), headers, body: bytes[end + 4..].to_vec() };
                    }
                };
                let (status, body) = answer(&request);
                let text = body.to_string();
                let length = text.len();
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}").unwrap();
                request.line
            })
            .collect()
    });
    (address, served)
}

/// Signs a digest with the key in a folder; the signature is ASN.1.
pub(crate) fn signature(folder: &Path, digest: &[u8]) -> Vec<u8> {
    assert_eq!(digest.len(), 32);
    let mut child = Command::new("openssl")
        .args(["pkeyutl", "-sign", "-inkey", "hsm.pem", "-pkeyopt", "digest:sha256"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(digest).unwrap();
    child.wait_with_output().unwrap().stdout
}
