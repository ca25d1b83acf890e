//! JSON as the text that it is: where each value stands, so that answers are compared and changed without being printed again.

use std::ops::Range;

/// A value of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its bytes in the text.
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object(Vec<Entry>),
    Array(Vec<Node>),
    /// A string, a number, `true`, `false` or `null`.
    Leaf,
}

/// A key of an object, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key as written, with its quotes.
    pub(crate) key: Range<usize>,
    pub(crate) value: Node,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Returns the places of the values in `text`, or nothing where it is no JSON.
pub(crate) fn parse(text: &str) -> Option<Node> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    Some(reader.value())
}

/// Returns `text` with these spans, which do not overlap, replaced.
pub(crate) fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, new) in edits {
        out.extend([&text[at..span.start], &new]);
        at = span.end;
    }
    out + &text[at..]
}

// === impl Node ===

impl Node {
    /// The value's text.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.span.clone()]
    }

    /// The entries of an object; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Kind::Object(entries) = &self.kind { entries } else { &[] }
    }

    /// The items of an array; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Kind::Array(items) = &self.kind { items } else { &[] }
    }

    /// The value under a key.
    pub(crate) fn get(&self, text: &str, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.name(text) == key).map(|entry| &entry.value)
    }

    /// The value at the end of a path of keys.
    pub(crate) fn at(&self, text: &str, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(text, key))
    }
}

// === impl Entry ===

impl Entry {
    /// The key without its quotes, as written.
    pub(crate) fn name<'t>(&self, text: &'t str) -> &'t str {
        &text[self.key.start + 1..self.key.end - 1]
    }
}

// === impl Reader ===

/// Reads text that is known to be JSON.
impl Reader<'_> {
    fn value(&mut self) -> Node {
        self.space();
        let start = self.at;
        let kind = match self.bytes[start] {
            b'{' => Kind::Object(self.level(b'}', |reader| {
                let key = reader.value().span;
                reader.space();
                reader.at += 1;
                Entry { key, value: reader.value() }
            })),
            b'[' => Kind::Array(self.level(b']', Self::value)),
            b'"' => {
                self.string();
                Kind::Leaf
            }
            _ => {
                while self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
                    self.at += 1;
                }
                Kind::Leaf
            }
        };
        Node { span: start..self.at, kind }
    }

    fn level<T>(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        while self.bytes[self.at] != close {
            if self.bytes[self.at] == b',' {
                self.at += 1;
            }
            items.push(item(self));
            self.space();
        }
        self.at += 1;
        items
    }

    fn string(&mut self) {
        self.at += 1;
        while self.bytes[self.at] != b'"' {
            self.at += if self.bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}

#[test]
fn every_value_is_found_where_it_stands() {
    let text = " { \"a\\\"b\" :[1.0,-2e+3 , {\"c\":null}],\"d\": { } , \"e\":\"x]\\\\\" } ";
    let node = parse(text).unwrap();
    let names: Vec<&str> = node.entries().iter().map(|entry| entry.name(text)).collect();
    assert_eq!(names, ["a\\\"b", "d", "e"]);
    let items: Vec<&str> = node.entries()[0].value.items().iter().map(|item| item.text(text)).collect();
    assert_eq!(items, ["1.0", "-2e+3", "{\"c\":null}"]);
    assert_eq!((node.get(text, "d").unwrap().text(text), node.get(text, "e").unwrap().text(text)), ("{ }", "\"x]\\\\\""));
    assert_eq!(parse("{\"a\":"), None);
    assert_eq!(splice("0123456", vec![(5..6, "five".into()), (1..3, "-".into())]), "0-34five6");
}
