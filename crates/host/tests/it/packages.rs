use std::fs;

use evidence::BytePath;
use host::packages::Packages;

#[test]
fn files_are_traced_to_their_packages() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path().canonicalize().unwrap();
    let write = |path: &str, content: &str| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        BytePath::new(path.into_os_string().into_encoded_bytes())
    };
    write("app/node_modules/@s/left/package.json", r#"{"name": "@s/left", "version": "1.3.0"}"#);
    let script = write("app/node_modules/@s/left/index.js", "");
    let source = write("registry/src/index-1/tiny-1.2.3/src/lib.rs", "");
    write("lib/site-packages/Mod_x-2.0.dist-info/METADATA", "Name: Mod_x\nVersion: 2.0\n");
    write("lib/site-packages/Mod_x-2.0.dist-info/RECORD", "modx/__init__.py,sha256=x,1\n");
    let module = write("lib/site-packages/modx/__init__.py", "");
    let stray = write("lib/site-packages/stray.py", "");
    let shell = BytePath::new(fs::canonicalize("/bin/sh").unwrap().into_os_string().into_encoded_bytes());
    let found = Packages::read().owners(&[&script, &source, &module, &stray, &shell]);
    let owner = |path: &BytePath| found.by_path.get(path).map(String::as_str);
    assert_eq!(owner(&script), Some("pkg:npm/%40s/left@1.3.0"));
    assert_eq!(owner(&source), Some("pkg:cargo/tiny@1.2.3"));
    assert_eq!(owner(&module), Some("pkg:pypi/mod-x@2.0"));
    assert_eq!(owner(&stray), None);
    if std::path::Path::new("/var/lib/dpkg/status").exists() {
        assert!(owner(&shell).unwrap().starts_with("pkg:deb/debian/dash@"), "{:?}", owner(&shell));
        assert_eq!(found.components.len(), 4);
    }
    assert!(found.components.iter().all(|component| !component.evidence.is_empty()));
    let cargo = found.components.iter().find(|component| component.ecosystem == "cargo").unwrap();
    assert!(cargo.evidence.iter().all(|path| path.as_bytes().ends_with(b"/tiny-1.2.3")));
}
