//! The query language: JSON to tantivy queries whose scores are Lucene's.

use serde_json::Value;

use super::{error::ApiError, schema::Schema};

mod clause;
mod compound;
mod exact;
mod full_text;
mod kinds;
mod minimum;
mod multi_field;
mod parameters;
mod query_string;
mod range;
mod reader;
mod scoring;
mod syntax;

pub use clause::{Clause, Mark};
pub use query_string::UrlQuery;

/// Reads one query, as `{"match": {"title": "shoes"}}`.
pub fn parse(json: &Value, schema: &Schema) -> Result<Clause, ApiError> {
    reader::Reader::new(schema).query(json)
}

/// Reads the `q` of a URL.
pub fn parse_query_string(query: &UrlQuery<'_>, schema: &Schema) -> Result<Clause, ApiError> {
    query_string::read_url(&reader::Reader::new(schema), query)
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
