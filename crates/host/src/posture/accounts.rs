//! Who has root's rights, or can take them on.

use evidence::posture::Fact;

use super::{Found, entries, fact, list, text};
use crate::inventory::Root;

/// Groups whose members are administrators, or can become so by what they may do.
const GROUPS: &[&str] = &["sudo", "wheel", "admin", "docker", "lxd", "disk"];

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    vec![
        fact("superusers", superusers(root), &["/etc/passwd"]),
        fact("administrators", administrators(root), &["/etc/group", "/etc/passwd"]),
        fact("sudo-without-password", without_password(root), &["/etc/sudoers", "/etc/sudoers.d"]),
    ]
}

fn required(root: &Root, path: &str) -> Result<String, String> {
    text(root, path)?.ok_or_else(|| format!("/{path} is not there"))
}

/// Accounts with the number 0 (`passwd(5)`).
fn superusers(root: &Root) -> Found {
    let passwd = required(root, "etc/passwd")?;
    let zero = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (*fields.get(2)? == "0").then(|| (*fields.first().unwrap_or(&"")).to_owned())
    });
    Ok(list(zero.collect()))
}

/// Members of the groups, by list or as their own group (`group(5)`).
fn administrators(root: &Root) -> Found {
    let (groups, passwd) = (required(root, "etc/group")?, required(root, "etc/passwd")?);
    let mut found = Vec::new();
    for line in groups.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, members] = fields[..] else { continue };
        if !GROUPS.contains(&name) {
            continue;
        }
        let listed = members.split(',').filter(|member| !member.is_empty());
        let own = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.get(3) == Some(&number)).then(|| *fields.first().unwrap_or(&""))
        });
        found.extend(listed.chain(own).map(|member| format!("{member} ({name})")));
    }
    Ok(list(found))
}

/// Rules of `sudoers(5)` that ask nobody who they are. A line that goes on in the next is one.
fn without_password(root: &Root) -> Found {
    let mut files = vec![("etc/sudoers".into(), text(root, "etc/sudoers")?)];
    for path in entries(root, "etc/sudoers.d")? {
        // As sudo does: backups and packages' leftovers are not read.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains('.') && !name.ends_with('~') {
            files.push((path.clone(), text(root, &path)?));
        }
    }
    let mut found = Vec::new();
    for (_, content) in files {
        let joined = content.unwrap_or_default().replace("\\\n", " ");
        let rules = joined.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let free = rules.filter(|line| {
            line.contains("NOPASSWD") || line.split_whitespace().any(|word| word == "!authenticate")
        });
        found.extend(free.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    Ok(list(found))
}
