//! The rules that come with the program: an explicit list; a test holds it and the folder together.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Each file of `rules/` with its name.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../rules/", $name)))),*];
    };
}

files! {
    "ciw-003-publish-outside-publisher.yaml",
    "crd-001-credential-read.yaml",
    "crd-002-credential-sweep.yaml",
    "crd-003-runner-memory.yaml",
    "crd-004-environ-harvest.yaml",
    "crd-005-secret-scanner-run.yaml",
    "crd-006-metadata-service.yaml",
    "crd-008-credential-exfiltration.yaml",
    "dep-004-new-lifecycle-script.yaml",
    "dep-005-dependency-modifies-sibling.yaml",
    "dep-006-self-deleting-script.yaml",
    "esc-001-privileged-container.yaml",
    "esc-002-defence-evasion.yaml",
    "esc-003-observation-gap.yaml",
    "esc-004-access-refused.yaml",
    "esc-005-setuid-set.yaml",
    "exe-001-fileless-program.yaml",
    "exe-002-shell-from-compiler.yaml",
    "exe-003-encoder-chain.yaml",
    "exe-004-ai-cli-abuse.yaml",
    "exe-005-destructive.yaml",
    "exe-006-home-wiped.yaml",
    "lnk-001-object-of-unknown-origin.yaml",
    "lnk-002-toolchain-tampered.yaml",
    "lnk-003-toolchain-loads-unknown-library.yaml",
    "net-001-egress-not-in-baseline.yaml",
    "net-002-network-in-build-phase.yaml",
    "net-003-dns-exfil.yaml",
    "net-004-bypass-resolver.yaml",
    "net-005-lookalike-domain.yaml",
    "net-006-trusted-service-as-drop.yaml",
    "net-007-download-then-exec.yaml",
    "net-008-bring-your-own-runtime.yaml",
    "net-009-reverse-shell.yaml",
    "net-010-network-listener.yaml",
    "per-001-dev-config-persistence.yaml",
    "per-002-workflow-written.yaml",
    "per-003-runner-registered.yaml",
    "pre-001-prebuilt-without-provenance.yaml",
    "pre-004-artifact-changed-after-link.yaml",
    "pre-005-published-not-built.yaml",
    "sig-001-sign-outside-gate.yaml",
    "src-001-input-not-in-commit.yaml",
    "src-002-input-mutated.yaml",
    "src-003-foreign-writer.yaml",
    "src-004-source-overwritten-by-build.yaml",
    "src-005-untracked-input.yaml",
    "src-007-fixture-feeds-shell.yaml",
    "src-008-source-uncommitted.yaml",
    "tlc-001-toolchain-not-known-good.yaml",
    "tlc-002-toolchain-written.yaml",
    "tlc-003-pth-or-sitecustomize.yaml",
}
