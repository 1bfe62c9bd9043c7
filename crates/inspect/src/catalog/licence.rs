//! Licences as documents state them, brought to SPDX identifiers where there is no doubt.

/// Licences that ecosystems write in their own words. Lower case.
const NAMES: &[(&str, &str)] = &[
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("the apache license, version 2.0", "Apache-2.0"),
    ("the apache software license, version 2.0", "Apache-2.0"),
    ("apache software license", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("bsd-3-clause license", "BSD-3-Clause"),
    ("3-clause bsd license", "BSD-3-Clause"),
    ("eclipse public license - v 1.0", "EPL-1.0"),
    ("eclipse public license - v 2.0", "EPL-2.0"),
    ("eclipse public license v2.0", "EPL-2.0"),
    ("gplv2+", "GPL-2.0-or-later"),
    ("gplv3+", "GPL-3.0-or-later"),
    ("gplv2", "GPL-2.0-only"),
    ("gplv3", "GPL-3.0-only"),
    ("lgplv2+", "LGPL-2.0-or-later"),
    ("lgplv3+", "LGPL-3.0-or-later"),
    ("isc license", "ISC"),
    ("isc license (iscl)", "ISC"),
    ("mit license", "MIT"),
    ("the mit license", "MIT"),
    ("expat", "MIT"),
    ("mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"),
    ("mpl 2.0", "MPL-2.0"),
    ("psf", "PSF-2.0"),
    ("python software foundation license", "PSF-2.0"),
    ("public domain", "LicenseRef-public-domain"),
    ("unlicense", "Unlicense"),
    ("the unlicense (unlicense)", "Unlicense"),
    ("zlib", "Zlib"),
];

/// Returns the SPDX expression of a stated licence where the words leave no doubt, else the text as it is.
pub(super) fn normalised(text: &str) -> String {
    let text = text.trim();
    let lower = text.to_lowercase();
    if let Some((_, id)) = NAMES.iter().find(|(name, _)| *name == lower) {
        return (*id).to_owned();
    }
    // Cargo's old way of writing `OR`, npm's parentheses around a whole expression.
    if text.contains('/') && text.split('/').all(|part| is_identifier(part.trim())) {
        return text.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ");
    }
    text.to_owned()
}

/// Tells whether a text has the form of one SPDX identifier that ecosystems use.
fn is_identifier(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+'));
    plain
        && !text.is_empty()
        && (text.contains('-') || matches!(text, "MIT" | "ISC" | "Zlib" | "Unlicense" | "0BSD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_identifiers_only_where_they_are_clear() {
        for (stated, expected) in [
            ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
            ("Apache License 2.0", "Apache-2.0"),
            ("MIT", "MIT"),
            ("GPL/commercial", "GPL/commercial"),
            ("BSD", "BSD"),
        ] {
            assert_eq!(normalised(stated), expected);
        }
    }
}
