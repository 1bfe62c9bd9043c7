//! Syslog over a local socket, UDP (RFC 5426) or TCP (RFC 6587, octet counting).

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use evidence::wire::syslog::octet_counted;

use super::{OutboundError, PATIENCE};

#[derive(Debug)]
enum Place {
    Unix(PathBuf),
    Udp(String),
    Tcp(String),
}

/// A syslog server.
#[derive(Debug)]
pub struct Syslog {
    place: Place,
    stream: Option<TcpStream>,
}

impl Syslog {
    /// Takes `unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT`. Nothing is opened yet.
    pub fn new(place: &str) -> Result<Self, OutboundError> {
        let wrong = |why| OutboundError::Place(place.to_owned(), why);
        let (kind, rest) = place.split_once(':').ok_or_else(|| wrong("say unix:, udp: or tcp: first"))?;
        let port = |rest: &str| rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = match kind {
            "unix" if !rest.is_empty() => Place::Unix(rest.into()),
            "udp" if port(rest) => Place::Udp(rest.to_owned()),
            "tcp" if port(rest) => Place::Tcp(rest.to_owned()),
            "udp" | "tcp" => return Err(wrong("name host and port, as in tcp:logs.example.com:601")),
            _ => return Err(wrong("say unix:, udp: or tcp: first")),
        };
        Ok(Self { place, stream: None })
    }

    /// Sends one message.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &self.place {
            Place::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.send_to(message, path).map(drop)
            }
            Place::Udp(place) => {
                let address = address(place)?;
                let here = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                UdpSocket::bind(here)?.send_to(message, address).map(drop)
            }
            Place::Tcp(place) => {
                let mut stream = match self.stream.take().filter(is_open) {
                    Some(stream) => stream,
                    None => TcpStream::connect_timeout(&address(place)?, PATIENCE)?,
                };
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(&octet_counted(message))?;
                self.stream = Some(stream);
                Ok(())
            }
        }
    }
}

/// A server that went away has closed its end; writing would succeed once more and be lost.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.set_nonblocking(true).is_ok()
        && matches!(stream.peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        && stream.set_nonblocking(false).is_ok()
}

fn address(place: &str) -> io::Result<std::net::SocketAddr> {
    place.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn messages_arrive_framed() {
        for wrong in ["x", "tcp:host", "udp:", "http://x:1", "unix:"] {
            assert!(Syslog::new(wrong).is_err(), "{wrong}");
        }
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("tcp:{}", server.local_addr().unwrap());
        let mut syslog = Syslog::new(&place).unwrap();
        syslog.send(b"one").unwrap();
        syslog.send(b"two two").unwrap();
        let mut accepted = server.accept().unwrap().0;
        let mut bytes = [0; 14];
        accepted.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"3 one7 two two");
        drop(accepted);
        std::thread::sleep(std::time::Duration::from_millis(50));
        // A new connection instead of a message into nowhere.
        syslog.send(b"three").unwrap();
        let mut text = [0; 7];
        server.accept().unwrap().0.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"5 three");

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Syslog::new(&format!("udp:{}", socket.local_addr().unwrap())).unwrap().send(b"four").unwrap();
        let mut bytes = [0; 9];
        assert_eq!(socket.recv(&mut bytes).unwrap(), 4);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        Syslog::new(&format!("unix:{}", path.display())).unwrap().send(b"five").unwrap();
        assert_eq!(socket.recv(&mut bytes).unwrap(), 4);
    }
}
