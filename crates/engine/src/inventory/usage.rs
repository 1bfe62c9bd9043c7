//! What recorded builds use of a machine, and what is installed and used by none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::bom::State;
use evidence::inventory::Section;
use evidence::purl::Purl;
use evidence::record::{Record, Role};
use evidence::{Digest, Timestamp};
use host::inventory::{PROBES, Root, Walk, owners_of_files, owners_of_links, walk};

use super::inventories;
use crate::error::{Error, Result};
use crate::records;
use crate::world::World;

/// One tool that a build ran or read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Used {
    /// The package that owns it; empty where none does.
    pub package: String,
    /// The file.
    pub path: String,
    /// Its digests in all records: more than one is drift.
    pub digests: BTreeSet<String>,
    /// The records, by number.
    pub records: BTreeSet<u64>,
}

/// Lists the toolchain of records with digests.
pub fn inventory_used(world: &World, names: &[String]) -> Result<Vec<Used>> {
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    for name in names {
        let view = records::show(world, name)?;
        for file in
            view.record.files.iter().filter(|file| file.role == Role::Toolchain && !file.read.is_empty())
        {
            let path = file.path.to_string();
            let entry = used.entry(path.clone()).or_insert_with(|| Used {
                package: file.package.clone().unwrap_or_default(),
                path,
                digests: BTreeSet::new(),
                records: BTreeSet::new(),
            });
            entry.digests.extend(file.read.iter().map(Digest::to_string));
            entry.records.insert(view.number);
        }
    }
    let mut list: Vec<Used> = used.into_values().collect();
    list.sort();
    Ok(list)
}

/// What no recorded build needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unused {
    /// The packages, the most dangerous first.
    pub packages: Vec<UnusedPackage>,
    /// Packages that builds used, directly.
    pub used: usize,
    /// Packages that stay because a used one, or the system itself, needs them.
    pub needed: usize,
    /// Records that were looked at.
    pub records: Vec<u64>,
    /// What of the removal list some record touches after all: must be empty.
    pub touched: Vec<String>,
    /// A recipe for an image that has what builds use, and nothing else; absent where the system has none.
    pub recipe: Option<String>,
}

/// One package that may go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnusedPackage {
    /// Its name.
    pub name: String,
    /// Its purl.
    pub purl: String,
    /// Why it should go first.
    pub dangers: Vec<&'static str>,
    /// Installed bytes, as the database says.
    pub size: u64,
}

/// Packages without which the system is none, whatever builds read. Those that dpkg refuses to remove say so themselves
/// (`Essential`); these start and mend it.
const SYSTEM: &[&str] = &[
    "apt",
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debconf",
    "debian-archive-keyring",
    "debianutils",
    "diffutils",
    "dpkg",
    "e2fsprogs",
    "findutils",
    "gpgv",
    "grep",
    "gzip",
    "hostname",
    "init",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "sed",
    "systemd",
    "systemd-sysv",
    "sysvinit-utils",
    "tar",
    "tzdata",
    "udev",
    "util-linux",
    "linux-image-amd64",
];
const NETWORK: &[&str] = &[
    "curl",
    "wget",
    "netcat-openbsd",
    "netcat-traditional",
    "nmap",
    "socat",
    "openssh-client",
    "openssh-server",
    "rsync",
    "telnet",
    "ftp",
    "tcpdump",
    "iproute2",
    "dnsutils",
    "bind9-dnsutils",
    "nfs-common",
    "samba",
    "cifs-utils",
];
const INTERPRETERS: &[&str] = &[
    "perl",
    "python",
    "ruby",
    "php",
    "lua",
    "node",
    "tcl",
    "guile",
    "openjdk",
    "default-jre",
    "mono",
    "erlang",
    "gawk",
];
const COMPILERS: &[&str] = &[
    "gcc",
    "g++",
    "clang",
    "llvm",
    "gfortran",
    "golang",
    "rustc",
    "ghc",
    "default-jdk",
    "fpc",
    "gnat",
    "ldc",
    "ocaml",
    "nasm",
    "binutils",
];

/// Finds what is installed by the system's package manager and not used by any record since a time.
pub fn inventory_unused(
    world: &World,
    since: Timestamp,
    root: &Path,
    cache: Option<&Path>,
) -> Result<Unused> {
    let fail = |source| Error::Read { path: root.to_path_buf(), source };
    let mut records = Vec::new();
    for row in records::records(world)? {
        let view = records::view(world, &row)?;
        if view.record.started >= since {
            records.push((view.number, view.record));
        }
    }
    let walked = walk(&Walk { root, cache, every_mount: false }).map_err(fail)?;
    let bom = walked.scan.finish().bom;
    let name_of = |purl: &str| {
        Purl::parse_lenient(purl).ok().filter(|purl| purl.kind() == "deb").map(|purl| purl.name().to_owned())
    };
    let mut used = used_names(&records, &name_of);
    let machine = Root::new(root).map_err(fail)?;
    // A program is called by a link, and the trace has the file behind it: the link's package is used as well.
    let files: BTreeSet<Vec<u8>> = records
        .iter()
        .flat_map(|(_, record)| &record.files)
        .filter(|file| !file.read.is_empty())
        .map(|file| file.path.as_bytes().to_vec())
        .collect();
    used.extend(owners_of_links(&machine, &files));
    let installed: BTreeMap<u32, &evidence::bom::Package> = (0_u32..)
        .zip(&bom.packages)
        .filter(|(_, package)| package.state == State::Installed && package.ecosystem() == Some("deb"))
        .collect();
    let mut needs: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (from, to) in &bom.relations {
        needs.entry(*from).or_default().push(*to);
    }
    // What is used or of the system stays, and all that it depends on.
    let mut waiting: Vec<u32> = installed
        .iter()
        .filter(|(_, package)| used.contains(package.name.as_ref()) || is_of_system(package))
        .map(|(place, _)| *place)
        .collect();
    let mut kept: BTreeSet<u32> = BTreeSet::new();
    while let Some(place) = waiting.pop() {
        if kept.insert(place) {
            waiting.extend(needs.get(&place).into_iter().flatten());
        }
    }
    let listening = listening(world)?;
    let privileged = privileged(&machine);
    let mut packages: Vec<UnusedPackage> = installed
        .iter()
        .filter(|(place, _)| !kept.contains(place))
        .map(|(_, package)| {
            let size = package.properties.iter().find(|property| property.name == "installed-kib");
            UnusedPackage {
                name: package.name.to_string(),
                purl: package.purl.as_deref().unwrap_or_default().to_owned(),
                dangers: dangers(&package.name, &listening, &privileged),
                size: size.and_then(|property| property.value.parse::<u64>().ok()).unwrap_or(0) * 1024,
            }
        })
        .collect();
    packages.sort_by(|a, b| (b.dangers.len(), b.size, &a.name).cmp(&(a.dangers.len(), a.size, &b.name)));
    let going: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let touched = records
        .iter()
        .flat_map(|(number, record)| record.files.iter().map(move |file| (number, file)))
        .filter_map(|(number, file)| {
            let name = name_of(file.package.as_deref()?)?;
            going.contains(name.as_str()).then(|| format!("r{number} reads {} of {name}", file.path))
        })
        .collect();
    let direct: Vec<&evidence::bom::Package> = installed
        .values()
        .filter(|package| used.contains(package.name.as_ref()) && !is_of_system(package))
        .copied()
        .collect();
    Ok(Unused {
        recipe: super::recipe::recipe(&machine, &direct, &records),
        used: used.len(),
        needed: kept.len(),
        records: records.iter().map(|(number, _)| *number).collect(),
        packages,
        touched,
    })
}

fn is_of_system(package: &evidence::bom::Package) -> bool {
    SYSTEM.contains(&package.name.as_ref())
        || package.properties.iter().any(|property| property.name == "essential")
}

fn used_names(records: &[(u64, Record)], name_of: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    records
        .iter()
        .flat_map(|(_, record)| &record.files)
        .filter_map(|file| name_of(file.package.as_deref()?))
        .collect()
}

/// Names of programs that listen, as the newest look at this store's machines saw them.
fn listening(world: &World) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if let Some((_, look)) = inventories(world)?.first()
        && let Some(digest) = look.sections.get("listening")
    {
        let section: Section = world.document("inventory section", digest)?;
        for item in section.items {
            let program = item.path.map(|path| path.to_string()).unwrap_or_default();
            names.extend(program.rsplit('/').next().map(str::to_owned));
        }
    }
    Ok(names)
}

/// Packages with files that give their user another's rights.
fn privileged(machine: &Root) -> BTreeSet<String> {
    let files = PROBES
        .iter()
        .filter(|probe| probe.section == "privileged-files")
        .flat_map(|probe| probe.facts(machine).items)
        .filter_map(|item| item.path.map(|path| path.as_bytes().to_vec()))
        .collect();
    owners_of_files(machine, &files)
}

fn dangers(name: &str, listening: &BTreeSet<String>, privileged: &BTreeSet<String>) -> Vec<&'static str> {
    let begins = |list: &[&str]| {
        list.iter().any(|known| {
            name == *known
                || name.strip_prefix(known).is_some_and(|rest| rest.starts_with(['-', '3', '2', '1', '.']))
        })
    };
    let mut dangers = Vec::new();
    if listening.iter().any(|program| !program.is_empty() && name.contains(program.as_str())) {
        dangers.push("listens");
    }
    if privileged.contains(name) {
        dangers.push("set-user-id");
    }
    if NETWORK.contains(&name) {
        dangers.push("network tool");
    }
    if begins(INTERPRETERS) {
        dangers.push("interpreter");
    }
    if begins(COMPILERS) {
        dangers.push("compiler");
    }
    dangers
}
