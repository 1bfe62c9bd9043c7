//! Which zones of a network may talk to which, and whether they do: a zone file, tests from one machine, flows in records.
//!
//! An address belongs to the zone with the longest network that has it; one that no zone has is of the zone `internet`.
//! Within a zone everything is allowed; between zones nothing, unless the file says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use evidence::posture::Reached;
use evidence::record::Destination;
use evidence::{Finding, Record, Subject};
use serde::Deserialize;

use crate::codes::{self, Code};

/// The zone of every address that no other zone has.
pub const INTERNET: &str = "internet";

/// The most addresses that are tried.
const PROBES_MAX: usize = 1024;

/// Zones, and the ways between them that are allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zones {
    zones: BTreeMap<String, Zone>,
    allowed: Vec<Allowed>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Zone {
    networks: Vec<Network>,
    probes: Vec<SocketAddr>,
}

/// The first bits of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Network {
    address: IpAddr,
    bits: u8,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    from: String,
    to: String,
    /// All, if none is named.
    #[serde(default)]
    ports: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    zones: BTreeMap<String, ZoneText>,
    #[serde(default)]
    allow: Vec<Allowed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneText {
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    probes: Vec<String>,
}

/// Why a zone file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZonesError {
    /// Not TOML, or not of this form.
    #[error("malformed zone file")]
    Toml(#[source] toml::de::Error),
    /// Not a network.
    #[error("`{0}` is no network such as `10.1.0.0/16`")]
    Network(String),
    /// Not an address with a port.
    #[error("`{0}` is no address with a port such as `10.1.0.5:22`")]
    Address(String),
    /// An address to try that lies in another zone.
    #[error("`{address}` is to be tried for the zone `{zone}` and lies in `{lies}`")]
    Elsewhere {
        /// The address.
        address: SocketAddr,
        /// Where the file lists it.
        zone: String,
        /// Where it lies.
        lies: String,
    },
    /// A zone that is not there.
    #[error("there is no zone `{0}`")]
    NoZone(String),
    /// More addresses than are tried.
    #[error("more than {PROBES_MAX} addresses are to be tried")]
    TooMany,
}

/// An address to try from a zone, and whether it may be reached from there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Probe {
    /// The zone in which it lies.
    pub zone: String,
    /// The address.
    pub address: SocketAddr,
    /// Whether the zone file allows the way.
    pub allowed: bool,
}

impl Zones {
    /// Reads a zone file.
    ///
    /// # Errors
    /// What is not understood: nothing is guessed.
    pub fn parse(text: &str) -> Result<Self, ZonesError> {
        let file: File = toml::from_str(text).map_err(ZonesError::Toml)?;
        let mut zones = BTreeMap::new();
        for (name, zone) in &file.zones {
            let networks = zone
                .networks
                .iter()
                .map(|text| Network::parse(text).ok_or_else(|| ZonesError::Network(text.clone())));
            let probes =
                zone.probes.iter().map(|text| text.parse().map_err(|_| ZonesError::Address(text.clone())));
            let zone = Zone {
                networks: networks.collect::<Result<_, _>>()?,
                probes: probes.collect::<Result<_, _>>()?,
            };
            zones.insert(name.clone(), zone);
        }
        if zones.values().map(|zone| zone.probes.len()).sum::<usize>() > PROBES_MAX {
            return Err(ZonesError::TooMany);
        }
        let all = Self { zones, allowed: file.allow };
        for name in all.allowed.iter().flat_map(|allowed| [&allowed.from, &allowed.to]) {
            all.known(name)?;
        }
        for (name, zone) in &all.zones {
            for address in &zone.probes {
                let lies = all.zone_of(address.ip());
                if lies != name {
                    let (zone, lies) = (name.clone(), lies.to_owned());
                    return Err(ZonesError::Elsewhere { address: *address, zone, lies });
                }
            }
        }
        Ok(all)
    }

    /// Makes sure that a zone is there.
    ///
    /// # Errors
    /// It is not.
    pub fn known(&self, name: &str) -> Result<(), ZonesError> {
        if name == INTERNET || self.zones.contains_key(name) {
            return Ok(());
        }
        Err(ZonesError::NoZone(name.to_owned()))
    }

    /// Returns the zone of an address.
    pub fn zone_of(&self, address: IpAddr) -> &str {
        let address = address.to_canonical();
        let networks =
            self.zones.iter().flat_map(|(name, zone)| zone.networks.iter().map(move |n| (name, n)));
        let of = networks.filter(|(_, network)| network.has(address)).max_by_key(|(_, network)| network.bits);
        of.map_or(INTERNET, |(name, _)| name)
    }

    /// Tells whether one zone may reach a port of another.
    pub fn allows(&self, from: &str, to: &str, port: u16) -> bool {
        from == to
            || self.allowed.iter().any(|allowed| {
                allowed.from == from
                    && allowed.to == to
                    && (allowed.ports.is_empty() || allowed.ports.contains(&port))
            })
    }

    /// The addresses to try from a zone: those of all others.
    pub fn probes(&self, from: &str) -> Vec<Probe> {
        let others = self.zones.iter().filter(|(name, _)| *name != from);
        let mut probes: Vec<Probe> = others
            .flat_map(|(name, zone)| {
                zone.probes.iter().map(move |address| Probe {
                    zone: name.clone(),
                    address: *address,
                    allowed: self.allows(from, name, address.port()),
                })
            })
            .collect();
        probes.sort();
        probes.dedup();
        probes
    }

    /// Judges what came of trying an address from a zone.
    pub fn judge(&self, from: &str, probe: &Probe, reached: &Reached) -> Option<Finding> {
        let (code, said): (&Code, String) = match (probe.allowed, reached) {
            (true, Reached::Open) | (false, Reached::Silent(_)) => return None,
            (false, Reached::Open) => (&codes::SEGMENT_OPEN, "it accepted the connection".into()),
            (false, Reached::Refused) => (&codes::SEGMENT_ANSWERED, "it refused the connection".into()),
            (true, Reached::Refused) => (&codes::SEGMENT_CLOSED, "it refused the connection".into()),
            (true, Reached::Silent(why)) => (&codes::SEGMENT_CLOSED, why.clone()),
            (_, Reached::Unknown(why)) => (&codes::SEGMENT_UNKNOWN, why.clone()),
        };
        let subject = Subject { path: Some(probe.address.to_string().into()), digest: None };
        Some(code.finding(subject, vec![format!("from {from} to {}", probe.zone), said]))
    }

    /// Judges what a recorded build on a machine of a zone talked to. Returns the findings, and how many connections with an
    /// address there were.
    pub fn flows(&self, from: &str, record: &Record, name: &str) -> (Vec<Finding>, usize) {
        let mut seen = 0;
        let mut findings = Vec::new();
        for destination in record.network.iter().filter(|destination| destination.action == "connect") {
            let Some(address) = address_of(destination) else { continue };
            seen += 1;
            let zone = self.zone_of(address.ip());
            if self.allows(from, zone, address.port()) || is_own(address.ip()) {
                continue;
            }
            let programs: BTreeSet<String> = destination
                .processes
                .iter()
                .filter_map(|index| record.processes.iter().find(|process| process.index == *index))
                .filter_map(|process| process.programs.last())
                .map(|program| program.path.to_string())
                .collect();
            let mut because = vec![format!("from {from} to {zone}, in record {name}")];
            because.extend(programs.into_iter().take(8).map(|program| format!("by {program}")));
            let subject = Subject { path: Some(destination.address.clone()), digest: None };
            findings.push(codes::FLOW_FORBIDDEN.finding(subject, because));
        }
        (findings, seen)
    }
}

/// The address of a destination: `tcp:198.51.100.7:443`.
fn address_of(destination: &Destination) -> Option<SocketAddr> {
    let text = std::str::from_utf8(destination.address.as_bytes()).ok()?;
    let (family, address) = text.split_once(':')?;
    matches!(family, "tcp" | "udp").then(|| address.parse().ok()).flatten()
}

/// Addresses that never leave the machine.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        // No bit at all: everything of the family.
        (own ^ other).checked_shr(width - u32::from(self.bits)).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::tests::Sketch;

    const FILE: &str = r#"
        [zones.developer]
        networks = ["10.1.0.0/16", "fd00:1::/32"]
        probes = ["10.1.0.9:22"]

        [zones.build]
        networks = ["10.2.0.0/16"]
        probes = ["10.2.0.5:22", "10.2.0.5:443"]

        [zones.sign]
        networks = ["10.2.7.0/24"]
        probes = ["10.2.7.1:443"]

        [[allow]]
        from = "developer"
        to = "build"
        ports = [22]

        [[allow]]
        from = "build"
        to = "internet"
    "#;

    fn zone(zones: &Zones, address: &str) -> String {
        zones.zone_of(address.parse().unwrap()).to_owned()
    }

    #[test]
    fn the_longest_network_has_an_address() {
        let zones = Zones::parse(FILE).unwrap();
        assert_eq!(zone(&zones, "10.2.1.1"), "build");
        assert_eq!(zone(&zones, "10.2.7.200"), "sign");
        assert_eq!(zone(&zones, "fd00:1::7"), "developer");
        assert_eq!(zone(&zones, "::ffff:10.1.2.3"), "developer");
        assert_eq!(zone(&zones, "192.0.2.1"), INTERNET);
        let all = Zones::parse("[zones.a]\nnetworks = ['0.0.0.0/0', '::/0']\n").unwrap();
        assert_eq!((zone(&all, "192.0.2.1"), zone(&all, "2001:db8::1")), ("a".into(), "a".into()));
    }

    #[test]
    fn what_is_not_allowed_is_forbidden_and_one_s_own_zone_is_open() {
        let zones = Zones::parse(FILE).unwrap();
        assert!(zones.allows("developer", "build", 22));
        assert!(!zones.allows("developer", "build", 443));
        assert!(!zones.allows("build", "developer", 22), "a way has a direction");
        assert!(zones.allows("build", INTERNET, 443), "no port is named: all");
        assert!(zones.allows("sign", "sign", 1));
        let probes = zones.probes("developer");
        let told: Vec<(String, bool)> =
            probes.iter().map(|probe| (probe.address.to_string(), probe.allowed)).collect();
        let expected = [("10.2.0.5:22", true), ("10.2.0.5:443", false), ("10.2.7.1:443", false)];
        assert_eq!(told, expected.map(|(address, allowed)| (address.to_owned(), allowed)));
    }

    #[test]
    fn each_answer_has_its_finding() {
        let zones = Zones::parse(FILE).unwrap();
        let probes = zones.probes("developer");
        let code = |allowed: bool, reached: &Reached| {
            let probe = probes.iter().find(|probe| probe.allowed == allowed).unwrap();
            zones.judge("developer", probe, reached).map(|finding| finding.code)
        };
        let silent = Reached::Silent("timed out".into());
        assert_eq!(code(false, &Reached::Open).as_deref(), Some("segment-open"));
        assert_eq!(code(false, &Reached::Refused).as_deref(), Some("segment-answered"));
        assert_eq!(code(false, &silent), None);
        assert_eq!(code(true, &Reached::Open), None);
        assert_eq!(code(true, &silent).as_deref(), Some("segment-closed"));
        let unknown = Reached::Unknown("no descriptors".into());
        assert_eq!(code(false, &unknown).as_deref(), Some("segment-unknown"));
        assert_eq!(code(true, &unknown).as_deref(), Some("segment-unknown"));
    }

    #[test]
    fn flows_of_records_are_held_against_the_zones() {
        let zones = Zones::parse(FILE).unwrap();
        let mut record = Sketch::new().process(0, None, 0, "/usr/bin/curl").0;
        let connect = |address: &str| Destination {
            address: address.into(),
            action: "connect".into(),
            processes: BTreeSet::from([0]),
        };
        record.network =
            ["tcp:10.1.0.9:22", "tcp:192.0.2.1:443", "tcp:127.0.0.1:80", "unix:/run/x", "udp:[::1]:53"]
                .map(connect)
                .into();
        let (findings, seen) = zones.flows("build", &record, "r1");
        assert_eq!(seen, 4);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].because, ["from build to developer, in record r1", "by /usr/bin/curl"]);
        assert_eq!(zones.flows("sign", &record, "r1").0.len(), 2);
    }

    #[test]
    fn nothing_is_guessed() {
        for wrong in [
            "[zones.a]\nnetworks = ['10.0.0.0']",
            "[zones.a]\nnetworks = ['10.0.0.0/33']",
            "[zones.a]\nnetworks = ['10.0.0.0/8']\nprobes = ['10.0.0.1']",
            "[zones.a]\nnetworks = ['10.0.0.0/8']\nprobes = ['11.0.0.1:1']",
            "[zones.a]\nnets = []",
            "[zones.a]\n[[allow]]\nfrom = 'a'\nto = 'b'",
        ] {
            assert!(Zones::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Zones::parse("[zones.internet]\nprobes = ['192.0.2.1:443']").is_ok());
    }
}
