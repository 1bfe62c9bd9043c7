use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use server::{Handler, Limits, Response, serve};

use crate::client::ask;

/// Longer than any test runs: what ends sooner has not waited for it.
const FOREVER: Duration = Duration::from_secs(3600);

#[test]
fn an_ended_server_holds_nothing() {
    // Many times: what this looks for is a thread that is a little late.
    for _ in 0..200 {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let handler: Arc<Handler> = Arc::new(move |_| {
            let _ = &inside;
            Response::text(200, "here")
        });
        let serving =
            serve("127.0.0.1:0", Limits { patience: FOREVER, ..Limits::default() }, handler).unwrap();
        // One client that is gone, one that keeps its connection, one that has said half of what it wants.
        assert_eq!(ask(serving.address(), "GET", "/", b"").0, 200);
        let mut idle = TcpStream::connect(serving.address()).unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        idle.read_exact(&mut [0; 15]).unwrap();
        let mut halfway = TcpStream::connect(serving.address()).unwrap();
        halfway.write_all(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
        drop(serving);
        assert_eq!(Arc::strong_count(&held), 1);
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"here\n"));
    }
}

#[test]
fn an_answer_that_is_being_made_is_sent_before_a_server_ends() {
    let at_work = Arc::new(Barrier::new(2));
    let (go, wait) = mpsc::channel::<()>();
    let (wait, working) = (std::sync::Mutex::new(wait), Arc::clone(&at_work));
    let handler: Arc<Handler> = Arc::new(move |_| {
        working.wait();
        wait.lock().unwrap().recv().unwrap();
        Response::text(200, "the whole answer")
    });
    let serving = serve("127.0.0.1:0", Limits::default(), handler).unwrap();
    let mut client = TcpStream::connect(serving.address()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    at_work.wait();
    let ending = std::thread::spawn(move || drop(serving));
    go.send(()).unwrap();
    ending.join().unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("the whole answer\n"), "{answer}");
}

#[test]
fn a_handler_that_panics_takes_no_place_with_it() {
    let handler: Arc<Handler> = Arc::new(|request| {
        assert_ne!(request.path, "/panic", "asked to");
        Response::text(200, "here")
    });
    let limits = Limits { connections: 1, ..Limits::default() };
    let serving = serve("127.0.0.1:0", limits, handler).unwrap();
    let mut client = TcpStream::connect(serving.address()).unwrap();
    client.write_all(b"GET /panic HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    // The stream ends a moment before the place is free.
    let served = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        ask(serving.address(), "GET", "/", b"").0 == 200
    });
    assert!(served, "the only place was never given back");
    drop(serving);
}
