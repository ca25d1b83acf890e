//! The fields that a document adds to a mapping.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    kind::{Kind, Width},
    merge::{not_an_object, type_change},
    tree::{DEEPEST, Dynamic, Leaf, Mapping, Properties, Property, path_of, refuse_metadata, too_deep},
};
use crate::engine::{
    dates,
    error::{ApiError, Cause},
};

/// How long a text may be to be kept as a keyword, too.
const LONGEST_KEYWORD: usize = 256;

pub(super) fn added(mapping: &Mapping, document: &Value) -> Result<Option<Mapping>, ApiError> {
    let Value::Object(_) = document else { return Ok(None) };
    let mut merged = mapping.properties.clone();
    let mut walk = Walk { dynamic: mapping.dynamic.unwrap_or(Dynamic::Added), added: BTreeSet::new() };
    walk.object(document, &mut merged, "")?;
    let merged = Mapping { dynamic: mapping.dynamic, properties: merged };
    merged.check_size()?;
    Ok((!walk.added.is_empty()).then_some(merged))
}

struct Walk {
    dynamic: Dynamic,
    added: BTreeSet<String>,
}

// === impl Walk ===

impl Walk {
    fn object(&mut self, json: &Value, properties: &mut Properties, parent: &str) -> Result<(), ApiError> {
        for (name, value) in json.as_object().into_iter().flatten() {
            if name.trim().is_empty() {
                return Err(ambiguous("field name cannot be an empty string"));
            }
            let path = path_of(parent, name);
            refuse_metadata(&path)?;
            if name.split('.').count() > DEEPEST {
                return Err(too_deep(&path));
            }
            if name.split('.').any(|part| part.trim().is_empty()) {
                return Err(ambiguous(format!("object field starting or ending with a [.] makes object resolution ambiguous: [{path}]")));
            }
            self.value(value, properties, parent, name)?;
        }
        Ok(())
    }

    /// Looks at one value of the field `name`, whose dots are objects.
    fn value(&mut self, json: &Value, properties: &mut Properties, parent: &str, name: &str) -> Result<(), ApiError> {
        if let Value::Array(values) = json {
            return values.iter().try_for_each(|value| self.value(value, properties, parent, name));
        }
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let path = path_of(parent, first);
        if json.is_null() && !properties.contains_key(first) {
            return Ok(());
        }
        let is_object = rest.is_some() || json.is_object();
        if !properties.contains_key(first) {
            match self.dynamic {
                Dynamic::Ignored => return Ok(()),
                Dynamic::Refused => return Err(strict(&path, parent)),
                Dynamic::Added => {}
            }
            let leaf = if is_object { None } else { leaf(json) };
            properties.insert(first.to_owned(), leaf.map_or_else(|| Property::Object(Properties::new()), Property::Leaf));
            self.added.insert(path.clone());
        }
        match (properties.get_mut(first), rest) {
            (Some(Property::Object(inner)), Some(rest)) => self.value(json, inner, &path, rest),
            (Some(Property::Object(inner)), None) if is_object => self.object(json, inner, &path),
            // Whether a value suits a field that was there before is told where the document is read.
            (Some(property), _) if self.added.contains(&path) => suits(json, property, &path),
            _ => Ok(()),
        }
    }
}

/// Whether another value of the same document makes the same field.
fn suits(json: &Value, property: &Property, path: &str) -> Result<(), ApiError> {
    match (property, leaf(json)) {
        _ if json.is_null() => Ok(()),
        (Property::Leaf(old), Some(new)) if old.kind.name() == new.kind.name() => Ok(()),
        (Property::Leaf(old), Some(new)) => Err(type_change(path, old.kind, new.kind)),
        _ => Err(not_an_object(path)),
    }
}

fn strict(path: &str, parent: &str) -> ApiError {
    let (within, name) = if parent.is_empty() { ("_doc", path) } else { (parent, path.rsplit('.').next().unwrap_or(path)) };
    let reason = format!("mapping set to strict, dynamic introduction of [{name}] within [{within}] is not allowed");
    ApiError::new(400, Cause::new("strict_dynamic_mapping_exception", reason))
}

/// The error of a document whose fields cannot be told.
fn ambiguous(cause: impl Into<String>) -> ApiError {
    ApiError::mapper_parsing("failed to parse").caused_by(Cause::new("illegal_argument_exception", cause))
}

/// Returns the field that a value makes.
fn leaf(json: &Value) -> Option<Leaf> {
    let kind = match json {
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() || number.is_u64() => Kind::Whole(Width::Long),
        Value::Number(_) => Kind::Float,
        Value::String(text) if is_date(text) => Kind::Date,
        Value::String(_) => {
            let fields = [("keyword".to_owned(), Kind::Keyword(Some(LONGEST_KEYWORD)))];
            return Some(Leaf { kind: Kind::Text(None), fields: fields.into() });
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(Leaf { kind, fields: Default::default() })
}

/// Whether a text is a date beyond doubt: a year alone is not.
fn is_date(text: &str) -> bool {
    text.contains('-') && dates::calendar(text).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Mapping;

    fn added(mapping: &Value, document: &Value) -> Result<Option<Value>, String> {
        let added = Mapping::parse(mapping).unwrap().infer(document);
        added.map(|added| added.map(|added| added.to_json()["properties"].clone())).map_err(|error| error.cause().reason().to_owned())
    }

    #[test]
    fn each_kind_of_value_makes_its_field() {
        let document = json!({
            "text": "words", "whole": 1, "fraction": 1.0, "truth": true, "day": "2024-01-01", "instant": "2024-01-01T10:00:00.5Z", "year": "2024",
            "list": [1, null, [2]], "nothing": null, "none": [], "object": {"inner": {"n": 1}}, "empty": {}, "a.b": false, "objects": [{"p": 1}, {"q": 2}]
        });
        let text = json!({"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}});
        let long = json!({"type": "long"});
        let expected = json!({
            "text": text, "whole": long, "fraction": {"type": "float"}, "truth": {"type": "boolean"}, "day": {"type": "date"},
            "instant": {"type": "date"}, "year": text, "list": long, "object": {"properties": {"inner": {"properties": {"n": long}}}},
            "empty": {"type": "object"}, "a": {"properties": {"b": {"type": "boolean"}}}, "objects": {"properties": {"p": long, "q": long}}
        });
        assert_eq!(added(&json!({}), &document), Ok(Some(expected)));
    }

    #[test]
    fn known_fields_stay_as_they_are() {
        let mapping = json!({"properties": {"n": {"type": "long"}, "o": {"properties": {"x": {"type": "keyword"}}}}});
        assert_eq!(added(&mapping, &json!({"n": "5", "o": {"x": 1}, "o.x": 2, "z": null})), Ok(None));
        let grown = json!({"n": {"type": "long"}, "o": {"properties": {"x": {"type": "keyword"}, "y": {"type": "long"}}}});
        assert_eq!(added(&mapping, &json!({"o.y": 1})), Ok(Some(grown)));
    }

    #[test]
    fn one_document_makes_one_type() {
        for (document, expected) in [
            (json!({"m": [1, "x"]}), "mapper [m] cannot be changed from type [long] to [text]"),
            (json!({"m": ["x", "2024-01-01"]}), "mapper [m] cannot be changed from type [text] to [date]"),
            (json!({"m": [1.5, 1]}), "mapper [m] cannot be changed from type [float] to [long]"),
            (json!({"m": [{"a": 1}, "x"]}), "can't merge a non object mapping [m] with an object mapping"),
            (json!({"m": ["x", {"a": 1}]}), "can't merge a non object mapping [m] with an object mapping"),
            (
                json!({"_id": 1}),
                "Field [_id] is a metadata field and cannot be added inside a document. Use the index API request parameters.",
            ),
            (json!({"": 1}), "failed to parse"),
            (json!({"a..b": 1}), "failed to parse"),
        ] {
            assert_eq!(added(&json!({}), &document), Err(expected.to_owned()));
        }
    }

    #[test]
    fn names_are_not_too_deep() {
        let reason = added(&json!({}), &json!({vec!["a"; 100_000].join("."): 1})).unwrap_err();
        assert!(reason.starts_with("Limit of mapping depth [20] has been exceeded due to object field [a.a."), "{}", reason.len());
        assert!(reason.len() < 200);
    }

    #[test]
    fn a_mapping_can_refuse_or_ignore_new_fields() {
        let reason = "mapping set to strict, dynamic introduction of [b] within [a] is not allowed";
        let strict = json!({"dynamic": "strict", "properties": {"a": {"type": "object"}}});
        assert_eq!(added(&strict, &json!({"a": {"b": 1}})), Err(reason.to_owned()));
        assert_eq!(added(&json!({"dynamic": false}), &json!({"a": 1})), Ok(None));
    }
}
