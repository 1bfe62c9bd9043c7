//! Paths as the kernel and archives have them: bytes, not text.
//!
//! The text form is reversible and safe to print: what is not UTF-8, control characters and the backslash
//! itself are written `\xNN`. It is a name, never something to open by accident.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The bytes of a path, a member name, or a command-line argument.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BytePath(Vec<u8>);

impl BytePath {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Returns the last component: what follows the last `/`.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// Returns what stands before the last component, with its `/`; nothing for a path of one component.
    pub fn folder(&self) -> &[u8] {
        &self.0[..self.0.len() - self.file_name().len()]
    }

    /// Tells whether this is `folder` itself or lies below it, component by component.
    pub fn is_below(&self, folder: &[u8]) -> bool {
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        match self.0.strip_prefix(folder) {
            Some(rest) => rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// Parses the text form made by `Display`.
    pub fn from_escaped(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first != b'\\' {
                bytes.push(first);
                rest = tail;
                continue;
            }
            let digits = tail.strip_prefix(b"x")?.get(..2)?;
            if digits.iter().any(|digit| digit.is_ascii_uppercase()) {
                return None;
            }
            bytes.push(*hex::decode(digits).ok()?.first()?);
            rest = tail.get(3..)?;
        }
        let path = Self(bytes);
        // Only the canonical spelling: one value, one text.
        (path.to_string() == text).then_some(path)
    }
}

impl From<&str> for BytePath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for BytePath {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&[u8]> for BytePath {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Display for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character == '\\' || character.is_control() {
                    let mut buffer = [0; 4];
                    for byte in character.encode_utf8(&mut buffer).bytes() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for BytePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BytePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_escaped(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an escaped path")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_folder_and_a_name_are_the_whole_path() {
        for (path, folder, name) in [("a/b/c", "a/b/", "c"), ("c", "", "c"), ("a/", "a/", ""), ("", "", "")] {
            let path = BytePath::from(path);
            assert_eq!((path.folder(), path.file_name()), (folder.as_bytes(), name.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_the_text_form(bytes: Vec<u8>) {
            let path = BytePath::new(bytes);
            let text = path.to_string();
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(BytePath::from_escaped(&text), Some(path));
        }
    }

    #[test]
    fn below_is_by_component() {
        let path = BytePath::from("/src/dist/a");
        assert!(path.is_below(b"/src/dist"));
        assert!(path.is_below(b"/src/dist/"));
        assert!(path.is_below(b"/src/dist/a"));
        assert!(!path.is_below(b"/src/di"));
        assert_eq!(path.file_name(), b"a");
    }

    #[test]
    fn other_spellings_are_refused() {
        assert!(BytePath::from_escaped("\\x41").is_none(), "a plain letter needs no escape");
        assert!(BytePath::from_escaped("\\xFF").is_none());
        assert!(BytePath::from_escaped("\\x0").is_none());
        assert!(BytePath::from_escaped("\\n").is_none());
    }
}
