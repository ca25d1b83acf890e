//! A client's mapping to a [`Mapping`]: what is not known in it is refused by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    kind::{Kind, Width},
    merge::merge_properties,
    tree::{DEEPEST, Dynamic, Leaf, Mapping, Properties, Property, path_of, refuse_metadata, too_deep},
};
use crate::engine::{analysis::Analyzer, dates, error::ApiError};

pub(super) fn mapping(json: &Value) -> Result<Mapping, ApiError> {
    let Value::Object(json) = json else {
        return Err(ApiError::mapper_parsing("Expected a map for the mapping"));
    };
    let mut mapping = Mapping::default();
    for (key, value) in json {
        match key.as_str() {
            "properties" => mapping.properties = properties(value, "")?,
            "dynamic" => mapping.dynamic = Some(dynamic(value)?),
            _ => return Err(ApiError::mapper_parsing(format!("Root mapping definition has unsupported parameters:  [{key} : {value}]"))),
        }
    }
    Ok(mapping)
}

fn dynamic(json: &Value) -> Result<Dynamic, ApiError> {
    match json {
        Value::Bool(true) => Ok(Dynamic::Added),
        Value::Bool(false) => Ok(Dynamic::Ignored),
        Value::String(name) if name == "true" => Ok(Dynamic::Added),
        Value::String(name) if name == "false" => Ok(Dynamic::Ignored),
        Value::String(name) if name == "strict" => Ok(Dynamic::Refused),
        other => Err(ApiError::unsupported(format!("the mapping's [dynamic] : {other}"))),
    }
}

fn properties(json: &Value, parent: &str) -> Result<Properties, ApiError> {
    let Value::Object(json) = json else {
        return Err(ApiError::mapper_parsing(format!("Expected map for property [properties] on field [{parent}]")));
    };
    let mut read = Properties::new();
    for (name, definition) in json {
        refuse_metadata(&path_of(parent, name))?;
        if name.split('.').count() > DEEPEST {
            return Err(too_deep(name));
        }
        let mut parts = name.split('.').rev();
        let last = parts.next().unwrap_or_default();
        if name.split('.').any(str::is_empty) {
            return Err(ApiError::mapper_parsing(format!("name cannot be empty string: [{name}]")));
        }
        // `a.b` is `b` in the object `a`.
        let field = property(definition, name)?;
        let nested = parts.fold((last.to_owned(), field), |(inner_name, inner), outer| {
            (outer.to_owned(), Property::Object(BTreeMap::from([(inner_name, inner)])))
        });
        merge_properties(&mut read, BTreeMap::from([nested]), parent)?;
    }
    Ok(read)
}

fn property(json: &Value, name: &str) -> Result<Property, ApiError> {
    let Value::Object(json) = json else {
        return Err(ApiError::mapper_parsing(format!("Expected map for property [fields] on field [{name}]")));
    };
    let kind = match json.get("type") {
        Some(Value::String(kind)) => Some(kind.as_str()),
        None => None,
        Some(other) => return Err(ApiError::mapper_parsing(format!("No handler for type [{other}] declared on field [{name}]"))),
    };
    if kind == Some("object") || (kind.is_none() && json.contains_key("properties")) {
        if let Some(unknown) = json.keys().find(|key| *key != "type" && *key != "properties") {
            return Err(unknown_parameter(unknown, name, "object"));
        }
        return Ok(Property::Object(json.get("properties").map_or(Ok(Properties::new()), |inner| properties(inner, name))?));
    }
    let Some(kind) = kind else {
        return Err(ApiError::mapper_parsing(format!("No type specified for field [{name}]")));
    };
    let fields = json.get("fields").map_or(Ok(BTreeMap::new()), |fields| multi_fields(fields, name))?;
    Ok(Property::Leaf(Leaf { kind: leaf(kind, json, name)?, fields }))
}

fn multi_fields(json: &Value, parent: &str) -> Result<BTreeMap<String, Kind>, ApiError> {
    let Value::Object(json) = json else {
        return Err(ApiError::mapper_parsing(format!("Expected map for property [fields] on field [{parent}]")));
    };
    let mut fields = BTreeMap::new();
    for (name, definition) in json {
        if name.is_empty() || name.contains('.') {
            return Err(ApiError::mapper_parsing(format!("Field name [{name}] which is a multi field of [{parent}] cannot contain '.'")));
        }
        match property(definition, name)? {
            Property::Leaf(field) if field.fields.is_empty() => drop(fields.insert(name.clone(), field.kind)),
            Property::Leaf(_) => return Err(ApiError::unsupported(format!("[fields] within [fields], on field [{parent}.{name}],"))),
            Property::Object(_) => {
                return Err(ApiError::mapper_parsing(format!("Type [object] cannot be used in multi field [{parent}.{name}]")));
            }
        }
    }
    Ok(fields)
}

fn leaf(kind: &str, json: &Map<String, Value>, name: &str) -> Result<Kind, ApiError> {
    let mut read = match kind {
        "text" => Kind::Text(None),
        "keyword" => Kind::Keyword(None),
        "byte" => Kind::Whole(Width::Byte),
        "short" => Kind::Whole(Width::Short),
        "integer" => Kind::Whole(Width::Integer),
        "long" => Kind::Whole(Width::Long),
        "double" => Kind::Double,
        "float" => Kind::Float,
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        _ => return Err(ApiError::mapper_parsing(format!("No handler for type [{kind}] declared on field [{name}]"))),
    };
    for (key, value) in json {
        match (key.as_str(), read) {
            ("type" | "fields", _) => {}
            ("analyzer", Kind::Text(_)) => read = Kind::Text(Some(analyzer(value)?)),
            ("ignore_above", Kind::Keyword(_)) => read = Kind::Keyword(Some(ignore_above(value, name)?)),
            ("format", Kind::Date) if value == dates::FORMAT => {}
            ("format", Kind::Date) => return Err(ApiError::unsupported(format!("the date format {value} of field [{name}]"))),
            _ => return Err(unknown_parameter(key, name, kind)),
        }
    }
    Ok(read)
}

fn analyzer(json: &Value) -> Result<Analyzer, ApiError> {
    let name = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    Analyzer::named(&name).ok_or_else(|| ApiError::illegal_argument(format!("analyzer [{name}] has not been configured in mappings")))
}

fn ignore_above(json: &Value, name: &str) -> Result<usize, ApiError> {
    let number = json.as_u64().or_else(|| json.as_str().and_then(|text| text.parse().ok())).and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| ApiError::mapper_parsing(format!("Failed to parse mapping [_doc]: [ignore_above] of field [{name}] is {json}")))
}

fn unknown_parameter(key: &str, name: &str, kind: &str) -> ApiError {
    ApiError::mapper_parsing(format!("unknown parameter [{key}] on mapper [{name}] of type [{kind}]"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Mapping;

    fn reason(json: &Value) -> String {
        Mapping::parse(json).unwrap_err().cause().reason().to_owned()
    }

    #[test]
    fn every_type_comes_back_as_it_was_written() {
        let written = json!({"dynamic": "strict", "properties": {
            "title": {"type": "text", "analyzer": "english", "fields": {"raw": {"type": "keyword", "ignore_above": 256}}},
            "body": {"type": "text"}, "tag": {"type": "keyword"}, "price": {"type": "double"}, "weight": {"type": "float"},
            "stock": {"type": "long"}, "a": {"type": "byte"}, "b": {"type": "short"}, "c": {"type": "integer"},
            "sold": {"type": "boolean"}, "since": {"type": "date"},
            "maker": {"properties": {"name": {"type": "keyword"}, "none": {"type": "object"}}}
        }});
        assert_eq!(Mapping::parse(&written).unwrap().to_json(), written);
        assert_eq!(Mapping::parse(&json!({})).unwrap().to_json(), json!({}));
    }

    #[test]
    fn dots_are_objects_and_defaults_are_accepted() {
        let mapping = Mapping::parse(&json!({"properties": {
            "a.b": {"type": "keyword", "ignore_above": "20"}, "a": {"properties": {"c": {"type": "long"}}},
            "d": {"type": "date", "format": "strict_date_optional_time||epoch_millis"}
        }}));
        let expected = json!({"properties": {
            "a": {"properties": {"b": {"type": "keyword", "ignore_above": 20}, "c": {"type": "long"}}}, "d": {"type": "date"}
        }});
        assert_eq!(mapping.unwrap().to_json(), expected);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (property, expected) in [
            (json!({"type": "nosuch"}), "No handler for type [nosuch] declared on field [f]"),
            (json!({"type": "text", "nosuch": 1}), "unknown parameter [nosuch] on mapper [f] of type [text]"),
            (json!({"type": "long", "analyzer": "english"}), "unknown parameter [analyzer] on mapper [f] of type [long]"),
            (json!({"type": "text", "analyzer": "nosuch"}), "analyzer [nosuch] has not been configured in mappings"),
            (json!({"analyzer": "english"}), "No type specified for field [f]"),
            (json!({"type": "object", "dynamic": false}), "unknown parameter [dynamic] on mapper [f] of type [object]"),
            (
                json!({"type": "date", "format": "yyyy"}),
                "the date format \"yyyy\" of field [f] is not supported by the engine of podium demo",
            ),
        ] {
            assert_eq!(reason(&json!({"properties": {"f": property}})), expected);
        }
        assert_eq!(reason(&json!({"nosuch": {}})), "Root mapping definition has unsupported parameters:  [nosuch : {}]");
    }

    #[test]
    fn sizes_are_bounded() {
        let many: serde_json::Map<_, _> = (0..1001).map(|number| (format!("f{number}"), json!({"type": "long"}))).collect();
        assert_eq!(reason(&json!({"properties": many})), "Limit of total fields [1000] has been exceeded");
        let deep = vec!["o"; 20].join(".");
        assert!(
            reason(&json!({"properties": {format!("{deep}.f"): {"type": "long"}}}))
                .starts_with("Limit of mapping depth [20] has been exceeded")
        );
    }
}
