//! Rules about the shape of an executable: sections, entry point, initialisers, slack, version.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::{Entry, Executable, Resource};
use evidence::{Digest, Severity};

use super::tools::compilers;
use super::{Findings, Structure, bits, functions};
use crate::codes;

/// A new section above both bounds is packed or encrypted; no honest release had one.
const PACKED_ENTROPY_MILLIBITS: u32 = 7200;
const PACKED_MIN_BYTES: u64 = 4096;
/// Fewer bytes in a cave are leftovers of tools, not code.
const CAVE_MIN_BYTES: u64 = 16;
const CAVE_GROWTH_MIN_BYTES: u64 = 128;
const OVERLAY_MIN_BYTES: u64 = 512;
/// Where nothing was before.
const OVERLAY_FIRST_MIN_BYTES: u64 = 64;
/// The same of ELF, whose tools leave one byte there at most; packers, which leave more, did so before.
const OVERLAY_ELF_MIN_BYTES: u64 = 16;
/// A resource above both bounds is compressed or encrypted: 4 KiB of random bytes have 7.95 bits each.
const NOISE_MIN_BYTES: u64 = 4096;
const NOISE_ENTROPY_MILLIBITS: u32 = 7800;
/// Programs in C have this many initialisers of their runtime; those in C++ have one for each source file, and honest
/// releases add some.
const RUNTIME_INITIALIZERS_MAX: u64 = 3;

/// Sections with code that compilers and linkers add by themselves.
const USUAL_CODE: &[&str] = &[
    ".text", ".init", ".fini", ".plt", ".plt.got", ".plt.sec", ".iplt", ".retplne", "malloc_h", "_RDATA",
    ".orpc", "text", "INIT", "PAGE", "fipstx", ".textbss", ".wpp_sf",
];

pub(super) fn judge(
    before: &Executable,
    after: &Executable,
    structure: &mut Structure,
    findings: &mut Findings,
) {
    structure.same_version |= before.version.is_some()
        && before.version == after.version
        && before.version_info.get("ProductVersion") == after.version_info.get("ProductVersion");
    structure.same_tools |= before.linker == after.linker
        && before.rich_digest == after.rich_digest
        && before.compilers == after.compilers;
    sections(before, after, structure, findings);
    patched(before, after, findings);
    imports_put_in(before, after, findings);
    linked_at_once(before, after, findings);
    entry(before, after, structure, findings);
    initializers(before, after, findings);
    caves(before, after, structure, findings);
    functions::judge(Some(before), after, findings);
    resources(before, after, structure, findings);
}

pub(super) fn plain(name: &str) -> &str {
    name.trim_end_matches('\0')
}

/// Names of sections: looked up, not searched, as an enemy's image may have tens of thousands.
fn section_names(image: &Executable) -> BTreeSet<&str> {
    image.sections.iter().map(|section| section.name.as_str()).collect()
}

fn sections(before: &Executable, after: &Executable, structure: &mut Structure, findings: &mut Findings) {
    let known = section_names(before);
    // Mach-O: the segment says what is executable, so that every constant in `__TEXT` seems to be code.
    let apple = after.sections.iter().any(|section| section.name.starts_with("__"));
    for section in
        after.sections.iter().filter(|section| !known.contains(section.name.as_str()) && section.size > 0)
    {
        let name = plain(&section.name);
        let what = format!(
            "section `{name}` is new, {} bytes with {}",
            section.size,
            bits(section.entropy_millibits)
        );
        if section.writable && section.executable {
            findings.add(&codes::WRITABLE_CODE, vec![what.clone()]);
        }
        if section.entropy_millibits > PACKED_ENTROPY_MILLIBITS && section.size > PACKED_MIN_BYTES {
            findings.add(&codes::PACKED_SECTION, vec![what.clone()]);
        }
        let usual = USUAL_CODE.contains(&name) || (name.starts_with(".text") && !name.contains('$'));
        let debug = name.starts_with(".debug") || name.starts_with(".zdebug");
        if section.executable && !usual && !apple && after.kind != "object" {
            structure.partners.push(format!("new code section `{name}`"));
            findings.add(&codes::Code { severity: Severity::High, ..codes::SECTION_ADDED }, vec![what]);
        } else if !debug {
            findings.add(&codes::SECTION_ADDED, vec![what]);
        }
    }
    // Mach-O is asked for its segments below, objects are not loaded.
    let data: BTreeMap<&str, bool> =
        before.sections.iter().map(|section| (section.name.as_str(), section.executable)).collect();
    let became = after.sections.iter().filter(|section| {
        let was_data = data.get(section.name.as_str()) == Some(&false);
        section.executable && !section.writable && was_data && !apple && after.kind != "object"
    });
    let became: Vec<String> = became.map(|section| format!("section `{}`", plain(&section.name))).collect();
    let mut because = became;
    // Linkers put all code into one segment of ELF or Mach-O.
    if after.code_segments > before.code_segments && before.code_segments > 0 && after.kind != "object" {
        because.push(format!(
            "{} parts of the file are loaded to be executed, {} were",
            after.code_segments, before.code_segments
        ));
    }
    if !because.is_empty() {
        structure.partners.push("a part of data that can be executed".to_owned());
        findings.add(&codes::DATA_MADE_CODE, because);
    }
    if after.writable_code_segments > before.writable_code_segments {
        let because = vec![format!(
            "{} parts are writable and executable at once, {} were",
            after.writable_code_segments, before.writable_code_segments
        )];
        findings.add(&codes::WRITABLE_CODE, because);
    }
    let writable: BTreeMap<&str, bool> =
        before.sections.iter().map(|section| (section.name.as_str(), section.writable)).collect();
    let opened: Vec<String> = after
        .sections
        .iter()
        .filter(|section| {
            section.writable && !section.executable && writable.get(section.name.as_str()) == Some(&false)
        })
        .map(|section| format!("section `{}` can be written now, and could not", plain(&section.name)))
        .collect();
    if !opened.is_empty() && after.kind != "object" {
        structure.partners.push("a part of the constants that can be written".to_owned());
        findings.add(&codes::HARDENING_LOST, opened);
    }
    let lost: Vec<&str> = before
        .mitigations
        .difference(&after.mitigations)
        .map(String::as_str)
        // Depends on whether a function needs it at all.
        .filter(|word| *word != "stack-protector")
        .collect();
    if !lost.is_empty() {
        // A stack that runs code is no option that comes and goes: one object asked for it, and the loader does it for all.
        let stack = findings.node.format == "elf" && lost.contains(&"nx");
        let severity = if stack { Severity::High } else { codes::HARDENING_LOST.severity };
        let because = vec![format!("lost: {}", lost.join(", "))];
        findings.add(&codes::Code { severity, ..codes::HARDENING_LOST }, because);
    }
}

/// A table of imports that lies elsewhere now, with more in it, though the code is the same to the byte: it was put into a finished image.
/// Linkers that move the table move what the code reads from it.
fn imports_put_in(before: &Executable, after: &Executable, findings: &mut Findings) {
    let code = |image: &Executable| -> Vec<(u64, Digest)> {
        let code = image.sections.iter().filter(|section| section.executable);
        code.map(|section| (section.size, section.digest)).collect()
    };
    let (old, new) = (code(before), code(after));
    let is_moved = before.import_section.is_some()
        && after.import_section.is_some()
        && before.import_section != after.import_section;
    let more: Vec<&String> = after.imports.difference(&before.imports).collect();
    if is_moved && !old.is_empty() && old == new && !more.is_empty() {
        let names = super::super::examples(more).join(", ");
        let because = format!(
            "new imports: {names}, in a table at another place, and the code is the same to the byte"
        );
        findings.add(&codes::PATCHED_AFTER_LINK, vec![because]);
    }
}

/// The linker gives each result an id of its own. Tools that rewrite names and paths keep it, and leave code alone.
fn patched(before: &Executable, after: &Executable, findings: &mut Findings) {
    // Reproducible builds of Windows images may have a fixed timestamp; then the id is compared alone.
    if before.build_id.is_none() || before.build_id != after.build_id || before.timestamp != after.timestamp {
        return;
    }
    let code = |image: &Executable| -> BTreeMap<String, (u64, String)> {
        let code = image.sections.iter().filter(|section| section.executable && !section.writable);
        // Stubs are rewritten together with names; constants in `__TEXT` are not code.
        let kept = code.filter(|section| !section.name.starts_with("__") || section.name == "__TEXT,__text");
        kept.map(|section| (section.name.clone(), (section.size, section.digest.to_string()))).collect()
    };
    let (old, new) = (code(before), code(after));
    let mut because: Vec<String> = new
        .iter()
        .filter(|(name, found)| old.get(*name).is_some_and(|before| before != *found))
        .map(|(name, _)| format!("the code in `{}` is another one", plain(name)))
        .collect();
    because.extend(
        new.keys()
            .filter(|name| !old.contains_key(*name))
            .map(|name| format!("code section `{}` is new", plain(name))),
    );
    if before.entry != after.entry && old == new {
        because.push("the entry point is another one".to_owned());
    }
    let symbols: Vec<&String> = after.imports.difference(&before.imports).collect();
    let renamed = after.libraries != before.libraries;
    if !symbols.is_empty() && !renamed {
        because.push(format!("new imports: {}", super::super::examples(symbols).join(", ")));
    }
    if before.initializers != after.initializers {
        because.push("its initialisers are other ones".to_owned());
    }
    if !because.is_empty() {
        because.push(format!("its build id is the same: {}", after.build_id.as_deref().unwrap_or_default()));
        findings.add(&codes::PATCHED_AFTER_LINK, because);
    }
}

/// Two links at one second, by the same tools, with other code. Images whose linker writes a hash for the time have
/// another one with other code; those with an id are judged by it, as long as they have one.
fn linked_at_once(before: &Executable, after: &Executable, findings: &mut Findings) {
    let same = before.timestamp.is_some_and(|time| time != 0)
        && before.timestamp == after.timestamp
        && before.linker == after.linker
        && before.rich_digest == after.rich_digest;
    if !same || (before.build_id.is_some() && after.build_id.is_some()) {
        return;
    }
    let known = section_names(before);
    let digests: BTreeSet<(&str, Digest)> =
        before.sections.iter().map(|section| (section.name.as_str(), section.digest)).collect();
    let changed = after.sections.iter().filter(|section| {
        let name = section.name.as_str();
        section.executable && known.contains(name) && !digests.contains(&(name, section.digest))
    });
    let because: Vec<String> =
        changed.map(|section| format!("the code in `{}` is another one", plain(&section.name))).collect();
    if !because.is_empty() {
        let time = format!("its header has the link time of before: {}", after.timestamp.unwrap_or_default());
        findings.add(&codes::SAME_VERSION_CHANGED, [because, vec![time]].concat());
    }
}

fn entry(before: &Executable, after: &Executable, structure: &mut Structure, findings: &mut Findings) {
    let (Some(old), Some(new)) = (&before.entry, &after.entry) else { return };
    // Programs of Go begin with a jump into their runtime, or not, as the release of the compiler has it.
    let is_go = [before, after].iter().all(|image| compilers(image).contains("Go"));
    let name = |section: &Option<String>| section.clone().unwrap_or_else(|| "no section".to_owned());
    if old.section != new.section && after.kind != "object" {
        let because = vec![format!("`{}` → `{}`", plain(&name(&old.section)), plain(&name(&new.section)))];
        findings.add(&codes::ENTRY_POINT_MOVED, because);
        structure.partners.push("the entry point moved".to_owned());
    } else if starts_with_jump(&new.bytes) && !starts_with_jump(&old.bytes) && !is_go {
        let because = vec![format!("it began with {} and begins with a jump now: {}", old.bytes, new.bytes)];
        findings.add(&codes::ENTRY_POINT_MOVED, because);
        structure.partners.push("the entry point is a jump".to_owned());
    } else if begins_as_runtime(&old.bytes) && !begins_as_runtime(&new.bytes) {
        let because = vec![format!(
            "it began with the C library's start and begins with something else now: {}",
            new.bytes
        )];
        findings.add(&codes::ENTRY_POINT_MOVED, because);
        structure.partners.push("the entry point is not the C library's".to_owned());
    } else if let (Some(near), Some(far)) = (first_call(before, old), first_call(after, new))
        && near.unsigned_abs() <= NEAR_MAX_BYTES
        && far.unsigned_abs() >= FAR_MIN_BYTES
    {
        let because = format!("its first call leads {far} bytes away, that of before {near}: {}", new.bytes);
        findings.add(&codes::ENTRY_POINT_MOVED, vec![because]);
        structure.partners.push("the first call leads elsewhere".to_owned());
    } else if let Some(because) = saves_everything(after, new)
        && saves_everything(before, old).is_none()
    {
        findings.add(&codes::ENTRY_POINT_MOVED, vec![because]);
        structure.partners.push("the entry point saves what it need not".to_owned());
    } else if structure.same_tools && structure.same_version && old.bytes.get(..8) != new.bytes.get(..8) {
        structure.partners.push("the entry point has another code".to_owned());
    }
}

/// The runtime of Visual C++ begins with a call into itself: at most 3,900 bytes away in 57 of 61 images, 28,507 in the others.
const NEAR_MAX_BYTES: u32 = 32 << 10;
const FAR_MIN_BYTES: u32 = 64 << 10;

/// How far the first call of an image of Windows leads, where it begins as that runtime does: `sub rsp, 40; call`, or `call`.
fn first_call(image: &Executable, entry: &Entry) -> Option<i32> {
    let begin = match image.machine.as_str() {
        "x86_64" => "4883ec28e8",
        "i386" => "e8",
        _ => return None,
    };
    let digits = entry.bytes.strip_prefix(begin)?.get(..8)?;
    u32::from_str_radix(digits, 16).ok().map(|distance| distance.swap_bytes().cast_signed())
}

/// Whether an image begins with saving what a function may lose: registers of arguments, or all of them and the flags. Who was
/// called need not, who goes on elsewhere as if nothing had been must.
pub(super) fn saves_everything(image: &Executable, entry: &Entry) -> Option<String> {
    // `push` of rax, rcx, rdx, and of r8 to r11: volatile (x64 calling convention). `pushf`, `pusha`.
    const VOLATILE: &[&str] = &["50", "51", "52", "4150", "4151", "4152", "4153"];
    let pushed = |bytes: &str| VOLATILE.iter().find_map(|push| bytes.strip_prefix(push).map(str::len));
    let rest = |left: usize| &entry.bytes[entry.bytes.len() - left..];
    let two = || pushed(&entry.bytes).is_some_and(|left| pushed(rest(left)).is_some());
    let saves = match image.machine.as_str() {
        "x86_64" => entry.bytes.starts_with("9c") || two(),
        "i386" => entry.bytes.starts_with("60") || entry.bytes.starts_with("9c"),
        _ => false,
    };
    saves.then(|| format!("it begins with saving registers that functions may lose: {}", entry.bytes))
}

/// `jmp` of x86 with 8 or 32 bits, `push` and `ret`, or a branch of AArch64.
fn starts_with_jump(bytes: &str) -> bool {
    let aarch64_branch = bytes.get(6..8).is_some_and(|top| top == "14" || top == "17");
    bytes.starts_with("e9") || bytes.starts_with("eb") || bytes.starts_with("68") || aarch64_branch
}

/// The start of a program that all C libraries have (x86-64 and AArch64 psABI): the frame pointer is cleared, behind at most a
/// mark for indirect branches.
fn begins_as_runtime(bytes: &str) -> bool {
    let bytes = ["f30f1efa", "5f2403d5", "1f2003d5"]
        .iter()
        .find_map(|mark| bytes.strip_prefix(mark))
        .unwrap_or(bytes);
    ["31ed", "4831ed", "1d0080d2", "e50300aa"].iter().any(|begin| bytes.starts_with(begin))
}

fn initializers(before: &Executable, after: &Executable, findings: &mut Findings) {
    let mut because = Vec::new();
    let (known, now) = (starts(before), starts(after));
    for (place, count) in &now {
        let earlier = known.get(place).copied().unwrap_or(0);
        if *count > earlier && earlier <= RUNTIME_INITIALIZERS_MAX && after.kind != "object" {
            because.push(format!("`{place}` has {count} entries, it had {earlier}"));
        }
    }
    // Each source file of C++ with an object of its own has an initialiser: some more are no surprise, where all of
    // them are as the linker made them.
    let astray = after.initializers_outside_code > before.initializers_outside_code;
    if !because.is_empty()
        && !astray
        && has_static_objects(after)
        && !["tls-callbacks", "routine"].iter().any(|place| now.contains_key(place))
    {
        because.push("it is made from C++, whose source files have one each".to_owned());
        findings.add(&codes::Code { severity: Severity::Medium, ..codes::INITIALIZER_ADDED }, because);
        because = Vec::new();
    }
    // The runtime of another release of the tools brings some of its own.
    let of_tools = before.linker != after.linker && !astray;
    if of_tools && because.iter().all(|reason| reason.starts_with("`tls-callbacks`")) && !because.is_empty() {
        because.push("another release of the linker made it".to_owned());
        findings.add(&codes::Code { severity: Severity::Medium, ..codes::INITIALIZER_ADDED }, because);
        because = Vec::new();
    }
    if after.initializers_outside_code > before.initializers_outside_code {
        let count = after.initializers_outside_code;
        because.push(format!(
            "{count} initialisers lie outside the code, or outside of the array that the linker made"
        ));
    }
    let functions: Vec<&String> = after.indirect_functions.difference(&before.indirect_functions).collect();
    if !functions.is_empty() && before.indirect_functions.is_empty() {
        because.push(format!("new indirect functions: {}", super::super::examples(functions).join(", ")));
    }
    if after.indirect_relocations > 0 && before.indirect_relocations == 0 {
        because.push(format!("{} relocations call a function of the image", after.indirect_relocations));
    }
    if !because.is_empty() {
        findings.add(&codes::INITIALIZER_ADDED, because);
    }
}

/// Initialisers that run at the start, by kind: linkers write one kind in an old form or in a new one. What ends a program
/// comes too late for an attack, and moves with the runtime.
fn starts(image: &Executable) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for (place, count) in &image.initializers {
        let kind = match place.as_str() {
            ".fini_array" | ".dtors" | "__mod_term_func" => continue,
            "__init_offsets" => "__mod_init_func",
            ".ctors" => ".init_array",
            other => other,
        };
        *counts.entry(kind).or_default() += count;
    }
    counts
}

/// Whether an ELF or Mach-O image uses the runtime of C++, by its names (Itanium C++ ABI).
fn has_static_objects(image: &Executable) -> bool {
    let uses = |name: &String| {
        let name = name.trim_start_matches('_');
        name.starts_with("ZNSt")
            || name.starts_with("ZNKSt")
            || name.starts_with("ZSt")
            || name.starts_with("gxx_personality")
    };
    image.imports.iter().any(uses)
}

/// Compilers list all functions but the smallest: over 439 images of Windows and 398 of Linux and their next releases the difference
/// was one byte.
const UNLISTED_MIN_BYTES: u64 = 48;

fn caves(before: &Executable, after: &Executable, structure: &mut Structure, findings: &mut Findings) {
    let mut because = Vec::new();
    let mut slack: BTreeMap<&str, u64> = BTreeMap::new();
    for section in &before.sections {
        let most = slack.entry(&section.name).or_default();
        *most = section.slack_nonzero_bytes.max(*most);
    }
    for section in &after.sections {
        let earlier = slack.get(section.name.as_str()).copied().unwrap_or(0);
        if earlier == 0 && section.slack_nonzero_bytes >= CAVE_MIN_BYTES {
            because.push(format!(
                "{} bytes lie behind the end of section `{}`",
                section.slack_nonzero_bytes,
                plain(&section.name)
            ));
        }
    }
    // Tools that move parts of an image leave some of the old ones: less than twice what they left the last time.
    let (earlier, now) = (before.unaccounted_nonzero_bytes, after.unaccounted_nonzero_bytes);
    let usual =
        if earlier == 0 { 0 } else { earlier.saturating_mul(2).saturating_add(CAVE_GROWTH_MIN_BYTES) };
    if now >= usual.max(CAVE_MIN_BYTES) {
        because.push(format!("{now} bytes lie between the sections, there were {earlier}"));
    }
    let (earlier, now) = (before.unlisted_code_bytes, after.unlisted_code_bytes);
    // A list that was not whole before says nothing.
    if earlier < UNLISTED_MIN_BYTES && now >= earlier + UNLISTED_MIN_BYTES {
        because.push(format!(
            "{now} bytes of code follow the last function that the image lists, there were {earlier}"
        ));
    }
    if !because.is_empty() {
        structure.partners.push("data where linkers leave zeros".to_owned());
        findings.add(&codes::CODE_CAVE, because);
    }
    let is_elf = findings.node.format == "elf";
    let least = match before.overlay_bytes {
        ..OVERLAY_ELF_MIN_BYTES if is_elf => OVERLAY_ELF_MIN_BYTES,
        0 => OVERLAY_FIRST_MIN_BYTES,
        earlier => OVERLAY_MIN_BYTES.max(earlier.saturating_mul(2)),
    };
    if before.overlay_bytes < OVERLAY_MIN_BYTES && after.overlay_bytes >= least {
        structure.partners.push("new data behind the last part".to_owned());
        let because = vec![format!("{} bytes, there were {}", after.overlay_bytes, before.overlay_bytes)];
        findings.add(&codes::OVERLAY_ADDED, because);
    }
}

/// Kinds of resources that are compressed by their nature, by their content.
const COMPRESSED: &[&str] =
    &["png", "jpeg", "gif", "webp", "font", "pdf", "ogg", "flac", "mp3", "mp4", "icon"];

/// Noise that nothing says to be a picture, a font or a sound.
fn is_noise(resource: &Resource) -> bool {
    resource.size >= NOISE_MIN_BYTES
        && resource.entropy_millibits >= NOISE_ENTROPY_MILLIBITS
        && !COMPRESSED.contains(&resource.kind.as_str())
}

/// A resource of noise is new, or grew: what a program carries so, it unpacks itself.
fn resources(before: &Executable, after: &Executable, structure: &mut Structure, findings: &mut Findings) {
    let known: BTreeSet<Digest> = before.resources.iter().map(|one| one.digest).collect();
    let is_program = |one: &&Resource| one.kind == Resource::MASKED_PROGRAM;
    if !before.resources.iter().any(|one| is_program(&one)) {
        let new = after.resources.iter().filter(|one| is_program(one) && !known.contains(&one.digest));
        let because: Vec<String> = new
            .map(|one| format!("resource `{}` is a program of {} bytes under a mask", one.path, one.size))
            .collect();
        if !because.is_empty() {
            findings.add(&codes::EMBEDDED_PAYLOAD, super::super::examples(because));
        }
    }
    let of = |image: &Executable| -> u64 {
        image.resources.iter().filter(|one| is_noise(one)).map(|one| one.size).sum()
    };
    let (earlier, now) = (of(before), of(after));
    // What carried such a resource before carries another one in each release, of about its size.
    if now < earlier.saturating_mul(2).saturating_add(NOISE_MIN_BYTES) {
        return;
    }
    let new = after.resources.iter().filter(|one| is_noise(one) && !known.contains(&one.digest));
    let because: Vec<String> = new
        .map(|one| {
            format!("resource `{}` has {} bytes with {}", one.path, one.size, bits(one.entropy_millibits))
        })
        .collect();
    if !because.is_empty() {
        structure.partners.push("a new resource of noise".to_owned());
        findings.add(&codes::EMBEDDED_PAYLOAD, super::super::examples(because));
    }
}
