use std::sync::Arc;
use std::time::Duration;

use server::{Limits, Request, Response, serve};

use crate::client::raw;

#[test]
fn what_is_no_request_ends_its_own_connection_and_no_other() {
    let limits = Limits { connections: 8, body_bytes: 10, patience: Duration::from_millis(300) };
    let handler = Arc::new(|request: &Request| Response::text(200, &request.path));
    let serving = serve("127.0.0.1:0", limits, handler).unwrap();
    let address = serving.address();
    for (bytes, expected) in [
        (b"\0\0\0\0\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 11\r\n\r\n12345678901".to_vec(), "413"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), "411"),
        ([b"GET /".to_vec(), vec![b'a'; 40_000]].concat(), "431"),
        (b"GET /half HTTP/1.1\r\n".to_vec(), ""),
        (b"POST /half HTTP/1.1\r\nContent-Length: 9\r\n\r\n1".to_vec(), ""),
        (b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n".to_vec(), "/b"),
    ] {
        let answer = raw(address, &bytes);
        assert!(
            answer.contains(expected),
            "{}: {answer}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
        );
    }
    assert!(raw(address, b"GET /alive HTTP/1.0\r\n\r\n").contains("/alive"));
}
