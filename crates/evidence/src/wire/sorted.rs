//! Writes JSON with sorted keys in one pass: what is written is put in order where it stands, so that a document of
//! millions of objects needs no tree of values beside it.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::io::{self, Write};
use std::rc::Rc;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes a value with the keys of each object in the order of RFC 8785, section 3.2.3, and no white space.
pub(super) fn write(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let sheet = Shared::default();
    value.serialize(&mut Serializer::with_formatter(sheet.clone(), sheet.clone()))?;
    Ok(sheet.0.take().written)
}

/// What is written, and which objects are not closed yet.
#[derive(Default)]
struct Sheet {
    written: Vec<u8>,
    open: Vec<Open>,
    /// The entries of all open objects, those of the innermost last.
    entries: Vec<Entry>,
    /// The place in which an object is put in order.
    ordered: Vec<u8>,
}

/// An object that is being written.
struct Open {
    /// Where what is in its braces begins.
    start: usize,
    /// Where its entries begin among those of all open objects.
    entries: usize,
}

/// One key with its value, as written: `"key":value`, without a comma.
struct Entry {
    start: usize,
    /// Behind the key's closing quotation mark.
    key_end: usize,
    end: usize,
}

impl Sheet {
    /// Puts the innermost object's entries in order.
    fn order(&mut self) {
        let Some(Open { start, entries }) = self.open.pop() else { return };
        let Self { written, ordered, entries: all, .. } = self;
        let object = &mut all[entries..];
        let key = |entry: &Entry| &written[entry.start..entry.key_end];
        if !object.is_sorted_by(|a, b| compare(key(a), key(b)).is_le()) {
            object.sort_by(|a, b| compare(key(a), key(b)));
            ordered.clear();
            for (position, entry) in object.iter().enumerate() {
                if position > 0 {
                    ordered.push(b',');
                }
                ordered.extend_from_slice(&written[entry.start..entry.end]);
            }
            written.truncate(start);
            written.append(ordered);
            ordered.shrink_to(KEPT_BYTES);
        }
        all.truncate(entries);
    }
}

/// So much of the place for ordering stays reserved.
const KEPT_BYTES: usize = 64 * 1024;

/// Compares two keys, as written, by the UTF-16 code units of what they mean.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let text = |key: &[u8]| serde_json::from_slice::<String>(key).ok();
    match (plain(a), plain(b)) {
        (Some(a), Some(b)) => a.cmp(b),
        _ => match (text(a), text(b)) {
            (Some(a), Some(b)) => a.encode_utf16().cmp(b.encode_utf16()),
            _ => a.cmp(b),
        },
    }
}

/// What is between a key's quotation marks, if nothing of it is escaped or outside ASCII: bytes then have the order of
/// code units.
fn plain(key: &[u8]) -> Option<&[u8]> {
    let bare = key.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (bare.is_ascii() && !bare.contains(&b'\\')).then_some(bare)
}

/// The sheet, in the hands of whoever writes and of whoever tells what is written.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Sheet>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Formatter for Shared {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"{")?;
        let sheet = &mut *self.0.borrow_mut();
        sheet.open.push(Open { start: sheet.written.len(), entries: sheet.entries.len() });
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let sheet = &mut *self.0.borrow_mut();
        let start = sheet.written.len();
        sheet.entries.push(Entry { start, key_end: start, end: start });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let sheet = &mut *self.0.borrow_mut();
        if let Some(entry) = sheet.entries.last_mut() {
            entry.key_end = sheet.written.len();
        }
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let sheet = &mut *self.0.borrow_mut();
        if let Some(entry) = sheet.entries.last_mut() {
            entry.end = sheet.written.len();
        }
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.borrow_mut().order();
        writer.write_all(b"}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn code_units_count_and_not_bytes() {
        // U+FB33 comes behind U+1F600 in UTF-16, and before it in UTF-8 (the example of RFC 8785, section 3.2.3).
        let value: Value = serde_json::from_str(
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
        )
        .unwrap();
        let text = String::from_utf8(write(&value).unwrap()).unwrap();
        let order: Vec<usize> = (1..=7).map(|number| text.find(&format!(":{number}")).unwrap()).collect();
        let mut numbers: Vec<usize> = (1..=7).collect();
        numbers.sort_by_key(|number| order[number - 1]);
        assert_eq!(numbers, [2, 4, 6, 7, 1, 5, 3]);
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// The plain reading of the rule: sort the entries of a tree of values.
    fn by_tree(value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| key.encode_utf16().collect::<Vec<u16>>());
                let entries: Vec<String> = entries
                    .into_iter()
                    .map(|(key, value)| format!("{}:{}", serde_json::to_string(key).unwrap(), by_tree(value)))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(by_tree).collect::<Vec<_>>().join(","))
            }
            scalar => scalar.to_string(),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_sorting_a_tree_gives(value in values()) {
            prop_assert_eq!(String::from_utf8(write(&value).unwrap()).unwrap(), by_tree(&value));
        }
    }
}
