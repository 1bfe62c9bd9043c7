//! Pacman's and Homebrew's databases, Bun's lock file; models of machine learning.

use evidence::bom::{Kind, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::loose::{Either, List, Table, Text};
use super::npm;
use super::{Cataloger, Input, Pattern};
use crate::bytes::{le32, le64};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "pacman", wants: &[Pattern::Name("desc")], read: pacman },
    Cataloger { name: "homebrew", wants: &[Pattern::Name("INSTALL_RECEIPT.json")], read: homebrew },
    Cataloger { name: "bun-lock", wants: &[Pattern::Name("bun.lock")], read: bun },
    Cataloger {
        name: MODEL,
        wants: &[
            Pattern::Extension("safetensors"),
            Pattern::Extension("gguf"),
            Pattern::Extension("pkl"),
            Pattern::Extension("pickle"),
            Pattern::Extension("pt"),
            Pattern::Extension("pth"),
            Pattern::Extension("ckpt"),
            Pattern::Extension("onnx"),
        ],
        read: model,
    },
];

/// The cataloger that needs no more than the beginning of a file.
pub(super) const MODEL: &str = "model-file";

/// `%NAME%` and its lines, for each package in `var/lib/pacman/local/NAME-VERSION/desc`.
fn pacman(input: &Input, found: &mut Found) {
    if !input.path.contains("pacman/local/") {
        return;
    }
    let text = input.text();
    let section = |name: &str| -> Vec<&str> {
        let lines = text.lines().skip_while(|line| *line != name).skip(1);
        lines.take_while(|line| !line.is_empty()).collect()
    };
    let first = |name: &str| section(name).first().copied().unwrap_or_default();
    let (name, version) = (first("%NAME%"), first("%VERSION%"));
    if name.is_empty() || version.is_empty() {
        return found.problem("malformed-pacman-database", "without a name or a version");
    }
    let plain = |text: &str| text.split(['=', '<', '>', ':']).next().unwrap_or(text).to_owned();
    let mut stated = Stated::new("alpm", name, version, State::Installed).qualified("arch", first("%ARCH%"));
    stated.supplier = Some(first("%PACKAGER%").to_owned()).filter(|text| !text.is_empty());
    section("%LICENSE%").iter().for_each(|text| stated.licence(text));
    stated.provides = section("%PROVIDES%").into_iter().map(plain).collect();
    let Some(place) = found.take(stated) else { return };
    found.needs.extend(section("%DEPENDS%").into_iter().map(|text| (place, plain(text))));
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Receipt {
    source: Either<Source>,
    runtime_dependencies: List<Runtime>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source {
    tap: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Runtime {
    full_name: Text,
}

/// `Cellar/NAME/VERSION/INSTALL_RECEIPT.json`.
fn homebrew(input: &Input, found: &mut Found) {
    let mut folders = input.path.rsplit('/').skip(1);
    let (Some(version), Some(name), Some("Cellar")) = (folders.next(), folders.next(), folders.next()) else {
        return;
    };
    let Some(receipt) = found.json::<Receipt>(input.bytes) else { return };
    let tap = receipt.source.0.unwrap_or_default().tap.take();
    let stated = Stated::new("brew", name, version, State::Installed);
    let Some(place) = found.take(stated.in_space(tap)) else { return };
    let needs = receipt.runtime_dependencies.0.into_iter().map(|need| need.full_name.take());
    found.needs.extend(needs.map(|name| (place, name)));
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Bun {
    packages: Table<List<serde_json::Value>>,
}

/// JSON with commas before closing brackets: `"name": ["name@1.0.0", "", {dependencies}, "sha512-…"],`.
fn bun(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Bun>(&without_last_commas(input.bytes)) else { return };
    for list in lock.packages.0.into_values() {
        let texts: Vec<&str> = list.0.iter().filter_map(serde_json::Value::as_str).collect();
        let Some(full) = texts.first() else { continue };
        let at = full.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
        let Some(at) = at else { continue };
        let (name, version) = (&full[..at], &full[at + 1..]);
        if !version.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let mut stated = npm::package(name, version, State::Locked);
        stated.integrity(texts.last().copied().unwrap_or_default());
        found.take(stated);
    }
}

/// Removes commas outside of texts behind which nothing but a closing bracket follows.
fn without_last_commas(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let (mut in_text, mut escaped, mut comma) = (false, false, None);
    for byte in bytes {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else {
            match byte {
                b'"' => (in_text, comma) = (true, None),
                b',' => comma = Some(out.len()),
                b']' | b'}' => {
                    if let Some(at) = comma.take() {
                        out[at] = b' ';
                    }
                }
                byte if byte.is_ascii_whitespace() => {}
                _ => comma = None,
            }
        }
        out.push(*byte);
    }
    out
}

/// Files of models. Those that are programs in disguise say so: to load a pickle is to run it.
fn model(input: &Input, found: &mut Found) {
    let bytes = input.bytes;
    let stem = input.name().rsplit_once('.').map_or(input.name(), |(stem, _)| stem);
    let stated =
        |format: &str| Stated::new("", stem, "", State::Installed).kind(Kind::Model).with("format", format);
    let pickled = |bytes: &[u8]| matches!(bytes, [0x80, 2..=5, ..]);
    let extension = input.name().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if bytes.starts_with(b"GGUF") {
        let tensors = le64(bytes, 8).unwrap_or(0).to_string();
        let version = le32(bytes, 4).unwrap_or(0).to_string();
        let name = gguf_text(bytes, b"general.name").unwrap_or_default();
        let mut package = stated("gguf").with("gguf-version", version).with("tensors", tensors);
        package = package.with("architecture", gguf_text(bytes, b"general.architecture").unwrap_or_default());
        package.licence(&gguf_text(bytes, b"general.license").unwrap_or_default());
        found.take(package.with("title", name));
    } else if extension == "safetensors" {
        // Eight bytes of length, and a JSON object.
        let length = le64(bytes, 0).unwrap_or(u64::MAX);
        if bytes.get(8) == Some(&b'{') && length < 100 << 20 {
            found.take(stated("safetensors"));
        } else {
            found.problem("malformed-safetensors", "it has no header");
        }
    } else if pickled(bytes) {
        found.take(stated("pickle").with("runs-code-when-loaded", "true"));
    } else if bytes.starts_with(b"PK\x03\x04") && memchr::memmem::find(bytes, b"data.pkl").is_some() {
        found.take(stated("pytorch-pickle").with("runs-code-when-loaded", "true"));
    } else if extension == "onnx" && bytes.first() == Some(&8) {
        found.take(stated("onnx"));
    }
}

/// Finds a text of a GGUF file's metadata: the key, the type 8, a length, the text.
fn gguf_text(bytes: &[u8], key: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(bytes, key)? + key.len();
    if le32(bytes, at)? != 8 {
        return None;
    }
    let length = usize::try_from(le64(bytes, at + 4)?).ok().filter(|length| *length < 1000)?;
    let text = bytes.get(at + 12..at + 12 + length)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn pacman_is_read() {
        let bash = b"%NAME%\nbash\n\n%VERSION%\n5.2.015-1\n\n%ARCH%\nx86_64\n\n%LICENSE%\nGPL\n\n%DEPENDS%\nglibc>=2.3\n";
        let glibc = b"%NAME%\nglibc\n\n%VERSION%\n2.38-3\n\n%ARCH%\nx86_64\n";
        let catalog = scan(&[
            ("var/lib/pacman/local/bash-5.2.015-1/desc", bash),
            ("var/lib/pacman/local/glibc-2.38-3/desc", glibc),
            ("etc/os-release", b"ID=arch\n"),
        ]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:alpm/arch/bash@5.2.015-1?arch=x86_64&distro=arch",
                "pkg:alpm/arch/glibc@2.38-3?arch=x86_64&distro=arch"
            ]
        );
        assert_eq!(relations(&catalog), [("bash", "glibc")]);
    }

    #[test]
    fn homebrew_is_read() {
        let text = br#"{"homebrew_version":"4.1","runtime_dependencies":[{"full_name":"ca-certificates","version":"1"}],"source":{"tap":"homebrew/core"}}"#;
        let catalog = scan(&[("opt/homebrew/Cellar/openssl@3/3.1.3/INSTALL_RECEIPT.json", text)]);
        assert_eq!(purls(&catalog), ["pkg:brew/homebrew/core/openssl%403@3.1.3"]);
    }

    #[test]
    fn bun_is_read() {
        let text = b"{\n  \"lockfileVersion\": 1,\n  \"packages\": {\n    \"ms\": [\"ms@2.1.3\", \"\", {}, \"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=\"],\n    \"@s/a\": [\"@s/a@1.0.0\", \"\", { \"dependencies\": { \"ms\": \",}\", }, }, \"\"],\n    \"w\": [\"w@workspace:w\"],\n  },\n}\n";
        assert_eq!(purls(&scan(&[("bun.lock", text)])), ["pkg:npm/%40s/a@1.0.0", "pkg:npm/ms@2.1.3"]);
    }

    #[test]
    fn models_are_named_with_their_format() {
        let gguf = [
            b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0".as_slice(),
            b"general.name",
            &8_u32.to_le_bytes(),
            &4_u64.to_le_bytes(),
            b"Tiny",
        ]
        .concat();
        for (name, bytes, format) in [
            ("m.gguf", gguf.as_slice(), "gguf"),
            ("m.safetensors", b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
            ("m.pkl", b"\x80\x04\x95", "pickle"),
        ] {
            let catalog = scan(&[(name, bytes)]);
            let package = &catalog.bom.packages[0];
            assert_eq!(package.kind.word(), "machine-learning-model");
            assert!(
                package.properties.iter().any(|p| p.name == "format" && p.value.as_ref() == format),
                "{name}"
            );
        }
        assert_eq!(scan(&[("m.safetensors", b"x")]).problems[0].kind, "malformed-safetensors");
    }
}
