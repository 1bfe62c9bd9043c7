//! `sign --with`: a vendor's own signer behind the gate. It gets a copy of the permitted artifact in a folder of its
//! own, and what it wrote is let out only if nothing but a signature was added.
//!
//! Order of effects, and what a crash after each leaves: gate; the intent is logged; the signer runs on the copy (a
//! folder that nobody uses); what came out is checked; the signing event is logged (a logged event without files: run it
//! again); the files are put in place, whole or not at all; then the release itself is signed as always.

use std::path::{Path, PathBuf};
use std::process::Command;

use evidence::statement::{ResourceDescriptor, SigningEvent, Statement};
use evidence::tree::{CodeSignature, Node};
use evidence::{BytePath, Digest, Finding, Subject};
use judge::codes;

use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::{FILE_MAX_BYTES, inspect_bytes};
use crate::record::secrets::PASSPHRASE;

/// How the vendor's signer is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NativeSigner {
    /// A shell command; `{in}` is the artifact and `{out}` what it writes. Without `{out}` it signs in place; without
    /// both, the artifact is added at the end.
    pub command: String,
    /// The signature is a file beside the artifact: what its name ends in.
    pub detached: Option<String>,
}

/// What the signer made, checked.
pub(crate) struct Native {
    /// The bytes that may be let out; none if it was refused.
    pub(crate) signed: Option<Vec<u8>>,
    pub(crate) event: SigningEvent,
    pub(crate) findings: Vec<Finding>,
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const MANIFEST_MAX_BYTES: usize = 16 << 20;

/// Members that are signatures of their container: of packages for .NET and Windows, of Debian packages, of installer
/// databases.
const SIGNATURES: &[&str] = &[
    ".signature.p7s",
    "AppxSignature.p7x",
    "_gpgorigin",
    "_gpgbuilder",
    "_gpgmaint",
    "\u{5}DigitalSignature",
    "\u{5}MsiDigitalSignatureEx",
];

/// Runs the signer on a copy of the artifact and checks what it wrote.
pub(crate) fn run(
    artifact: &Path,
    before: &Digest,
    signer: &NativeSigner,
    intent: Digest,
    now: evidence::Timestamp,
) -> Result<Native> {
    let fail = |source| Error::Read { path: artifact.to_path_buf(), source };
    let folder = tempfile::Builder::new().prefix("countersign-signing-").tempdir().map_err(fail)?;
    let name = artifact.file_name().unwrap_or(artifact.as_os_str());
    let original = files::read(artifact, FILE_MAX_BYTES)?;
    if Digest::of(&original) != *before {
        return Err(Error::Unstable(artifact.to_path_buf()));
    }
    let (input, output) = (folder.path().join("in").join(name), folder.path().join("out").join(name));
    for path in [&input, &output] {
        std::fs::create_dir(path.parent().unwrap_or(folder.path())).map_err(fail)?;
    }
    std::fs::write(&input, &original).map_err(fail)?;
    let writes_other = signer.command.contains("{out}");
    let command = if signer.command.contains("{in}") || writes_other {
        signer.command.replace("{in}", &quoted(&input)).replace("{out}", &quoted(&output))
    } else {
        format!("{} {}", signer.command, quoted(&input))
    };
    // Stdout is the caller's answer; what the signer says goes to stderr, as with a recorded build.
    let status =
        Command::new("sh").args(["-c", &command]).env_remove(PASSPHRASE).stdout(std::io::stderr()).status();
    let status = status.map_err(|source| Error::Signer { program: "sh".into(), source })?;
    let mut because = Vec::new();
    if !status.success() {
        because.push(format!("the signer ended with {status}"));
    }
    let written = if writes_other { &output } else { &input };
    let signed = if written.is_file() { Some(files::read(written, FILE_MAX_BYTES)?) } else { None };
    if writes_other && files::read(&input, FILE_MAX_BYTES)? != original {
        because.push("the signer changed what it was given to read".into());
    }
    let subject_name = BytePath::from(std::os::unix::ffi::OsStrExt::as_bytes(name));
    let (method, image) = match &signed {
        None => {
            because.push("the signer wrote nothing".into());
            ("none", None)
        }
        Some(signed) if signer.detached.is_some() => {
            if signed.is_empty() || *signed == original {
                because.push("the detached signature is empty, or the artifact itself".into());
            }
            ("detached", None)
        }
        Some(signed) => {
            let (method, image, wrong) = only_signed(&subject_name, &original, signed);
            because.extend(wrong);
            (method, image)
        }
    };
    let refused = !because.is_empty();
    let subject = Subject { path: Some(subject_name), digest: signed.as_deref().map(Digest::of) };
    let findings = if refused {
        vec![codes::SIGNER_CHANGED_CONTENT.finding(subject, because.clone())]
    } else {
        Vec::new()
    };
    let event = SigningEvent {
        method: method.into(),
        outcome: if refused { "refused" } else { "signed" }.into(),
        because,
        before: *before,
        image_digest: image.as_ref().and_then(|image| image.image_digest.clone()),
        signer: image.and_then(|image| image.signer),
        program: signer.command.split_whitespace().next().unwrap_or("").to_owned(),
        command: Digest::of(signer.command.as_bytes()),
        intent,
        decided: now,
    };
    Ok(Native { signed: signed.filter(|_| !refused), event, findings })
}

/// The statement about what came out: the signed file, or the artifact and its detached signature.
pub(crate) fn statement(artifact: &Path, signer: &NativeSigner, native: &Native) -> Statement {
    let name = artifact.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let before = ResourceDescriptor::named(name.clone(), &native.event.before);
    let subject = match (&native.signed, &signer.detached) {
        (Some(signature), Some(suffix)) => {
            vec![before, ResourceDescriptor::named(format!("{name}{suffix}"), &Digest::of(signature))]
        }
        (Some(signed), None) => vec![ResourceDescriptor::named(name, &Digest::of(signed))],
        (None, _) => vec![before],
    };
    Statement::new(subject, &native.event)
}

/// Where the result goes.
pub(crate) fn destination(artifact: &Path, signer: &NativeSigner) -> PathBuf {
    match &signer.detached {
        Some(suffix) => crate::sign::with_suffix(artifact, suffix),
        None => artifact.to_path_buf(),
    }
}

/// Compares a file before and after: the method by which it was signed, the facts of its signature, and what is wrong.
fn only_signed(
    name: &BytePath,
    before: &[u8],
    after: &[u8],
) -> (&'static str, Option<CodeSignature>, Vec<String>) {
    let tree = inspect_bytes(name, after);
    let signature = tree.root.executables.first().and_then(|image| image.signature.clone());
    if before.starts_with(b"MZ") {
        let wrong = authenticode(name, before, after, signature.as_ref());
        return ("authenticode", signature, wrong);
    }
    let first = inspect_bytes(name, before);
    if first.root.members.is_empty() || !first.problems.is_empty() || !tree.problems.is_empty() {
        let why =
            "it is of no kind in which a signature can be told from content; sign it detached".to_owned();
        return ("none", signature, vec![why]);
    }
    let mut wrong = members(&first.root, &tree.root);
    let manifest = |bytes: &[u8]| {
        let path = tree.root.join(name, &MANIFEST.into());
        let input = inspect::Input::Bytes(bytes);
        let budget = &mut inspect::Budget::default();
        let found = inspect::extract(name, input, [path].into(), MANIFEST_MAX_BYTES, budget).ok()?;
        found.into_values().next()
    };
    wrong.extend(manifest_changed(manifest(before).as_deref(), manifest(after).as_deref()));
    let of_container = tree.root.signature.as_deref();
    if let Some(facts) = of_container {
        // What is known to be covered must be, and by a signature that verifies.
        if facts.digest_matches == Some(false) || facts.signature_valid == Some(false) {
            wrong.push("the signature does not verify over the container".into());
        }
        if let Some(left_out) = facts.uncovered.first() {
            wrong.push(format!("the signature does not cover: {}", left_out.place));
        }
    }
    ("container", of_container.cloned(), wrong)
}

/// An image differs only in its checksum, the entry of its certificate table, padding to eight bytes, and the table,
/// in which nothing is uncovered.
fn authenticode(
    name: &BytePath,
    before: &[u8],
    after: &[u8],
    signature: Option<&CodeSignature>,
) -> Vec<String> {
    let Some(signature) = signature else { return vec!["it carries no Authenticode signature".into()] };
    let mut wrong = Vec::new();
    let earlier = inspect_bytes(name, before);
    let earlier = earlier.root.executables.first().and_then(|image| image.signature.clone());
    let content = earlier.map_or(before.len(), |earlier| (earlier.table_offset as usize).min(before.len()));
    let table = signature.table_offset as usize;
    let fields = fields(before);
    let same = match (&fields, before.get(..content), after.get(..content)) {
        (Some(fields), Some(old), Some(new)) => {
            let free = |at: usize| fields.iter().any(|(from, to)| (*from..*to).contains(&at));
            old.iter().zip(new).enumerate().all(|(at, (old, new))| old == new || free(at))
        }
        _ => false,
    };
    if !same {
        wrong.push("bytes of the image outside of checksum and certificate table entry were changed".into());
    }
    let padding = after.get(content..table);
    if padding.is_none_or(|padding| padding.len() > 7 || padding.iter().any(|byte| *byte != 0)) {
        wrong.push("something stands between the image and its certificate table".into());
    }
    if signature.digest_matches != Some(true) || signature.signature_valid != Some(true) {
        wrong.push("the signature does not verify over the image".into());
    }
    if signature.entries != 1 || signature.unknown_entries > 0 || signature.bytes_after_table > 0 {
        wrong.push("the certificate table holds more than one signature".into());
    }
    if let Some(hidden) = signature.uncovered.first() {
        wrong.push(format!(
            "{} bytes in the signature block that the signature does not cover: {}",
            hidden.size, hidden.place
        ));
    }
    wrong
}

/// Where checksum and certificate table entry stand in a PE image (PE Format, "Optional Header").
fn fields(image: &[u8]) -> Option<[(usize, usize); 2]> {
    let number =
        |at: usize| image.get(at..at + 4).and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
    let optional = (number(0x3c)? as usize).checked_add(24)?;
    let magic = image.get(optional..optional + 2)?;
    let directories = optional + if magic == [0x0b, 0x02] { 112 } else { 96 };
    let entry = directories + 4 * 8;
    (entry + 8 <= image.len()).then_some([(optional + 64, optional + 68), (entry, entry + 8)])
}

/// A container has the members that it had, each with its bytes, and new ones only where signatures stand.
fn members(before: &Node, after: &Node) -> Vec<String> {
    let is_signature = |node: &Node| is_signature(&node.name);
    let content = |node: &Node| -> Vec<(BytePath, Option<Digest>, Option<u32>)> {
        let kept = node.members.iter().filter(|member| !is_signature(member));
        kept.map(|member| (member.name.clone(), member.digest, member.mode)).collect()
    };
    let (old, new) = (content(before), content(after));
    let mut wrong = Vec::new();
    for (name, digest, _) in &old {
        if !new.iter().any(|(other, found, _)| other == name && found == digest) {
            wrong.push(format!("the member `{name}` was changed or taken away"));
        }
    }
    for (name, ..) in &new {
        if !old.iter().any(|(other, ..)| other == name) {
            wrong.push(format!("the member `{name}` was added"));
        }
    }
    if !after.members.iter().any(is_signature) {
        wrong.push("no signature was added".into());
    }
    wrong
}

/// A signer of Java archives adds digests to the sections of the manifest, and sections of nothing else; the first section, which
/// says what is started and what is loaded besides, stays as it was, and so does what others say of single members (JAR File
/// Specification, "JAR Manifest").
fn manifest_changed(before: Option<&[u8]>, after: Option<&[u8]>) -> Option<String> {
    /// What a signer writes into a manifest that it makes.
    const MADE: [&str; 2] = ["Manifest-Version:", "Created-By:"];
    let (main, named) = sections(after?);
    let (old_main, old_named) = match before {
        Some(before) => sections(before),
        None => {
            let made = main.iter().filter(|line| MADE.iter().any(|made| line.starts_with(made)));
            (made.cloned().collect(), Vec::new())
        }
    };
    if main != old_main {
        return Some("the first section of the manifest was changed".to_owned());
    }
    // Sections are compared one by one: which of two of the same name counts, readers do not agree upon.
    let mut rest =
        old_named.into_iter().map(undigested).filter(|section| section.len() > 1).collect::<Vec<_>>();
    for section in named.into_iter().map(undigested).filter(|section| section.len() > 1) {
        match rest.iter().position(|old| *old == section) {
            Some(at) => drop(rest.remove(at)),
            None => return Some(format!("the manifest says something else of `{}`", section[0])),
        }
    }
    rest.first().map(|section| format!("the manifest does not say what it said of `{}`", section[0]))
}

/// A section without what a signer adds to it: digests.
fn undigested(section: Vec<String>) -> Vec<String> {
    let is_digest = |line: &String| {
        line.split_once(':').is_some_and(|(name, _)| name.to_ascii_lowercase().ends_with("-digest"))
    };
    section.into_iter().filter(|line| !is_digest(line)).collect()
}

/// The lines of a manifest's first section, and of all others; what goes on in the next line is one.
fn sections(manifest: &[u8]) -> (Vec<String>, Vec<Vec<String>>) {
    let text = String::from_utf8_lossy(manifest).replace("\r\n", "\n").replace('\r', "\n").replace("\n ", "");
    let mut all = vec![Vec::new()];
    for line in text.lines() {
        match all.last_mut() {
            Some(section) if !line.is_empty() => section.push(line.to_owned()),
            _ => all.push(Vec::new()),
        }
    }
    let main = all.remove(0);
    (main, all.into_iter().filter(|section| !section.is_empty()).collect())
}

/// Tells a signature by its name. In `META-INF` of a Java archive are services and classes of other versions as well: only the
/// manifest, at its top, and what it names as signatures may change (JAR File Specification, "Signed JAR File").
fn is_signature(name: &BytePath) -> bool {
    let name = String::from_utf8_lossy(name.as_bytes());
    let Some(of_archive) = name.strip_prefix("META-INF/") else { return SIGNATURES.contains(&name.as_ref()) };
    let upper = of_archive.to_ascii_uppercase();
    let at_top = !upper.contains('/');
    let named = [".SF", ".RSA", ".DSA", ".EC"].iter().any(|ending| upper.ends_with(ending));
    // Readers take a manifest in other letters too: such a one is content, for it is this one that is compared.
    of_archive.is_empty() || at_top && (named || upper.starts_with("SIG-") || of_archive == "MANIFEST.MF")
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_leaves_the_first_section_of_a_manifest_alone() {
        let old = b"Manifest-Version: 1.0\r\nMain-Class: a.B\r\n\r\n".as_slice();
        let signed = [old, b"Name: a/B.class\r\nSHA-256-Digest: x\r\n\r\n"].concat();
        assert_eq!(manifest_changed(Some(old), Some(&signed)), None);
        let other = String::from_utf8(signed.clone()).unwrap().replace("a.B", "a.Evil");
        assert!(manifest_changed(Some(old), Some(other.as_bytes())).is_some());
        let more =
            String::from_utf8(signed).unwrap().replace("a.B\r\n", "a.B\r\nLauncher-Agent-Class: x\r\n");
        assert!(manifest_changed(Some(old), Some(more.as_bytes())).is_some());
        assert_eq!(manifest_changed(None, Some(b"Manifest-Version: 1.0\nCreated-By: 17\n\nName: x\n")), None);
        assert!(manifest_changed(None, Some(b"Manifest-Version: 1.0\nClass-Path: evil.jar\n\n")).is_some());
        assert_eq!(manifest_changed(None, None), None);
    }

    #[test]
    fn a_signer_adds_digests_to_other_sections_and_nothing_else() {
        let old = "Manifest-Version: 1.0\nMain-Class: a.Very.Long.Na\n me\n\nName: a/\nSealed: true\n\n";
        let digest = |name: &str| format!("Name: {name}\nSHA-256-Digest: abc\n def\nSHA-512-Digest: x\n\n");
        let changed = |new: &str| manifest_changed(Some(old.as_bytes()), Some(new.as_bytes())).is_some();
        // Written anew, with other line ends and broken elsewhere: the same.
        let same = old.replace("Na\n me", "\n Name").replace('\n', "\r\n");
        assert!(!changed(&(same + &digest("a/B.class"))));
        assert!(!changed(&old.replace("Sealed: true\n", "Sealed: true\nSHA-256-Digest: abc\n")));
        assert!(changed(&old.replace("true", "false")));
        assert!(changed(&old.replace("Sealed: true\n", "")));
        assert!(changed(&format!("{old}Name: a/\nSealed: false\n\n")), "a second one of the name");
        assert!(changed(&format!("{old}Name: b/\nImplementation-Title: evil\n\n")));
        assert!(changed(&format!("{old}{}", digest("b/").replace("SHA-256-Digest", "Digest-URL"))));
        assert!(changed(&old.replace("\n\nName: a/", "\nName: a/")), "no longer a section of its own");
        assert!(manifest_changed(None, Some(b"Manifest-Version: 1.0\n\nName: a/\nSealed: true\n")).is_some());
    }

    #[test]
    fn only_what_is_a_signature_may_be_added() {
        for name in ["META-INF/", "META-INF/MANIFEST.MF", "META-INF/KEY.SF", "META-INF/key.rsa", "_gpgorigin"]
        {
            assert!(is_signature(&name.into()), "{name}");
        }
        for name in [
            "META-INF/versions/9/A.class",
            "META-INF/services/x",
            "META-INF/A.class",
            "META-INF/manifest.mf",
            "META-INF/x/KEY.SF",
            "_gpg/evil",
            "[Content_Types].xml",
        ] {
            assert!(!is_signature(&name.into()), "{name}");
        }
    }
}
