//! Documents of each form, in the ways that other makers write them.

use super::{Document, Form, read, read_names};
use evidence::Problem;
use evidence::bom::{Kind, Place, State};

fn kinds(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.kind.as_str()).collect()
}

/// Reads a document, and damaged copies of it, none of which may panic.
fn whole(text: &str) -> (Document, Vec<Problem>) {
    let bytes = text.as_bytes();
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        for wrong in [bytes[at] ^ 1, b'"', b'[', b'{'] {
            damaged[at] = wrong;
            read(damaged.as_slice());
        }
        damaged[at] = bytes[at];
        read(&bytes[..at]);
    }
    let (document, problems) = read(bytes);
    let document = document.unwrap();
    // Read for its names alone, it has the same.
    let (names, _) = read_names(bytes);
    let names = names.unwrap();
    assert_eq!((rows(&names), &names.bom.subject.name), (rows(&document), &document.bom.subject.name));
    (document, problems)
}

fn rows(document: &Document) -> Vec<(&str, &str, &str)> {
    document
        .bom
        .packages
        .iter()
        .map(|package| {
            (package.purl.as_deref().unwrap_or("-"), package.name.as_ref(), package.version.as_ref())
        })
        .collect()
}

#[test]
fn cyclonedx_is_read() {
    let text = r#"{"$schema":"x","bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"timestamp":"2024-01-01T00:00:00Z",
      "tools":[{"vendor":"v","name":"t","version":"1"}],"authors":[{"name":"A"}],"component":{"type":"application","bom-ref":"root","name":"app","version":"1"}},
      "components":[
        {"type":"library","bom-ref":"a","group":"@s","name":"a","version":"1.0","purl":"pkg:npm/%40s/a@1.0","licenses":[{"license":{"id":"MIT"}},{"license":{"name":"Other"}}],
         "hashes":[{"alg":"SHA-1","content":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},{"alg":"SHA-1","content":"x"}],
         "components":[{"type":"file","bom-ref":"f","name":"a.js"}],"evidence":{"occurrences":[{"location":"x/package.json"}]},
         "properties":[{"name":"countersign:place","value":"cache"}]},
        {"type":"operating-system","name":"debian","version":"12"},
        {"type":"library","bom-ref":"b","name":"b","version":"2","purl":"npm/b"}],
      "dependencies":[{"ref":"root","dependsOn":["a"]},{"ref":"a","dependsOn":["b","nowhere"]}],"compositions":[{"aggregate":"complete"}]}"#;
    let (document, problems) = whole(text);
    assert_eq!((document.form, document.version.as_str()), (Form::CycloneDx, "1.5"));
    assert_eq!(
        rows(&document),
        [("-", "b", "2"), ("-", "debian", "12"), ("-", "a.js", ""), ("pkg:npm/%40s/a@1.0", "a", "1.0"),]
    );
    assert_eq!(kinds(&problems), ["malformed-hash", "malformed-purl", "dangling-relation"]);
    let (bom, a) = (&document.bom, &document.bom.packages[3]);
    assert_eq!((a.licences.len(), a.hashes.len(), a.place, a.evidence.len()), (2, 1, Place::Cache, 1));
    assert_eq!((bom.relations.as_slice(), bom.direct.as_slice()), (&[(3, 0)][..], &[3][..]));
    assert_eq!((bom.subject.name.as_ref(), bom.tools[0].as_str()), ("app", "t 1"));
    assert_eq!(bom.packages[1].kind, Kind::OperatingSystem);
}

#[test]
fn spdx_2_is_read() {
    let text = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"n","creationInfo":{"created":"2024-01-01T00:00:00Z","creators":["Tool: t-1","Organization: O"]},
      "packages":[
        {"SPDXID":"SPDXRef-root","name":"app","versionInfo":"1","supplier":"NOASSERTION"},
        {"SPDXID":"SPDXRef-a","name":"a","versionInfo":"2","supplier":"Organization: Maker (x@y.invalid)","licenseDeclared":"MIT","licenseConcluded":"NOASSERTION",
         "checksums":[{"algorithm":"SHA256","checksumValue":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}],
         "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/a@2"},{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:m:a:2:*:*:*:*:*:*:*"}],
         "comment":"state=locked\nx=y","sourceInfo":"found in a/package-lock.json by npm-lock"}],
      "files":[{"SPDXID":"SPDXRef-f","fileName":"./x","checksums":[{"algorithm":"SHA1","checksumValue":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}],
      "relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-root"},
        {"spdxElementId":"SPDXRef-a","relationshipType":"DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-root"}]}"#;
    let (document, problems) = whole(text);
    assert_eq!(rows(&document), [("-", "./x", ""), ("pkg:npm/a@2", "a", "2")]);
    assert_eq!(problems, []);
    let a = &document.bom.packages[1];
    assert_eq!(a.supplier.as_deref(), Some("Maker (x@y.invalid)"));
    assert_eq!((a.state, a.cpes.len(), a.hashes.len(), a.properties.len()), (State::Locked, 1, 1, 1));
    assert_eq!(a.evidence[0].by, "npm-lock");
    assert_eq!((document.bom.subject.name.as_ref(), document.bom.direct.as_slice()), ("app", &[1][..]));
}

#[test]
fn spdx_3_is_read() {
    let text = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
      {"type":"CreationInfo","@id":"_:c","created":"2024-01-01T00:00:00Z","specVersion":"3.0.1","createdBy":["u:o"]},
      {"type":"Organization","spdxId":"u:o","name":"Maker","creationInfo":"_:c"},
      {"type":"software_Package","spdxId":"u:a","name":"a","software_packageVersion":"1","software_packageUrl":"pkg:npm/a@1","suppliedBy":"u:o",
       "verifiedUsing":[{"type":"Hash","algorithm":"sha1","hashValue":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]},
      {"type":"software_Package","spdxId":"u:b","name":"b","externalIdentifier":[{"type":"ExternalIdentifier","externalIdentifierType":"cpe23","identifier":"cpe:2.3:a:b:b:1:*:*:*:*:*:*:*"}]},
      {"type":"simplelicensing_LicenseExpression","spdxId":"u:l","simplelicensing_licenseExpression":"MIT"},
      {"type":"Relationship","spdxId":"u:r","from":"u:a","to":["u:b"],"relationshipType":"dependsOn"},
      {"type":"Relationship","spdxId":"u:s","from":"u:a","to":["u:l"],"relationshipType":"hasDeclaredLicense"}]}"#;
    let (document, problems) = whole(text);
    assert_eq!((document.form, document.version.as_str(), problems.len()), (Form::Spdx3, "3.0.1", 0));
    assert_eq!(rows(&document), [("-", "b", ""), ("pkg:npm/a@1", "a", "1")]);
    let a = &document.bom.packages[1];
    assert_eq!((a.supplier.as_deref(), a.licences.as_slice()), (Some("Maker"), &["MIT".into()][..]));
    assert_eq!(document.bom.relations, [(1, 0)]);
}

#[test]
fn syft_is_read() {
    let text = r#"{"artifacts":[
      {"id":"1","name":"a","version":"1","type":"npm","foundBy":"javascript-package-cataloger","locations":[{"path":"/x/package.json"}],"licenses":[{"value":"MIT","spdxExpression":"MIT"}],"cpes":[{"cpe":"cpe:2.3:a:a:a:1:*:*:*:*:*:*:*","source":"s"}],"purl":"pkg:npm/a@1"},
      {"id":"2","name":"b","version":"2","purl":"","licenses":["ISC"],"cpes":["cpe:2.3:a:b:b:2:*:*:*:*:*:*:*"]}],
      "artifactRelationships":[{"parent":"2","child":"1","type":"dependency-of"},{"parent":"1","child":"9","type":"contains"}],
      "source":{"name":"dir","version":"1"},"descriptor":{"name":"syft","version":"1.18.0"},"schema":{"version":"16.0.0","url":"https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-16.0.0.json"}}"#;
    let (document, problems) = whole(text);
    assert_eq!((document.form, problems.len()), (Form::Syft, 0));
    assert_eq!(rows(&document), [("-", "b", "2"), ("pkg:npm/a@1", "a", "1")]);
    assert_eq!(document.bom.relations, [(1, 0)]);
    assert_eq!(document.bom.packages[1].evidence[0].path.to_string(), "x/package.json");
}

#[test]
fn what_is_no_bill_of_materials_is_a_problem() {
    for (text, kind) in [("{}", "unknown-sbom"), ("[]", "malformed-json"), ("", "malformed-json")] {
        let (document, problems) = read(text.as_bytes());
        assert!(document.is_none() && kinds(&problems).contains(&kind), "{text}: {problems:?}");
    }
    let deep = format!("{{\"bomFormat\":\"CycloneDX\",\"x\":{}", "[".repeat(100_000));
    assert!(kinds(&read(deep.as_bytes()).1).contains(&"malformed-json"));
    let twice =
        r#"{"bomFormat":"CycloneDX","components":[{"bom-ref":"a","name":"a"},{"bom-ref":"a","name":"b"},7]}"#;
    assert_eq!(kinds(&read(twice.as_bytes()).1), ["malformed-element", "duplicate-reference"]);
}
