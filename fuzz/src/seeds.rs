//! Writes a first corpus: the sound files that the tests of `inspect` open, a folder for each reader, and what a build
//! says to the network.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../crates/inspect/tests/it/corpus.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod corpus;
/// Small archives, as the tests of `inspect` write them.
#[path = "../../crates/inspect/tests/it/samples.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod samples;

fn main() -> std::io::Result<()> {
    for (number, sound) in corpus::corpus().into_iter().enumerate() {
        fs::write(folder(sound.reader)?.join(format!("sound-{number}")), sound.bytes)?;
    }
    egress()
}

fn folder(target: &str) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// What a build says to the network, for the readers of names.
fn egress() -> std::io::Result<()> {
    let name = b"\x07example\x04test\x00";
    let question =
        [b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", name.as_slice(), b"\x00\x01\x00\x01"];
    let server = b"\x00\x00\x00\x11\x00\x0f\x00\x00\x0cexample.test";
    let body = [b"\x03\x03".as_slice(), &[7; 32], b"\x00\x00\x02\x13\x01\x01\x00\x00\x15", server].concat();
    let hello = [b"\x16\x03\x01\x00\x44\x01\x00\x00\x40".as_slice(), &body].concat();
    let seeds: [(&str, &str, Vec<u8>); 4] = [
        ("dns", "question", question.concat()),
        ("hello", "named", hello),
        ("head", "get", b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n".to_vec()),
        ("head", "connect", b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n".to_vec()),
    ];
    for (target, name, bytes) in seeds {
        fs::write(folder(target)?.join(name), bytes)?;
    }
    Ok(())
}
