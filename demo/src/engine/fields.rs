//! The `fields` of a search: values from `_source`, formatted by the mapping.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    dates,
    error::{ApiError, refuse_long, refuse_unknown},
    mapping::{Kind, path_of},
    schema::Schema,
    values::{self, Typed},
};

/// What a search asks for under `fields`.
#[derive(Clone, Debug)]
pub struct Fields {
    /// Paths of fields and multi-fields, and the paths of the values in the source.
    wanted: BTreeMap<String, Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    kind: Kind,
    source: String,
    format: DateFormat,
}

#[derive(Clone, Copy, Debug, Default)]
enum DateFormat {
    #[default]
    Calendar,
    Millis,
}

// === impl Fields ===

impl Fields {
    /// Reads the `fields` of a search: names, patterns, and `{"field": .., "format": ..}`.
    pub fn parse(json: &Value, schema: &Schema) -> Result<Self, ApiError> {
        let Value::Array(listed) = json else {
            return Err(ApiError::parsing(format!("Unknown key for a {} in [fields].", values::token(json))));
        };
        refuse_long("fields", listed.len())?;
        let mut wanted = BTreeMap::new();
        for value in listed {
            let (pattern, format) = pattern(value)?;
            for (path, indexed) in schema.matching(&pattern) {
                wanted.insert(path.to_owned(), Wanted { kind: indexed.kind, source: schema.source_of(path).to_owned(), format });
            }
        }
        Ok(Self { wanted })
    }

    /// Returns the values by field; a hit without any has no `fields`.
    pub fn values(&self, source: &Value) -> BTreeMap<String, Vec<Value>> {
        let read = self.wanted.iter().map(|(path, wanted)| {
            let values = at_path(source, &wanted.source).into_iter().filter_map(|value| wanted.shown(value)).collect::<Vec<_>>();
            (path.clone(), values)
        });
        read.filter(|(_, values)| !values.is_empty()).collect()
    }
}

// === impl Wanted ===

impl Wanted {
    fn shown(&self, value: &Value) -> Option<Value> {
        let typed = values::from_document(self.kind, value).ok().flatten()?;
        Some(match (self.kind, typed) {
            (Kind::Keyword(Some(limit)), Typed::Text(text)) if text.encode_utf16().count() > limit => return None,
            (Kind::Date, Typed::Whole(millis)) => Value::from(match self.format {
                DateFormat::Calendar => dates::print(millis),
                DateFormat::Millis => millis.to_string(),
            }),
            (Kind::Float, Typed::Fraction(fraction)) => single(fraction),
            (_, Typed::Text(text)) => Value::from(text),
            (_, Typed::Whole(whole)) => Value::from(whole),
            (_, Typed::Fraction(fraction)) => Value::from(fraction),
            (_, Typed::Boolean(truth)) => Value::from(truth),
        })
    }
}

/// Returns a value of a `float` field in as few digits as tell it from others.
#[expect(clippy::cast_possible_truncation, reason = "it was one")]
pub fn single(fraction: f64) -> Value {
    (fraction as f32).to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn pattern(json: &Value) -> Result<(String, DateFormat), ApiError> {
    match json {
        Value::String(pattern) => Ok((pattern.clone(), DateFormat::default())),
        Value::Object(members) => {
            refuse_unknown("fields", members, &["field", "format"])?;
            let Some(Value::String(pattern)) = members.get("field") else {
                return Err(ApiError::parsing("Required [field] in [fields]"));
            };
            let format = match members.get("format").map(Value::as_str) {
                None | Some(Some("strict_date_optional_time" | dates::FORMAT)) => DateFormat::Calendar,
                Some(Some("epoch_millis")) => DateFormat::Millis,
                Some(other) => return Err(ApiError::unsupported(format!("the [format] {other:?} in [fields]"))),
            };
            Ok((pattern.clone(), format))
        }
        other => Err(ApiError::parsing(format!("[fields] does not support values of type: {}", values::token(other)))),
    }
}

/// Returns the values at `path` in their order: those of arrays one by one, and names with dots as objects.
pub(super) fn at_path<'a>(json: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    collect(json, "", path, &mut found);
    found
}

fn collect<'a>(json: &'a Value, at: &str, path: &str, found: &mut Vec<&'a Value>) {
    match json {
        Value::Array(values) => values.iter().for_each(|value| collect(value, at, path, found)),
        _ if at == path => found.push(json),
        Value::Object(members) => {
            for (name, value) in members {
                let inner = path_of(at, name);
                if path == inner || path.strip_prefix(&inner).is_some_and(|rest| rest.starts_with('.')) {
                    collect(value, &inner, path, found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::Fields;
    use crate::engine::{mapping::Mapping, schema::Schema};

    fn schema() -> Schema {
        let mapping = json!({"properties": {
            "title": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 20}}}, "n": {"type": "long"}, "f": {"type": "float"},
            "d": {"type": "double"}, "b": {"type": "boolean"}, "t": {"type": "date"}, "o": {"properties": {"x": {"type": "keyword"}}}
        }});
        Schema::new(Arc::new(Mapping::parse(&mapping).unwrap()))
    }

    fn values(fields: Value, source: Value) -> Value {
        json!(Fields::parse(&fields, &schema()).unwrap().values(&source))
    }

    #[test]
    fn values_are_those_of_the_mapping() {
        let source = json!({"title": ["short", "more than twenty letters"], "n": [1, "2", null], "f": "1.10", "d": 2, "b": "true", "t": "2024-01-01",
            "o": [{"x": "p"}, {"x": ["q", 3]}], "o.x": "r", "nosuch": 1});
        let all = json!({"title": ["short", "more than twenty letters"], "title.keyword": ["short"], "n": [1, 2], "f": [1.1], "d": [2.0], "b": [true],
            "t": ["2024-01-01T00:00:00.000Z"], "o.x": ["p", "q", "3", "r"]});
        assert_eq!(values(json!(["*"]), source.clone()), all);
        assert_eq!(values(json!(["o", "nosuch", "n"]), source.clone()), json!({"n": [1, 2]}));
        assert_eq!(
            values(json!(["o.*", {"field": "t", "format": "epoch_millis"}]), source),
            json!({"o.x": ["p", "q", "3", "r"], "t": ["1704067200000"]})
        );
        assert_eq!(values(json!(["*"]), json!({"t": [], "n": null})), json!({}));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let reason = |json: Value| Fields::parse(&json, &schema()).unwrap_err().cause().reason().to_owned();
        assert_eq!(reason(json!("t")), "Unknown key for a VALUE_STRING in [fields].");
        assert_eq!(reason(json!([1])), "[fields] does not support values of type: VALUE_NUMBER_INT");
        assert_eq!(reason(json!([{"fild": "t"}])), "[fields] unknown field [fild]");
        assert!(reason(json!([{"field": "t", "format": "yyyy"}])).contains("yyyy"));
    }
}
