//! The rules that come with the program: an explicit list; a test holds it and the folder together.

/// Each file of `rules/` with its name.
pub(super) const FILES: &[(&str, &str)] = &[
];
