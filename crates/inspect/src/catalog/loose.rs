//! Fields of documents whose writers do not agree on types: text where there is text, nothing otherwise. One odd field must
//! not hide the rest of a document.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text or a number as text; anything else is nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Text(pub(crate) Option<String>);

impl Text {
    pub(crate) fn take(self) -> String {
        self.0.unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// A list of what can be understood in a list; anything else is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// A mapping of texts to what can be understood; anything else is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table<T>(pub(crate) BTreeMap<String, T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Whether something is said to be so; anything else is `false`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flag(pub(crate) bool);

macro_rules! ignoring {
    ($value:expr; $($kind:ident)*) => {
        $(ignoring!(@ $kind $value);)*
    };
    (@ map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (@ seq $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (@ text $value:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (@ bool $value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (@ number $value:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (@ nothing $value:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(Some(text)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(Some(number.to_string())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(Some(number.to_string())))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(Some(number.to_string())))
            }
            ignoring!(Text(None); map seq bool nothing);
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
            ignoring!(Flag(false); map seq text number nothing);
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(Either(item)) = seq.next_element::<Either<T>>()? {
                    list.extend(item);
                }
                Ok(List(list))
            }
            ignoring!(List::default(); map text bool number nothing);
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Table<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<T>, A::Error> {
                let mut table = BTreeMap::new();
                while let Some((key, Either(value))) = map.next_entry::<String, Either<T>>()? {
                    if let Some(value) = value {
                        table.insert(key, value);
                    }
                }
                Ok(Table(table))
            }
            ignoring!(Table::default(); seq text bool number nothing);
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A mapping as `T`; anything else is nothing. Scalars are tried as `T` as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Either<T>(pub(crate) Option<T>);

impl<T> Default for Either<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Either<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Either<T>, A::Error> {
                Ok(Either(Some(T::deserialize(MapAccessDeserializer::new(map))?)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Either<T>, A::Error> {
                Ok(Either(Some(T::deserialize(SeqAccessDeserializer::new(seq))?)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either<T>, E> {
                Ok(Either(T::deserialize(serde::de::value::StrDeserializer::<E>::new(text)).ok()))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Either<T>, E> {
                Ok(Either(T::deserialize(serde::de::value::U64Deserializer::<E>::new(number)).ok()))
            }
            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Either<T>, E> {
                Ok(Either(T::deserialize(serde::de::value::BoolDeserializer::<E>::new(value)).ok()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Either<T>, E> {
                Ok(Either(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Either<T>, E> {
                Ok(Either(None))
            }
            fn visit_unit<E>(self) -> Result<Either<T>, E> {
                Ok(Either(None))
            }
            fn visit_none<E>(self) -> Result<Either<T>, E> {
                Ok(Either(None))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Document {
        name: Text,
        flag: Flag,
        list: List<Text>,
        inner: Table<Entry>,
    }

    #[derive(serde::Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Entry {
        version: Text,
    }

    #[test]
    fn odd_fields_are_nothing_and_the_rest_is_read() {
        let text = r#"{"name": ["x"], "flag": "yes", "list": ["a", 7, {"b": 1}], "inner": {"x": {"version": "1"}, "y": 3, "z": null}}"#;
        let read: Document = serde_json::from_str(text).unwrap();
        assert_eq!((read.name.as_str(), read.flag.0), ("", false));
        assert_eq!(read.list.0.iter().map(Text::as_str).collect::<Vec<_>>(), ["a", "7", ""]);
        assert_eq!(read.inner.0.keys().collect::<Vec<_>>(), ["x"]);
        for odd in [r#"{"list": {}, "inner": []}"#, r#"{"list": "", "inner": 1}"#, r#"{"name": null}"#] {
            assert_eq!(serde_json::from_str::<Document>(odd).unwrap(), Document::default());
        }
    }
}
