//! Imports that say much by themselves: functions for getting into other processes, at secrets, or into what starts by itself.
//!
//! One table for who measures (`inspect`: which capability an image has) and who judges (`judge`: one of them is new). Libraries that
//! need such a function have it from their first release on: no honest release of those measured has got one.

/// Capabilities, and the imports for which an image has them.
pub const GRAVE: &[(&str, &[&str])] = &[
    ("code-in-memory/import", &["memfd_create", "NSCreateObjectFileImageFromMemory"]),
    (
        "code-injection/import",
        &[
            "CreateRemoteThread",
            "CreateRemoteThreadEx",
            "WriteProcessMemory",
            "VirtualAllocEx",
            "QueueUserAPC",
            "SetThreadContext",
            "NtUnmapViewOfSection",
            "ZwUnmapViewOfSection",
            "NtMapViewOfSection",
            "NtCreateThreadEx",
            "RtlCreateUserThread",
            "NtWriteVirtualMemory",
            "process_vm_writev",
            "ptrace",
            "task_for_pid",
            "mach_vm_write",
        ],
    ),
    ("credential-access/import", &["CryptUnprotectData", "LsaRetrievePrivateData", "MiniDumpWriteDump"]),
    ("network/import", &["URLDownloadToFile"]),
    ("persistence/import", &["CreateService", "SetWindowsHookEx", "NetScheduleJobAdd"]),
    ("process-start/import", &["WinExec"]),
];

/// Returns the names under which an import may be listed: without its library, the underscore of C, the version of ELF, and the kind of
/// text (`A`, `W`) of Windows.
pub fn plain(import: &str) -> [&str; 2] {
    let name = import.rsplit_once('!').map_or(import, |(_, symbol)| symbol);
    let name = name.split('@').next().unwrap_or(name);
    let name = name.strip_prefix('_').unwrap_or(name);
    [name, name.strip_suffix(['A', 'W']).unwrap_or(name)]
}

/// Returns the grave import that an import is, by its listed name.
pub fn grave(import: &str) -> Option<&'static str> {
    let names = plain(import);
    GRAVE.iter().flat_map(|(_, listed)| listed.iter()).find(|listed| names.contains(*listed)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoration_is_no_part_of_a_name() {
        assert_eq!(grave("KERNEL32.dll!CreateRemoteThread"), Some("CreateRemoteThread"));
        assert_eq!(grave("user32.dll!SetWindowsHookExW"), Some("SetWindowsHookEx"));
        assert_eq!(grave("_task_for_pid"), Some("task_for_pid"));
        assert_eq!(grave("memfd_create@GLIBC_2.27"), Some("memfd_create"));
        assert_eq!(grave("memfd_created"), None);
    }

    #[test]
    fn each_stands_once() {
        let mut names: Vec<&str> = GRAVE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
