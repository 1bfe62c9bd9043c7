//! What only the running machine can say: who listens, and what the kernel has loaded.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use evidence::inventory::Item;

use super::{Facts, Root};

const NOT_LIVE: &str = "only the running machine can tell";

/// Sockets that accept connections (`proc_net_tcp(5)`), with the program that holds them.
pub(super) fn listening(root: &Root, facts: &mut Facts) {
    if !root.is_live() {
        facts.gaps.push(format!("listening: {NOT_LIVE}"));
        return;
    }
    let owners = owners(facts);
    for (table, protocol, listens) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        let text = match fs::read_to_string(Path::new("/proc/net").join(table)) {
            Ok(text) => text,
            // A machine without IPv6 has no such table.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            Err(error) => {
                facts.gaps.push(format!("listening: the table `{table}` cannot be read: {error}"));
                continue;
            }
        };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            if *state != listens {
                continue;
            }
            let Some((address, port)) = address(local) else { continue };
            let mut item = Item::named(format!("{protocol} {address}:{port}"));
            match owners.get(*inode) {
                Some(program) => item = item.at(program.as_str()),
                None => item = item.with("program", "not known"),
            }
            facts.items.push(item);
        }
    }
}

/// `0100007F:1F90`: words of the address in the machine's own order of bytes, and the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..address.len() / 8)
        .map(|word| Some(u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, port))
}

/// The program of each socket, by the socket's inode.
fn owners(facts: &mut Facts) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    let mut hidden = 0;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(handles) = fs::read_dir(process.path().join("fd")) else {
            hidden += 1;
            continue;
        };
        for handle in handles.flatten() {
            let Ok(target) = fs::read_link(handle.path()) else { continue };
            let target = target.to_string_lossy();
            if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'))
                && let Ok(program) = fs::read_link(process.path().join("exe"))
            {
                owners.insert(inode.to_owned(), program.to_string_lossy().into_owned());
            }
        }
    }
    if hidden > 0 {
        facts.gaps.push(format!("{hidden} processes of other users do not show their sockets"));
    }
    owners
}

/// `proc_modules(5)`, and the kernel itself.
pub(super) fn modules(root: &Root, facts: &mut Facts) {
    if !root.is_live() {
        facts.gaps.push(format!("kernel-modules: {NOT_LIVE}"));
        return;
    }
    let mut kernel = Item::named("kernel");
    kernel.version = crate::facts().kernel;
    facts.items.push(kernel);
    let text = match fs::read_to_string("/proc/modules") {
        Ok(text) => text,
        Err(error) => {
            facts.gaps.push(format!("kernel-modules: the list cannot be read: {error}"));
            return;
        }
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(name) = words.first() {
            // Marks of modules that are not the distribution's: out of tree, unsigned, proprietary.
            let taint = words.get(6).copied().unwrap_or_default().trim_matches(['(', ')']);
            facts.items.push(Item::named(*name).with("taint", taint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_kernel_are_read() {
        let known = |text| address(text).map(|(address, port)| format!("{address}:{port}"));
        assert_eq!(known("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(known("00000000000000000000000001000000:0016").as_deref(), Some("::1:22"));
        assert_eq!(known("zz"), None);
    }
}
