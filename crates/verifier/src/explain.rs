//! The same check by other people's tools, so that nobody needs to trust ours.

use std::fmt::Write as _;
use std::path::Path;

use attest::Trust;

use crate::{BUNDLE_SUFFIX, PROVENANCE_SUFFIX};

/// Writes the commands that check one file's bundles with `cosign`, `sigstore-js` and `sha256sum`, and says what they
/// cannot see. `trust_file` is the vendor's trust file.
pub fn explain(artifact: &Path, trust_file: &Path, trust: &Trust) -> String {
    let file = quoted(&artifact.display().to_string());
    let bundle = quoted(&format!("{}{BUNDLE_SUFFIX}", artifact.display()));
    let provenance = quoted(&format!("{}{PROVENANCE_SUFFIX}", artifact.display()));
    let trust_path = quoted(&trust_file.display().to_string());
    let mut text = String::new();
    let mut line = |words: &str| writeln!(text, "{words}").unwrap_or(());
    line("# The same by other tools. First the parts that they take, out of the trust file:");
    line(&format!("countersign-verify --trust {trust_path} --write-trusted-root trusted_root.json"));
    for (number, key) in trust.release_keys.iter().enumerate() {
        line(&format!("cat > release-{number}.pub <<'END'\n{}END", key.public_key.pem()));
    }
    line(
        "\n# sigstore-js 4 (`npm install @sigstore/verify @sigstore/bundle @sigstore/protobuf-specs`) takes the same parts:",
    );
    line(
        "#   new Verifier(toTrustMaterial(root, () => key), {tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0})",
    );
    line(
        "\n# cosign 3, by its manual (none of our tests runs it): the release, its signature and its place in the log",
    );
    line(&format!(
        "cosign verify-blob-attestation --key release-0.pub --bundle {bundle} --trusted-root trusted_root.json \\\n  \
         --type https://slsa.dev/verification_summary/v1 --use-signed-timestamps=false {file}"
    ));
    line("\n# cosign 3: the provenance, by the builder's key");
    if let Some(key) = trust.builder_keys.first() {
        line(&format!("cat > builder-0.pub <<'END'\n{}END", key.public_key.pem()));
    }
    line(&format!(
        "cosign verify-blob-attestation --key builder-0.pub --bundle {provenance} --trusted-root trusted_root.json \\\n  \
         --type slsaprovenance1 --use-signed-timestamps=false {file}"
    ));
    line(
        "\n# gh and the command of sigstore-python verify bundles with certificates only; ours are signed with managed keys.",
    );
    line(
        "# What they would be told for a bundle with a certificate, which `countersign verify` takes as well:",
    );
    line(&format!(
        "#   gh attestation verify {file} --bundle B --custom-trusted-root R --cert-identity I --cert-oidc-issuer U --owner O"
    ));
    line(&format!(
        "#   python -m sigstore --trust-config C verify identity --bundle B --cert-identity I --cert-oidc-issuer U {file}"
    ));
    line("\n# By hand: the file's digest is the subject of the signed statement");
    line(&format!("sha256sum {file}"));
    line(&format!(
        "python3 -c 'import base64,json,sys; print(base64.b64decode(json.load(open(sys.argv[1]))[\"dsseEnvelope\"][\"payload\"]).decode())' {bundle}"
    ));
    line(&format!(
        "\n# Not seen by them: revocations, the end of keys, required levels and witnesses; they are in {}.",
        trust_path
    ));
    text
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
