//! The bytes of one member side by side: stretches that differ in hexadecimal and as text, and texts that came and went.

use std::fmt::{self, Write as _};

use engine::evidence::tree::{Contrast, Stretch};

use super::escaped;

/// Bytes in a row of the dump.
const ROW_BYTES: usize = 16;

/// Writes what was seen of a member, folded.
pub(super) fn sight(path: &str, contrast: &Contrast) -> Result<String, fmt::Error> {
    let path = escaped(path);
    let count = contrast.regions.len() as u64 + contrast.more_regions;
    let mut html = format!(
        "<details data-text=\"{path}\"><summary><code>{path}</code>: {count} stretches differ, {} texts added, {} removed</summary>\n",
        contrast.strings_added.len(),
        contrast.strings_removed.len()
    );
    if contrast.reordered_lines {
        html += "<p>The same lines in another order.</p>\n";
    }
    for (title, list) in
        [("Texts added", &contrast.strings_added), ("Texts removed", &contrast.strings_removed)]
    {
        if list.is_empty() {
            continue;
        }
        writeln!(html, "<h4>{title}</h4><ul>")?;
        for text in list {
            writeln!(html, "<li><code>{}</code></li>", escaped(text))?;
        }
        html += "</ul>\n";
    }
    html += "<table class=\"bytes\">\n<tr><th>Old</th><th>New</th></tr>\n";
    for region in &contrast.regions {
        writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", dump(&region.old)?, dump(&region.new)?)?;
    }
    html += "</table>\n";
    if contrast.more_regions > 0 {
        writeln!(html, "<p>and {} stretches more</p>", contrast.more_regions)?;
    }
    html += "</details>\n";
    Ok(html)
}

fn dump(stretch: &Stretch) -> Result<String, fmt::Error> {
    let mut text = format!("at {:#x}, {} bytes\n", stretch.offset, stretch.size);
    for (number, row) in stretch.shown.chunks(ROW_BYTES).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String = row
            .iter()
            .map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' })
            .collect();
        let at = stretch.offset + (number * ROW_BYTES) as u64;
        writeln!(text, "{at:08x}  {:<47}  {plain}", hex.join(" "))?;
    }
    if stretch.size > stretch.shown.len() as u64 {
        text += "…\n";
    }
    Ok(format!("<pre>{}</pre>", escaped(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::evidence::tree::Region;

    #[test]
    fn bytes_are_shown_in_hexadecimal_and_as_text() {
        let stretch = |shown: &[u8], size| Stretch { offset: 0x20, size, shown: shown.into() };
        let contrast = Contrast {
            regions: vec![Region { old: stretch(b"\x3c\0", 2), new: stretch(b"\x41", 900) }],
            more_regions: 2,
            strings_added: vec!["<b>".into()],
            ..Contrast::default()
        };
        let html = sight("a!b", &contrast).unwrap();
        assert!(html.contains("3 stretches differ"), "{html}");
        assert!(html.contains("00000020  3c 00") && html.contains("&lt;."), "{html}");
        assert!(html.contains("900 bytes") && html.contains('…'), "{html}");
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
    }
}
