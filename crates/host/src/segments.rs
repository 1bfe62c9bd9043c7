//! Whether addresses can be reached from this machine: plain TCP connections that are given up as soon as they are made.
//!
//! Only addresses that somebody has listed are tried, few at a time and not too fast: nobody must take it for a scan.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evidence::posture::Reached;

/// How many are tried at a time.
const AT_A_TIME: usize = 16;
/// The time from one try to the next, over all.
const PACE: Duration = Duration::from_millis(20);

/// Tries all addresses; the answers are in the same order. Each may take `patience`.
pub fn reach(addresses: &[SocketAddr], patience: Duration) -> Vec<Reached> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let answers = Mutex::new(vec![Reached::Unknown("not tried".to_owned()); addresses.len()]);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(addresses.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(address) = addresses.get(at) else { break };
                    let due = PACE.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    let answer = try_one(*address, patience);
                    // A thread that panicked would have left its answer as it was.
                    let mut answers = answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if let Some(place) = answers.get_mut(at) {
                        *place = answer;
                    }
                }
            });
        }
    });
    answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn try_one(address: SocketAddr, patience: Duration) -> Reached {
    match TcpStream::connect_timeout(&address, patience) {
        Ok(_) => Reached::Open,
        Err(error) => told(&error),
    }
}

fn told(error: &io::Error) -> Reached {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Reached::Refused,
        // A route or filter of this machine that forbids it is a closed way, too.
        ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::PermissionDenied => Reached::Silent(error.to_string()),
        _ if error.raw_os_error() == Some(libc::EINVAL) => {
            // What a black hole among the routes says (`ip-route(8)`).
            Reached::Silent("a black hole among this machine's routes".to_owned())
        }
        _ => Reached::Unknown(error.to_string()),
    }
}

/// The address from which this machine would reach another; nothing is sent.
pub fn own_address(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn open_and_refused_are_told_apart_in_order() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [open.local_addr().unwrap(), closed.local_addr().unwrap()];
        drop(closed);
        let patience = Duration::from_secs(2);
        assert_eq!(reach(&addresses, patience), [Reached::Open, Reached::Refused]);
        assert_eq!(reach(&[], patience), []);
        assert_eq!(own_address(addresses[0]).unwrap(), addresses[0].ip());
    }

    #[test]
    fn more_than_are_tried_at_a_time_are_all_tried() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = vec![open.local_addr().unwrap(); 40];
        assert_eq!(reach(&addresses, Duration::from_secs(2)), vec![Reached::Open; 40]);
    }
}
