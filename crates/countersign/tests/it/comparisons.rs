//! What `compare` tells, in each of its forms.

use forge::zip_stored;

use crate::sandbox::Sandbox;

/// Two releases, of which the new one has one file more, and many that are changed.
fn two_releases(sandbox: &Sandbox, hostile: &str) {
    let names: Vec<String> = (0..40).map(|number| format!("part/{number:02}.txt")).collect();
    let files = |text: &'static [u8]| names.iter().map(move |name| (name.as_str(), text));
    let old: Vec<(&str, &[u8])> = files(b"one").collect();
    let mut new: Vec<(&str, &[u8])> = files(b"two").collect();
    new.push((hostile, b"#!/bin/sh\ntrue\n"));
    sandbox.write("old.zip", zip_stored(&old).unwrap());
    sandbox.write("new.zip", zip_stored(&new).unwrap());
}

#[test]
fn the_report_fits_on_a_screen_and_all_of_it_is_there_on_request() {
    let sandbox = Sandbox::bare();
    two_releases(&sandbox, "part/extra");
    let arguments = ["compare", "old.zip", "new.zip", "--source-changed", "yes"];
    let short = sandbox.run(&arguments).out;
    assert!(short.lines().count() < 60, "{short}");
    assert!(short.contains("more explained") && short.contains("`--full` lists them"), "{short}");
    let full = sandbox.run(&[&arguments[..], &["--full"]].concat()).out;
    for number in 0..40 {
        assert!(full.contains(&format!("new.zip!part/{number:02}.txt")), "{full}");
    }
    assert!(!full.contains("--full"), "{full}");
}

#[test]
fn findings_are_written_for_code_scanning() {
    let sandbox = Sandbox::bare();
    two_releases(&sandbox, "part/a b%ä");
    let arguments = ["compare", "old.zip", "new.zip", "--source-changed", "no", "--sarif", "out.sarif"];
    assert_eq!(sandbox.run(&arguments).code, 1);
    let log: serde_json::Value = serde_json::from_slice(&sandbox.read("out.sarif")).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let json = sandbox.run(&["compare", "old.zip", "new.zip", "--source-changed", "no", "--json"]).json();
    assert_eq!(results.len(), json["findings"].as_array().unwrap().len());
    let rules: Vec<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    let mut places = Vec::new();
    for result in results {
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()));
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        places.push(place.as_str().unwrap().to_owned());
    }
    assert!(places.contains(&"new.zip!part/a%20b%25%C3%A4".to_owned()), "{places:?}");
}

#[test]
fn the_page_is_whole_and_a_name_in_it_is_no_markup() {
    let sandbox = Sandbox::bare();
    two_releases(&sandbox, "part/<img src=x onerror=alert(1)>\"");
    let arguments = ["compare", "old.zip", "new.zip", "--source-changed", "no", "--html", "out.html"];
    assert_eq!(sandbox.run(&arguments).code, 1);
    let page = String::from_utf8(sandbox.read("out.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;") && !page.contains("<img"));
    for fetched in ["src=\"", "href=", "@import", "url("] {
        assert!(!page.contains(fetched), "the page fetches something by {fetched}");
    }
    for number in 0..40 {
        assert!(page.contains(&format!("new.zip!part/{number:02}.txt")));
    }
}

#[test]
fn a_page_that_cannot_be_written_is_told() {
    let sandbox = Sandbox::bare();
    two_releases(&sandbox, "x");
    let answer = sandbox.run(&["compare", "old.zip", "new.zip", "--html", "absent/out.html"]);
    assert_eq!(answer.code, 3);
    assert!(answer.err.contains("cannot write absent/out.html"), "{}", answer.err);
}

/// Builds one C program in a place, at a time, and packs it as that place would.
fn build(sandbox: &Sandbox, place: &str, owner: &str, time: &str) {
    let source =
        "#include <stdio.h>\nint main(void) { puts(__FILE__ \" \" __DATE__ \" \" __TIME__); return 0; }\n";
    let folder = sandbox.path(place);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    sandbox.write(&format!("{place}/src/hello.c"), source);
    let script = format!(
        "SOURCE_DATE_EPOCH={time} gcc -g -o hello \"$PWD/src/hello.c\" && \
         tar --owner={owner} --group={owner} --mtime=@{time} -cf hello.tar hello src/hello.c"
    );
    let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(&folder).status();
    assert!(status.unwrap().success());
}

#[test]
fn the_causes_for_which_two_builds_of_one_source_differ_are_named() {
    let sandbox = Sandbox::bare();
    build(&sandbox, "one", "1000", "1790000000");
    build(&sandbox, "another/place", "1001", "1790123456");
    let arguments = ["compare", "one/hello.tar", "another/place/hello.tar", "--source-changed", "no"];
    let json = sandbox.run(&[&arguments[..], &["--json"]].concat()).json();
    let kinds = |path: &str| -> Vec<String> {
        let causes = json["causes"][path].as_array().into_iter().flatten();
        causes.map(|cause| cause["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("hello.tar"), ["modification-time", "owner"], "{json}");
    assert_eq!(kinds("hello.tar!hello"), ["build-id", "build-path", "embedded-time"], "{json}");
    let run = sandbox.run(&arguments);
    assert_eq!(run.code, 1, "a cause is no excuse");
    assert!(
        run.out.contains("cause build-path: hello.tar!hello: ") && run.out.contains("-ffile-prefix-map"),
        "{}",
        run.out
    );
    // The page shows the bytes.
    sandbox.run(&[&arguments[..], &["--html", "out.html"]].concat());
    let page = String::from_utf8(sandbox.read("out.html")).unwrap();
    assert!(page.contains("stretches differ") && page.contains("hello.c"), "{page}");
    // What is the same has no cause to differ.
    let same =
        sandbox.run(&["compare", "one/hello.tar", "one/hello.tar", "--source-changed", "no", "--json"]);
    assert_eq!(
        (same.json()["verdict"].as_str(), &same.json()["causes"]),
        (Some("same"), &serde_json::Value::Null)
    );
}

#[test]
fn two_bills_of_materials_are_compared_whoever_wrote_them() {
    let sandbox = Sandbox::bare();
    let digest = |digit: &str| digit.repeat(64);
    let cyclonedx = |release: &str, packages: &[(&str, &str, &str)]| {
        let components: Vec<_> = packages
            .iter()
            .map(|(name, version, digit)| {
                serde_json::json!({
                    "type": "library", "name": name, "version": version, "purl": format!("pkg:npm/{name}@{version}"),
                    "hashes": [{"alg": "SHA-256", "content": digest(digit)}],
                })
            })
            .collect();
        serde_json::json!({
            "bomFormat": "CycloneDX", "specVersion": "1.6",
            "metadata": {"component": {"type": "application", "name": "demo", "version": release}},
            "components": components,
        })
        .to_string()
    };
    let spdx = serde_json::json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "demo",
        "packages": [{
            "SPDXID": "SPDXRef-a", "name": "left", "versionInfo": "1.0.0",
            "checksums": [{"algorithm": "SHA256", "checksumValue": digest("9")}],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:npm/left@1.0.0"
            }],
        }],
    });
    sandbox.write("1.json", cyclonedx("1.0.0", &[("left", "1.0.0", "1"), ("right", "2.0.0", "2")]));
    sandbox.write("2.json", cyclonedx("1.1.0", &[("left", "1.0.0", "1"), ("right", "2.1.0", "3")]));
    sandbox.write("evil.json", cyclonedx("1.1.0", &[("left", "1.0.0", "6"), ("right", "2.1.0", "3")]));
    sandbox.write("spdx.json", spdx.to_string());
    let honest = sandbox.run(&["compare", "1.json", "2.json", "--json"]);
    assert_eq!((honest.code, honest.json()["verdict"].as_str()), (0, Some("explained")), "{}", honest.out);
    assert_eq!(honest.json()["differences"][0]["path"], "pkg:npm/right");
    let evil = sandbox.run(&["compare", "1.json", "evil.json", "--json"]);
    assert_eq!((evil.code, evil.codes()), (1, vec!["component-hash-changed".to_owned()]), "{}", evil.out);
    let other_form = sandbox.run(&["compare", "1.json", "spdx.json", "--json"]);
    assert!(other_form.codes().contains(&"component-hash-changed".to_owned()), "{}", other_form.out);
    assert_eq!(sandbox.run(&["compare", "1.json", "1.json"]).code, 0);
    // What is JSON and no bill is compared as a file.
    sandbox.write("a.json", "{\"a\": 1}");
    sandbox.write("b.json", "{\"a\": 2}");
    let plain = sandbox.run(&["compare", "a.json", "b.json", "--json"]);
    assert_eq!(plain.code, 3, "{}", plain.out);
    // One that is cut off is never the same.
    sandbox.write("cut.json", &cyclonedx("1.0.0", &[("left", "1.0.0", "1")])[..150]);
    assert_eq!(sandbox.run(&["compare", "cut.json", "cut.json"]).code, 3);
}

#[test]
fn a_signature_beside_a_file_is_named_and_judged_by_the_key_that_is_given() {
    let sandbox = Sandbox::bare();
    std::fs::create_dir(sandbox.path("dist")).unwrap();
    // The example of the `minisign-verify` crate.
    let signature = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    sandbox.write("dist/test", "test");
    sandbox.write("dist/test.minisig", signature);
    sandbox.write("dist/other", "Test");
    sandbox.write("dist/other.minisig", signature);
    sandbox.write("key", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n");
    sandbox.write("no-key", "nothing");
    let named = sandbox.run(&["inspect", "dist/test"]);
    assert!(named.out.contains("minisign signature by E7620F1842B4E81F (not judged)"), "{}", named.out);
    assert_eq!(named.code, 0);
    let verified = sandbox.run(&["inspect", "dist/test", "--key", "key"]);
    assert!(verified.out.contains("(verifies)") && verified.code == 0, "{}", verified.out);
    let folder = sandbox.run(&["inspect", "dist", "--key", "key", "--json"]);
    let findings = folder.json()["findings"].clone();
    assert_eq!(folder.code, 1);
    assert_eq!(findings.as_array().unwrap().len(), 1);
    assert_eq!(findings[0]["code"], "detached-signature-mismatch");
    assert_eq!(findings[0]["subject"]["path"], "dist/other");
    assert_eq!(sandbox.run(&["inspect", "dist", "--key", "no-key"]).code, 2);
    assert_eq!(sandbox.run(&["inspect", "dist", "--root", "no-key"]).code, 2);
}

/// A rule over a member deep inside.
#[test]
fn rules_are_put_to_every_member_and_compare_tells_what_is_new() {
    let sandbox = Sandbox::bare();
    let rules = r#"rule Loader_Marker : loader
{
    meta:
        severity = "high"
    strings:
        $mark = "LOADER-MARK-1"
    condition:
        $mark
}
rule Small { meta: severity = "low" condition: filesize < 4 and filename == "a.txt" }
"#;
    std::fs::create_dir(sandbox.path("rules")).unwrap();
    sandbox.write("rules/loader.yar", rules);
    let inner = |tool: &[u8]| {
        let inner = zip_stored(&[("tool.bin", tool)]).unwrap();
        zip_stored(&[("app/inner.zip", inner.as_slice()), ("app/a.txt", b"abc")]).unwrap()
    };
    sandbox.write("old.zip", inner(b"before, nothing of it"));
    sandbox.write("new.zip", inner(b"before LOADER-MARK-1"));
    let clean = sandbox.run(&["inspect", "old.zip", "--rules", "rules", "--json"]).json();
    let codes = |json: &serde_json::Value| -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let findings = json["findings"].as_array().unwrap().iter();
        findings
            .map(|one| (text(&one["code"]), text(&one["severity"]), text(&one["subject"]["path"])))
            .collect()
    };
    let yara =
        |severity: &str, path: &str| ("yara-rule-matched".to_owned(), severity.to_owned(), path.to_owned());
    assert_eq!(codes(&clean), [yara("low", "old.zip!app/a.txt")]);
    let found = sandbox.run(&["inspect", "new.zip", "--rules", "rules/loader.yar"]);
    assert_eq!(found.code, 1);
    for told in [
        "new.zip!app/inner.zip!tool.bin",
        "rule `Loader_Marker` of loader.yar, tagged loader",
        "$mark 1 times at offset 7: 13 bytes `LOADER-MARK-1`",
        "[high] a YARA rule matched (yara-rule-matched)",
    ] {
        assert!(found.out.contains(told), "{told} is not in {}", found.out);
    }
    let compared = sandbox.run(&["compare", "old.zip", "new.zip", "--rules", "rules", "--json"]);
    assert_eq!(compared.code, 1);
    let json = compared.json();
    // The archives are stored, so that the mark stands in their bytes as well: the innermost member is told.
    let new: Vec<_> = codes(&json).into_iter().filter(|(code, ..)| code == "yara-rule-matched").collect();
    assert_eq!(new, [yara("high", "new.zip!app/inner.zip!tool.bin")]);
    let same = sandbox.run(&["compare", "new.zip", "new.zip", "--rules", "rules", "--json"]);
    assert_eq!((same.code, codes(&same.json())), (0, vec![]));
    assert_eq!(
        sandbox.run(&["compare", "old.zip", "new.zip", "--json"]).json()["findings"],
        serde_json::json!([])
    );
    sandbox.write("rules/broken.yar", "rule x { condition: nothing_known }");
    let broken = sandbox.run(&["inspect", "new.zip", "--rules", "rules"]);
    assert!(broken.code != 0 && broken.err.contains("broken.yar:1:21: error: "), "{}", broken.err);
}

#[test]
fn an_image_is_signed_by_a_catalog_that_is_given_or_lies_beside_it() {
    let sandbox = Sandbox::bare();
    let image = forge::PeImage::default().bytes();
    let list = forge::catalog_list(&[("app.sys", forge::image_digest(&image))]);
    sandbox.write("app.cat", forge::TestSigner::new("Maker").sign_catalog(&list));
    std::fs::create_dir(sandbox.path("driver")).unwrap();
    sandbox.write("driver/app.sys", &image);
    let alone = sandbox.run(&["inspect", "driver"]);
    assert!(!alone.out.contains("signature by"), "{}", alone.out);
    let told = "catalog signature by Maker (digest matches)";
    let given = sandbox.run(&["inspect", "driver/app.sys", "--catalog", "app.cat"]);
    assert!(given.out.contains(told) && given.code == 0, "{}", given.out);
    let none = sandbox.run(&["inspect", "driver", "--catalog", "driver/app.sys"]);
    assert!(none.code > 1 && none.err.contains("app.sys"), "{}", none.err);
    sandbox.write("driver/app.cat", sandbox.read("app.cat"));
    let beside = sandbox.run(&["inspect", "driver"]);
    assert!(beside.out.contains(told) && beside.code == 0, "{}", beside.out);
    let mut changed = image;
    *changed.last_mut().unwrap() ^= 1;
    sandbox.write("driver/app.sys", &changed);
    let other = sandbox.run(&["inspect", "driver", "--json"]);
    assert_eq!(other.json()["findings"][0]["code"], "member-mismatch");
}
