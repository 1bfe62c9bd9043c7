//! Rules about a program or library that is new, or another one under its name.

use std::collections::BTreeSet;

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::{Around, Findings};
use crate::codes;

/// Whether an image imports what starts programs.
pub(super) fn starts_programs(content: Option<&Content>) -> bool {
    content.is_some_and(|content| content.capabilities.contains("process-start/import"))
}

/// An image that can start programs, where none of the old release could, though it had images of that kind.
pub(super) fn first_to_start(before: &Content, new: &Node, around: &Around, findings: &mut Findings) -> bool {
    let first =
        starts_programs(new.content.as_ref()) && !starts_programs(Some(before)) && !around.starts_programs;
    let had_images = new.executables.iter().any(|image| {
        around.kinds.contains(&(new.format.clone(), image.machine.clone())) && image.kind == "library"
    });
    let is_told = first && had_images;
    if is_told {
        let because = vec!["it imports what starts programs: no image of the old release did".to_owned()];
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
    is_told
}

/// Exports that linkers and runtimes give to everything.
const USUAL_EXPORTS: &[&str] =
    &["_init", "_fini", "_edata", "_end", "__bss_start", "DllMain", "__mh_execute_header"];
/// Of the names that two programs import or export, in hundredths: those of one library and its next release share more.
const SHARED_MIN: usize = 20;

/// A library offers nothing of what it offered, and hardly uses what it used: it is another one under its name.
pub(super) fn another(old: &Node, new: &Node, findings: &mut Findings) {
    // One that was renamed was paired by what both share.
    if super::plain_name(old.name.as_bytes()) != super::plain_name(new.name.as_bytes()) {
        return;
    }
    for (before, after) in super::slices(old, new) {
        let own = |image: &evidence::tree::Executable| -> BTreeSet<String> {
            let own = image.exports.iter().filter(|name| !USUAL_EXPORTS.contains(&name.as_str()));
            // A module that is written otherwise is the same one.
            own.map(|name| name.to_ascii_lowercase()).collect()
        };
        let (had, has) = (own(before), own(after));
        let names = |image: &evidence::tree::Executable| -> BTreeSet<String> {
            image.imports.union(&image.exports).cloned().collect()
        };
        let (was, is) = (names(before), names(after));
        let shared = was.intersection(&is).count() * 100 / was.len().min(is.len()).max(1);
        // The one function by which Python finds a module.
        let module = |names: &BTreeSet<String>| {
            names.iter().any(|name| name.trim_start_matches('_').starts_with("pyinit_"))
        };
        let modules = module(&had) && module(&has);
        if after.kind == "library"
            && !had.is_empty()
            && !has.is_empty()
            && had.is_disjoint(&has)
            && (modules || shared < SHARED_MIN)
        {
            let some = |names: &BTreeSet<String>| super::super::examples(names.iter().take(3)).join(", ");
            let because = format!("it exported {}, and exports {}", some(&had), some(&has));
            findings.add(&codes::EXECUTABLE_REPLACED, vec![because]);
        }
    }
}

/// Libraries of the systems that programs load by their bare names, and that no product ships: who lies beside a program
/// under such a name is loaded in their place (ATT&CK T1574).
const SHADOWED: &[&str] = &[
    "version.dll",
    "winmm.dll",
    "kernel32.dll",
    "ntdll.dll",
    "user32.dll",
    "advapi32.dll",
    "shell32.dll",
    "ws2_32.dll",
    "wininet.dll",
    "winhttp.dll",
    "dwmapi.dll",
    "uxtheme.dll",
    "msimg32.dll",
    "propsys.dll",
    "userenv.dll",
    "wtsapi32.dll",
    "cryptsp.dll",
    "cryptbase.dll",
    "profapi.dll",
    "iphlpapi.dll",
    "secur32.dll",
    "dnsapi.dll",
    "bcrypt.dll",
    "wldp.dll",
    "dbghelp.dll",
    "apphelp.dll",
    "cryptui.dll",
    "fltlib.dll",
    "gdi32.dll",
    "hid.dll",
    "imm32.dll",
    "linkinfo.dll",
    "mpr.dll",
    "msi.dll",
    "netapi32.dll",
    "ntmarta.dll",
    "ole32.dll",
    "oleacc.dll",
    "oleaut32.dll",
    "powrprof.dll",
    "rasapi32.dll",
    "rpcrt4.dll",
    "setupapi.dll",
    "shlwapi.dll",
    "sspicli.dll",
    "textshaping.dll",
    "urlmon.dll",
    "usp10.dll",
    "wevtapi.dll",
    "winsta.dll",
    "wsock32.dll",
    "xmllite.dll",
    "libc.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "libm.so.6",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "libsystem.b.dylib",
];
/// A program that is there for so many kinds of machine is ported to another.
const PORTS_MIN: usize = 3;

pub(super) fn executables(new: &Node, around: &Around, findings: &mut Findings) {
    for image in new.executables.iter().take(1) {
        let kind = (new.format.clone(), image.machine.clone());
        let what = format!("a new {} {} for {}", new.format, image.kind, image.machine);
        // Installers of Windows write paths with backslashes.
        let base = new.name.file_name().rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
        let base = String::from_utf8_lossy(base).to_ascii_lowercase();
        if SHADOWED.contains(&base.as_str()) {
            findings.add(
                &codes::DISGUISED_FILE,
                vec![format!("it is called like a library of the system: `{base}`")],
            );
        }
        let ports = around.ports(new);
        if !around.kinds.contains(&kind) && ports >= PORTS_MIN {
            let because =
                vec![what, format!("a program of this name was there for {ports} other kinds of machine")];
            findings.add(&codes::Code { severity: Severity::Medium, ..codes::FOREIGN_EXECUTABLE }, because);
        } else if around.kinds.contains(&kind) {
            findings.add(&codes::EXECUTABLE_ADDED, vec![what]);
        } else if around.kinds.is_empty() {
            // One reason for all of them, so that they are one thing to look at.
            let because = vec!["the old release had no executable of any kind".to_owned()];
            findings.add(&codes::FOREIGN_EXECUTABLE, because);
        } else {
            findings.add(&codes::FOREIGN_EXECUTABLE, vec![what]);
        }
    }
}
