//! The smallest image that builds what was recorded: a recipe in the language of Dockerfiles.

use std::fmt::Write as _;
use std::path::Path;

use evidence::Record;
use evidence::bom::Package;
use host::inventory::Root;

/// Writes the recipe: the system as it is, and the packages that builds used, at their versions. What those depend on comes
/// along. `None` for a system that is not made of Debian packages.
pub(super) fn recipe(machine: &Root, packages: &[&Package], records: &[(u64, Record)]) -> Option<String> {
    let release = std::fs::read_to_string(machine.path().join("etc/os-release"))
        .or_else(|_| std::fs::read_to_string(machine.path().join("usr/lib/os-release")))
        .ok()?;
    let value = |name: &str| {
        let lines = release.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(word, _)| *word == name).map(|(_, value)| value.trim_matches('"')).next()
    };
    let (id, version) = (value("ID")?, value("VERSION_ID")?);
    let base = match id {
        "debian" => format!("debian:{version}-slim"),
        "ubuntu" => format!("ubuntu:{version}"),
        _ => return None,
    };
    let names: Vec<String> = records.iter().map(|(number, _)| format!("r{number}")).collect();
    let mut pins: Vec<String> =
        packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
    pins.sort();
    pins.dedup();
    let mut text = format!(
        "# What the builds {} used of the system. Pin the base by digest before you rely on it.\nFROM {base}\n",
        names.join(", ")
    );
    if !pins.is_empty() {
        // Writing to a string cannot fail.
        writeln!(
            text,
            "RUN apt-get update \\\n && apt-get install -y --no-install-recommends \\\n    {} \\\n && rm -rf /var/lib/apt/lists/*",
            pins.join(" \\\n    ")
        )
        .ok();
    }
    for tool in outside(records) {
        writeln!(text, "# of no package: {tool}").ok();
    }
    Some(text)
}

/// Tools that builds ran and that no package owns: they must come another way.
fn outside(records: &[(u64, Record)]) -> Vec<String> {
    let mut tools: Vec<String> = records
        .iter()
        .flat_map(|(_, record)| &record.files)
        .filter(|file| file.role == evidence::record::Role::Toolchain && file.package.is_none())
        .filter(|file| file.format.is_some() && !file.read.is_empty())
        .map(|file| file.path.to_string())
        .filter(|path| !Path::new(path).starts_with("/proc"))
        .collect();
    tools.sort();
    tools.dedup();
    tools
}
