//! What a recorded build may reach of the network, and how that is held to.
//!
//! The kernel holds the build back: it runs in a network of its own in which nobody else is. What is allowed goes
//! through the [`proxy`], which sits outside and holds sockets of the inside. The build asks our name server, gets
//! addresses that mean something only there, and connects to them; the proxy knows which name an address stands
//! for, compares it with the first bytes, and connects to the real one. Nothing else leads out. Where such a network
//! is not to be had, the recorder itself carries out each connection, and only those that are allowed.
//!
//! | module | what it does |
//! |---|---|
//! | [`list`] | what may be reached |
//! | `namespace`, `guard` | the network of the build's own; sockets that no network holds back |
//! | `control` | rules on each connection before it is made |
//! | `handed` | which address stands for which name |
//! | `proxy`, `relay` | answer inside, connect outside |
//! | [`dns`], [`tls`], [`http`], `first` | read what the build sends; pure |

pub(crate) mod control;
pub mod dns;
pub(crate) mod first;
pub(crate) mod guard;
pub(crate) mod handed;
pub mod http;
pub mod list;
pub(crate) mod namespace;
pub(crate) mod proxy;
pub(crate) mod relay;
pub mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

pub use list::{AllowList, ListError};

/// What a recorded build may reach of the network.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Everything; it is recorded.
    #[default]
    Audit,
    /// Nothing but itself.
    Deny,
    /// What is on the list.
    Allow(AllowList),
}

/// How names are looked up outside the build.
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// How allowed names are looked up outside the build: as this machine does, or as a test says.
#[derive(Clone)]
pub struct Names(Arc<Lookup>);

impl Names {
    /// Looks names up by a function of a name and a port.
    pub fn new(lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    pub(crate) fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(name, port)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new(|name, port| {
            let found = (name, port).to_socket_addrs()?;
            // A name of the world that leads to this machine or its cloud's metadata is an attack (rebinding).
            Ok(found.filter(|address| is_elsewhere(address.ip())).collect())
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            !(four.is_loopback() || four.is_unspecified() || four.is_link_local() || four.is_multicast())
        }
        IpAddr::V6(six) => {
            !(six.is_loopback() || six.is_unspecified() || six.is_unicast_link_local() || six.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_back_to_this_machine() {
        for (address, elsewhere) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
        ] {
            assert_eq!(is_elsewhere(address.parse().unwrap()), elsewhere, "{address}");
        }
    }
}
