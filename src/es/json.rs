//! Borrowed views of one level of JSON, so that nothing below that level is parsed or printed again.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One object's entries in their order. A key that stands twice makes it unreadable: engines refuse such bodies.
#[derive(Debug)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// What a JSON value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, as written.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Returns the object in `json`, or the parser's words.
///
/// # Errors
/// Not JSON, not an object, trailing text, or a key that stands twice.
pub fn object(json: &str) -> serde_json::Result<Object<'_>> {
    serde_json::from_str(json)
}

/// Returns the array in `json`, or the parser's words.
///
/// # Errors
/// Not JSON, not an array, or trailing text.
pub fn array(json: &str) -> serde_json::Result<Vec<&RawValue>> {
    serde_json::from_str(json)
}

/// Returns what `value` is.
pub fn kind(value: &RawValue) -> Kind {
    Kind::of(value.get())
}

/// Returns the string that `value` is, unescaped.
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    (kind(value) == Kind::String).then(|| serde_json::from_str(value.get()).ok().map(|Text(text)| text)).flatten()
}

/// Returns the whole number, not negative, that `value` is; `3.0` and `"3"` are none.
pub fn count(value: &RawValue) -> Option<u64> {
    value.get().parse().ok().filter(|_| kind(value) == Kind::Number)
}

/// Returns whether a key is there twice. Sorted, because most objects have few keys and hashing each costs more.
pub(crate) fn repeats(mut keys: Vec<&str>) -> bool {
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

// === impl Kind ===

impl Kind {
    /// Returns what `text`, one value without white space around it, is.
    pub(crate) fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| *value)
    }

    /// The entries in the order in which they stand.
    pub fn entries(&self) -> &[(Cow<'a, str>, &'a RawValue)] {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

struct Key<'a>(Cow<'a, str>);

impl<'de> Visitor<'de> for Entries {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        if repeats(entries.iter().map(|(key, _)| key.as_ref()).collect()) {
            return Err(A::Error::custom("a key stands twice"));
        }
        Ok(Object(entries))
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::{array, count, object, string};

    #[test]
    fn entries_keep_their_order_and_their_bytes() {
        let object = object(r#" {"b": 1.0 , "a" :12345678901234567890123, "\u0063":"x\n"} "#).expect("an object");
        let entries: Vec<_> = object.entries().iter().map(|(key, value)| (key.as_ref(), value.get())).collect();
        assert_eq!(entries, [("b", "1.0"), ("a", "12345678901234567890123"), ("c", r#""x\n""#)]);
        assert_eq!(object.get("c").and_then(string).as_deref(), Some("x\n"));
    }

    #[test]
    fn what_engines_refuse_or_we_cannot_read_is_an_error() {
        for json in ["", "[]", "{", r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, "{} x", "{/* a */}", "{'a':1}"] {
            assert!(object(json).is_err(), "{json}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(object(&deep).is_ok());
    }

    #[test]
    fn counts_are_plain() {
        let counted = |json: &str| array(json).expect("an array").iter().map(|value| count(value)).collect::<Vec<_>>();
        assert_eq!(counted(r#"[0, 10, 1.0, -1, "3", 1e2, null]"#), [Some(0), Some(10), None, None, None, None, None]);
    }
}
