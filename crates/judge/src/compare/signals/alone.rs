//! Rules about an image that is like none of the old release: what no compiler and no linker makes.

use evidence::tree::Executable;

use super::image::{plain, saves_everything};
use super::{Findings, functions};
use crate::codes;

/// Sections of Windows images that hold data, whoever links them (PE Format, "Special Sections").
const DATA: &[&str] =
    &[".data", ".rdata", ".bss", ".idata", ".edata", ".didat", ".pdata", ".xdata", ".rsrc", ".reloc", ".tls"];

pub(super) fn judge(image: &Executable, findings: &mut Findings) {
    if image.kind == "object" {
        return;
    }
    let code = image.sections.iter().filter(|section| section.executable && section.size > 0);
    let made_code: Vec<String> = code
        .map(|section| plain(&section.name))
        .filter(|name| DATA.contains(name))
        .map(|name| format!("section `{name}` holds data in all other images"))
        .collect();
    if !made_code.is_empty() {
        findings.add(&codes::DATA_MADE_CODE, made_code);
    }
    functions::judge(None, image, findings);
    if let Some(entry) = &image.entry
        && let Some(because) = saves_everything(image, entry)
    {
        findings.add(&codes::ENTRY_POINT_MOVED, vec![because]);
    }
    if image.initializers_outside_code > 0 {
        let count = image.initializers_outside_code;
        findings.add(&codes::INITIALIZER_ADDED, vec![format!("{count} initialisers lie outside the code")]);
    }
}
