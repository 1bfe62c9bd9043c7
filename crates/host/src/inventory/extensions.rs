//! What people add to editors, browsers and assistants: code that runs with their rights and updates itself.

use std::path::{Path, PathBuf};

use evidence::inventory::Item;
use serde_json::Value;

use super::{Facts, Root};

/// Folders of extensions in a home, with the editor.
const EDITORS: &[(&str, &str)] = &[
    (".vscode/extensions", "vscode"),
    (".vscode-server/extensions", "vscode-server"),
    (".vscode-oss/extensions", "vscodium"),
    (".vscode-insiders/extensions", "vscode-insiders"),
    (".cursor/extensions", "cursor"),
    (".cursor-server/extensions", "cursor-server"),
    (".windsurf/extensions", "windsurf"),
    (".windsurf-server/extensions", "windsurf-server"),
];

/// Folders whose every folder is a plug-in.
const PLUGINS: &[(&str, &str)] = &[
    (".vim/pack", "vim-pack"),
    (".vim/plugged", "vim"),
    (".vim/bundle", "vim"),
    (".local/share/nvim/lazy", "neovim"),
    (".local/share/nvim/plugged", "neovim"),
    (".config/sublime-text/Packages", "sublime-text"),
];

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) fn json(root: &Root, path: &Path, facts: &mut Facts) -> Option<Value> {
    let bytes = root.read(path, facts)?;
    // Settings of editors have comments and commas at the end: what cannot be parsed is a gap.
    serde_json::from_slice(&bytes)
        .map_err(|error| facts.gaps.push(format!("{}: {error}", path.display())))
        .ok()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn item(name: String, path: &Path, of: &str) -> Item {
    Item::named(name).at(evidence::BytePath::new(path.as_os_str().as_encoded_bytes())).with("of", of)
}

pub(super) fn editors(root: &Root, facts: &mut Facts) {
    studio_of_all(root, facts);
    for home in root.homes(facts) {
        for (folder, editor) in EDITORS {
            for extension in root.list(home.join(folder), facts) {
                let manifest = extension.join("package.json");
                let Some(manifest) = json(root, &manifest, facts) else { continue };
                let (publisher, name) = (text(&manifest, "publisher"), text(&manifest, "name"));
                let full = format!("{publisher}.{name}").to_lowercase();
                let mut found = item(full, &extension, editor);
                found.version = text(&manifest, "version").to_owned();
                found.purl = Some(format!(
                    "pkg:vscode-extension/{}/{}@{}",
                    publisher.to_lowercase(),
                    name.to_lowercase(),
                    found.version
                ));
                facts.items.push(found);
            }
        }
        for (folder, editor) in PLUGINS {
            for plugin in root.list(home.join(folder), facts) {
                facts.items.push(item(name_of(&plugin), &plugin, editor));
            }
        }
        // `VisualStudio/17.0_INSTANCE/Extensions/…/extension.vsixmanifest`.
        for instance in root.list(home.join("AppData/Local/Microsoft/VisualStudio"), facts) {
            studio(root, &instance.join("Extensions"), facts);
        }
        for product in root.list(home.join(".local/share/JetBrains"), facts) {
            for plugin in root.list(&product, facts) {
                facts.items.push(item(
                    name_of(&plugin),
                    &plugin,
                    &format!("jetbrains {}", name_of(&product)),
                ));
            }
        }
    }
}

/// Extensions of Visual Studio for all users: `Program Files/Microsoft Visual Studio/2022/EDITION/Common7/IDE/Extensions`.
fn studio_of_all(root: &Root, facts: &mut Facts) {
    for programs in ["Program Files", "Program Files (x86)"] {
        for year in root.list(Path::new(programs).join("Microsoft Visual Studio"), facts) {
            for edition in root.list(&year, facts) {
                studio(root, &edition.join("Common7/IDE/Extensions"), facts);
            }
        }
    }
}

/// Extensions lie one to three folders deep: `Extensions/ID`, `Extensions/Publisher/Name/1.0`.
fn studio(root: &Root, folder: &Path, facts: &mut Facts) {
    const DEPTH: usize = 3;
    let mut waiting: Vec<(PathBuf, usize)> =
        root.list(folder, facts).into_iter().map(|path| (path, 1)).collect();
    while let Some((path, depth)) = waiting.pop() {
        let manifest = path.join("extension.vsixmanifest");
        if let Some(bytes) = root.read(&manifest, facts) {
            match inspect::packages::studio_extension(&bytes) {
                Some(known) => {
                    let mut found = item(known.id, &path, "visual-studio");
                    found.version = known.version;
                    facts.items.push(found.with("publisher", known.publisher).with("title", known.title));
                }
                None => facts.gaps.push(format!("{}: it has no identity", manifest.display())),
            }
        } else if depth < DEPTH {
            waiting.extend(root.list(&path, facts).into_iter().map(|path| (path, depth + 1)));
        }
    }
}

/// Folders of profiles of browsers that are made from Chromium.
const CHROMIUM: &[(&str, &str)] = &[
    (".config/google-chrome", "chrome"),
    (".config/chromium", "chromium"),
    (".config/microsoft-edge", "edge"),
    (".config/BraveSoftware/Brave-Browser", "brave"),
    (".config/vivaldi", "vivaldi"),
    ("Library/Application Support/Google/Chrome", "chrome"),
    ("Library/Application Support/Chromium", "chromium"),
    ("Library/Application Support/Microsoft Edge", "edge"),
    ("Library/Application Support/BraveSoftware/Brave-Browser", "brave"),
    ("AppData/Local/Google/Chrome/User Data", "chrome"),
    ("AppData/Local/Microsoft/Edge/User Data", "edge"),
    ("AppData/Local/BraveSoftware/Brave-Browser/User Data", "brave"),
];

/// Folders of profiles of Firefox.
const FIREFOX: &[&str] = &[
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
    "AppData/Roaming/Mozilla/Firefox/Profiles",
];

pub(super) fn browsers(root: &Root, facts: &mut Facts) {
    for home in root.homes(facts) {
        for (folder, browser) in CHROMIUM {
            for profile in root.list(home.join(folder), facts) {
                for extension in root.list(profile.join("Extensions"), facts) {
                    for version in root.list(&extension, facts) {
                        let Some(manifest) = json(root, &version.join("manifest.json"), facts) else {
                            continue;
                        };
                        let mut found = item(name_of(&extension), &version, browser);
                        found.version = text(&manifest, "version").to_owned();
                        found.purl = Some(format!("pkg:chrome-extension/{}@{}", found.name, found.version));
                        let list = manifest.get("permissions").and_then(Value::as_array);
                        let list: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
                        facts.items.push(
                            found.with("title", text(&manifest, "name")).with("permissions", list.join(" ")),
                        );
                    }
                }
            }
        }
        for profile in
            FIREFOX.iter().flat_map(|folder| root.list(home.join(folder), facts)).collect::<Vec<_>>()
        {
            let path = profile.join("extensions.json");
            let Some(list) = json(root, &path, facts) else { continue };
            for addon in list.get("addons").and_then(Value::as_array).into_iter().flatten() {
                let mut found = item(text(addon, "id").to_owned(), &path, "firefox");
                found.version = text(addon, "version").to_owned();
                let active = addon.get("active").and_then(Value::as_bool).unwrap_or(false);
                facts
                    .items
                    .push(found.with("active", active.to_string()).with("from", text(addon, "sourceURI")));
            }
        }
    }
}

/// Files in a home that name servers of the Model Context Protocol.
const MCP: &[(&str, &str)] = &[
    (".cursor/mcp.json", "cursor"),
    (".config/Claude/claude_desktop_config.json", "claude-desktop"),
    (".claude.json", "claude-code"),
    (".codeium/windsurf/mcp_config.json", "windsurf"),
    ("Library/Application Support/Claude/claude_desktop_config.json", "claude-desktop"),
    ("AppData/Roaming/Claude/claude_desktop_config.json", "claude-desktop"),
    (".config/Code/User/mcp.json", "vscode"),
    ("Library/Application Support/Code/User/mcp.json", "vscode"),
    ("AppData/Roaming/Code/User/mcp.json", "vscode"),
    (".vscode/mcp.json", "vscode"),
    (".gemini/settings.json", "gemini-cli"),
    (".config/zed/settings.json", "zed"),
    (".mcp.json", "project"),
];

/// The servers with their commands. Of variables only the names are taken: their values are secrets.
pub(super) fn mcp_servers(root: &Root, facts: &mut Facts) {
    for home in root.homes(facts) {
        for (file, of) in MCP {
            let path: PathBuf = home.join(file);
            let Some(settings) = json(root, &path, facts) else { continue };
            for key in ["mcpServers", "servers", "context_servers"] {
                for (name, server) in settings.get(key).and_then(Value::as_object).into_iter().flatten() {
                    let arguments = server.get("args").and_then(Value::as_array);
                    let arguments: Vec<&str> =
                        arguments.into_iter().flatten().filter_map(Value::as_str).collect();
                    let variables = server.get("env").and_then(Value::as_object);
                    let variables: Vec<&str> =
                        variables.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    let command = format!("{} {}", text(server, "command"), arguments.join(" "));
                    facts.items.push(
                        item(name.clone(), &path, of)
                            .with("command", command.trim())
                            .with("url", text(server, "url"))
                            .with("variables", variables.join(" ")),
                    );
                }
            }
        }
    }
}
