//! Reads YAML documents into nodes that keep the order of keys and whole numbers of 64 bits, and writes nodes as JSON.

use std::fmt::{self, Formatter};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};

/// One value of a suite.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// A number as JSON writes it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Reads every document of a file; empty ones are null.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, String> {
    serde_norway::Deserializer::from_str(text).map(|document| Node::deserialize(document).map_err(|error| error.to_string())).collect()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(document: D) -> Result<Self, D::Error> {
        document.deserialize_any(Reader)
    }
}

struct Reader;

// === impl Reader ===

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("what JSON has")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no infinity"))?;
        Ok(Node::Number(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Node, Node>()? {
            entries.push((key.plain_text(), value));
        }
        Ok(Node::Map(entries))
    }
}

// === impl Node ===

impl Node {
    /// Returns the JSON text; keys in their order.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => text.clone(),
            Self::Text(text) => quoted(text),
            Self::List(items) => format!("[{}]", items.iter().map(Self::json).collect::<Vec<_>>().join(",")),
            Self::Map(entries) => {
                let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{}:{}", quoted(key), value.json())).collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    /// Returns it as JSON to compare with.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.json()).expect("what was written here is JSON")
    }

    /// Returns a scalar as it stands in a URL or in a path.
    pub(super) fn plain_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => items.iter().map(Self::plain_text).collect::<Vec<_>>().join(","),
            Self::Null => String::new(),
            other => other.json(),
        }
    }

    pub(super) fn entries(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the value of a key of a map.
    pub(super) fn get(&self, wanted: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(key, _)| key == wanted).map(|(_, value)| value)
    }
}

impl From<&Value> for Node {
    fn from(json: &Value) -> Self {
        match json {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(entries) => Self::Map(entries.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect()),
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn keys_keep_their_order_and_numbers_their_value() {
        let text = "c: [\n1\n]\n---\n\"a test\":\n  - do: {z: 1.0, a: 18446744073709551615, 7: [007, 1e3, .5, yes, ~]}\n---\nb: |\n  {\"c\": 1}\n  d\n";
        let read: Vec<String> = documents(text).unwrap().iter().map(super::Node::json).collect();
        assert_eq!(
            read,
            [
                r#"{"c":[1]}"#,
                r#"{"a test":[{"do":{"z":1.0,"a":18446744073709551615,"7":["007",1000.0,0.5,"yes",null]}}]}"#,
                r#"{"b":"{\"c\": 1}\nd\n"}"#
            ]
        );
        assert!(documents("a: [1").is_err() && documents("a: &x 1\nb: *y\n").is_err());
    }
}
