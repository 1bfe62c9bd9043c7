//! What the firmware and the kernel allow, and whether the clock is right.

use std::fs;
use std::io::ErrorKind;

use evidence::posture::{Fact, Value};

use super::{Found, NOT_LIVE, fact};
use crate::inventory::Root;
use crate::sys;

/// The variable of the UEFI specification, section 3.3: four bytes of attributes, then 0 or 1.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const PTRACE: &str = "/proc/sys/kernel/yama/ptrace_scope";
const ADDRESSES: &str = "/proc/sys/kernel/kptr_restrict";
const DUMPS: &str = "/proc/sys/fs/suid_dumpable";
const BPF: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    let live = |found: fn() -> Found| if root.is_live() { found() } else { Err(NOT_LIVE.to_owned()) };
    vec![
        fact("secure-boot", live(secure_boot), &[SECURE_BOOT]),
        fact("kernel-lockdown", live(lockdown), &[LOCKDOWN]),
        fact("ptrace-scope", live(ptrace_scope), &[PTRACE]),
        fact("kptr-restrict", live(|| number(ADDRESSES)), &[ADDRESSES]),
        fact("suid-dumpable", live(|| Ok(Value::Word(word(DUMPS)?))), &[DUMPS]),
        fact("unprivileged-bpf", live(|| Ok(Value::Flag(word(BPF)? == "0"))), &[BPF]),
        fact("clock-synchronised", live(clock), &["adjtimex(2)"]),
    ]
}

fn word(path: &str) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim().to_owned())
}

fn number(path: &str) -> Found {
    let word = word(path)?;
    word.parse().map(Value::Number).map_err(|_| format!("{path}: `{word}` is no number"))
}

fn secure_boot() -> Found {
    if !fs::exists("/sys/firmware/efi").unwrap_or(false) {
        // Started by a BIOS or directly by a hypervisor: nothing checks what is started.
        return Ok(Value::Flag(false));
    }
    match fs::read(SECURE_BOOT) {
        Ok(bytes) => match bytes.get(4) {
            Some(value) => Ok(Value::Flag(*value == 1)),
            None => Err(format!("{SECURE_BOOT} is cut off")),
        },
        Err(error)
            if error.kind() == ErrorKind::NotFound
                && fs::exists("/sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c")
                    .unwrap_or(false) =>
        {
            Ok(Value::Flag(false))
        }
        Err(error) => Err(format!("{SECURE_BOOT}: {error}")),
    }
}

/// `none [integrity] confidentiality`: the one in brackets holds.
fn lockdown() -> Found {
    let text = word(LOCKDOWN)?;
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen);
    chosen.map(|chosen| Value::Word(chosen.to_owned())).ok_or_else(|| format!("{LOCKDOWN}: `{text}`"))
}

/// Without Yama everybody may look into everybody's processes.
fn ptrace_scope() -> Found {
    match fs::exists(PTRACE) {
        Ok(false) if fs::exists("/proc/sys/kernel").unwrap_or(false) => Ok(Value::Number(0)),
        _ => number(PTRACE),
    }
}

fn clock() -> Found {
    sys::clock_is_synchronised().map(Value::Flag).map_err(|error| format!("adjtimex(2): {error}"))
}
