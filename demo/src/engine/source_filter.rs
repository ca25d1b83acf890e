//! Which parts of `_source` a hit shows; what remains keeps its bytes and its order.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use wildmatch::WildMatchPattern;

use super::{error::ApiError, mapping::path_of, schema::matcher, values};

/// What of the source is shown.
#[derive(Clone, Debug, Default)]
pub struct SourceFilter {
    hidden: bool,
    /// None: everything.
    includes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

/// Paths of fields, in which `*` stands for anything. An object's name stands for all in it.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    matcher: WildMatchPattern<'*', '\0'>,
}

// === impl SourceFilter ===

impl SourceFilter {
    /// Reads the `_source` of a search.
    pub fn parse(json: &Value) -> Result<Self, ApiError> {
        match json {
            Value::Bool(shown) => Ok(Self { hidden: !shown, ..Self::default() }),
            Value::String(_) | Value::Array(_) => Ok(Self { includes: patterns(json, "_source")?, ..Self::default() }),
            Value::Object(members) => {
                let mut filter = Self::default();
                for (key, value) in members {
                    match key.as_str() {
                        "includes" | "include" => filter.includes = patterns(value, key)?,
                        "excludes" | "exclude" => filter.excludes = patterns(value, key)?,
                        _ => return Err(ApiError::parsing(format!("Unknown key for a {} in [{key}].", values::token(value)))),
                    }
                }
                Ok(filter)
            }
            other => {
                let expected = "Expected one of [VALUE_BOOLEAN, VALUE_STRING, START_ARRAY, START_OBJECT]";
                Err(ApiError::parsing(format!("{expected} but found [{}]", values::token(other))))
            }
        }
    }

    /// Reads `_source`, `_source_includes` and `_source_excludes` of a URL; `None` where there is none of them.
    pub fn from_url(source: Option<&str>, includes: Option<&str>, excludes: Option<&str>) -> Option<Self> {
        let listed = |text: Option<&str>| {
            text.into_iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).map(Pattern::new).collect::<Vec<_>>()
        };
        let mut filter = Self { includes: listed(includes), excludes: listed(excludes), hidden: source == Some("false") };
        if let Some(fields) = source.filter(|text| !matches!(*text, "true" | "false" | "")) {
            filter.includes.extend(listed(Some(fields)));
        }
        (source.is_some() || includes.is_some() || excludes.is_some()).then_some(filter)
    }

    /// Returns what is shown: the same bytes where nothing is left out, `None` where `_source` is not shown at all.
    pub fn apply<'a>(&self, source: &'a RawValue) -> Option<Cow<'a, RawValue>> {
        if self.hidden {
            return None;
        }
        if self.includes.is_empty() && self.excludes.is_empty() {
            return Some(Cow::Borrowed(source));
        }
        let shown = self.object(source, "", self.includes.is_empty());
        let shown = RawValue::from_string(shown.unwrap_or_else(|| "{}".to_owned())).map(Cow::Owned);
        // What was JSON is JSON still.
        Some(shown.unwrap_or(Cow::Borrowed(source)))
    }

    /// Returns what is shown of an object, `None` where nothing of it was asked for.
    fn object(&self, source: &RawValue, path: &str, included: bool) -> Option<String> {
        let Members(members) = serde_json::from_str(source.get()).ok()?;
        let kept: Vec<_> = members
            .into_iter()
            .filter_map(|(name, value)| {
                let shown = self.value(value, &path_of(path, &name), included)?;
                Some(format!("{}:{shown}", Value::from(name)))
            })
            .collect();
        (included || !kept.is_empty()).then(|| format!("{{{}}}", kept.join(",")))
    }

    fn value<'a>(&self, value: &'a RawValue, path: &str, included: bool) -> Option<Cow<'a, str>> {
        if self.excludes.iter().any(|pattern| pattern.matcher.matches(path)) {
            return None;
        }
        let included = included || self.includes.iter().any(|pattern| pattern.matcher.matches(path));
        // Nothing deeper can be left out.
        if included && self.excludes.iter().all(|pattern| !pattern.may_match_within(path)) {
            return Some(Cow::Borrowed(value.get()));
        }
        match value.get().as_bytes().first() {
            Some(b'{') => self.object(value, path, included).map(Cow::Owned),
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                let kept: Vec<_> = elements.into_iter().filter_map(|element| self.value(element, path, included)).collect();
                (included || !kept.is_empty()).then(|| Cow::Owned(format!("[{}]", kept.join(","))))
            }
            _ => included.then(|| Cow::Borrowed(value.get())),
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), matcher: matcher(text) }
    }

    fn may_match_within(&self, path: &str) -> bool {
        self.text.contains('*') || self.text.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
    }
}

fn patterns(json: &Value, key: &str) -> Result<Vec<Pattern>, ApiError> {
    let listed = if let Value::Array(listed) = json { listed.as_slice() } else { std::slice::from_ref(json) };
    let unknown = |value| ApiError::parsing(format!("Unknown key for a {} in [{key}].", values::token(value)));
    listed.iter().map(|value| value.as_str().map(Pattern::new).ok_or_else(|| unknown(value))).collect()
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

// === impl Members ===

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::RawValue};

    use super::SourceFilter;

    const SOURCE: &str = r#"{"title": "The \"fox\"", "tag":["a","b"],"n": 1.50, "o":{"y":[{"z":1,"w":2},{"w":3}],"x":"p"}}"#;

    fn shown(filter: &SourceFilter) -> Option<String> {
        let source: &RawValue = serde_json::from_str(SOURCE).unwrap();
        filter.apply(source).map(|shown| shown.get().to_owned())
    }

    #[test]
    fn parts_keep_their_bytes_and_order() {
        for (filter, expected) in [
            (json!(true), SOURCE),
            (json!([]), SOURCE),
            (json!("ti*"), r#"{"title":"The \"fox\""}"#),
            (json!(["o.x", "n"]), r#"{"n":1.50,"o":{"x":"p"}}"#),
            (json!(["o*"]), r#"{"o":{"y":[{"z":1,"w":2},{"w":3}],"x":"p"}}"#),
            (json!("o"), r#"{"o":{"y":[{"z":1,"w":2},{"w":3}],"x":"p"}}"#),
            (json!(["*.z"]), r#"{"o":{"y":[{"z":1}]}}"#),
            (json!({"includes": "nosuch"}), "{}"),
            (json!({"include": ["*"], "exclude": ["title", "o.y", "o.x", "t*"]}), r#"{"n":1.50,"o":{}}"#),
            (json!({"excludes": ["o", "tag"]}), r#"{"title":"The \"fox\"","n":1.50}"#),
            (json!({"includes": ["o"], "excludes": ["*.w"]}), r#"{"o":{"y":[{"z":1},{}],"x":"p"}}"#),
        ] {
            assert_eq!(shown(&SourceFilter::parse(&filter).unwrap()).as_deref(), Some(expected), "{filter}");
        }
        assert_eq!(shown(&SourceFilter::parse(&json!(false)).unwrap()), None);
    }

    #[test]
    fn a_url_can_ask_for_parts() {
        assert!(SourceFilter::from_url(None, None, None).is_none());
        let shown = |source, includes, excludes| shown(&SourceFilter::from_url(source, includes, excludes).unwrap());
        assert_eq!(shown(Some("false"), None, None), None);
        assert_eq!(shown(None, Some(""), None).as_deref(), Some(SOURCE));
        assert_eq!(shown(Some("true"), None, Some("o,tag")).as_deref(), Some(r#"{"title":"The \"fox\"","n":1.50}"#));
        assert_eq!(shown(Some("n,o.x"), None, None).as_deref(), Some(r#"{"n":1.50,"o":{"x":"p"}}"#));
        assert_eq!(shown(None, Some("o*"), Some("o.y")).as_deref(), Some(r#"{"o":{"x":"p"}}"#));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let reason = |json: Value| SourceFilter::parse(&json).unwrap_err().cause().reason().to_owned();
        assert_eq!(reason(json!({"nosuch": 1})), "Unknown key for a VALUE_NUMBER_INT in [nosuch].");
        assert_eq!(reason(json!(["a", 1])), "Unknown key for a VALUE_NUMBER_INT in [_source].");
        assert!(reason(json!(5)).ends_with("but found [VALUE_NUMBER_INT]"));
    }
}
