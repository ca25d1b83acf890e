//! Errors in the engines' shape: a type, a reason, what caused it, and a status.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

/// How many fields or patterns of fields a list may have; an index has no more fields.
const MOST_PATTERNS: usize = 1024;

/// One exception of the engines: its type, its reason, what else it tells, and what caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    kind: String,
    reason: String,
    details: Map<String, Value>,
    caused_by: Option<Box<Cause>>,
}

/// What a request is answered with when it cannot be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {}", cause.kind, cause.reason)]
pub struct ApiError {
    status: u16,
    cause: Box<Cause>,
    /// Where it differs from `cause`.
    root: Option<Box<Cause>>,
    /// Whether the engines find it out on a shard.
    shard: bool,
}

// === impl Cause ===

impl Cause {
    /// An exception of the type `kind`.
    pub fn new(kind: &str, reason: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), reason: reason.into(), details: Map::new(), caused_by: None }
    }

    /// The same, which tells one thing more, as `index`.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The same, with what caused it.
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.caused_by = Some(Box::new(cause));
        self
    }

    /// Returns the type, as `illegal_argument_exception`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns what went wrong, in a sentence.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("reason", &self.reason)?;
        for (key, value) in &self.details {
            map.serialize_entry(key, value)?;
        }
        self.caused_by.iter().try_for_each(|cause| map.serialize_entry("caused_by", cause))
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

// === impl ApiError ===

impl ApiError {
    /// An error that is its own root cause.
    pub fn new(status: u16, cause: Cause) -> Self {
        Self { status, cause: Box::new(cause), root: None, shard: false }
    }

    /// A request that makes no sense.
    pub fn illegal_argument(reason: impl Into<String>) -> Self {
        Self::new(400, Cause::new("illegal_argument_exception", reason))
    }

    /// Nothing where something is needed.
    pub fn no_body() -> Self {
        Self::new(400, Cause::new("parse_exception", "request body is required"))
    }

    /// JSON that is not of the shape that is asked for.
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self::new(400, Cause::new("parsing_exception", reason))
    }

    /// Something that the engines can do and this one cannot.
    pub fn unsupported(what: impl AsRef<str>) -> Self {
        Self::illegal_argument(format!("{} is not supported by the engine of podium demo", what.as_ref()))
    }

    /// A mapping or a document that cannot be read.
    pub fn mapper_parsing(reason: impl Into<String>) -> Self {
        Self::new(400, Cause::new("mapper_parsing_exception", reason))
    }

    /// A query whose values do not suit the fields of one index; see [`Self::on_index`].
    pub fn query_shard(cause: Cause) -> Self {
        let reason = format!("failed to create query: {}", cause.reason);
        Self::on_shard(Cause::new("query_shard_exception", reason).caused_by(cause))
    }

    /// What only a shard finds out; see [`Self::on_index`].
    pub fn on_shard(cause: Cause) -> Self {
        Self { shard: true, ..Self::new(400, cause) }
    }

    /// A failure that is not the client's.
    pub fn internal(kind: &str, reason: impl Into<String>) -> Self {
        Self::new(500, Cause::new(kind, reason))
    }

    /// The same error, caused by `cause`.
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.cause.caused_by = Some(Box::new(cause));
        self
    }

    /// The same error with another root cause.
    pub fn rooted_in(mut self, root: Cause) -> Self {
        self.root = Some(Box::new(root));
        self
    }

    /// Returns the error as a search of `index` tells it: what only a shard finds out is told as the failure of all shards.
    pub fn on_index(self, index: &str, uuid: &str, node: &str) -> Self {
        if !self.shard {
            return self;
        }
        let mut cause = *self.cause;
        if cause.kind == "query_shard_exception" {
            cause = cause.with("index", index).with("index_uuid", uuid);
        }
        let failure = json!([{"shard": 0, "index": index, "node": node, "reason": &cause}]);
        let outer = Cause::new("search_phase_execution_exception", "all shards failed");
        // An exception of Java's own is told once more by the one that the engines wrap it in.
        let told = if cause.kind == "query_shard_exception" { cause.clone() } else { cause.clone().caused_by(cause.clone()) };
        let outer = outer.with("phase", "query").with("grouped", true).with("failed_shards", failure).caused_by(told);
        Self::new(self.status, outer).rooted_in(self.root.map_or(cause, |root| *root))
    }

    /// Whether the engines find it out on a shard.
    pub fn is_on_shard(&self) -> bool {
        self.shard
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the exception itself, as a bulk item holds it.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

/// Refuses a list of patterns that would take long: each is held against every field.
pub(super) fn refuse_long(name: &str, length: usize) -> Result<(), ApiError> {
    if length > MOST_PATTERNS {
        return Err(ApiError::illegal_argument(format!("[{name}] has [{length}] fields, more than [{MOST_PATTERNS}]")));
    }
    Ok(())
}

/// Refuses the first of `members` that is not known.
pub(super) fn refuse_unknown(name: &str, members: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(ApiError::new(400, Cause::new("x_content_parse_exception", format!("[{name}] unknown field [{unknown}]")))),
        None => Ok(()),
    }
}

impl Serialize for ApiError {
    /// Writes the whole body of the answer.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Error<'a>(&'a ApiError);
        impl Serialize for Error<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                let root = Cause { caused_by: None, ..Cause::clone(self.0.root.as_ref().unwrap_or(&self.0.cause)) };
                map.serialize_entry("root_cause", &[root])?;
                self.0.cause.entries(&mut map)?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("error", &Error(self))?;
        map.serialize_entry("status", &self.status)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ApiError, Cause};

    #[test]
    fn an_error_is_its_own_root_cause() {
        let error =
            ApiError::mapper_parsing("failed to parse").caused_by(Cause::new("number_format_exception", "no number").with("line", 1));
        let expected = json!({"status": 400, "error": {
            "root_cause": [{"type": "mapper_parsing_exception", "reason": "failed to parse"}], "type": "mapper_parsing_exception",
            "reason": "failed to parse", "caused_by": {"type": "number_format_exception", "reason": "no number", "line": 1}
        }});
        assert_eq!(serde_json::to_value(&error).unwrap(), expected);
        assert_eq!(error.clone().on_index("shop", "u", "n"), error);
    }

    #[test]
    fn what_a_shard_finds_out_is_told_as_the_failure_of_all() {
        let error = ApiError::query_shard(Cause::new("number_format_exception", "For input string: \"x\"")).on_index("shop", "u", "n");
        let root = json!({"type": "query_shard_exception", "reason": "failed to create query: For input string: \"x\"", "index": "shop", "index_uuid": "u"});
        let mut cause = root.clone();
        cause["caused_by"] = json!({"type": "number_format_exception", "reason": "For input string: \"x\""});
        let expected = json!({"status": 400, "error": {
            "root_cause": [root], "type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query", "grouped": true,
            "failed_shards": [{"shard": 0, "index": "shop", "node": "n", "reason": &cause}], "caused_by": cause
        }});
        assert_eq!(serde_json::to_value(&error).unwrap(), expected);
        assert_eq!(error.status(), 400);
    }
}
