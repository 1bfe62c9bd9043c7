//! A webhook: one JSON document per POST, with a keyed digest of it.
//!
//! `X-Countersign-Signature: sha256=<hex>` is HMAC-SHA-256 over the value of `X-Countersign-Timestamp`, a full stop, and
//! the body: who knows the secret can tell that the document is ours and not an old one.

use std::io;

use aws_lc_rs::hmac;
use evidence::Timestamp;
use ureq::Agent;

use super::OutboundError;

/// A webhook.
pub struct Webhook {
    url: String,
    key: hmac::Key,
    agent: Agent,
}

impl Webhook {
    /// Takes an `https` address, or an `http` one of this machine itself. Nothing is opened yet.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, OutboundError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self { url: url.to_owned(), key, agent: super::agent::agent(url)? })
    }

    /// Posts one document; anything but a 2xx answer is an error, to be tried again.
    pub fn post(&self, body: &[u8], at: Timestamp) -> io::Result<()> {
        let at = at.to_string();
        let signed = [at.as_bytes(), b".", body].concat();
        let signature = hmac::sign(&self.key, &signed);
        let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("user-agent", concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .header("x-countersign-timestamp", &at)
            .header("x-countersign-signature", format!("sha256={hex}"))
            .send(body)
            .map_err(io::Error::other)?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the answer was {}", answer.status().as_u16())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_reached() {
        for good in
            ["http://127.0.0.1:8080/x", "http://[::1]/", "http://127.0.0.1", "https://example.com/hook"]
        {
            assert!(Webhook::new(good, b"s").is_ok(), "{good}");
        }
        for bad in [
            "http://example.com/",
            "http://localhost:1/",
            "http://127.0.0.1@example.com/",
            "http://10.0.0.1/",
            "http://127.0.0.1.example.com/",
            "ftp://127.0.0.1/",
            "127.0.0.1",
        ] {
            assert!(Webhook::new(bad, b"s").is_err(), "{bad}");
        }
    }

    /// HMAC (RFC 2104) written out, so that two implementations agree.
    fn hmac_sha256(key: &[u8], text: &[u8]) -> String {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
            block.to_vec()
        };
        let inner = evidence::Digest::of(&[pad(0x36), text.to_vec()].concat());
        evidence::Digest::of(&[pad(0x5C), inner.as_bytes().to_vec()].concat()).hex()
    }

    #[test]
    fn what_is_posted_is_signed_with_its_time() {
        use std::io::{BufRead, BufReader, Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for answer in ["503 Busy", "302 Elsewhere", "204 Taken"] {
                let mut reader = BufReader::new(listener.accept().unwrap().0);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    reader.read_line(&mut head).unwrap();
                }
                reader.read_exact(&mut [0; 2]).unwrap();
                let answer = format!(
                    "HTTP/1.1 {answer}\r\nlocation: /hook\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
                heads.push(head);
            }
            heads
        });
        let webhook = Webhook::new(&url, b"0123456789abcdef").unwrap();
        let at = Timestamp::from_unix(0);
        let answers = [0, 1, 2].map(|_| webhook.post(b"{}", at).is_ok());
        assert_eq!(answers, [false, false, true]);
        let heads = server.join().unwrap();
        let signature = hmac_sha256(b"0123456789abcdef", b"1970-01-01T00:00:00Z.{}");
        assert!(
            heads[2].contains(&format!("x-countersign-signature: sha256={signature}\r\n")),
            "{}",
            heads[2]
        );
        assert!(heads[2].starts_with("POST /hook?x=1 HTTP/1.1\r\n"));
    }
}
