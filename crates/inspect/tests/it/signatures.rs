//! Signatures of containers, made by the tools that people use.

use std::fs;
use std::path::Path;
use std::process::Command;

use evidence::Tree;
use evidence::tree::CodeSignature;

use crate::open;

const INSTALLER: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
<Product Name="demo" Id="ABCDDCBA-86C7-4D14-AEC0-86416A69ABDE" UpgradeCode="ABCDDCBA-7349-453F-94F6-BCB5110BA4FD"
 Language="1033" Codepage="1252" Version="1.0.0" Manufacturer="example">
<Package Id="*" InstallerVersion="200" Compressed="yes" SummaryCodepage="1252"/>
<Media Id="1" Cabinet="demo.cab" EmbedCab="yes"/>
<Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="ProgramFilesFolder"><Directory Id="INSTALLDIR" Name="demo">
<Component Id="Main" Guid="ABCDDCBA-83F1-4F22-985B-FDB3C8ABD471"><File Id="File" Name="content.txt" Source="content.txt" KeyPath="yes"/></Component>
</Directory></Directory></Directory>
<Feature Id="Complete" Level="1"><ComponentRef Id="Main"/></Feature>
</Product></Wix>
"#;

fn run(folder: &Path, script: &str) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn opened(folder: &Path, name: &str) -> Tree {
    open(name, &fs::read(folder.join(name)).unwrap())
}

fn signature(tree: &Tree) -> &CodeSignature {
    tree.root.signature.as_deref().unwrap()
}

#[test]
fn a_signed_installer_database_verifies_and_bytes_in_it_are_seen() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(at.join("plain.wxs"), INSTALLER).unwrap();
    fs::write(at.join("content.txt"), "stored content ".repeat(400)).unwrap();
    run(at, "wixl -o plain.msi plain.wxs");
    run(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj '/O=Example/CN=Signer' 2>/dev/null
         osslsigncode sign -h sha256 -certs cert.pem -key key.pem -in plain.msi -out signed.msi
         osslsigncode sign -h sha256 -add-msi-dse -certs cert.pem -key key.pem -in plain.msi -out extended.msi",
    );
    assert!(opened(at, "plain.msi").root.signature.is_none());
    for name in ["signed.msi", "extended.msi"] {
        let tree = opened(at, name);
        let facts = signature(&tree);
        assert_eq!((facts.kind.as_str(), facts.organisation.as_deref()), ("msi", Some("Example")), "{name}");
        assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)), "{name}");
        assert_eq!(facts.uncovered, [], "{name}");
        // One byte of the cabinet inside.
        let mut bytes = fs::read(at.join(name)).unwrap();
        let place = bytes.windows(4).position(|window| window == b"MSCF").unwrap();
        bytes[place + 100] ^= 1;
        let changed = open(name, &bytes);
        assert_eq!(signature(&changed).digest_matches, Some(false), "{name}");
    }
}

#[test]
fn a_signed_java_archive_verifies_and_a_class_more_is_seen() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::create_dir_all(at.join("org/example")).unwrap();
    fs::write(at.join("org/example/A.class"), b"\xca\xfe\xba\xbe\0\0\0\x41A").unwrap();
    fs::write(at.join("org/example/B.class"), b"\xca\xfe\xba\xbe\0\0\0\x41B").unwrap();
    run(
        at,
        "keytool -genkeypair -alias k -keyalg RSA -keystore ks -storepass changeit -dname 'CN=Signer, O=Example' >/dev/null 2>&1
         jar cf plain.jar org/example/A.class
         cp plain.jar signed.jar
         jarsigner -keystore ks -storepass changeit signed.jar k >/dev/null
         cp signed.jar more.jar && jar uf more.jar org/example/B.class
         cp signed.jar other.jar && printf '\\312\\376\\272\\276\\0\\0\\0AX' > org/example/A.class && jar uf other.jar org/example/A.class",
    );
    assert!(opened(at, "plain.jar").root.signature.is_none());
    let tree = opened(at, "signed.jar");
    let facts = signature(&tree);
    assert_eq!((facts.kind.as_str(), facts.organisation.as_deref()), ("jar", Some("Example")));
    assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)));
    assert_eq!(facts.uncovered, []);
    let more = opened(at, "more.jar");
    let places: Vec<&str> = signature(&more).uncovered.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["member `org/example/B.class`"]);
    let other = opened(at, "other.jar");
    let class = crate::find(&other, "A.class");
    assert_eq!(class.content.unwrap().stale.unwrap().source, "META-INF/MANIFEST.MF");
}

#[test]
fn page_hashes_are_recomputed_and_a_chain_is_followed_to_a_root() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    let image = forge::PeImage { content: vec![0x90; 9000], ..forge::PeImage::default() };
    fs::write(at.join("plain.exe"), image.bytes()).unwrap();
    run(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj '/CN=Root' 2>/dev/null
         openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 30 -subj '/CN=Root' 2>/dev/null
         openssl req -newkey rsa:2048 -nodes -keyout key.pem -out leaf.csr -subj '/O=Example/CN=Signer' 2>/dev/null
         openssl x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 20 -out leaf.pem 2>/dev/null
         openssl x509 -in root.pem -outform DER -out root.der
         for hash in sha1 sha256; do osslsigncode sign -ph -h $hash -certs leaf.pem -key key.pem -in plain.exe -out $hash.exe >/dev/null; done",
    );
    let to_roots = |name: &str, bytes: &[u8], roots: &[&str]| {
        let mut wishes = inspect::Wishes::default();
        for root in roots {
            assert_eq!(wishes.add_roots(&fs::read(at.join(root)).unwrap()), 1);
        }
        fs::write(at.join("now.exe"), bytes).unwrap();
        let file = fs::File::open(at.join("now.exe")).unwrap();
        let what = inspect::Opened::<std::iter::Empty<_>>::File(file);
        let tree = inspect::open_with(&name.into(), what, &wishes, &mut inspect::Budget::default()).unwrap();
        tree.root.executables[0].signature.clone().unwrap()
    };
    for name in ["sha1.exe", "sha256.exe"] {
        let bytes = fs::read(at.join(name)).unwrap();
        let facts = to_roots(name, &bytes, &[]);
        assert_eq!((facts.digest_matches, facts.page_hashes_match), (Some(true), Some(true)), "{name}");
        assert_eq!((facts.leads_to_root, facts.valid_when_signed), (None, None));
        assert_eq!(to_roots(name, &bytes, &["root.pem"]).leads_to_root, Some(true));
        assert_eq!(to_roots(name, &bytes, &["other.pem", "root.der"]).leads_to_root, Some(true));
        // The same name, and another key.
        assert_eq!(to_roots(name, &bytes, &["other.pem"]).leads_to_root, Some(false));
        let mut changed = bytes.clone();
        changed[0x1000] ^= 1;
        assert_eq!(to_roots(name, &changed, &[]).page_hashes_match, Some(false), "{name}");
    }
    assert_eq!(inspect::Wishes::default().add_roots(b"no certificate"), 0);
}

#[test]
fn a_certificate_more_is_seen_unless_a_certificate_of_the_chain_made_it() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(at.join("plain.exe"), forge::PeImage::default().bytes()).unwrap();
    run(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj '/CN=Root' 2>/dev/null
         for name in leaf sibling; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name 2>/dev/null
            openssl x509 -req -in $name.csr -CA root.pem -CAkey root.key -CAcreateserial -days 20 -out $name.pem 2>/dev/null
         done
         openssl req -x509 -newkey rsa:2048 -nodes -keyout fake.key -out fake.pem -days 30 -subj '/CN=Root' 2>/dev/null
         openssl x509 -req -in sibling.csr -CA fake.pem -CAkey fake.key -CAcreateserial -days 20 -out stranger.pem 2>/dev/null
         for name in sibling stranger; do
            cat leaf.pem root.pem $name.pem > $name.chain
            osslsigncode sign -h sha256 -certs $name.chain -key leaf.key -in plain.exe -out $name.exe >/dev/null
         done",
    );
    let stray = |name: &str| {
        let tree = opened(at, name);
        tree.root.executables[0].signature.clone().unwrap().stray_certificates
    };
    assert_eq!(stray("sibling.exe").len(), 0);
    assert_eq!(stray("stranger.exe").into_iter().collect::<Vec<_>>(), ["sibling"]);
}

/// Opens a file, following signatures and timestamps to given roots.
fn with_roots(folder: &Path, name: &str, bytes: &[u8], roots: &[&str], stamps: &[&str]) -> CodeSignature {
    let mut wishes = inspect::Wishes::default();
    for root in roots {
        assert_eq!(wishes.add_roots(&fs::read(folder.join(root)).unwrap()), 1);
    }
    for root in stamps {
        assert_eq!(wishes.add_timestamp_roots(&fs::read(folder.join(root)).unwrap()), 1);
    }
    fs::write(folder.join("now"), bytes).unwrap();
    let file = fs::File::open(folder.join("now")).unwrap();
    let what = inspect::Opened::<std::iter::Empty<_>>::File(file);
    let tree = inspect::open_with(&name.into(), what, &wishes, &mut inspect::Budget::default()).unwrap();
    let of_image = || tree.root.executables.first().and_then(|image| image.signature.clone());
    tree.root.signature.as_deref().cloned().or_else(of_image).unwrap()
}

/// Two authorities, a signer below the first, and a certificate for timestamps below the second.
const AUTHORITIES: &str = "
    for name in root tsa; do
        openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.pem -days 30 -subj /CN=$name 2>/dev/null
    done
    issue() {
        openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj \"/O=Example/CN=$1\" 2>/dev/null
        printf 'extendedKeyUsage=%s\\n' \"$3\" > ext
        openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 20 -extfile ext -out $1.leaf 2>/dev/null
        cat $1.leaf $2.pem > $1.pem
    }
    issue signer root codeSigning
    issue stamp tsa critical,timeStamping
";

#[test]
fn a_signed_cabinet_verifies_and_what_the_signature_leaves_out_is_named() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    let text = b"stored content ".repeat(40);
    fs::write(at.join("plain.cab"), crate::samples::cab(0, &[("x.txt", &text)], &[&text])).unwrap();
    run(at, AUTHORITIES);
    run(
        at,
        "for hash in sha1 sha256; do osslsigncode sign -h $hash -certs signer.pem -key signer.key -in plain.cab -out $hash.cab >/dev/null; done",
    );
    assert!(opened(at, "plain.cab").root.signature.is_none());
    for name in ["sha1.cab", "sha256.cab"] {
        let bytes = fs::read(at.join(name)).unwrap();
        let tree = open(name, &bytes);
        assert_eq!(tree.problems, [], "{name}");
        let facts = signature(&tree);
        assert_eq!((facts.kind.as_str(), facts.signer.as_deref()), ("cab", Some("signer")), "{name}");
        assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)), "{name}");
        assert_eq!((&facts.uncovered[..], facts.bytes_after_table), (&[][..], 0), "{name}");
        assert_eq!(with_roots(at, name, &bytes, &["root.pem"], &[]).leads_to_root, Some(true));
        assert_eq!(with_roots(at, name, &bytes, &["tsa.pem"], &[]).leads_to_root, Some(false));
        let start = u32::from_le_bytes(*bytes[44..].first_chunk().unwrap()) as usize;
        // Each byte of the file is covered, is named, is zero padding, or belongs to the signature.
        for place in (8..start).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[place] ^= 0x55;
            let tree = open(name, &changed);
            let Some(facts) = tree.root.signature.as_deref() else {
                // The place of the signature, or whether there is one.
                assert!((30..32).contains(&place) || (36..52).contains(&place), "{name}: {place}");
                continue;
            };
            let seen = facts.digest_matches != Some(true)
                || facts.signature_valid != Some(true)
                || !facts.uncovered.is_empty();
            assert!(seen, "{name}: a change at {place} is not seen");
        }
        let mut appended = bytes.clone();
        appended.extend_from_slice(b"appended");
        let facts = open(name, &appended).root.signature.unwrap();
        assert_eq!(facts.digest_matches, Some(true));
        let places: Vec<_> =
            facts.uncovered.iter().map(|one| (one.place.as_str(), one.offset, one.size)).collect();
        assert_eq!(places, [("behind the signature", bytes.len() as u64, 8)]);
        // Hidden behind the PKCS#7, inside the size that the header gives.
        let mut stuffed = bytes.clone();
        stuffed.extend_from_slice(&forge::noise(1, 4096));
        let size = u32::from_le_bytes(*bytes[48..].first_chunk().unwrap()) + 4096;
        stuffed[48..52].copy_from_slice(&size.to_le_bytes());
        let facts = open(name, &stuffed).root.signature.unwrap();
        assert_eq!(facts.digest_matches, Some(true));
        assert!(facts.uncovered[0].place == "behind the PKCS#7" && facts.uncovered[0].size >= 4096);
    }
}

#[test]
fn timestamps_are_followed_to_a_root_of_their_own() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(at.join("plain.exe"), forge::PeImage::default().bytes()).unwrap();
    let text = b"stored content ".repeat(40);
    fs::write(at.join("plain.cab"), crate::samples::cab(0, &[("x.txt", &text)], &[&text])).unwrap();
    fs::write(at.join("plain.wxs"), INSTALLER).unwrap();
    fs::write(at.join("content.txt"), "stored content ".repeat(400)).unwrap();
    run(at, "wixl -o plain.msi plain.wxs");
    run(at, AUTHORITIES);
    run(
        at,
        "for kind in exe cab msi; do
            osslsigncode sign -h sha256 -certs signer.pem -key signer.key -TSA-certs stamp.pem -TSA-key stamp.key -in plain.$kind -out stamp.$kind >/dev/null
         done",
    );
    for kind in ["exe", "cab", "msi"] {
        let bytes = fs::read(at.join(format!("stamp.{kind}"))).unwrap();
        let facts = with_roots(at, kind, &bytes, &["root.pem"], &["tsa.pem"]);
        assert_eq!(facts.uncovered, [], "{kind}");
        assert_eq!((facts.timestamp_valid, facts.valid_when_signed), (Some(true), Some(true)), "{kind}");
        assert_eq!(facts.timestamp_signer.as_deref(), Some("stamp"), "{kind}");
        assert_eq!((facts.leads_to_root, facts.timestamp_leads_to_root), (Some(true), Some(true)), "{kind}");
        let other = with_roots(at, kind, &bytes, &["tsa.pem"], &["root.pem"]);
        assert_eq!(
            (other.leads_to_root, other.timestamp_leads_to_root),
            (Some(false), Some(false)),
            "{kind}"
        );
        let unasked = with_roots(at, kind, &bytes, &[], &[]);
        assert_eq!((unasked.leads_to_root, unasked.timestamp_leads_to_root), (None, None), "{kind}");
    }
    // A changed time: the token no longer verifies, and says nothing.
    let mut bytes = fs::read(at.join("stamp.exe")).unwrap();
    let year: String = with_roots(at, "exe", &bytes, &[], &[]).signed_at.unwrap()[..4].to_owned();
    // `GeneralizedTime` with its tag and length.
    let mark = [&[0x18, 0x0f][..], year.as_bytes()].concat();
    let places: Vec<usize> =
        (0..bytes.len() - 6).filter(|place| bytes[*place..].starts_with(&mark)).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place + 3] ^= 1;
    }
    let changed = with_roots(at, "exe", &bytes, &[], &["tsa.pem"]);
    assert_eq!((changed.timestamp_valid, changed.signed_at), (Some(false), None));
}
