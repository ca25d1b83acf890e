//! The text of one field of a hit, as its values in the order in which they stand.
//!
//! Which fields, and how their values become a document, is left to `rerank`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    hit::Hit,
    json::{self, Kind, Object},
    reading::Reading,
};

/// Levels of objects and arrays that are looked through. Engines map twenty levels of objects by default.
const DEEPEST: usize = 64;

/// Where a hit's texts stand, read once for all fields.
pub struct Texts<'a>(Option<Object<'a>>);

// === impl Texts ===

impl<'a> Texts<'a> {
    /// Returns what `reading` looks at of `hit`.
    pub fn of(hit: &Hit<'a>, reading: &Reading) -> Self {
        let root = match reading {
            Reading::Source => hit.source,
            Reading::Fields { .. } => hit.fields,
        };
        Self(root.and_then(|root| json::object(root.get()).ok()))
    }

    /// Returns the values of `field`: strings unescaped, numbers and booleans as written.
    ///
    /// Dots lead into objects, through arrays, and also stand inside keys. The same walk reads `_source` and `fields`,
    /// whether the engine groups nested objects (`"n":[{"t":[..]}]`) or flattens them (`"n.t":[..]`).
    pub fn values(&self, field: &str) -> Vec<Cow<'a, str>> {
        let mut found = Vec::new();
        if let Some(root) = &self.0 {
            enter(root, field, DEEPEST - 1, &mut found);
        }
        found
    }
}

/// Collects what lies at `path` inside `object`.
fn enter<'a>(object: &Object<'a>, path: &str, depth: usize, found: &mut Vec<Cow<'a, str>>) {
    for (key, below) in object.entries() {
        match path.strip_prefix(key.as_ref()) {
            Some("") => collect(below, None, depth, found),
            Some(rest) if rest.starts_with('.') => collect(below, Some(&rest[1..]), depth, found),
            _ => {}
        }
    }
}

/// Collects what lies at `path` below `value`; no path: `value` is the field's own.
fn collect<'a>(value: &'a RawValue, path: Option<&str>, depth: usize, found: &mut Vec<Cow<'a, str>>) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match (json::kind(value), path) {
        (Kind::Array, _) => {
            for element in json::array(value.get()).unwrap_or_default() {
                collect(element, path, deeper, found);
            }
        }
        (Kind::Object, Some(path)) => {
            if let Ok(object) = json::object(value.get()) {
                enter(&object, path, deeper, found);
            }
        }
        (Kind::String, None) => found.extend(json::string(value)),
        (Kind::Number | Kind::Bool, None) => found.push(Cow::Borrowed(value.get())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, Reading, Texts};
    use crate::es::response::SearchResponse;

    fn read(reading: &Reading, key: &str, value: &str, field: &str) -> Vec<String> {
        let answer = format!(r#"{{"hits":{{"hits":[{{"{key}":{value}}}]}}}}"#);
        let hits = SearchResponse::parse(answer.as_bytes()).expect("an answer").hits;
        Texts::of(&hits[0], reading).values(field).into_iter().map(String::from).collect()
    }

    fn source(value: &str, field: &str) -> Vec<String> {
        read(&Reading::Source, "_source", value, field)
    }

    fn fields(value: &str, field: &str) -> Vec<String> {
        read(&Reading::Fields { added: Vec::new() }, "fields", value, field)
    }

    #[test]
    fn dots_lead_through_objects_and_arrays_and_stand_in_keys() {
        assert_eq!(source(r#"{"title":"a"}"#, "title"), ["a"]);
        assert_eq!(source(r#"{"a":{"b":{"c":"x"}}}"#, "a.b.c"), ["x"]);
        assert_eq!(source(r#"{"a.b":"x"}"#, "a.b"), ["x"]);
        assert_eq!(source(r#"{"a":{"b.c":"x"},"a.b":{"c":"y"},"a.b.c":["z"]}"#, "a.b.c"), ["x", "y", "z"]);
        assert_eq!(source(r#"{"n":[{"t":["a","b"]},{"u":1},{"t":"c"}]}"#, "n.t"), ["a", "b", "c"]);
    }

    #[test]
    fn values_are_unescaped_and_numbers_stay_as_written() {
        let value = r#"{"a":["\u003cb\u003e \"q\"\n\ud83d\ude00",12345678901234567890, 1.0 ,true,null,{"b":"no"},[["deep"]]]}"#;
        assert_eq!(source(value, "a"), ["<b> \"q\"\n\u{1f600}", "12345678901234567890", "1.0", "true", "deep"]);
    }

    #[test]
    fn what_is_not_there_is_no_text() {
        for value in ["null", "\"title\"", "[{\"title\":\"a\"}]", r#"{"titles":"a","titl":{"e":"b"},"title":{"x":"c"},"":"d"}"#] {
            assert!(source(value, "title").is_empty(), "{value}");
        }
        assert!(read(&Reading::Source, "fields", r#"{"title":["a"]}"#, "title").is_empty());
    }

    #[test]
    fn fields_are_read_grouped_and_flat() {
        assert_eq!(fields(r#"{"n.t":["a","b"],"x":[1]}"#, "n.t"), ["a", "b"]);
        assert_eq!(fields(r#"{"n":[{"t":["a"]},{"t":["b"]}],"x":[1]}"#, "n.t"), ["a", "b"]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!(r#"{{"a":{}"x"{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(source(&nested(DEEPEST - 2), "a"), ["x"]);
        assert!(source(&nested(DEEPEST - 1), "a").is_empty());
        assert!(source(&nested(100_000), "a").is_empty());
    }
}
