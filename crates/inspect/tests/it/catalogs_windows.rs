//! Windows catalogs: images that have no signature of their own are held against what is signed beside them.

use std::fs;
use std::path::Path;
use std::process::Command;

use evidence::tree::CodeSignature;
use evidence::{Digest, Tree};
use forge::{PeImage, image_digest, zip_stored};
use inspect::{Budget, Opened, Wishes, open_with};

use crate::{find, open};

fn run(folder: &Path, script: &str) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A driver, a text, and a signed catalog of both.
struct Driver {
    keep: tempfile::TempDir,
    image: Vec<u8>,
    catalog: Vec<u8>,
}

const TEXT: &[u8] = b"[Version]\r\nCatalogFile=app.cat\r\n";

fn driver() -> Driver {
    let keep = tempfile::tempdir().unwrap();
    // No multiple of eight: what is missing counts as zeros.
    let image = PeImage { content: vec![0x90; 5000], ..PeImage::default() }.bytes();
    let image = [image.as_slice(), b"tail!"].concat();
    let list = forge::catalog(&[
        ("app.sys", image_digest(&image)),
        ("app.inf", Digest::of(TEXT).as_bytes().to_vec()),
    ]);
    fs::write(keep.path().join("plain.cat"), &list).unwrap();
    fs::write(keep.path().join("app.sys"), &image).unwrap();
    run(
        keep.path(),
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj '/O=Example/CN=Signer' 2>/dev/null
         openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 30 -subj '/CN=Other' 2>/dev/null
         osslsigncode sign -h sha256 -certs cert.pem -key key.pem -in plain.cat -out app.cat >/dev/null",
    );
    let catalog = fs::read(keep.path().join("app.cat")).unwrap();
    Driver { keep, image, catalog }
}

fn of_image<'a>(tree: &'a Tree, name: &str) -> Option<&'a CodeSignature> {
    let mut found = None;
    let mut waiting = vec![&tree.root];
    while let Some(node) = waiting.pop() {
        if node.name.as_bytes() == name.as_bytes() {
            found = node.executables.first().and_then(|image| image.signature.as_ref());
        }
        waiting.extend(&node.members);
    }
    found
}

#[test]
fn an_image_is_signed_by_the_catalog_beside_it() {
    let Driver { keep, image, catalog } = driver();
    // A peer agrees that this is what the catalog lists.
    run(keep.path(), "osslsigncode verify -catalog app.cat -CAfile cert.pem -in app.sys >/dev/null");
    let members: [(&str, &[u8]); 3] =
        [("drv/app.sys", &image), ("drv/app.inf", TEXT), ("drv/app.cat", &catalog)];
    let tree = open("driver.zip", &zip_stored(&members).unwrap());
    assert_eq!(tree.problems, []);
    let own = find(&tree, "app.cat").signature.unwrap();
    assert_eq!((own.kind.as_str(), own.organisation.as_deref()), ("catalog", Some("Example")));
    assert_eq!((own.signature_valid, &own.uncovered[..]), (Some(true), &[][..]));
    let facts = of_image(&tree, "drv/app.sys").unwrap();
    assert_eq!((facts.kind.as_str(), facts.identifier.as_deref()), ("catalog", Some("drv/app.cat")));
    assert_eq!((facts.digest_matches, facts.signature_valid), (Some(true), Some(true)));
    assert_eq!(facts.organisation.as_deref(), Some("Example"));
    assert!(find(&tree, "app.inf").content.is_none_or(|content| content.stale.is_none()));
}

#[test]
fn what_the_catalog_does_not_list_is_not_signed_and_what_it_names_otherwise_is_told() {
    let Driver { image, catalog, .. } = driver();
    let mut changed = image.clone();
    changed[4000] ^= 1;
    let text = [TEXT, b"; more"].concat();
    let members: [(&str, &[u8]); 5] = [
        ("drv/app.sys", &changed),
        ("drv/app.inf", &text),
        ("drv/app.cat", &catalog),
        ("drv/unknown.sys", &changed),
        ("else/app.sys", &changed),
    ];
    let tree = open("driver.zip", &zip_stored(&members).unwrap());
    for (name, is_told) in
        [("drv/app.sys", true), ("drv/app.inf", true), ("drv/unknown.sys", false), ("else/app.sys", false)]
    {
        assert!(of_image(&tree, name).is_none(), "{name}");
        let stale = find(&tree, name).content.and_then(|content| content.stale);
        assert_eq!(stale.map(|stale| stale.source), is_told.then(|| "drv/app.cat".to_owned()), "{name}");
    }
    // The list was changed after it had been signed.
    let place = catalog.windows(8).position(|bytes| bytes == &Digest::of(TEXT).as_bytes()[..8]).unwrap();
    let mut forged = catalog.clone();
    forged[place + 3] ^= 1;
    let members: [(&str, &[u8]); 2] = [("app.sys", &image), ("app.cat", &forged)];
    let tree = open("driver.zip", &zip_stored(&members).unwrap());
    assert_eq!(find(&tree, "app.cat").signature.unwrap().signature_valid, Some(false));
    assert_eq!(of_image(&tree, "app.sys").unwrap().signature_valid, Some(false));
}

#[test]
fn a_given_catalog_is_asked_and_followed_to_a_root() {
    let Driver { keep, image, catalog } = driver();
    let look = |bytes: &[u8], root: Option<&str>| {
        let mut wishes = Wishes::default();
        assert!(wishes.add_catalog("app.cat", &catalog));
        assert!(!wishes.add_catalog("app.sys", &image));
        if let Some(root) = root {
            assert_eq!(wishes.add_roots(&fs::read(keep.path().join(root)).unwrap()), 1);
        }
        fs::write(keep.path().join("now"), bytes).unwrap();
        let what = Opened::<std::iter::Empty<_>>::File(fs::File::open(keep.path().join("now")).unwrap());
        open_with(&"x".into(), what, &wishes, &mut Budget::default()).unwrap()
    };
    let inside = zip_stored(&[("deep/other-name.sys", image.as_slice())]).unwrap();
    let tree = look(&inside, Some("cert.pem"));
    let facts = of_image(&tree, "deep/other-name.sys").unwrap();
    assert_eq!((facts.kind.as_str(), facts.leads_to_root), ("catalog", Some(true)));
    assert_eq!(of_image(&look(&image, Some("other.pem")), "x").unwrap().leads_to_root, Some(false));
    assert_eq!(of_image(&look(&image, None), "x").unwrap().leads_to_root, None);
    let mut changed = image.clone();
    changed[4000] ^= 1;
    assert!(of_image(&look(&changed, None), "x").is_none());
}

#[test]
fn broken_catalogs_end() {
    let Driver { image, catalog, .. } = driver();
    for place in (0..catalog.len()).step_by(3) {
        let mut damaged = catalog.clone();
        damaged[place] ^= 0x41;
        let members: [(&str, &[u8]); 2] = [("app.cat", &damaged), ("app.sys", &image)];
        let tree = open("driver.zip", &zip_stored(&members).unwrap());
        // It is no signature any more, or one that does not verify, or only what no digest is over was changed.
        if let Some(facts) = of_image(&tree, "app.sys") {
            assert_eq!(facts.digest_matches, Some(true));
        }
    }
    for cut in (0..catalog.len()).step_by(5) {
        open("app.cat", &catalog[..cut]);
    }
    let large = [catalog.as_slice(), &vec![0; 9 << 20]].concat();
    let tree = open("app.cat", &large);
    assert_eq!(tree.problems[0].detail, "a catalog larger than is read");
}
