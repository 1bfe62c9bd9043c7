//! Peers read what we write: in-toto's and Sigstore's own Python libraries, CycloneDX's validator, Arrow.

use std::path::PathBuf;
use std::process::Command;

use crate::sandbox::Sandbox;

/// The Python with the peers' libraries, as `cargo xtask ci` installs them.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("COUNTERSIGN_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must set COUNTERSIGN_TEST_PYTHON");
        eprintln!("SKIPPED: COUNTERSIGN_TEST_PYTHON names no Python with the peers' libraries");
    }
    python
}

pub(crate) fn says(python: &PathBuf, sandbox: &Sandbox, script: &str) -> String {
    let output = Command::new(python).args(["-c", script]).current_dir(sandbox.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const LOAD: &str = r#"
import base64, hashlib, json, sys
bundle = json.load(open("dist/demo.tar.gz.provenance.sigstore.json"))
trust = json.load(open("trust.json"))
spki = base64.b64decode(trust["builderKeys"][0]["publicKey"])
artifact = hashlib.sha256(open("dist/demo.tar.gz", "rb").read()).hexdigest()
"#;

#[test]
fn securesystemslib_verifies_our_envelope() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::released();
    let script = LOAD.to_owned()
        + r#"
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature, SSlibKey
key = SSlibKey.from_crypto(load_der_public_key(spki))
def envelope(payload):
    signature = bundle["dsseEnvelope"]["signatures"][0]["sig"]
    return Envelope(payload, bundle["dsseEnvelope"]["payloadType"], {key.keyid: Signature(key.keyid, base64.b64decode(signature).hex())})
payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
envelope(payload).verify([key], 1)
try:
    envelope(payload.replace(b"demo", b"emod", 1)).verify([key], 1)
    print("a changed payload verified")
except Exception as error:
    print("verified", type(error).__name__)
"#;
    assert!(says(&python, &sandbox, &script).starts_with("verified "));
}

#[test]
fn in_toto_attestation_reads_our_statement() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::released();
    let script = LOAD.to_owned()
        + r#"
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Proto
raw = Proto()
json_format.Parse(base64.b64decode(bundle["dsseEnvelope"]["payload"]), raw)
statement = Statement.copy_from_pb(raw)
statement.validate()
assert raw.predicate_type == "https://slsa.dev/provenance/v1", raw.predicate_type
assert raw.subject[0].digest["sha256"] == artifact
inputs = raw.predicate["buildDefinition"]["resolvedDependencies"]
assert any(str(entry["name"]).endswith("main.c") for entry in inputs), inputs
print(len(inputs) > 10)
"#;
    assert_eq!(says(&python, &sandbox, &script), "True");
}

#[test]
fn sigstore_reads_our_bundles() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::released();
    let script = r#"
from sigstore_models.bundle.v1 import Bundle
for name in ("dist/demo.tar.gz.sigstore.json", "dist/demo.tar.gz.provenance.sigstore.json"):
    bundle = Bundle.from_json(open(name, "rb").read())
    entry = bundle.verification_material.tlog_entries[0]
    print(bundle.media_type, entry.kind_version.kind, entry.kind_version.version)
"#;
    let said = says(&python, &sandbox, script);
    let expected = "application/vnd.dev.sigstore.bundle.v0.3+json hashedrekord 0.0.2";
    assert_eq!(said.lines().collect::<Vec<_>>(), [expected, expected]);
}

#[test]
fn cyclonedx_accepts_our_bill_of_materials() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::released();
    sandbox.ok(&["sbom", "latest", "--output", "sbom.json"]);
    let script = r#"
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open("sbom.json").read()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert error is None, error
import json
bom = json.loads(text)
purls = [component["purl"] for component in bom["components"] if "purl" in component]
assert any(purl.startswith("pkg:deb/") for purl in purls), purls
assert all(component.get("hashes") or component.get("purl") for component in bom["components"])
print("valid", any(component["name"].endswith("main.c") for component in bom["components"]))
"#;
    assert_eq!(says(&python, &sandbox, script), "valid True");
}

#[test]
fn arrow_reads_our_trace() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::released();
    let document = sandbox.ok(&["show", "latest", "--json"]).json()["document"].clone();
    let segment =
        document["segments"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let script = format!(
        "import pyarrow.parquet as p; t = p.read_table('.countersign/objects/{}/{}'); print(t.num_rows, 'exec' in t.column('kind').to_pylist())",
        &segment[..2],
        &segment[2..]
    );
    let events = document["completeness"]["events"].as_u64().unwrap();
    assert_eq!(says(&python, &sandbox, &script), format!("{events} True"));
}
