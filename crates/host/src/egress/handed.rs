//! Addresses that stand for names inside the build's network, and nowhere else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most names that one build is given addresses for.
const NAMES_MAX: usize = 4096;
/// 198.18.0.0/15, set aside for measuring networks (RFC 2544): nobody is there.
const FOUR: u32 = 0xC612_0000;
/// A unique local prefix (RFC 4193) of our own, `fd63:7367:6e00::/48`.
const SIX: u128 = 0xFD63_7367_6E00 << 80;

/// Which name has which address.
#[derive(Default, Debug)]
pub(crate) struct Handed {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Handed {
    /// Returns the addresses of a name, always the same; `None` if there are too many names.
    pub(crate) fn addresses(&mut self, name: &str) -> Option<[IpAddr; 2]> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None if self.names.len() == NAMES_MAX => return None,
            None => {
                self.names.push(name.to_owned());
                self.numbers.insert(name.to_owned(), self.names.len());
                self.names.len()
            }
        };
        let four = Ipv4Addr::from_bits(FOUR + u32::try_from(number).ok()?);
        Some([four.into(), Ipv6Addr::from_bits(SIX + number as u128).into()])
    }

    /// Returns the name that an address stands for.
    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        let number = match address.to_canonical() {
            IpAddr::V4(four) => usize::try_from(four.to_bits().checked_sub(FOUR)?).ok()?,
            IpAddr::V6(six) => usize::try_from(six.to_bits().checked_sub(SIX)?).ok()?,
        };
        self.names.get(number.checked_sub(1)?).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back_to_their_names() {
        let mut handed = Handed::default();
        let first = handed.addresses("a.test").unwrap();
        assert_eq!(first.map(|address| address.to_string()), ["198.18.0.1", "fd63:7367:6e00::1"]);
        let second = handed.addresses("b.test").unwrap();
        assert_eq!(handed.addresses("a.test"), Some(first));
        for (addresses, name) in [(first, "a.test"), (second, "b.test")] {
            for address in addresses {
                assert_eq!(handed.name(address), Some(name));
            }
        }
        for other in
            ["198.18.0.0", "198.18.0.3", "198.17.255.255", "127.0.0.1", "fd63:7367:6e00::", "::1", "ff02::1"]
        {
            assert_eq!(handed.name(other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn names_have_a_limit() {
        let mut handed = Handed::default();
        for number in 0..NAMES_MAX {
            assert!(handed.addresses(&format!("n{number}.test")).is_some());
        }
        assert_eq!(handed.addresses("one-more.test"), None);
        assert!(handed.addresses("n7.test").is_some());
    }
}
