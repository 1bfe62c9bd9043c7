//! Postures of machines that are made here, folder by folder.

use std::fs;
use std::path::Path;

use evidence::posture::{Fact, Value};

use super::*;

struct Machine(tempfile::TempDir);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self(folder);
        for (path, content) in files {
            machine.write(path, content);
        }
        machine
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn facts(&self) -> Vec<Fact> {
        let by_text = |_, a: &str, b: &str| Some(a.cmp(b));
        posture(&Root::new(self.0.path()).unwrap(), 2_000_000_000, &by_text)
    }

    fn value(&self, name: &str) -> Value {
        self.facts().into_iter().find(|fact| fact.name == name).unwrap().value
    }
}

fn listed(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn a_fact_is_there_even_if_nothing_is_known_and_unknown_is_no_pass() {
    let empty = Machine::new(&[]);
    let names: Vec<String> = empty.facts().into_iter().map(|fact| fact.name).collect();
    let live: Vec<String> = posture(&Root::new(Path::new("/")).unwrap(), 0, &|_, _, _| None)
        .into_iter()
        .map(|fact| fact.name)
        .collect();
    assert_eq!(names, live);
    for name in [
        "secure-boot",
        "unencrypted-mounts",
        "clock-synchronised",
        "edr-running",
        "superusers",
        "pending-updates",
    ] {
        assert!(matches!(empty.value(name), Value::Unknown(_)), "{name}");
    }
}

#[test]
fn accounts_and_sudo() {
    let machine = Machine::new(&[
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\nbob:x:1001:27::/home/bob:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nsudo:x:27:anna\ndocker:x:999:anna\nusers:x:100:bob\n"),
        (
            "etc/sudoers",
            "# anna ALL=(ALL) NOPASSWD: ALL\n%sudo ALL=(ALL) ALL\nci ALL=(ALL) \\\n  NOPASSWD: ALL\n",
        ),
        ("etc/sudoers.d/deploy", "Defaults:deploy !authenticate\n"),
        ("etc/sudoers.d/old.bak", "x ALL=(ALL) NOPASSWD: ALL\n"),
    ]);
    assert_eq!(machine.value("superusers"), listed(&["root", "toor"]));
    assert_eq!(machine.value("administrators"), listed(&["anna (docker)", "anna (sudo)", "bob (sudo)"]));
    assert_eq!(
        machine.value("sudo-without-password"),
        listed(&["Defaults:deploy !authenticate", "ci ALL=(ALL) NOPASSWD: ALL"])
    );
}

#[test]
fn settings_of_sshd_hold_in_their_order() {
    let machine = Machine::new(&[]);
    assert_eq!(machine.value("ssh-root-login"), Value::Word("not-installed".into()));
    assert_eq!(machine.value("ssh-password-login"), Value::Flag(false));
    machine.write("usr/sbin/sshd", "");
    assert_eq!(machine.value("ssh-root-login"), Value::Word("prohibit-password".into()), "the default");
    assert_eq!(machine.value("ssh-password-login"), Value::Flag(true), "the default");
    machine.write(
        "etc/ssh/sshd_config",
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin yes\nPasswordAuthentication yes\n",
    );
    machine.write(
        "etc/ssh/sshd_config.d/10.conf",
        "PermitRootLogin no\npasswordauthentication=no\nKbdInteractiveAuthentication no\n",
    );
    machine.write("etc/ssh/sshd_config.d/20.conf.off", "PermitEmptyPasswords yes\n");
    assert_eq!(machine.value("ssh-root-login"), Value::Word("no".into()), "the first holds");
    assert_eq!(machine.value("ssh-password-login"), Value::Flag(false));
    assert_eq!(machine.value("ssh-empty-passwords"), Value::Flag(false));
    machine.write("etc/ssh/sshd_config.d/30.conf", "Match User deploy\n PasswordAuthentication yes\n");
    assert_eq!(machine.value("ssh-password-login"), Value::Flag(true), "somebody may");
    machine.write("etc/ssh/sshd_config.d/40.conf", "Include /etc/ssh/sshd_config.d/40.conf\n");
    assert!(matches!(machine.value("ssh-root-login"), Value::Unknown(_)), "a circle");
}

#[test]
fn updates_wait_by_the_lists_of_the_machine() {
    let package = |name: &str, version: &str, more: &str| {
        format!("Package: {name}\n{more}Architecture: amd64\nVersion: {version}\nDescription: x\n y: z\n\n")
    };
    let ok = "Status: install ok installed\n";
    let machine = Machine::new(&[(
        "var/lib/dpkg/status",
        &[
            package("curl", "7", ok),
            package("zlib1g", "2", ok),
            package("gone", "1", "Status: deinstall ok config-files\n"),
        ]
        .concat(),
    )]);
    assert!(matches!(machine.value("pending-updates"), Value::Unknown(_)), "nothing was fetched");
    machine.write(
        "var/lib/apt/lists/deb_dists_stable_main_Packages",
        [package("curl", "8", ""), package("gone", "9", "")].concat(),
    );
    machine.write("var/lib/apt/lists/deb_dists_stable-security_main_Packages", package("zlib1g", "3", ""));
    assert_eq!(machine.value("pending-updates"), Value::Number(2));
    assert_eq!(machine.value("pending-security-updates"), listed(&["zlib1g 2 -> 3"]));
    machine.write("var/cache/apt/pkgcache.bin", "");
    assert!(matches!(machine.value("package-lists-age-days"), Value::Number(days) if days > 100));
    machine.write("var/lib/apt/lists/deb_dists_stable_main_Packages.lz4", "");
    assert!(matches!(machine.value("pending-updates"), Value::Unknown(_)), "a list that is not read");
    machine.write("var/lib/apt/lists/deb_dists_stable_main_Packages.lz4", packed(&package("curl", "9", "")));
    assert_eq!(machine.value("pending-updates"), Value::Number(2));
}

/// Compresses as gzip: one stored block (RFC 1951, section 3.2.4).
fn packed(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 });
    }
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(text.bytes());
    bytes.extend((!crc).to_le_bytes());
    bytes.extend(u32::from(length).to_le_bytes());
    bytes
}

#[test]
fn updates_of_alpine_and_of_rpm() {
    let installed = "P:musl\nV:1.2.4-r0\nA:x86_64\n\nP:zlib\nV:1.3\nA:x86_64\n";
    let machine = Machine::new(&[("lib/apk/db/installed", installed)]);
    assert!(matches!(machine.value("pending-updates"), Value::Unknown(_)), "nothing was fetched");
    let index = "P:musl\nV:1.2.5-r0\nA:x86_64\n\nP:zlib\nV:1.3\nA:x86_64\n\nP:other\nV:9\nA:x86_64\n";
    let mut tar = vec![0_u8; 512];
    tar[..8].copy_from_slice(b"APKINDEX");
    tar[124..136].copy_from_slice(format!("{:011o}\0", index.len()).as_bytes());
    tar.extend(index.bytes());
    tar.resize(1024, 0);
    machine.write("var/cache/apk/APKINDEX.00.tar.gz", packed(std::str::from_utf8(&tar).unwrap()));
    assert_eq!(machine.value("pending-updates"), Value::Number(1));
    assert!(
        matches!(machine.value("pending-security-updates"), Value::Unknown(_)),
        "no list says what is for security"
    );
    assert!(matches!(machine.value("package-lists-age-days"), Value::Number(days) if days > 100));

    let machine = Machine::new(&[("var/lib/rpm/rpmdb.sqlite", "no database")]);
    let primary = "<metadata><package><name>bash</name><arch>x86_64</arch><version epoch=\"0\" ver=\"5\" rel=\"1\"/></package></metadata>";
    machine.write("var/cache/libdnf5/fedora-00/repodata/00-primary.xml.gz", packed(primary));
    assert!(matches!(machine.value("pending-updates"), Value::Unknown(why) if why.contains("rpmdb")));
    assert!(matches!(Machine::new(&[]).value("pending-updates"), Value::Unknown(_)));
}

#[test]
fn filters_and_locks() {
    let machine =
        Machine::new(&[("etc/passwd", "anna:x:1000:1000::/home/anna:/bin/sh\n"), ("home/anna/.profile", "")]);
    assert_eq!(machine.value("firewall"), Value::Flag(false));
    machine.write("etc/ufw/ufw.conf", "ENABLED=yes\n");
    assert_eq!(machine.value("firewall"), Value::Flag(true));
    machine.write("home/anna/.config/kscreenlockerrc", "[Daemon]\nAutolock=false\n");
    assert_eq!(machine.value("sessions-without-lock"), listed(&[]), "nobody sees a screen");
    machine.write("usr/share/xsessions/plasma.desktop", "");
    assert_eq!(machine.value("sessions-without-lock"), listed(&["/home/anna: .config/kscreenlockerrc"]));
    machine.write("etc/dconf/db/local.d/00-lock", "[org/gnome/desktop/session]\nidle-delay=uint32 0\n");
    assert!(matches!(machine.value("sessions-without-lock"), Value::List(items) if items.len() == 2));
    machine.write("home/anna/.config/dconf/user", "GVariant\0lock-enabled");
    assert!(matches!(machine.value("sessions-without-lock"), Value::Unknown(_)));
}

#[test]
fn agents_are_installed_or_not() {
    let machine = Machine::new(&[("usr/bin/falco", ""), ("opt/CrowdStrike/falcond", "")]);
    assert_eq!(machine.value("edr-installed"), listed(&["CrowdStrike Falcon", "Falco"]));
    assert!(matches!(machine.value("edr-stopped"), Value::Unknown(_)));
}
