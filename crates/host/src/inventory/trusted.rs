//! Whom the machine trusts, and what opens doors on it. Of keys and tokens only fingerprints and kinds are taken: a secret never
//! gets into an inventory.

use std::path::{Path, PathBuf};

use evidence::inventory::Item;
use evidence::{BytePath, Digest};

use super::{Facts, Root};

fn item(name: impl Into<String>, path: &Path) -> Item {
    Item::named(name).at(BytePath::new(path.as_os_str().as_encoded_bytes()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Folders of root certificates, and whether a person has put them there.
const ROOTS: &[(&str, bool)] = &[
    ("usr/local/share/ca-certificates", true),
    ("etc/pki/ca-trust/source/anchors", true),
    ("usr/share/pki/ca-trust-source/anchors", true),
    ("usr/share/ca-certificates/mozilla", false),
    ("etc/pki/ca-trust/extracted/pem", false),
    ("etc/ssl/certs", false),
];

/// Root certificates: those added by people one by one, of the system's own the bundle.
pub(super) fn roots(root: &Root, facts: &mut Facts) {
    for (folder, added) in ROOTS {
        for path in root.list(folder, facts) {
            let name = name_of(&path);
            let bundle = matches!(name.as_str(), "ca-certificates.crt" | "tls-ca-bundle.pem");
            if !added && !bundle {
                continue;
            }
            let Some(bytes) = root.read(&path, facts) else { continue };
            let count = String::from_utf8_lossy(&bytes).matches("-----BEGIN CERTIFICATE-----").count();
            let mut found = item(name, &path)
                .with("added", if *added { "true" } else { "false" })
                .with("certificates", count.to_string());
            found.digest = Some(Digest::of(&bytes));
            facts.items.push(found);
        }
    }
}

/// Who may log in by key, and which keys lie here.
pub(super) fn ssh_keys(root: &Root, facts: &mut Facts) {
    for home in root.homes(facts) {
        let folder = home.join(".ssh");
        for file in ["authorized_keys", "authorized_keys2"] {
            let path = folder.join(file);
            for line in root.text(&path, facts).unwrap_or_default().lines() {
                public_key(line, &path, "may log in", facts);
            }
        }
        for path in root.list(&folder, facts) {
            let name = name_of(&path);
            if name.ends_with(".pub") {
                for line in root.text(&path, facts).unwrap_or_default().lines() {
                    public_key(line, &path, "own key", facts);
                }
            } else if name.starts_with("id_") {
                // Whether it is encrypted is said by its own header; the key itself is not looked at.
                let text = root.text(&path, facts).unwrap_or_default();
                let is_key = text.starts_with("-----BEGIN");
                if is_key {
                    facts.items.push(item(name, &path).with("kind", "private key"));
                }
            }
        }
    }
}

/// `[options] type BASE64 comment`: the fingerprint is the SHA-256 of the key's bytes, as `ssh-keygen -l` prints it.
fn public_key(line: &str, path: &Path, kind: &str, facts: &mut Facts) {
    if line.trim_start().starts_with('#') {
        return;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let types = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
    let Some(at) = words.iter().position(|word| types.iter().any(|start| word.starts_with(start))) else {
        return;
    };
    let Some(bytes) = words.get(at + 1).and_then(|text| inspect::catalog::base64(text)) else { return };
    let fingerprint = Digest::of(&bytes).to_string();
    let comment = words.get(at + 2..).unwrap_or_default().join(" ");
    let algorithm = words.get(at).copied().unwrap_or_default();
    let mut found =
        item(fingerprint, path).with("kind", kind).with("algorithm", algorithm).with("comment", comment);
    if at > 0 {
        found = found.with("options", words.get(..at).unwrap_or_default().join(" "));
    }
    facts.items.push(found);
}

/// Files in a home that hold credentials of build and release tools; a mark says that the file really holds one.
const CREDENTIALS: &[(&str, &str, &str)] = &[
    (".npmrc", "_authToken", "npm token"),
    (".pypirc", "password", "PyPI token"),
    (".cargo/credentials.toml", "token", "crates.io token"),
    (".cargo/credentials", "token", "crates.io token"),
    (".docker/config.json", "\"auth\"", "registry password"),
    (".aws/credentials", "aws_secret_access_key", "AWS key"),
    (".config/gcloud/application_default_credentials.json", "refresh_token", "Google Cloud token"),
    (".azure/msal_token_cache.json", "secret", "Azure token"),
    (".kube/config", "client-key-data", "Kubernetes key"),
    (".netrc", "password", "password"),
    (".git-credentials", "://", "git password"),
    (".config/gh/hosts.yml", "oauth_token", "GitHub token"),
    (".m2/settings.xml", "<password>", "Maven password"),
    (".gradle/gradle.properties", "assword", "Gradle password"),
    (".nuget/NuGet/NuGet.Config", "ClearTextPassword", "NuGet password"),
    (".gem/credentials", "rubygems_api_key", "RubyGems token"),
    (".vault-token", "", "Vault token"),
    (".terraform.d/credentials.tfrc.json", "token", "Terraform token"),
    (".gnupg/private-keys-v1.d", "", "OpenPGP keys"),
];

pub(super) fn credentials(root: &Root, facts: &mut Facts) {
    for home in root.homes(facts) {
        for (file, mark, kind) in CREDENTIALS {
            let path: PathBuf = home.join(file);
            if root.resolve(&path).is_some_and(|path| path.is_dir()) {
                let count = root.list(&path, facts).len();
                if count > 0 {
                    facts.items.push(item(*kind, &path).with("files", count.to_string()));
                }
                continue;
            }
            let Some(text) = root.text(&path, facts) else { continue };
            if text.contains(mark) && !text.trim().is_empty() {
                facts.items.push(item(*kind, &path));
            }
        }
    }
}

/// Settings of package managers: where packages come from, and whether scripts of packages run.
const SETTINGS: &[&str] = &[
    "etc/npmrc",
    "etc/pip.conf",
    "etc/apt/sources.list",
    "etc/yum.conf",
    "etc/dnf/dnf.conf",
    "etc/pacman.conf",
    "etc/apk/repositories",
];
const SETTINGS_OF_HOME: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".config/pnpm/rc",
    ".bunfig.toml",
    ".config/pip/pip.conf",
    ".pip/pip.conf",
    ".config/uv/uv.toml",
    ".cargo/config.toml",
    ".cargo/config",
    ".m2/settings.xml",
    ".gradle/init.gradle",
    ".bundle/config",
    ".config/composer/config.json",
    ".config/go/env",
    ".condarc",
];
const SETTINGS_FOLDERS: &[&str] = &["etc/apt/sources.list.d", "etc/yum.repos.d", "etc/apt/preferences.d"];
/// Words in lines that may hold secrets.
const SECRET: &[&str] =
    &["token", "password", "passwd", "secret", "_auth", "apikey", "api_key", "credential"];
/// Settings of one file.
const LINES_MAX: usize = 200;

pub(super) fn settings(root: &Root, facts: &mut Facts) {
    let mut files: Vec<PathBuf> = SETTINGS.iter().map(|file| Path::new("/").join(file)).collect();
    for folder in SETTINGS_FOLDERS {
        files.extend(root.list(folder, facts));
    }
    for home in root.homes(facts) {
        files.extend(SETTINGS_OF_HOME.iter().map(|file| home.join(file)));
    }
    for path in files {
        let Some(text) = root.text(&path, facts) else { continue };
        for (number, line) in text.lines().enumerate().take(LINES_MAX) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';', '!', '<', '{', '}']) || line.starts_with("//") {
                continue;
            }
            let lower = line.to_lowercase();
            let secret = SECRET.iter().any(|word| lower.contains(word))
                || (line.contains("://") && line.contains('@'));
            let shown = if secret { line.split(['=', ':']).next().unwrap_or_default() } else { line };
            let mut found =
                item(name_of(&path), &path).with("line", format!("{:04}", number + 1)).with("says", shown);
            if secret {
                found = found.with("hidden", "true");
            }
            facts.items.push(found);
        }
    }
}
