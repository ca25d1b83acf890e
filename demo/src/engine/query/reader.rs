//! What the queries of one search are read with: the index they are for, and how large they may be.

use std::cell::Cell;

use serde_json::Value;

use super::{clause::Clause, kinds::KINDS};
use crate::engine::{
    error::{ApiError, Cause},
    mapping::is_metadata,
    schema::{Indexed, Schema},
};

/// How many clauses a search may have, as in the engines.
const MOST_CLAUSES: usize = 1024;
/// How deep `bool` queries may be nested, as in OpenSearch.
const DEEPEST: usize = 20;

/// What the queries of one search are read with.
pub(super) struct Reader<'a> {
    pub schema: &'a Schema,
    clauses: Cell<usize>,
    depth: Cell<usize>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn new(schema: &'a Schema) -> Self {
        Self { schema, clauses: Cell::new(0), depth: Cell::new(0) }
    }

    /// Reads one query, as `{"match": {"title": "shoes"}}`.
    pub fn query(&self, json: &Value) -> Result<Clause, ApiError> {
        let Value::Object(json) = json else {
            return Err(ApiError::parsing("[_na] query malformed, must start with start_object"));
        };
        let mut kinds = json.iter();
        let Some((kind, body)) = kinds.next() else {
            return Err(ApiError::illegal_argument("query malformed, empty clause found"));
        };
        if kinds.next().is_some() {
            return Err(ApiError::parsing(format!("[{kind}] malformed query, expected [END_OBJECT] but found [FIELD_NAME]")));
        }
        let Some((_, read)) = KINDS.iter().find(|(known, _)| known == kind) else {
            let known = KINDS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
            let cause =
                Cause::new("named_object_not_found_exception", format!("unknown field [{kind}]; the engine of podium demo knows {known}"));
            return Err(ApiError::parsing(format!("unknown query [{kind}]")).caused_by(cause));
        };
        read(self, body)
    }

    /// Returns a field to look for values in; `None` where nothing has any. What the engines keep about documents is no such field.
    pub fn field(&self, path: &str) -> Result<Option<Indexed>, ApiError> {
        if is_metadata(path) {
            return Err(ApiError::unsupported(format!("this query on [{path}]")));
        }
        Ok(self.schema.field(path))
    }

    /// Counts one clause more.
    pub fn count_clause(&self) -> Result<(), ApiError> {
        self.clauses.set(self.clauses.get() + 1);
        if self.clauses.get() > MOST_CLAUSES {
            return Err(ApiError::new(400, Cause::new("too_many_nested_clauses", format!("maxClauseCount is set to {MOST_CLAUSES}"))));
        }
        Ok(())
    }

    /// Reads what lies one level deeper.
    pub fn deeper<T>(&self, read: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
        if self.depth.get() >= DEEPEST {
            return Err(ApiError::illegal_argument(format!("The query is nested more than [{DEEPEST}] levels deep")));
        }
        self.depth.set(self.depth.get() + 1);
        let value = read();
        self.depth.set(self.depth.get() - 1);
        value
    }
}
