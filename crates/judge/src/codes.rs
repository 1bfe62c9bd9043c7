//! Every finding code, in one list: word, severity, what it means, what to do. Each has a page in
//! `docs/findings/`, and a policy may only name codes from here or from the built-in detection rules, whose codes
//! stand in their files.

use std::sync::LazyLock;

use evidence::{Finding, Severity, Subject};

use crate::detect::Rules;

/// One finding code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// Stable kebab-case word.
    pub word: &'static str,
    /// How bad it is unless a policy says otherwise.
    pub severity: Severity,
    /// One sentence for people.
    pub title: &'static str,
    /// What to do next.
    pub hint: &'static str,
    /// Whether a person may approve it. What proves that there is nothing to vouch for may not be.
    pub approvable: bool,
    /// Whether it takes two people, and no policy can allow it.
    pub two_people: bool,
}

impl Code {
    /// Makes a finding with this code.
    pub fn finding(&self, subject: Subject, because: Vec<String>) -> Finding {
        Finding::new(self.word, self.severity, self.title, subject, because, self.hint)
    }
}

/// Finds a code by its word: one of [`ALL`], else one of the built-in detection rules.
pub fn find(word: &str) -> Option<&'static Code> {
    ALL.iter().chain(of_rules()).find(|code| code.word == word)
}

/// The codes of the built-in detection rules that are not in [`ALL`], by word. The first rule with a code words it;
/// the severity is that of the worst. A person may answer for each: a rule suspects, it does not prove.
pub fn of_rules() -> &'static [Code] {
    static CODES: LazyLock<Vec<Code>> = LazyLock::new(|| {
        let mut codes: Vec<Code> = Vec::new();
        for rule in Rules::builtin().iter().filter(|rule| ALL.iter().all(|code| code.word != rule.code)) {
            match codes.iter_mut().find(|code| code.word == rule.code) {
                Some(known) => known.severity = known.severity.max(rule.severity),
                None => codes.push(Code {
                    word: &rule.code,
                    severity: rule.severity,
                    title: &rule.title,
                    hint: &rule.hint,
                    approvable: true,
                    two_people: false,
                }),
            }
        }
        codes.sort_by_key(|code| code.word);
        codes
    });
    &CODES
}

macro_rules! codes {
    ($($name:ident = $word:literal, $severity:ident, $approvable:ident, $title:literal, $hint:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code {
                word: $word,
                severity: Severity::$severity,
                title: $title,
                hint: $hint,
                approvable: codes!(@ $approvable),
                two_people: codes!(@@ $approvable),
            };
        )*
        /// All codes, as listed.
        pub const ALL: &[Code] = &[$($name),*];
    };
    (@ approvable) => { true };
    (@ two) => { true };
    (@ final) => { false };
    (@@ two) => { true };
    (@@ $other:ident) => { false };
}

codes! {
    // The gate: is there anything to vouch for?
    ARTIFACT_NOT_RECORDED = "artifact-not-recorded", Critical, final,
        "no recorded build produced these bytes",
        "record the build with `countersign run --output …`, or sign the file that the record names";
    PROVENANCE_MISSING = "provenance-missing", Critical, final,
        "the record has no signed provenance",
        "only a complete, successful record with declared outputs gets provenance; record the build again";
    PROVENANCE_INVALID = "provenance-invalid", Critical, final,
        "the provenance does not verify",
        "run `countersign fsck`; record the build again";
    BUILDER_UNKNOWN = "builder-unknown", Critical, final,
        "the provenance is signed by a key that is not a known builder",
        "add the builder's key to the trust file only if that machine is yours";
    ROLE_DENIED = "role-denied", Critical, final,
        "a key or person does what is not theirs to do",
        "the policy's `[roles]` say who may; a person's everyday key never builds or signs";
    RULE_DENIED = "rule-denied", Critical, final,
        "a content rule of the policy denies the release",
        "mend what it says, or change the rule: `[rules]` in the policy names it by its digest";
    RULE_UNANSWERED = "rule-unanswered", Critical, final,
        "a rule file that the policy names could not be asked",
        "put the file right and its digest into `[rules]`, or use a program that was built with the feature";
    QUORUM_DISAGREEMENT = "quorum-disagreement", Critical, final,
        "independent builders came to different bytes",
        "compare the records: `countersign compare`; one of the builders may be compromised, or the build is not reproducible";
    QUORUM_MISSING = "quorum-missing", High, final,
        "fewer independent builders agree than the policy requires",
        "have the artifact built by the other builders, then run `countersign quorum`";
    NOT_REPRODUCED = "not-reproduced", High, approvable,
        "a repetition of the recorded build came to other bytes",
        "make the build independent of what was varied; the reasons say what that was";
    BUILD_FAILED = "build-failed", Critical, final,
        "the recorded build did not end well",
        "a failed build is never signed; mend it and record it again";
    RECORD_INCOMPLETE = "record-incomplete", Critical, final,
        "the recorder did not see everything",
        "an incomplete record is never signed; see `countersign show RECORD` for the gaps and record again";
    INPUT_MUTATED = "input-mutated", Critical, approvable,
        "an input was changed from outside while the build used it",
        "treat the build machine as compromised until you know who wrote the file";
    ACCESS_REFUSED = "access-refused", High, approvable,
        "the build tried something that the recorder refuses",
        "find out which step tried it: no honest build touches the evidence store or its keys";
    INPUTS_NOT_OBSERVED = "inputs-not-observed", High, approvable,
        "the build was not traced: what it read and whom it talked to is not known",
        "record it where it can be traced; where that is impossible, a policy may allow this code";
    UNREAD_INPUT = "unread-input", High, approvable,
        "something inside the artifact could not be read",
        "what cannot be read cannot be vouched for: ship a format that can be opened, or look and approve";
    NO_BASELINE = "no-baseline", Info, approvable,
        "there is no earlier record of this product to compare with",
        "look at the release yourself; set `baseline = \"required\"` in the policy once there is one";
    BASELINE_REQUIRED = "baseline-required", High, approvable,
        "the policy requires a baseline and there is none",
        "record an earlier release, or approve this finding for the first one";
    APPROVAL_EXPIRED = "approval-expired", Info, approvable,
        "an approval for a finding of this artifact has expired",
        "judge the finding anew: `countersign approve FINDING --reason … --expires …`";

    // Compare: what no source change explains.
    UNEXPLAINED_MEMBER = "unexplained-member", Critical, approvable,
        "a new member that no changed source explains",
        "find the process that made it: `countersign show RECORD --timeline`";
    UNEXPLAINED_MEMBER_CHANGE = "unexplained-member-change", Critical, approvable,
        "a member changed and no changed source explains it",
        "compare the two files; if the build is not reproducible here, mend that first";
    UNEXPLAINED_MEMBER_REMOVAL = "unexplained-member-removal", Medium, approvable,
        "a member is gone and no source changed",
        "check whether the packaging step lost a file";
    UNEXPLAINED_OUTPUT = "unexplained-output", Critical, approvable,
        "a new output that no changed source explains",
        "find the process that made it: `countersign show RECORD --timeline`";
    UNEXPLAINED_OUTPUT_CHANGE = "unexplained-output-change", High, approvable,
        "an output changed and no changed source explains it",
        "look at what differs; a build that is not reproducible has to be made so to be judged";
    UNEXPLAINED_OUTPUT_REMOVAL = "unexplained-output-removal", Medium, approvable,
        "an output is gone and no source changed",
        "check the build's log for a step that no longer runs";
    CONTAINER_REWRITTEN = "container-rewritten", Low, approvable,
        "a container has the same members but other bytes of its own",
        "usually timestamps or compression: set SOURCE_DATE_EPOCH to make the archive reproducible";
    CONTAINER_GREW = "container-grew", High, approvable,
        "a container grew though its members did not",
        "look for data before, between or after its members";
    PREBUILT_CHANGED = "prebuilt-changed", Critical, approvable,
        "a prebuilt binary among the sources changed without a new version",
        "get the file anew from its vendor and compare; this is how poisoned libraries arrive";
    PREBUILT_UPDATED = "prebuilt-updated", Medium, approvable,
        "a prebuilt binary among the sources has a new version",
        "check the vendor's digest or signature, then approve";
    PREBUILT_ADDED = "prebuilt-added", High, approvable,
        "a new prebuilt binary is among the sources",
        "find out where it comes from; build it, or approve it by its digest";
    TOOLCHAIN_TAMPERED = "toolchain-tampered", Critical, approvable,
        "files of an installed package changed while its version did not",
        "verify the package (`dpkg --verify`); treat the machine as compromised until explained";
    TOOLCHAIN_CHANGED = "toolchain-changed", High, approvable,
        "part of the toolchain that no package owns changed",
        "find out who updated it; install tools from packages so that a version says what they are";
    TOOLCHAIN_UPDATED = "toolchain-updated", Low, approvable,
        "packages of the toolchain have new versions",
        "expected after an update of the machine";
    MACHINE_FILE_CHANGED = "machine-file-changed", Low, approvable,
        "machine configuration that the build reads changed",
        "expected after changes to the machine; look if it was not you";
    DEPENDENCY_TAMPERED = "dependency-tampered", Critical, approvable,
        "a dependency has other bytes under the same version",
        "a published version never changes: fetch it anew and compare with the lock file";
    DEPENDENCY_UPDATED = "dependency-updated", Low, approvable,
        "a dependency has a new version",
        "expected after an update of the lock file";
    DEPENDENCY_ADDED = "dependency-added", Medium, approvable,
        "a new dependency was used that no changed source asks for",
        "find out what pulls it in";
    COMPILER_ADDED = "compiler-added", Medium, approvable,
        "an executable was made by a compiler that made none before",
        "find out whether the build moved to it; code that was brought along has the compiler of whoever made it";
    TIMESTAMP_IMPLAUSIBLE = "timestamp-implausible", Medium, approvable,
        "an executable was linked at a time that does not fit the build",
        "find out where the file comes from: a build writes its own time, or one and the same";
    COMPONENT_HASH_CHANGED = "component-hash-changed", High, approvable,
        "a component has other bytes under the same version",
        "a published version never changes: compare both with the registry's digest before you ship either";
    COMPONENT_SUPPLIER_CHANGED = "component-supplier-changed", Medium, approvable,
        "a component comes from another supplier",
        "find out who maintains it now, and since when";
    COMPONENT_LICENCE_CHANGED = "component-licence-changed", Low, approvable,
        "a component has another licence",
        "have it read by whoever answers for licences";
    COMPONENT_DRIFT = "component-drift", Medium, approvable,
        "the components differ though the source is the same",
        "find out which of the two bills of materials is right, and what pulled the component in";
    DEPENDENCY_CHANGED = "dependency-changed", High, approvable,
        "an input from outside the project changed and no package vouches for it",
        "find out where the file comes from";
    NEW_PROCESS = "new-process", Medium, approvable,
        "the build ran a program that it did not run before, and no changed source explains it",
        "see `countersign show RECORD --processes` for its parents";
    NEW_DESTINATION = "new-destination", High, approvable,
        "the build talked to an address that it did not talk to before",
        "see `countersign show RECORD --network`; a build has little reason to talk at all";
    NEW_LOCAL_DESTINATION = "new-local-destination", Low, approvable,
        "the build used a local socket that it did not use before",
        "work done by a daemon is not observed: see `countersign show RECORD --network`";
    UNEXPLAINED_DIFFERENCE = "unexplained-difference", High, approvable,
        "two artifacts of unchanged source differ",
        "record both builds: the trace can explain what a bare comparison cannot";

    // Anomalies: facts that honest files do not show.
    AUTHENTICODE_HIDDEN_DATA = "authenticode-hidden-data", Critical, approvable,
        "data is hidden in the signature block of a signed file",
        "the signature still checks because it does not cover these bytes: do not ship the file";
    AUTHENTICODE_MISMATCH = "authenticode-mismatch", Critical, approvable,
        "a file was changed after it had been signed",
        "the embedded signature is not for these bytes: get the file anew from its vendor";
    DETACHED_SIGNATURE_MISMATCH = "detached-signature-mismatch", Critical, approvable,
        "a file is not what the signature beside it was made over",
        "get the file and its signature anew from whoever signed them";
    SIGNER_UNTRUSTED = "signer-untrusted", Medium, approvable,
        "a signature does not lead to a given root, or a certificate had expired when it signed",
        "ask the vendor which certificates sign its releases, and since when";
    SIGNATURE_BLOCK_GREW = "signature-block-grew", Critical, approvable,
        "the signature block of a file grew while the signed part stayed the same",
        "re-signing changes it by at most ten kilobytes: look at what was added";
    SIGNATURE_REMOVED = "signature-removed", High, approvable,
        "a file that was signed no longer is",
        "find out which step strips or replaces the signature";
    SIGNER_CHANGED = "signer-changed", High, approvable,
        "a file is signed by another organisation than before",
        "check with the vendor";
    SIGNER_CHANGED_CONTENT = "signer-changed-content", Critical, final,
        "the vendor signer changed more than the signature",
        "do not use what it wrote; look into the signing program and its machine";
    PACKED_SECTION = "packed-section", High, approvable,
        "an executable has a new section of random-looking data",
        "compilers do not make these: look for packed or encrypted code";
    WRITABLE_CODE = "writable-code", High, approvable,
        "an executable has a new section that is writable and executable",
        "compilers do not make these";

    PATCHED_AFTER_LINK = "patched-after-link", Critical, approvable,
        "an executable was changed after it had been linked",
        "its build id says that it is the file of before, and it is not: get it anew from its vendor";
    SAME_VERSION_CHANGED = "same-version-changed", High, approvable,
        "an executable of the same version and the same tools has new parts",
        "a vendor who changes a file gives it a new version: get it anew and compare";
    ENTRY_POINT_MOVED = "entry-point-moved", High, approvable,
        "an executable begins in another kind of section than before",
        "linkers put the entry point into the main code section: look at what runs first";
    INITIALIZER_ADDED = "initializer-added", High, approvable,
        "an executable runs more code before its entry point than before",
        "find the source of the new initialiser or indirect function; this is how the xz backdoor began";
    DATA_MADE_CODE = "data-made-code", High, approvable,
        "a part of an executable that held data can be executed now",
        "linkers keep code and data apart: look at what was put there, and who changed the header";
    DEPENDENCY_ELSEWHERE = "dependency-elsewhere", High, approvable,
        "a package asks for something from outside of its registry",
        "find out who may change what lies at that address: no registry keeps it";
    ARCHIVE_MISLEADS = "archive-misleads", High, approvable,
        "an archive has names or contents that its readers take in different ways",
        "look at what each of them unpacks: a name twice, a path out of the archive, bytes that its own digest contradicts";
    CODE_CAVE = "code-cave", High, approvable,
        "an executable has data where linkers leave zeros",
        "look at the bytes behind and between the sections";
    FUNCTION_PATCHED = "function-patched", High, approvable,
        "a function of an executable was made to end at once, or calls of it lead to another one",
        "compilers and linkers make nothing of the kind: look at what the function did, and get the file anew from its vendor";
    OVERLAY_ADDED = "overlay-added", High, approvable,
        "a file has new data behind its last part",
        "look at what was appended";
    SECTION_ADDED = "section-added", Low, approvable,
        "an executable has a new section",
        "expected of a new compiler; look where the compiler did not change";
    FOREIGN_LIBRARY = "foreign-library", High, approvable,
        "an executable loads a library that neither the artifact nor the system has, or of which it uses nothing",
        "find out who added it: it runs as soon as the executable is loaded";
    SEARCH_PATH_ADDED = "search-path-added", Medium, approvable,
        "an executable looks for libraries in a new place outside of its own folder",
        "whoever can write there decides what it loads";
    HARDENING_LOST = "hardening-lost", Medium, approvable,
        "an executable has less hardening than before",
        "check the compiler's and linker's options";
    ENTITLEMENT_ADDED = "entitlement-added", High, approvable,
        "an executable asks for a right that lets foreign code into it",
        "released programs need no debugging rights; check the signing step";
    CAPABILITY_ADDED = "capability-added", Low, approvable,
        "a file can do something that it could not do before",
        "common in honest releases; look where other findings name the same file";
    EMBEDDED_PAYLOAD = "embedded-payload", High, approvable,
        "a file that held none has an executable or an archive inside",
        "take it out at the named offset and inspect it";
    HOST_ADDED = "host-added", High, approvable,
        "a script names a host that nothing of the old release named",
        "read what it gets from there and what it does with it";
    RIGHTS_ADDED = "rights-added", High, approvable,
        "a file runs with the rights of its owner or group and did not",
        "find the step that sets the mode; few programs need it";
    EXECUTABLE_REPLACED = "executable-replaced", High, approvable,
        "where a program was there is none, or another one",
        "get the file anew; it may be read by another part of the product";
    DISGUISED_FILE = "disguised-file", High, approvable,
        "a program stands under the name of something harmless",
        "find out which step wrote it";
    INSTALL_HOOK_ADDED = "install-hook-added", High, approvable,
        "something new runs when the package is installed or its runtime starts",
        "read the command and what it starts; most attacks on packages begin here";
    ENTRY_MOVED = "entry-moved", High, approvable,
        "a package begins with another file, which the old release did not have",
        "read the new file: everybody who uses the package runs it";
    REQUIREMENT_ADDED = "requirement-added", High, approvable,
        "a release that mends things asks for one more package",
        "look whether anything of the package uses it, who publishes it, and since when it exists";
    RUNS_WHEN_LOADED = "runs-when-loaded", High, approvable,
        "a source does something new as soon as it is loaded",
        "read the lines: honest modules define what others call, attacks begin by themselves";
    SAFEGUARD_LOST = "safeguard-lost", High, approvable,
        "a source protects less than it did",
        "read the change: what is compared, drawn or checked there, and who asked for it";
    HIDDEN_TEXT = "hidden-text", High, approvable,
        "source text has characters that people do not see",
        "show the bytes: bidirectional controls reorder code on the screen, invisible ones carry data";
    MEMBER_MISMATCH = "member-mismatch", Critical, approvable,
        "a member is not what another member says it is",
        "the file was put there or changed after the package had been built";
    FOREIGN_EXECUTABLE = "foreign-executable", High, approvable,
        "a new executable of a kind that the artifact did not have",
        "find out what it is for and which step made it";
    EXECUTABLE_ADDED = "executable-added", Low, approvable,
        "a new executable of a kind that the artifact had before",
        "expected when a release gets new parts";

    // Verification of a release.
    BUNDLE_MISSING = "bundle-missing", Critical, final,
        "there is no signature bundle for this file",
        "ask the vendor for the `.sigstore.json` file, or give it with `--bundle`";
    BUNDLE_MALFORMED = "bundle-malformed", Critical, final,
        "the bundle is damaged or not one of ours",
        "download it again";
    MANIFEST_MALFORMED = "manifest-malformed", Critical, final,
        "the manifest of the folder cannot be read",
        "get the manifest again; it is what `sha256sum` writes";
    RELEASE_KEY_UNKNOWN = "release-key-unknown", Critical, final,
        "the bundle is signed by a key that the trust file does not name",
        "get the vendor's current trust file over a channel that you trust";
    KEY_RETIRED = "key-retired", Critical, final,
        "the signing key does not count at this place of the log",
        "ask the vendor for a release by the current key";
    SIGNATURE_INVALID = "signature-invalid", Critical, final,
        "the signature does not verify",
        "download file and bundle again; if it persists, tell the vendor";
    COUNTER_MISMATCH = "counter-mismatch", High, final,
        "a key has made another number of signatures than the log has by it",
        "find out which command was interrupted; if none was, the key is used outside: retire it";
    CERTIFICATE_INVALID = "certificate-invalid", Critical, final,
        "the certificate or its timestamp is not to be believed",
        "get the vendor's current trust file; if it stays, tell the vendor";
    LOG_PROOF_INVALID = "log-proof-invalid", Critical, final,
        "the bundle does not prove that the signature is in the transparency log",
        "a signature outside the log is an incident: tell the vendor";
    WITNESSES_MISSING = "witnesses-missing", High, final,
        "too few of the required witnesses have cosigned the log",
        "ask the vendor for a bundle with the cosignatures that the trust file requires";
    ARTIFACT_MISMATCH = "artifact-mismatch", Critical, final,
        "the bundle is for other bytes than this file",
        "download the file again; check that bundle and file belong together";
    FILE_UNLISTED = "file-unlisted", High, final,
        "a file in the folder is not in its released manifest",
        "find out who put it there; compare with a fresh installation";
    FILE_MISSING = "file-missing", High, final,
        "a file of the released manifest is not in the folder",
        "install again, or find out who removed it";
    NOT_A_RELEASE = "not-a-release", Critical, final,
        "the statement in the bundle does not release this file",
        "use the bundle that `countersign sign` wrote, not a provenance or approval";
    LEVEL_MISSING = "level-missing", High, final,
        "the release lacks a level that the trust file requires",
        "ask the vendor why the gate did not find it";
    REVOKED = "revoked", Critical, final,
        "the vendor no longer vouches for this file",
        "do not use it; see the reason";
    TRUST_STALE = "trust-stale", High, final,
        "the trust file is too old to be relied on",
        "get the current trust file from the vendor over a channel that you trust";
    PROVENANCE_MISMATCH = "provenance-mismatch", Critical, final,
        "the provenance beside the file is not the one that the gate relied on, or does not verify",
        "download it again; if it persists, tell the vendor";

    // Detection: what is not said by a single rule. The rules' own codes are in `rules/`.
    DETECTION_LIMIT = "detection-limit", High, approvable,
        "a limit of the detector was hit: what followed may have gone unseen",
        "look at what floods the trace; honest builds stay far below the limits";
    SIGMA_RULE_MATCHED = "sigma-rule-matched", Medium, approvable,
        "a Sigma rule matched",
        "read the rule, then the processes that led here";

    // Rules of the user over artifacts and their members.
    YARA_RULE_MATCHED = "yara-rule-matched", Medium, approvable,
        "a YARA rule matched",
        "read the rule, then look at the bytes that it names";

    // The machine between and during builds.
    INTERACTIVE_LOGIN_DURING_BUILD = "interactive-login-during-build", High, approvable,
        "somebody was logged in on the build machine while a build ran",
        "find out what they did: `countersign watch report`; build where nobody can log in";
    WATCHED_PATH_CHANGED = "watched-path-changed", Medium, approvable,
        "a watched file of the machine was changed",
        "find out who changed it and why; if nobody knows, build on another machine";

    // The baseline of good builds.
    BASELINE_NEW_PROGRAM = "baseline-new-program", Medium, approvable,
        "a program ran that no build of the baseline ran",
        "see `countersign show RECORD --processes`; learn the baseline anew once you know why";
    BASELINE_NEW_DESTINATION = "baseline-new-destination", High, approvable,
        "an address was used that no build of the baseline used",
        "see `countersign show RECORD --network`; learn the baseline anew once you know why";
    BASELINE_NEW_AREA = "baseline-new-area", Medium, approvable,
        "files were written in a folder where no build of the baseline wrote",
        "find the process that wrote there: `countersign show RECORD --timeline`";
    BASELINE_NEW_LOADING = "baseline-new-loading", High, approvable,
        "a variable that changes what programs load has a value that no build of the baseline had",
        "find out who sets it; it can put foreign code into every compiler";

    // Advisories.
    MALICIOUS_PACKAGE_EXECUTED = "malicious-package-executed", Critical, two,
        "a malicious package ran in a build",
        "take the build machine off the net, sign nothing that was built on it since, and change every secret that it could read";
    MALICIOUS_PACKAGE = "malicious-package", Critical, two,
        "a malicious package was found",
        "find out whether it ever ran (`countersign advisories affected ADVISORY`); remove it, and change the secrets it could read";
    MALICIOUS_ARTIFACT = "malicious-artifact", Critical, two,
        "a file has the bytes of a known attack",
        "treat the machine as compromised: the bytes are the same, whatever the file is called";
    EXPLOITED_PACKAGE = "exploited-package", Critical, two,
        "an affected package has a fault that is known to be exploited",
        "update it, and look for signs of use where the product runs";
    VULNERABLE_PACKAGE = "vulnerable-package", High, approvable,
        "a package is affected by an advisory",
        "update it to a version that the advisory calls fixed";
    ADVISORY_UNDETERMINED = "advisory-undetermined", Medium, approvable,
        "an advisory speaks of a package, and nobody can tell whether this version is affected",
        "find out the exact version, or read the advisory";
    ADVISORIES_MISSING = "advisories-missing", Medium, approvable,
        "packages of an ecosystem were seen for which no advisories were imported",
        "import that ecosystem: `countersign advisories import`; until then nothing is known of these packages";
    ADVISORY_INDEX_STALE = "advisory-index-stale", High, approvable,
        "the advisories are older than they may be",
        "get newer ones: `countersign advisories update --from …`; until then silence means nothing";
    PACKAGE_BYTES_DIFFER = "package-bytes-differ", Critical, approvable,
        "a package that the build used has other bytes than its lock file says",
        "find out who served or changed these bytes; do not release what was built with them";
    ADVISORY_INDEX_MISSING = "advisory-index-missing", High, approvable,
        "the policy asks for advisories, and the store has none",
        "get them: `countersign advisories import` or `update --from …`";
    PACKAGE_BYTES_UNCHECKED = "package-bytes-unchecked", Info, approvable,
        "packages of a lock file could not be compared with what the build read",
        "the reasons say what was missing; keep the package manager's cache until the record is matched";
    LOCK_FILE_DISAGREES = "lock-file-disagrees", High, approvable,
        "a lock file does not hold what the manifest beside it asks for",
        "make the lock file anew from the manifest, look at the difference, and build with a frozen lock file";
    INSTALL_SCRIPT_RAN = "install-script-ran", Info, approvable,
        "a script of a package ran when it was installed",
        "switch install scripts off where no package needs them; read those that stay";
    DEPENDENCY_CONFUSION = "dependency-confusion", Critical, approvable,
        "an internal name was resolved from a registry that is not ours",
        "do not run what came from there; name the registry for the scope, and register the name where others could";
    NAME_LIKE_POPULAR = "name-like-popular", High, approvable,
        "a package is called almost like a popular one",
        "check that the name is meant; a name within one edit of a popular one is how squatters are installed";

    // The store and the log.
    OBJECT_CORRUPT = "object-corrupt", Critical, final,
        "an object in the vault no longer has the bytes that its name says",
        "restore it from a backup or another copy of the store; nothing that rests on it can be signed";
    OBJECT_MISSING = "object-missing", Critical, final,
        "an object that the log refers to is not in the vault",
        "restore it from a backup or another copy of the store";
    // Bills of materials of one release beside each other, and alone.
    SHIPPED_NOT_RECORDED = "shipped-not-recorded", Critical, approvable,
        "the artifact carries a package that the recorded build did not use",
        "find out where it came from: ship nothing that no recorded build has read";
    USED_NOT_DECLARED = "used-not-declared", High, approvable,
        "the build used a package that no lock file declares",
        "declare it, or find out which step brought it in";
    DECLARED_NOT_USED = "declared-not-used", Low, approvable,
        "a lock file declares a package that the build did not use",
        "remove it from the manifest, unless another target or platform uses it";
    SBOM_ELEMENT_MISSING = "sbom-element-missing", Medium, approvable,
        "the bill of materials lacks something that it must say",
        "have the maker of the bill add it; `countersign sbom` writes what the sources say";
    LOG_DAMAGED = "log-damaged", Critical, final,
        "the transparency log does not match its signed checkpoint",
        "restore the named tile from a backup or a mirror; do not append before";
    LOG_ENTRY_FOREIGN = "log-entry-foreign", High, final,
        "the log has an entry that no key of this store made, or that cannot be read",
        "find out who can write the store";
    UNRECORDED_SIGNATURE = "unrecorded-signature", Critical, final,
        "a signature by our key that no permitted intent explains",
        "a signature without an intent is an incident: rotate the release key";
    FAILED_BUILD_PUBLISHED = "failed-build-published", Critical, final,
        "a file that only failed or incomplete builds have made is in circulation",
        "withdraw it; find out who took it from the build and published it";
    FORKED = "log-forked", Critical, final,
        "two signed checkpoints of one log contradict each other",
        "stop signing; find out which copy of the store was rolled back or copied";
    POSTURE_RULE_NOT_MET = "posture-rule-not-met", High, approvable,
        "the machine is not in the state that its purpose asks for",
        "do what the rule says, then check again";
    POSTURE_UNKNOWN = "posture-unknown", High, approvable,
        "nobody can tell whether the machine is in the state that its purpose asks for",
        "check as root, or find out why it cannot be read: what is unknown is not a pass";
    SEGMENT_OPEN = "segment-open", Critical, approvable,
        "a machine of another zone answers that must not be reachable from here",
        "close the way in the packet filter between the zones";
    SEGMENT_ANSWERED = "segment-answered", Medium, approvable,
        "a machine of another zone refuses a connection that must not reach it",
        "make sure that the packet filter refuses it, and not the machine behind it";
    SEGMENT_CLOSED = "segment-closed", Low, approvable,
        "a way between zones that is allowed is closed",
        "open it, or take it out of the zone file";
    SEGMENT_UNKNOWN = "segment-unknown", High, approvable,
        "whether a way between zones is closed could not be tested",
        "look at the error; what is unknown is not closed";
    UNEXPECTED_SOFTWARE = "unexpected-software", Critical, approvable,
        "something is on a build or signing machine that was not there when the machine was accepted",
        "find out who put it there; accept the machine again only when that is explained";
    CREDENTIAL_MISPLACED = "credential-misplaced", Critical, approvable,
        "a credential of builds or releases lies on a machine that neither builds nor signs",
        "revoke the credential, then remove it; whoever takes over this machine has it";
    END_OF_LIFE = "end-of-life", High, approvable,
        "software is installed that its makers no longer mend",
        "replace it; what is found in it from now on stays open";
    FLOW_FORBIDDEN = "flow-forbidden", High, approvable,
        "a recorded build talked to a zone that its machine must not reach",
        "find out what the process wanted there, and close the way";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_kebab_case() {
        let mut words: Vec<_> = ALL.iter().map(|code| code.word).collect();
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALL.len());
        assert_eq!(find("revoked"), Some(&REVOKED));
        assert_eq!(find("nonsense"), None);
        assert_eq!(find("credential-sweep").map(|code| code.severity), Some(Severity::Critical));
    }
}
