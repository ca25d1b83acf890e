//! The tree of fields that a mapping is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{infer, kind::Kind, merge::merge_properties, parse};
use crate::engine::error::ApiError;

/// Fields and multi-fields of one index, as in the engines.
const MOST_FIELDS: usize = 1000;
/// Objects within objects, as in the engines.
pub(super) const DEEPEST: usize = 20;

/// What the engines keep about a document beside its fields.
const METADATA: [&str; 10] =
    ["_field_names", "_id", "_ignored", "_index", "_nested_path", "_routing", "_seq_no", "_source", "_type", "_version"];

/// The fields of an index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    pub(super) dynamic: Option<Dynamic>,
    pub(super) properties: Properties,
}

/// What becomes of the fields of a document that the mapping does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dynamic {
    Added,
    Ignored,
    Refused,
}

pub(super) type Properties = BTreeMap<String, Property>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Property {
    /// Fields within.
    Object(Properties),
    Leaf(Leaf),
}

/// A field that has values.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// What its values are.
    pub kind: Kind,
    /// The same values, kept in other ways.
    pub fields: BTreeMap<String, Kind>,
}

// === impl Mapping ===

impl Mapping {
    /// Reads `{"properties": ..}`.
    pub fn parse(json: &Value) -> Result<Self, ApiError> {
        let mapping = parse::mapping(json)?;
        mapping.check_size()?;
        Ok(mapping)
    }

    /// Returns what was read, and inferred since: `{"properties": ..}`, or `{}` without fields.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        if let Some(dynamic) = self.dynamic {
            json.insert("dynamic".to_owned(), Value::from(dynamic.name()));
        }
        if !self.properties.is_empty() {
            json.insert("properties".to_owned(), properties_to_json(&self.properties));
        }
        Value::Object(json)
    }

    /// Adds the fields of `other`; a field cannot change its type. What failed has changed nothing.
    pub fn merge(&mut self, other: Mapping) -> Result<(), ApiError> {
        let mut merged = Self { dynamic: other.dynamic.or(self.dynamic), properties: self.properties.clone() };
        merge_properties(&mut merged.properties, other.properties, "")?;
        merged.check_size()?;
        *self = merged;
        Ok(())
    }

    /// Returns the mapping with the fields that `document` adds, if it adds any.
    pub fn infer(&self, document: &Value) -> Result<Option<Mapping>, ApiError> {
        infer::added(self, document)
    }

    /// Returns every field by its path, multi-fields after theirs.
    pub fn leaves(&self) -> Vec<(String, Kind)> {
        let mut leaves = Vec::new();
        collect_leaves(&self.properties, "", &mut leaves);
        leaves
    }

    /// Returns the field at `path`, as documents hold it: not a multi-field, not an object.
    pub(in crate::engine) fn leaf(&self, path: &str) -> Option<&Leaf> {
        match self.property(path)? {
            Property::Leaf(leaf) => Some(leaf),
            Property::Object(_) => None,
        }
    }

    /// Whether `path` is an object.
    pub(in crate::engine) fn is_object(&self, path: &str) -> bool {
        matches!(self.property(path), Some(Property::Object(_)))
    }

    fn property(&self, path: &str) -> Option<&Property> {
        let (parents, name) = path.rsplit_once('.').map_or((None, path), |(parents, name)| (Some(parents), name));
        let mut properties = &self.properties;
        for parent in parents.iter().flat_map(|parents| parents.split('.')) {
            match properties.get(parent)? {
                Property::Object(inner) => properties = inner,
                Property::Leaf(_) => return None,
            }
        }
        properties.get(name)
    }

    pub(super) fn check_size(&self) -> Result<(), ApiError> {
        if count(&self.properties) > MOST_FIELDS {
            return Err(ApiError::illegal_argument(format!("Limit of total fields [{MOST_FIELDS}] has been exceeded")));
        }
        deepest_object(&self.properties, "", 1).map_or(Ok(()), |path| Err(too_deep(&path)))
    }
}

// === impl Dynamic ===

impl Dynamic {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "true",
            Self::Ignored => "false",
            Self::Refused => "strict",
        }
    }
}

/// Returns the path of `name` within `parent`.
pub(in crate::engine) fn path_of(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn properties_to_json(properties: &Properties) -> Value {
    let json = properties.iter().map(|(name, property)| {
        let json = match property {
            Property::Object(inner) if inner.is_empty() => json!({"type": "object"}),
            Property::Object(inner) => json!({"properties": properties_to_json(inner)}),
            Property::Leaf(leaf) => {
                let mut json = leaf.kind.to_json();
                if !leaf.fields.is_empty() {
                    let fields = leaf.fields.iter().map(|(field, kind)| (field.clone(), Value::Object(kind.to_json())));
                    json.insert("fields".to_owned(), Value::Object(fields.collect()));
                }
                Value::Object(json)
            }
        };
        (name.clone(), json)
    });
    Value::Object(json.collect())
}

fn collect_leaves(properties: &Properties, parent: &str, leaves: &mut Vec<(String, Kind)>) {
    for (name, property) in properties {
        let path = path_of(parent, name);
        match property {
            Property::Object(inner) => collect_leaves(inner, &path, leaves),
            Property::Leaf(leaf) => {
                let fields = leaf.fields.iter().map(|(field, kind)| (path_of(&path, field), *kind));
                leaves.extend([(path.clone(), leaf.kind)].into_iter().chain(fields));
            }
        }
    }
}

fn count(properties: &Properties) -> usize {
    let sizes = properties.values().map(|property| match property {
        Property::Object(inner) => 1 + count(inner),
        Property::Leaf(leaf) => 1 + leaf.fields.len(),
    });
    sizes.sum()
}

/// Whether a name is of what the engines keep about a document.
pub(in crate::engine) fn is_metadata(name: &str) -> bool {
    METADATA.contains(&name)
}

/// Refuses the name of a field that is not one of the document's.
pub(in crate::engine) fn refuse_metadata(name: &str) -> Result<(), ApiError> {
    if is_metadata(name) {
        let reason =
            format!("Field [{name}] is a metadata field and cannot be added inside a document. Use the index API request parameters.");
        return Err(ApiError::mapper_parsing(reason));
    }
    Ok(())
}

pub(super) fn too_deep(path: &str) -> ApiError {
    let path: String = path.chars().take(100).collect();
    ApiError::illegal_argument(format!("Limit of mapping depth [{DEEPEST}] has been exceeded due to object field [{path}]"))
}

/// Returns an object that is nested too deeply.
fn deepest_object(properties: &Properties, parent: &str, depth: usize) -> Option<String> {
    properties.iter().find_map(|(name, property)| match property {
        Property::Object(_) if depth >= DEEPEST => Some(path_of(parent, name)),
        Property::Object(inner) => deepest_object(inner, &path_of(parent, name), depth + 1),
        Property::Leaf(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Mapping;

    fn merged(new: Value) -> Result<Value, String> {
        let mut mapping = Mapping::parse(&json!({"properties": {
            "title": {"type": "text", "fields": {"keyword": {"type": "keyword"}}}, "tag": {"type": "keyword", "ignore_above": 5},
            "o": {"properties": {"x": {"type": "long"}}}
        }}))
        .unwrap();
        let before = mapping.clone();
        let merge = mapping.merge(Mapping::parse(&json!({"properties": new})).unwrap());
        assert!(merge.is_ok() || mapping == before, "what failed has changed nothing");
        merge.map(|()| mapping.to_json()["properties"].clone()).map_err(|error| error.cause().reason().to_owned())
    }

    #[test]
    fn a_mapping_grows() {
        let new = json!({"title": {"type": "text", "analyzer": "standard", "fields": {"en": {"type": "text", "analyzer": "english"}}},
            "tag": {"type": "keyword"}, "o": {"properties": {"y": {"type": "date"}}}, "n": {"type": "float"}});
        let expected = json!({
            "title": {"type": "text", "analyzer": "standard", "fields": {"keyword": {"type": "keyword"}, "en": {"type": "text", "analyzer": "english"}}},
            "tag": {"type": "keyword"}, "o": {"properties": {"x": {"type": "long"}, "y": {"type": "date"}}}, "n": {"type": "float"}
        });
        assert_eq!(merged(new), Ok(expected));
    }

    #[test]
    fn a_field_keeps_its_type() {
        let analyzers =
            "Mapper for [title] conflicts with existing mapper:\n\tCannot update parameter [analyzer] from [default] to [english]";
        for (new, expected) in [
            (
                json!({"a": {"type": "long"}, "title": {"type": "keyword"}}),
                "mapper [title] cannot be changed from type [text] to [keyword]",
            ),
            (json!({"title": {"type": "text", "analyzer": "english"}}), analyzers),
            (json!({"o": {"type": "keyword"}}), "can't merge a non object mapping [o] with an object mapping"),
            (json!({"tag.x": {"type": "keyword"}}), "can't merge a non object mapping [tag] with an object mapping"),
        ] {
            assert_eq!(merged(new), Err(expected.to_owned()));
        }
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let mapping = Mapping::parse(&json!({"properties": {"a.b": {"type": "text", "fields": {"raw": {"type": "keyword"}}}}})).unwrap();
        assert_eq!(
            mapping.leaves().iter().map(|(path, kind)| format!("{path} {}", kind.name())).collect::<Vec<_>>(),
            ["a.b text", "a.b.raw keyword"]
        );
        assert!(
            mapping.leaf("a.b").is_some() && mapping.leaf("a").is_none() && mapping.leaf("a.b.raw").is_none() && mapping.is_object("a")
        );
    }
}
