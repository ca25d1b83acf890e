//! Indices themselves: made from a definition, described, and given more fields.

use serde_json::{Map, Value, json};

use super::{
    answer::Answer,
    catalog::{Catalog, Lenience},
    error::{ApiError, Cause},
    mapping::Mapping,
    root,
    search::object,
    settings::Settings,
};

/// Makes an index from `{"settings": .., "mappings": ..}`.
pub(super) fn create(catalog: &Catalog, name: &str, body: &[u8]) -> Result<Answer, ApiError> {
    let (mut settings, mut mapping) = (Settings::default(), Mapping::default());
    for (key, value) in definition(body)? {
        match key.as_str() {
            "settings" => settings = Settings::parse(&value)?,
            "mappings" => mapping = Mapping::parse(&value).map_err(|error| unusable(&error))?,
            "aliases" if value.as_object().is_some_and(Map::is_empty) => {}
            "aliases" => return Err(ApiError::unsupported("[aliases] of an index")),
            other => return Err(ApiError::new(400, Cause::new("parse_exception", format!("unknown key [{other}] for create index")))),
        }
    }
    let index = catalog.create(name, settings, mapping)?;
    Answer::ok(&json!({"acknowledged": true, "shards_acknowledged": true, "index": index.name}))
}

/// Reads a definition; one that is not JSON is told in its own words.
fn definition(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    object(body).map_err(|error| {
        let cause = error.cause().clone();
        ApiError::new(error.status(), Cause::new("parse_exception", "Failed to parse content to map").caused_by(cause))
    })
}

/// Returns what is wrong with a mapping as the making of an index tells it.
fn unusable(error: &ApiError) -> ApiError {
    let cause = error.cause().clone();
    let told = ApiError::mapper_parsing(format!("Failed to parse mapping [_doc]: {}", cause.reason())).caused_by(cause.clone());
    if cause.kind() == "mapper_parsing_exception" { told.rooted_in(cause) } else { told }
}

/// Describes the indices that an expression names.
pub(super) fn describe(catalog: &Catalog, expression: &str, lenience: Lenience) -> Result<Answer, ApiError> {
    let indices = catalog.resolve(expression, lenience)?;
    let described = indices.iter().map(|index| {
        let mappings = index.latest().mapping.to_json();
        (index.name.clone(), json!({"aliases": {}, "mappings": mappings, "settings": root::settings(index)}))
    });
    Answer::ok(&Value::Object(described.collect()))
}

/// Shows the mappings of the indices that an expression names.
pub(super) fn mappings(catalog: &Catalog, expression: &str, lenience: Lenience) -> Result<Answer, ApiError> {
    let indices = catalog.resolve(expression, lenience)?;
    let shown = indices.iter().map(|index| (index.name.clone(), json!({"mappings": index.latest().mapping.to_json()})));
    Answer::ok(&Value::Object(shown.collect()))
}

/// Adds fields to the indices that an expression names.
pub(super) fn extend(catalog: &Catalog, expression: &str, lenience: Lenience, body: &[u8]) -> Result<Answer, ApiError> {
    if body.trim_ascii().is_empty() {
        return Err(ApiError::no_body());
    }
    let mapping = Mapping::parse(&Value::Object(definition(body)?))?;
    for index in catalog.resolve(expression, lenience)? {
        index.extend(mapping.clone())?;
    }
    Answer::acknowledged()
}
