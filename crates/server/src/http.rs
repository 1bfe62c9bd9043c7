//! The server: reads requests with `httparse`, within limits, and writes what a handler answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::connections::{Connections, Place};

/// More headers are refused.
const HEADERS_MAX: usize = 64;
/// A longer request head is refused.
const HEAD_MAX_BYTES: usize = 16 << 10;

/// What a server takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more are told to come back.
    pub connections: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
    /// How long a client may keep a connection waiting.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, body_bytes: 1 << 20, patience: Duration::from_secs(30) }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A request, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// What stands behind the `?`, as it came; empty if there is none.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Whether it never changes.
    pub immutable: bool,
}

impl Response {
    /// Makes an answer.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, body: body.into(), immutable: false }
    }

    /// Makes an answer in words.
    pub fn text(status: u16, words: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{words}\n"))
    }
}

/// Answers requests; called by many threads.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A server that runs until it is dropped. When the drop returns, no thread of it runs any more and its handler is
/// gone; answers that were being made have been sent.
pub struct Serving {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    connections: Arc<Connections>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it is ended from elsewhere.
    pub fn wait(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            // A panic there has been told on stderr; there is nothing left to serve either way.
            acceptor.join().ok();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the acceptor; if that fails it is not waiting any more.
        TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
        self.connections.end();
    }
}

/// Listens on an address and answers with `handler`.
pub fn serve(address: &str, limits: Limits, handler: Arc<Handler>) -> Result<Serving, ServerError> {
    let fail = |source| ServerError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(fail)?;
    let local = listener.local_addr().map_err(fail)?;
    let stop = Arc::new(AtomicBool::new(false));
    let connections = Arc::new(Connections::default());
    let (stopped, entered) = (Arc::clone(&stop), Arc::clone(&connections));
    let acceptor = std::thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &stopped, limits, &handler, &entered))
        .map_err(fail)?;
    Ok(Serving { address: local, stop, connections, acceptor: Some(acceptor) })
}

fn accept(
    listener: &TcpListener,
    stop: &Arc<AtomicBool>,
    limits: Limits,
    handler: &Arc<Handler>,
    connections: &Arc<Connections>,
) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: connections that end make room.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if connections.count() >= limits.connections {
            write_response(&stream, &Response::text(503, "too many connections"), false).ok();
            continue;
        }
        let stream = Arc::new(stream);
        let place = connections.enter(&stream);
        let connection =
            Connection { stream, handler: Arc::clone(handler), stop: Arc::clone(stop), _place: place };
        // Without a thread the connection is dropped, and with it its place.
        std::thread::Builder::new()
            .name("connection".into())
            .stack_size(512 << 10)
            // What ends a connection is the client's business.
            .spawn(move || connection.run(limits).ok())
            .ok();
    }
}

/// One connection. Its place comes last: who has seen it given back may rely on the handler being gone.
struct Connection {
    stream: Arc<TcpStream>,
    handler: Arc<Handler>,
    stop: Arc<AtomicBool>,
    _place: Place,
}

impl Connection {
    fn run(&self, limits: Limits) -> io::Result<()> {
        let stream = &*self.stream;
        stream.set_read_timeout(Some(limits.patience))?;
        stream.set_write_timeout(Some(limits.patience))?;
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let (request, keep) = match read_request(stream, &mut buffer, limits)? {
                Incoming::Request(request, keep) => (request, keep),
                Incoming::Refused(response) => return write_response(stream, &response, false),
                Incoming::End => return Ok(()),
            };
            let response = (self.handler)(&request);
            write_response(stream, &response, keep)?;
            if !keep {
                return Ok(());
            }
        }
        Ok(())
    }
}

enum Incoming {
    Request(Request, bool),
    Refused(Response),
    End,
}

fn read_request(mut stream: &TcpStream, buffer: &mut Vec<u8>, limits: Limits) -> io::Result<Incoming> {
    let head = loop {
        match head(buffer) {
            Ok(Some(head)) => break head,
            Ok(None) if buffer.len() > HEAD_MAX_BYTES => {
                return Ok(Incoming::Refused(Response::text(431, "the request head is too long")));
            }
            Ok(None) => {}
            Err(response) => return Ok(Incoming::Refused(response)),
        }
        if fill(stream, buffer)? == 0 {
            return Ok(Incoming::End);
        }
    };
    if head.body > limits.body_bytes {
        return Ok(Incoming::Refused(Response::text(413, "the body is too long")));
    }
    if head.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    while buffer.len() < head.length + head.body {
        if fill(stream, buffer)? == 0 {
            return Ok(Incoming::End);
        }
    }
    let body = buffer.get(head.length..head.length + head.body).unwrap_or_default().to_vec();
    buffer.drain(..head.length + head.body);
    Ok(Incoming::Request(
        Request { method: head.method, path: head.path, query: head.query, body },
        head.keep,
    ))
}

fn fill(mut stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 8192];
    let count = stream.read(&mut chunk)?;
    buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
    Ok(count)
}

struct Head {
    method: String,
    path: String,
    query: String,
    length: usize,
    body: usize,
    keep: bool,
    expects_continue: bool,
}

/// Reads a request head, if it is whole. A body of unknown length is refused: two readings of one length are how
/// requests are smuggled past proxies.
fn head(bytes: &[u8]) -> Result<Option<Head>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Response::text(400, "not an HTTP/1.1 request")),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Response::text(400, "not an HTTP/1.1 request"));
    };
    let (mut body, mut keep, mut expects_continue) = (None, version == 1, false);
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = std::str::from_utf8(header.value).unwrap_or("").trim();
        if is("transfer-encoding") {
            return Err(Response::text(411, "give `Content-Length`"));
        } else if is("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let length: Option<usize> = value.parse().ok().filter(|_| digits);
            if body.is_some() || length.is_none() {
                return Err(Response::text(400, "`Content-Length` is not one number"));
            }
            body = length;
        } else if is("connection") {
            keep = if value.eq_ignore_ascii_case("close") { false } else { keep };
        } else if is("expect") {
            expects_continue = value.eq_ignore_ascii_case("100-continue");
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let method = method.to_owned();
    Ok(Some(Head { method, path, query, length, body: body.unwrap_or(0), keep, expects_continue }))
}

fn write_response(mut stream: &TcpStream, response: &Response, keep: bool) -> io::Result<()> {
    let caching = if response.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: {caching}\r\n{}\r\n",
        response.status,
        phrase(response.status),
        response.content_type,
        response.body.len(),
        if keep { "" } else { "Connection: close\r\n" },
    )
    .into_bytes();
    bytes.extend_from_slice(&response.body);
    stream.write_all(&bytes)
}

const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_in_one_way_only() {
        let get = b"GET /checkpoint?x=1 HTTP/1.1\r\nHost: a\r\n\r\n";
        let read = head(get).unwrap_or_else(|_| panic!()).unwrap();
        assert_eq!(
            (read.method.as_str(), read.path.as_str(), read.query.as_str(), read.body, read.keep),
            ("GET", "/checkpoint", "x=1", 0, true)
        );
        for cut in 0..get.len() {
            assert!(head(&get[..cut]).is_ok_and(|head| head.is_none()), "{cut}");
        }
        for (bad, status) in [
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("nonsense\r\n\r\n", 400),
        ] {
            assert_eq!(head(bad.as_bytes()).map(|_| ()).unwrap_err().status, status, "{bad}");
        }
        assert!(!head(b"GET / HTTP/1.0\r\n\r\n").unwrap_or_else(|_| panic!()).unwrap().keep);
    }
}
