//! Skills of agents: folders with a `SKILL.md` that tells an assistant what to do, often with scripts that it runs
//! (agentskills.io, "Specification"). They are instructions that run with a person's rights.

use std::path::{Path, PathBuf};

use evidence::inventory::Item;
use serde_json::Value;

use super::extensions::{item, json, name_of, text};
use super::{Facts, Root};

/// Folders of skills in a home, and whose they are.
const SKILLS: &[(&str, &str)] = &[
    (".agents/skills", "agents"),
    (".claude/skills", "claude-code"),
    (".codex/skills", "codex"),
    (".cursor/skills", "cursor"),
    (".gemini/skills", "gemini-cli"),
    (".copilot/skills", "copilot"),
    (".windsurf/skills", "windsurf"),
    (".codeium/windsurf/skills", "windsurf"),
    (".config/opencode/skills", "opencode"),
    (".config/opencode/skill", "opencode"),
    (".config/goose/skills", "goose"),
    (".config/agents/skills", "agents"),
];
/// Folders of skills for everybody.
const OF_ALL: &[(&str, &str)] = &[("etc/codex/skills", "codex"), ("etc/claude-code/skills", "claude-code")];
/// Where plug-ins lie, which have folders `skills` of their own.
const PLUGINS: &[(&str, &str)] =
    &[(".claude/plugins", "claude-code plug-in"), (".cursor/plugins", "cursor plug-in")];
/// What the `skills` program has installed, and from where.
const LOCKS: &[&str] = &[".agents/.skill-lock.json", ".local/state/skills/.skill-lock.json"];

/// Folders of plug-ins that are looked through, and how deep.
const FOLDERS_MAX: usize = 5_000;
const DEPTH_MAX: usize = 6;
/// Files of a skill that are counted.
const FILES_MAX: usize = 2_000;

pub(super) fn read(root: &Root, facts: &mut Facts) {
    for (folder, of) in OF_ALL {
        skills(root, Path::new(folder), of, facts);
    }
    for home in root.homes(facts) {
        for (folder, of) in SKILLS {
            skills(root, &home.join(folder), of, facts);
        }
        for (folder, of) in PLUGINS {
            plugins(root, &home.join(folder), of, facts);
        }
        for lock in LOCKS {
            locked(root, &home.join(lock), facts);
        }
    }
}

/// Each folder with a `SKILL.md` in it.
fn skills(root: &Root, folder: &Path, of: &str, facts: &mut Facts) {
    for skill in root.list(folder, facts) {
        let manifest = skill.join("SKILL.md");
        let Some(bytes) = root.read(&manifest, facts) else { continue };
        let fields = front_matter(&String::from_utf8_lossy(&bytes));
        let field =
            |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let name = Some(field("name"))
            .filter(|name| !name.is_empty())
            .map_or_else(|| name_of(&skill), str::to_owned);
        let mut found: Item = item(name, &skill, of);
        found.version = field("version").to_owned();
        found.digest = Some(evidence::Digest::of(&bytes));
        let (files, scripts) = files(root, &skill, facts);
        facts.items.push(
            found
                .with("description", field("description"))
                .with("license", field("license"))
                .with("allowed-tools", field("allowed-tools"))
                .with("files", files.to_string())
                .with("scripts", scripts.join(" ")),
        );
    }
}

/// The scalars between two lines of dashes at the beginning (YAML), at the top or in `metadata`.
fn front_matter(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Vec::new();
    }
    let lines = lines.take_while(|line| line.trim_end() != "---").take(200);
    let fields = lines.filter_map(|line| line.split_once(':')).map(|(key, value)| {
        let value = value.trim().trim_matches(['"', '\'']);
        (key.trim().to_owned(), value.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    });
    fields.filter(|(_, value)| !value.is_empty()).collect()
}

/// How many files a skill has, and which of them are scripts.
fn files(root: &Root, skill: &Path, facts: &mut Facts) -> (usize, Vec<String>) {
    const SCRIPTS: &[&str] = &["bash", "bat", "cjs", "js", "mjs", "pl", "ps1", "py", "rb", "sh", "ts"];
    let (mut count, mut scripts) = (0, Vec::new());
    let mut waiting: Vec<(PathBuf, usize)> = vec![(skill.to_path_buf(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        for entry in root.list(&path, facts) {
            if count >= FILES_MAX {
                facts.gaps.push(format!("{}: more than {FILES_MAX} files", skill.display()));
                return (count, scripts);
            }
            if root.resolve(&entry).is_some_and(|path| path.is_dir()) {
                if depth < DEPTH_MAX {
                    waiting.push((entry, depth + 1));
                }
                continue;
            }
            count += 1;
            let is_script = entry.extension().is_some_and(|end| SCRIPTS.iter().any(|known| end == *known));
            if is_script && scripts.len() < 50 {
                scripts.extend(entry.strip_prefix(skill).ok().map(|path| path.display().to_string()));
            }
        }
    }
    scripts.sort();
    (count, scripts)
}

/// Folders `skills` below plug-ins, wherever a marketplace puts them.
fn plugins(root: &Root, folder: &Path, of: &str, facts: &mut Facts) {
    let mut waiting: Vec<(PathBuf, usize)> = vec![(folder.to_path_buf(), 0)];
    let mut seen = 0;
    while let Some((path, depth)) = waiting.pop() {
        seen += 1;
        if seen > FOLDERS_MAX {
            facts.gaps.push(format!("{}: more than {FOLDERS_MAX} folders", folder.display()));
            return;
        }
        for entry in root.list(&path, facts) {
            let name = name_of(&entry);
            // A link is not followed: it may lead above where we are.
            let is_folder = root.resolve(&path).is_some_and(|path| {
                std::fs::symlink_metadata(path.join(&name)).is_ok_and(|facts| facts.is_dir())
            });
            if name == "skills" {
                skills(root, &entry, of, facts);
            } else if is_folder && depth < DEPTH_MAX && !matches!(name.as_str(), ".git" | "node_modules") {
                waiting.push((entry, depth + 1));
            }
        }
    }
}

/// `{"skills": {NAME: {"source": "owner/repository", "skillFolderHash": …}}}`.
fn locked(root: &Root, path: &Path, facts: &mut Facts) {
    let Some(lock) = json(root, path, facts) else { return };
    for (name, skill) in lock.get("skills").and_then(Value::as_object).into_iter().flatten() {
        facts.items.push(
            item(name.clone(), path, "skills")
                .with("source", text(skill, "source"))
                .with("source-url", text(skill, "sourceUrl"))
                .with("folder-hash", text(skill, "skillFolderHash"))
                .with("installed", text(skill, "installedAt")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::front_matter;

    #[test]
    fn front_matter_is_between_dashes() {
        let text =
            "---\nname: pdf\ndescription: \"Reads: all\"\nmetadata:\n  version: '1.2'\n---\nname: other\n";
        let fields = front_matter(text);
        let pairs: Vec<(&str, &str)> =
            fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("name", "pdf"), ("description", "Reads: all"), ("version", "1.2")]);
        assert!(front_matter("# name: x\n").is_empty());
    }
}
