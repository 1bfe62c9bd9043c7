//! Rules about what an executable loads and who signed it.

use std::collections::{BTreeMap, BTreeSet};

use evidence::Severity;
use evidence::tree::{CodeSignature, Executable};

use super::packages::is_patch;
use super::{Around, Findings, Structure, apple, plain_name};
use crate::codes;
use crate::compare::names::without_versions;

/// The signature block may grow by this much between releases: the largest change seen between honest releases
/// was 10,704 bytes, and honest tables are below 20,640.
const BLOCK_GROWTH_MAX_BYTES: u64 = 32 << 10;

/// Libraries of the systems themselves: how their names begin.
const SYSTEM: &[&str] = &[
    "kernel32",
    "kernelbase",
    "ntdll",
    "user32",
    "gdi32",
    "gdi32full",
    "advapi32",
    "shell32",
    "ole32",
    "oleaut32",
    "ws2_32",
    "wsock32",
    "crypt32",
    "bcrypt",
    "bcryptprimitives",
    "ncrypt",
    "secur32",
    "shlwapi",
    "version.dll",
    "winmm",
    "comctl32",
    "comdlg32",
    "iphlpapi",
    "psapi",
    "dbghelp",
    "userenv",
    "setupapi",
    "winhttp",
    "wininet",
    "dwmapi",
    "uxtheme",
    "imm32",
    "opengl32",
    "d3d",
    "d3dcompiler",
    "d3dx",
    "d3dcsx",
    "dxgi",
    "dxgidebug",
    "mpr.dll",
    "netapi32",
    "powrprof",
    "rpcrt4",
    "msvcrt",
    "msvcp",
    // Those that there are, whole: `vcruntime140_2.dll` is somebody's.
    "vcruntime140.dll",
    "vcruntime140_1.dll",
    "vcruntime140_threads.dll",
    "vcruntime140_app.dll",
    "vcruntime140_1_app.dll",
    "vcruntime140d.dll",
    "vcruntime140_1d.dll",
    "vcruntime140_threadsd.dll",
    "vcruntime140_clr0400.dll",
    "vcruntime140_1_clr0400.dll",
    "ucrtbase",
    "api-ms-win-",
    "ext-ms-",
    "dnsapi",
    "wldap32",
    "cfgmgr32",
    "hid.dll",
    "propsys",
    "mf.dll",
    "mfc",
    "mfcore",
    "mfplat",
    "mfplay",
    "mfreadwrite",
    "gdiplus",
    "msimg32",
    "winspool",
    "wtsapi32",
    "avrt",
    "dwrite",
    "d2d1",
    "shcore",
    "ksuser",
    "mscoree",
    "concrt",
    "vcomp",
    "python",
    "node.exe",
    "libc.",
    "libm.",
    "libdl.",
    "libpthread.",
    "librt.",
    "libgcc_s",
    "libstdc++",
    "ld-linux",
    "libutil",
    "libresolv",
    "libc++",
    "libcrypt.",
    "libz.",
    "/usr/lib/",
    "/system/library/",
];

/// A function for getting into other processes, at secrets, or into what starts by itself is new ([`evidence::imports`]).
fn grave_imports(before: &Executable, after: &Executable, findings: &mut Findings) {
    let plain = |import: &String| evidence::imports::grave(import);
    let known: BTreeSet<&str> = before.imports.iter().filter_map(plain).collect();
    let new: BTreeSet<&str> = after.imports.difference(&before.imports).filter_map(plain).collect();
    let new: Vec<&&str> = new.difference(&known).collect();
    if !new.is_empty() {
        let because = vec![format!("new imports: {}", super::super::examples(new).join(", "))];
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}

/// Rights of Apple images that let foreign code in.
const OPENING_RIGHTS: &[&str] = &[
    "com.apple.security.get-task-allow",
    "com.apple.security.cs.disable-library-validation",
    "com.apple.security.cs.allow-dyld-environment-variables",
    "com.apple.security.cs.disable-executable-page-protection",
    "com.apple.security.cs.debugger",
];

pub(super) fn judge(
    before: &Executable,
    after: &Executable,
    around: &Around,
    structure: &mut Structure,
    findings: &mut Findings,
) {
    structure
        .otherwise
        .extend(late(before, after).iter().map(|name| format!("`{name}` is loaded late, and was not")));
    if let (Some(old), Some(new)) = (&before.import_section, &after.import_section)
        && old != new
    {
        structure.otherwise.push(format!("the table of the imports lies in `{new}`, and lay in `{old}`"));
    }
    libraries(before, after, around, structure, findings);
    grave_imports(before, after, findings);
    search_paths(before, after, around, findings);
    let maker = after.version_info.get("CompanyName");
    signature(before.signature.as_ref(), after.signature.as_ref(), maker, findings);
}

/// Whether a library, or what is imported from one, is called like one of a system. A number or an ending may follow the
/// names above, and no more letters: `vcruntimex.dll` is somebody's.
fn is_system(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.split('!').next().unwrap_or_default();
    SYSTEM.iter().any(|system| {
        let is_open = system.ends_with(['.', '-', '/']);
        name.strip_prefix(system)
            .is_some_and(|rest| is_open || !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

/// Whether a library is a part of the system rather than of a product.
pub(super) fn is_from_system(library: &str) -> bool {
    is_system(library)
}

/// A path of a machine, outside of the folders of its system.
fn is_fixed(library: &str) -> bool {
    library.starts_with('/') && !is_system(library)
}

/// Parts of the C library that no compiler asks for by itself, as it does for `libm` and others; each of their symbols has a version.
const VERSIONED: &[&str] = &["libutil.so.1", "libresolv.so.2", "libanl.so.1", "libnsl.so.1"];

/// Whether an ELF image needs no version of such a library, though it needs those of others: then none of its symbols is used.
fn is_unversioned(image: &Executable, library: &str) -> bool {
    let begin = format!("{library}:");
    let needed = image.symbol_versions.range(begin.clone()..).next();
    VERSIONED.contains(&library)
        && !image.symbol_versions.is_empty()
        && !needed.is_some_and(|version| version.starts_with(&begin))
}

/// Libraries of Windows that are loaded only when they are first called now: few linkers are asked for that, and a table of them is
/// put into a finished image without touching its others.
fn late(before: &Executable, after: &Executable) -> Vec<String> {
    let names = |libraries: &BTreeSet<String>| -> BTreeSet<Vec<u8>> {
        libraries.iter().map(|name| plain_name(name.as_bytes())).collect()
    };
    let known = names(&before.delayed_libraries);
    // Mach-O has weak libraries in their place, which are no such.
    let of = |name: &&String| {
        let begin = format!("{name}!");
        after.imports.range(begin.clone()..).next().is_some_and(|import| import.starts_with(&begin))
    };
    let late = after.delayed_libraries.iter().filter(|name| !known.contains(&plain_name(name.as_bytes())));
    late.filter(of).cloned().collect()
}

fn libraries(
    before: &Executable,
    after: &Executable,
    around: &Around,
    structure: &mut Structure,
    findings: &mut Findings,
) {
    forwarders(before, after, around, findings);
    interpreter(before, after, findings);
    redirected(before, after, findings);
    interposed(before, after, findings);
    let known: BTreeSet<Vec<u8>> = before.libraries.iter().map(|name| plain_name(name.as_bytes())).collect();
    // The same name in a folder that is not the system's is another library.
    let moved = |name: &String| is_fixed(name) && !before.libraries.contains(name);
    let new: Vec<&String> = after
        .libraries
        .iter()
        .filter(|name| !known.contains(&plain_name(name.as_bytes())) || moved(name))
        .collect();
    if new.is_empty() {
        return;
    }
    let windows = after.imports.iter().next().is_some_and(|import| import.contains('!'));
    // A library more, and no symbol more: linkers do not do that. One that takes the place of another is no such.
    let gone = before.libraries.len().saturating_sub(after.libraries.len().saturating_sub(new.len()));
    // A symbol that is called like a library is none: the name of a symbol was overwritten.
    let symbols = after.imports.difference(&before.imports).filter(|name| !after.libraries.contains(*name));
    let unused = !windows && new.len() > gone && symbols.count() == 0;
    let gone_likes: BTreeSet<String> =
        before.libraries.difference(&after.libraries).map(|name| skeleton(name)).collect();
    let mends = is_patch(&around.releases.0, &around.releases.1);
    let mut because = Vec::new();
    for name in new {
        if around.had_library(name) && !is_fixed(name) {
            continue;
        }
        // The next release of one that it asked for, whatever its version looks like: `libdns-9.18.49-1~deb12u1.so`.
        if gone_likes.contains(&skeleton(name)) && without_versions(name.as_bytes(), "") != name.as_bytes() {
            continue;
        }
        // Compilers ask for their own libraries without a need.
        if is_runtime(name, around) {
            continue;
        }
        // What is linked for nothing is common: of the artifact's own, and what compilers ask for by themselves.
        let is_unbound = after.unused_libraries.contains(name);
        // One that came with the release and is there to be loaded, not to be used.
        let comes_along = around.has_library(name) && !around.had_library(name) && !around.had_alike(name);
        if is_unbound && !apple::is_of_system(name) && (mends || comes_along) {
            because.push(format!("`{name}` is new, and no symbol is bound to it"));
        } else if is_unbound && apple::is_of_system(name) && !apple::is_shipped(name) {
            because.push(format!(
                "`{name}` is new, no symbol is bound to it, and macOS is not known to have it"
            ));
        } else if is_unbound && apple::is_of_system(name) {
            continue;
        } else if is_unversioned(after, name) {
            because.push(format!("`{name}` is new, and no version of its symbols is needed"));
        } else if unused {
            because.push(format!("`{name}` is new, and no new symbol is needed from anywhere"));
        } else if !is_system(name) && (is_fixed(name) || !around.has_library(name)) {
            because.push(format!("`{name}` is new, and neither in the artifact nor a part of the system"));
        }
    }
    if !because.is_empty() {
        structure.partners.push("a new library of unknown origin".to_owned());
        findings.add(&codes::FOREIGN_LIBRARY, because);
    }
}

/// A name without its numbers.
pub(super) fn skeleton(name: &str) -> String {
    name.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect()
}

/// What compilers ask for by themselves, with or without a need.
const RUNTIME: &[&str] = &[
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "/usr/lib/libSystem.B.dylib",
    "/usr/lib/libc++.1.dylib",
    "/usr/lib/libobjc.A.dylib",
];

/// A library of the compiler which the artifact does not bring along.
fn is_runtime(name: &str, around: &Around) -> bool {
    RUNTIME.contains(&name) && !around.has_library(name)
}

/// Exports that lead into a library that neither the artifact nor the system has.
fn forwarders(before: &Executable, after: &Executable, around: &Around, findings: &mut Findings) {
    // Mach-O writes a library that it exports again as it is.
    let target = |name: &String, to: &String| match to.as_str() {
        "re-exported" => name.clone(),
        to => format!("{}.dll", to.rsplit_once('.').map_or(to, |(library, _)| library)),
    };
    let of = |image: &Executable| -> BTreeSet<String> {
        image.forwarders.iter().map(|(name, to)| target(name, to).to_ascii_lowercase()).collect()
    };
    let known = of(before);
    let foreign: Vec<String> = of(after)
        .into_iter()
        .filter(|name| {
            !known.contains(name) && !after.libraries.iter().any(|own| own.eq_ignore_ascii_case(name))
        })
        .filter(|name| !is_system(name) && !around.has_library(name) && !around.had_library(name))
        .map(|name| format!("exports lead to `{name}` now, which neither the artifact nor the system has"))
        .collect();
    if !foreign.is_empty() {
        findings.add(&codes::FOREIGN_LIBRARY, super::super::examples(foreign));
    }
}

/// A library that was taken from the system's folders is taken from elsewhere now, under its name (Mach-O).
fn redirected(before: &Executable, after: &Executable, findings: &mut Findings) {
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let of_system = before.libraries.iter().filter(|path| path.starts_with('/') && is_system(path));
    let known: BTreeMap<String, &String> = of_system.map(|path| (base(path), path)).collect();
    let because: Vec<String> = after
        .libraries
        .iter()
        .filter(|path| path.starts_with('@') && !before.libraries.contains(*path))
        .filter_map(|path| Some((path, known.get(&base(path))?)))
        .filter(|(_, old)| !after.libraries.contains(**old))
        .map(|(path, old)| format!("`{path}` takes the place of `{old}`"))
        .collect();
    if !because.is_empty() {
        findings.add(&codes::FOREIGN_LIBRARY, super::super::examples(because));
    }
}

/// Functions of the C library at which whoever takes their place sees files, the net, programs that are started, and secrets. Memory is
/// left out: libraries for it are common.
const WATCHED: &[&str] = &[
    "open",
    "open64",
    "openat",
    "openat64",
    "fopen",
    "fopen64",
    "read",
    "write",
    "pread",
    "pwrite",
    "readv",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "recv",
    "recvfrom",
    "recvmsg",
    "connect",
    "accept",
    "accept4",
    "execve",
    "execv",
    "execvp",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
    "getaddrinfo",
    "gethostbyname",
    "dlopen",
    "dlsym",
    "getpwnam",
    "getpwuid",
    "getspnam",
    "pam_authenticate",
    "readdir",
    "readdir64",
    "stat",
    "lstat",
    "getenv",
    "secure_getenv",
    "kill",
    "ptrace",
    "setuid",
    "strcmp",
    "memcmp",
    "syscall",
    "__libc_start_main",
];

/// An ELF image offers a function of the C library itself: the loader gives it to all that ask for that name.
fn interposed(before: &Executable, after: &Executable, findings: &mut Findings) {
    let plain = |name: &String| name.split('@').next().unwrap_or(name).to_owned();
    let of = |image: &Executable| -> BTreeSet<String> {
        image.exports.iter().map(plain).filter(|name| WATCHED.contains(&name.as_str())).collect()
    };
    let new: Vec<String> = of(after).difference(&of(before)).cloned().collect();
    if findings.node.format == "elf" && after.kind != "object" && !new.is_empty() {
        let names = super::super::examples(new).join(", ");
        let because = vec![format!("it takes the place of functions of the C library: {names}")];
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}

/// Where the loaders of systems lie.
const LOADERS: &[&str] = &[
    "/lib/",
    "/lib64/",
    "/lib32/",
    "/libx32/",
    "/usr/lib",
    "/libexec/",
    "/system/bin/",
    "/nix/store/",
    "/gnu/store/",
];

/// How loaders are called: those of glibc, musl, Android, the BSDs.
const LOADER_NAMES: &[&str] =
    &["ld-linux", "ld-musl-", "ld64.so.", "ld.so.1", "ld-uClibc", "ld-elf", "linker"];

/// The program that loads this one is another one, and none of a system.
fn interpreter(before: &Executable, after: &Executable, findings: &mut Findings) {
    let (Some(old), Some(new)) = (&before.interpreter, &after.interpreter) else { return };
    // Where a system has its loaders, and called as they are.
    let name = new.rsplit('/').next().unwrap_or_default();
    let is_usual = LOADERS.iter().any(|folder| new.starts_with(folder))
        && LOADER_NAMES.iter().any(|begin| name.starts_with(begin));
    if old != new && !is_usual {
        findings.add(&codes::FOREIGN_LIBRARY, vec![format!("it is loaded by `{new}`, and was by `{old}`")]);
    }
}

/// A folder with the name of the file itself, and its release: where some runtimes look for what belongs to an addon.
fn is_called_like(folder: &str, node: &evidence::Node) -> bool {
    let name = node.name.file_name();
    let stem = name.iter().rposition(|byte| *byte == b'.').map_or(name, |dot| &name[..dot]);
    let last = folder.rsplit('/').next().unwrap_or(folder);
    !stem.is_empty() && last.split('@').next().unwrap_or(last).as_bytes() == stem
}

fn search_paths(before: &Executable, after: &Executable, around: &Around, findings: &mut Findings) {
    let own = |path: &&String| {
        path.split(':').all(|part| {
            ["$ORIGIN", "${ORIGIN}", "@loader_path", "@executable_path", "@rpath"]
                .iter()
                .any(|own| part.starts_with(own))
        })
    };
    let new: Vec<&String> =
        after.search_paths.difference(&before.search_paths).filter(|path| !own(path)).collect();
    if !new.is_empty() {
        // Anybody can write there.
        let open = new.iter().flat_map(|path| path.split(':')).any(|part| {
            !part.starts_with(['/', '$', '@'])
                || ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|open| part.starts_with(open))
        });
        let severity = if open { Severity::High } else { Severity::Medium };
        findings.add(&codes::Code { severity, ..codes::SEARCH_PATH_ADDED }, super::super::examples(new));
    }
    // Together with the artifact, somebody else may put a folder there.
    let plain = |path: &str, release: &str| without_versions(path.as_bytes(), release);
    let known: BTreeSet<Vec<u8>> = before
        .search_paths
        .iter()
        .flat_map(|path| path.split(':'))
        .map(|path| plain(path, &around.releases.0))
        .collect();
    let absent: Vec<String> = after
        .search_paths
        .iter()
        .flat_map(|path| path.split(':'))
        .filter(|path| !known.contains(&plain(path, &around.releases.1)))
        .filter_map(|path| Some((path, around.places.absent(findings.path, path)?)))
        .filter(|(_, folder)| !is_called_like(folder, findings.node))
        .map(|(path, folder)| format!("`{path}` leads to `{folder}`, which the artifact does not have"))
        .collect();
    if !absent.is_empty() {
        let code = codes::SEARCH_PATH_ADDED;
        findings.add(&codes::Code { severity: Severity::High, ..code }, super::super::examples(absent));
    }
}

pub(super) fn signature(
    before: Option<&CodeSignature>,
    after: Option<&CodeSignature>,
    maker: Option<&String>,
    findings: &mut Findings,
) {
    let (Some(old), new) = (before, after) else { return };
    // What the linker signs by itself on Apple's machines says nothing about who made it.
    let own = old.signer.is_none() && old.kind == "apple";
    let Some(new) = new else {
        if !own {
            let because = vec![format!("it was signed by `{}`", old.signer.as_deref().unwrap_or("unknown"))];
            findings.add(&codes::SIGNATURE_REMOVED, because);
        }
        return;
    };
    let same_image = old.image_digest.is_some() && old.image_digest == new.image_digest;
    if same_image && new.table_bytes > old.table_bytes.saturating_add(BLOCK_GROWTH_MAX_BYTES) {
        let because = vec![format!(
            "the certificate table grew from {} to {} bytes; the signed image is the same",
            old.table_bytes, new.table_bytes
        )];
        findings.add(&codes::SIGNATURE_BLOCK_GREW, because);
    }
    // The organisation, not the common name: vendors rotate the latter (0 of 630 honest changes of the former).
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".to_owned());
    if old.organisation.is_some() && old.organisation != new.organisation {
        let because = vec![format!("`{}` → `{}`", name(&old.organisation), name(&new.organisation))];
        // Whoever packs a library of another maker may sign it, or leave the maker's own signature.
        let maker =
            maker.is_some() && maker == new.organisation.as_ref() && new.signature_valid == Some(true);
        let severity = if maker { Severity::Medium } else { Severity::High };
        findings.add(&codes::Code { severity, ..codes::SIGNER_CHANGED }, because);
    } else if old.team.is_some() && old.team != new.team {
        let because = vec![format!("team `{}` → `{}`", name(&old.team), name(&new.team))];
        findings.add(&codes::SIGNER_CHANGED, because);
    }
    if old.kind == "apk" {
        if new.kind == "apk" && old.identifier != new.identifier {
            let because = vec![format!("certificate {} → {}", name(&old.identifier), name(&new.identifier))];
            findings.add(&codes::SIGNER_CHANGED, because);
        }
        // The words of the schemes are in order; an old one may go when a newer one is there.
        if let Some(best) = old.flags.last().filter(|best| new.flags.last() < Some(best)) {
            let because = vec![format!("no longer signed by scheme {best}")];
            findings.add(&codes::SIGNATURE_REMOVED, because);
        }
    }
    if new.kind == "jar" && old.uncovered.is_empty() && !new.uncovered.is_empty() {
        let places = super::super::examples(new.uncovered.iter().map(|one| &one.place));
        let because = vec![format!("the signature leaves out {}", places.join(", "))];
        findings.add(&codes::SIGNATURE_REMOVED, because);
    }
    if old.flags.contains("runtime") && !new.flags.contains("runtime") {
        findings.add(&codes::HARDENING_LOST, vec!["lost: the hardened runtime".to_owned()]);
    }
    let rights: Vec<&String> = new
        .entitlements
        .difference(&old.entitlements)
        .filter(|key| OPENING_RIGHTS.contains(&key.as_str()))
        .collect();
    if !rights.is_empty() {
        findings.add(&codes::ENTITLEMENT_ADDED, super::super::examples(rights));
    }
}
