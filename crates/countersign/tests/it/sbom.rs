//! `sbom` and `inventory`: the same bytes for the same input, nothing lost between forms, the no as well as the yes.

use std::fs;

use serde_json::Value;

use crate::peers::{python, says};
use crate::sandbox::Sandbox;

const LOCK: &str = "version = 3\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"log\", \"memchr\"]\n\
    [[package]]\nname = \"log\"\nversion = \"0.4.20\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
    checksum = \"b5e6163cb8c49088c2c36f57875e58ccd8c87c7427f7fbd50ea6710b2f3f2e8f\"\n\
    [[package]]\nname = \"memchr\"\nversion = \"2.7.1\"\nsource = \"registry+x\"\ndependencies = [\"log\"]\n";

/// A folder with an installed package, a lock file, and a lock file among tests.
fn project() -> Sandbox {
    let sandbox = Sandbox::bare();
    for folder in ["p/tests/data", "p/node_modules/@s/a", "p/etc", "p/var/lib/dpkg"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    sandbox.write("p/Cargo.lock", LOCK);
    sandbox.write("p/tests/data/Cargo.lock", "[[package]]\nname = \"only-tested\"\nversion = \"9.9.9\"\n");
    sandbox.write(
        "p/node_modules/@s/a/package.json",
        r#"{"name":"@s/a","version":"1.0.0","license":"(MIT OR Foo)","author":"A B <a@b.invalid> (https://x.invalid)"}"#,
    );
    sandbox.write("p/etc/os-release", "ID=debian\nVERSION_ID=12\n");
    sandbox.write(
        "p/var/lib/dpkg/status",
        "Package: libc6\nStatus: install ok installed\nMaintainer: GNU Libc (all of them) <g@x.invalid>\nArchitecture: amd64\nVersion: 2.36-9+deb12u4\n",
    );
    sandbox
}

fn packages(document: &[u8]) -> Vec<String> {
    let document: Value = serde_json::from_slice(document).unwrap();
    let mut purls: Vec<String> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|component| Some(component["purl"].as_str()?.to_owned()))
        .collect();
    purls.sort();
    purls
}

const EXPECTED: [&str; 5] = [
    "pkg:cargo/app@0.1.0",
    "pkg:cargo/log@0.4.20",
    "pkg:cargo/memchr@2.7.1",
    "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
    "pkg:npm/%40s/a@1.0.0",
];

#[test]
fn the_same_folder_has_the_same_bytes_and_no_form_loses_a_package() {
    let sandbox = project();
    for (format, file) in [("cyclonedx-json", "c.json"), ("spdx-json", "s.json"), ("spdx3-json", "t.json")] {
        sandbox.ok(&["sbom", "p", "--format", format, "--output", file]);
        let first = sandbox.read(file);
        sandbox.ok(&["sbom", "p", "--format", format, "--output", file, "--no-cache"]);
        assert_eq!(first, sandbox.read(file), "{format}");
        sandbox.ok(&["sbom", "convert", file, "--output", "back.json"]);
        let back = sandbox.read("back.json");
        assert_eq!(packages(&back), EXPECTED, "{format}");
        let back: Value = serde_json::from_slice(&back).unwrap();
        let of = |purl: &str| -> Value {
            back["components"].as_array().unwrap().iter().find(|one| one["purl"] == purl).unwrap().clone()
        };
        assert_eq!(
            of("pkg:cargo/log@0.4.20")["evidence"]["occurrences"][0]["location"],
            "Cargo.lock",
            "{format}"
        );
        assert_eq!(of("pkg:cargo/log@0.4.20")["hashes"][0]["alg"], "SHA-256", "{format}");
        let needs = back["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["ref"] == "pkg:cargo/memchr@2.7.1");
        assert_eq!(needs.unwrap()["dependsOn"][0], "pkg:cargo/log@0.4.20", "{format}");
    }
    let all = sandbox.ok(&["sbom", "p", "--all", "--output", "all.json", "--json"]).json();
    assert_eq!(all["packages"], 7, "the system itself, and what is among tests");
    assert!(packages(&sandbox.read("all.json")).contains(&"pkg:cargo/only-tested@9.9.9".to_owned()));
    let left = sandbox.ok(&["sbom", "p", "--output", "c.json", "--json"]).json();
    assert_eq!(left["leftOut"]["fixture"], 1);
    sandbox.ok(&["sbom", "p", "--timestamp=2026-01-31T12:00:00Z", "--output", "dated.json"]);
    let dated: Value = serde_json::from_slice(&sandbox.read("dated.json")).unwrap();
    assert_eq!(dated["metadata"]["timestamp"], "2026-01-31T12:00:00Z");
    assert_eq!(sandbox.run(&["sbom", "p", "--timestamp=tomorrow"]).code, 2);
}

#[test]
fn a_changed_file_is_seen_behind_the_cache() {
    let sandbox = project();
    let cache = sandbox.path("cache");
    let run = || {
        let output = sandbox
            .command(&["sbom", "p", "--output", "c.json", "--json"])
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    run();
    // What was written just now may be written again within the same tick: it is not remembered at first.
    std::thread::sleep(std::time::Duration::from_millis(3200));
    run();
    let remembered = run();
    assert_eq!(remembered["read"], 0, "{remembered}");
    sandbox.write("p/Cargo.lock", LOCK.replace("0.4.20", "0.4.21"));
    assert_eq!(run()["read"], 1);
    assert!(packages(&sandbox.read("c.json")).contains(&"pkg:cargo/log@0.4.21".to_owned()));
}

#[test]
fn check_drift_and_merge_say_yes_and_no() {
    let sandbox = project();
    sandbox.ok(&["sbom", "p", "--output", "one.json"]);
    let checked = sandbox.run(&["sbom", "check", "one.json", "--json"]);
    assert_eq!(
        (checked.code, checked.json()["verdict"].as_str().unwrap().to_owned()),
        (1, "lacks".to_owned())
    );
    assert_eq!(checked.codes(), ["sbom-element-missing"]);
    sandbox.write("p/Cargo.lock", LOCK.replace("memchr", "hidden"));
    sandbox.ok(&["sbom", "p", "--output", "two.json"]);
    let same = sandbox.run(&["sbom", "drift", "--observed", "one.json", "--shipped", "one.json", "--json"]);
    assert_eq!((same.code, same.codes().len()), (0, 0));
    let drift = sandbox.run(&["sbom", "drift", "--observed", "one.json", "--shipped", "two.json", "--json"]);
    assert_eq!((drift.code, drift.codes()), (1, vec!["shipped-not-recorded".to_owned()]));
    assert_eq!(sandbox.run(&["sbom", "drift", "--observed", "one.json"]).code, 2);
    sandbox.ok(&["sbom", "merge", "one.json", "two.json", "--name", "both", "--output", "both.json"]);
    let both = packages(&sandbox.read("both.json"));
    assert!(
        both.contains(&"pkg:cargo/hidden@2.7.1".to_owned())
            && both.contains(&"pkg:cargo/memchr@2.7.1".to_owned())
    );
    assert_eq!(both.iter().filter(|purl| purl.contains("/log@")).count(), 1);
    assert_eq!(sandbox.run(&["sbom", "convert", "main.c"]).code, 2);
}

#[test]
fn the_official_validators_accept_all_forms() {
    let Some(python) = python() else { return };
    let sandbox = project();
    for (format, file) in
        [("cyclonedx-json", "c.json"), ("spdx-json", "s.spdx.json"), ("spdx3-json", "t.json")]
    {
        sandbox.ok(&["sbom", "p", "--all", "--format", format, "--output", file]);
    }
    let script = r#"
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open("c.json").read())
assert error is None, error
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
document = parse_file("s.spdx.json")
messages = validate_full_spdx_document(document)
assert not messages, [message.validation_message for message in messages]
from spdx_python_model import v3_0_1 as model
objects = model.SHACLObjectSet()
model.JSONLDDeserializer().read(open("t.json"), objects)
kinds = [type(thing).__name__ for thing in objects.foreach()]
assert not objects.missing_ids, objects.missing_ids
print(len(document.packages), kinds.count("software_Package"))
"#;
    assert_eq!(says(&python, &sandbox, script), "8 8");
}

#[test]
fn looks_at_a_machine_are_kept_shared_and_asked() {
    let sandbox = project();
    sandbox.ok(&["init"]);
    fs::create_dir_all(sandbox.path("p/home/ann/.ssh")).unwrap();
    sandbox.write("p/etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
    sandbox.write("p/home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ann\n");
    let look = || sandbox.run(&["inventory", "collect", "--root", "p", "--host", "build-1", "--json"]);
    // Another root cannot say who listens: the look is partial, and says why.
    let first = look();
    assert_eq!(first.code, 3, "{}", first.err);
    let first = first.json();
    assert_eq!((first["verdict"].as_str(), first["counts"]["packages"].as_u64()), (Some("partial"), Some(3)));
    assert_eq!(first["counts"]["ssh-keys"], 1);
    assert!(
        first["gaps"].as_array().unwrap().iter().any(|gap| gap.as_str().unwrap().starts_with("listening"))
    );
    let second = look().json();
    assert_eq!(second["shared"].as_u64().unwrap() as usize, second["counts"].as_object().unwrap().len());
    let found = sandbox.ok(&["inventory", "query", "name=libc6 version<2.37 host=build-*", "--json"]).json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
    assert_eq!(found["rows"][0]["gone"], false);
    assert_eq!(sandbox.run(&["inventory", "query", "name=libc6", "version>2.37"]).code, 1);
    assert_eq!(sandbox.run(&["inventory", "query", "colour=red"]).code, 2);
    sandbox.ok(&["fsck"]);
}

#[test]
fn the_toolchain_of_a_record_is_listed_and_what_it_does_not_use_may_go() {
    let sandbox = Sandbox::released();
    let used = sandbox.ok(&["inventory", "used", "latest", "--json"]).json();
    let paths: Vec<&str> =
        used["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert!(paths.iter().any(|path| path.contains("cc1") || path.ends_with("/tar")), "{paths:?}");
    let root = sandbox.path("root");
    fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs::write(
        root.join("var/lib/dpkg/status"),
        "Package: tar\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDepends: needed-by-tar\n\n\
         Package: needed-by-tar\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
         Package: nmap\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nInstalled-Size: 100\n",
    )
    .unwrap();
    // A link to what was used, of a package that no database of the trace names.
    let tar = paths.iter().find(|path| path.ends_with("/tar")).unwrap();
    let status = String::from_utf8(fs::read(root.join("var/lib/dpkg/status")).unwrap()).unwrap();
    let linking = "\nPackage: linking\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";
    fs::write(root.join("var/lib/dpkg/status"), status + linking).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("var/lib/dpkg/info/linking.list"), "/.\n/opt/archiver\n").unwrap();
    for folder in ["opt", tar.rsplit_once('/').unwrap().0.trim_start_matches('/')] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join(tar.trim_start_matches('/')), "").unwrap();
    std::os::unix::fs::symlink(tar, root.join("opt/archiver")).unwrap();
    let unused = sandbox.ok(&["inventory", "unused", "--since", "1d", "--root", "root", "--json"]).json();
    assert_eq!(unused["packages"].as_array().unwrap().len(), 1, "{unused}");
    assert_eq!(
        (unused["packages"][0]["name"].as_str(), unused["touched"].as_array().unwrap().len()),
        (Some("nmap"), 0)
    );
    assert_eq!(unused["packages"][0]["dangers"][0], "network tool");
    assert!(unused["command"].as_str().unwrap().ends_with(" nmap"));
}

/// Another program's view of a machine, and ours of a folder.
#[test]
fn what_others_have_found_is_taken_in_and_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "tables.json",
        r#"{"deb_packages":[{"name":"curl","version":"7.88.1-10"},{"name":"","version":"1"}],
            "chrome_extensions":[{"name":"Reader","version":"2.1","path":"/home/anna/x"}],"uptime":[{"days":"1"}]}"#,
    );
    let imported = sandbox.ok(&["inventory", "import", "tables.json", "--host", "dev-1", "--json"]).json();
    assert_eq!(
        (&imported["counts"]["packages"], &imported["counts"]["browser-extensions"]),
        (&1.into(), &1.into())
    );
    assert!(imported["gaps"].to_string().contains("uptime"), "{imported}");
    let found = sandbox.ok(&["inventory", "query", "name=curl", "version<8", "host=dev-1", "--json"]).json();
    assert_eq!(found["rows"][0]["item"]["purl"], "pkg:deb/curl@7.88.1-10");
    // The result log: what was removed again is not there.
    sandbox.write(
        "results.log",
        "{\"name\":\"pack_it_npm_packages\",\"action\":\"added\",\"columns\":{\"name\":\"left-pad\",\"version\":\"1.3.0\"}}\n\
         {\"name\":\"pack_it_npm_packages\",\"action\":\"added\",\"columns\":{\"name\":\"lodash\",\"version\":\"4.17.20\"}}\n\
         {\"name\":\"pack_it_npm_packages\",\"action\":\"removed\",\"columns\":{\"name\":\"left-pad\",\"version\":\"1.3.0\"}}\n",
    );
    sandbox.ok(&["inventory", "import", "results.log", "--host", "dev-2"]);
    assert_eq!(sandbox.run(&["inventory", "query", "name=left-pad"]).code, 1);
    assert_eq!(sandbox.run(&["inventory", "query", "name=lodash", "host=dev-2"]).code, 0);
    sandbox.write("bill.json", r#"{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"x","version":"1","purl":"pkg:cargo/x@1"}]}"#);
    sandbox.ok(&["inventory", "import", "bill.json", "--host", "dev-3"]);
    assert_eq!(sandbox.run(&["inventory", "query", "type=cargo", "host=dev-3"]).code, 0);
    for wrong in ["{}", "[1]", "{\"deb_packages\": 7}", "not json\n"] {
        sandbox.write("wrong", wrong);
        assert_eq!(sandbox.run(&["inventory", "import", "wrong", "--host", "x"]).code, 2, "{wrong}");
    }
}

#[test]
fn what_may_not_be_on_a_machine_is_found() {
    let sandbox = Sandbox::new();
    let collect = || sandbox.run(&["inventory", "collect", "--root", "p", "--host", "build-1", "--no-cache"]);
    let check = |more: &[&str]| sandbox.run(&[&["inventory", "check", "--json"], more].concat());
    assert_eq!(check(&[]).code, 2, "nobody has looked");
    fs::create_dir_all(sandbox.path("p/etc")).unwrap();
    fs::create_dir_all(sandbox.path("p/var/lib/dpkg")).unwrap();
    sandbox.write("p/etc/os-release", "ID=debian\nVERSION_ID=12\n");
    let status = |names: &[(&str, &str)]| {
        let block = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        sandbox.write("p/var/lib/dpkg/status", names.iter().map(block).collect::<String>());
    };
    status(&[("gcc", "12.2.0-14")]);
    collect();
    let answer = check(&[]);
    assert_eq!((answer.code, &answer.json()["verdict"]), (3, &"undetermined".into()), "nothing was accepted");
    sandbox.ok(&["inventory", "accept", "--reason", "made from the recipe"]);
    assert!(sandbox.ok(&["log", "show"]).out.contains("inventory-accepted"));
    // An update is none of the unexpected; a new tool is, and so is what nobody mends.
    status(&[("gcc", "12.2.0-15"), ("nmap", "7.93"), ("python2.7", "2.7.18-13")]);
    collect();
    let answer = check(&["--host", "build-1"]);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    assert_eq!(answer.codes(), ["end-of-life", "unexpected-software"]);
    assert_eq!(answer.json()["findings"].as_array().unwrap().len(), 3);
    let policy = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    let allowed = policy.replace("allow = []", "allow = [\"nmap\", \"pkg:deb/debian/python2.7@*\"]");
    assert_ne!(allowed, policy);
    sandbox.write(".countersign/policy.toml", allowed);
    sandbox.write(
        "eol.toml",
        "[[software]]\nnames = ['gcc']\nversions = ['12']\nsince = '2020-01-01'\nnote = 'a test'\n",
    );
    let answer = check(&["--eol", "eol.toml"]);
    assert_eq!(answer.codes(), ["end-of-life"]);
    assert_eq!(answer.json()["findings"].as_array().unwrap().len(), 2);
    // On a desk nothing is unexpected, and credentials of releases have no place.
    fs::create_dir_all(sandbox.path("p/home/anna")).unwrap();
    sandbox.write("p/etc/passwd", "anna:x:1000:1000::/home/anna:/bin/sh\n");
    sandbox.write("p/home/anna/.npmrc", "//registry.invalid/:_authToken=only-for-these-tests\n");
    status(&[("gcc", "12.2.0-15"), ("nmap", "7.93")]);
    sandbox.run(&["inventory", "collect", "--root", "p", "--host", "dev-1", "--no-cache"]);
    let with_desks = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    sandbox
        .write(".countersign/policy.toml", format!("{with_desks}\n[machines]\n\"dev-*\" = \"developer\"\n"));
    let answer = check(&["--host", "dev-1"]);
    assert_eq!(answer.codes(), ["credential-misplaced"]);
    assert!(!answer.out.contains("only-for-these-tests"));
    sandbox.ok(&["fsck"]);
}
