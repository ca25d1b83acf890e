//! The parts of answers that several endpoints share, and how an answer becomes bytes.

use axum::http::StatusCode;
use serde::Serialize;

use super::{
    error::ApiError,
    index::{Done, Index, Outcome},
};

/// A status and a JSON body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// The shards that did something; each index has one here.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Shards {
    total: usize,
    successful: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<usize>,
    failed: usize,
}

/// How many hits there are.
#[derive(Debug, Serialize)]
pub(super) struct Total {
    pub(super) value: u64,
    pub(super) relation: &'static str,
}

/// What became of one document.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    _index: String,
    _id: String,
    _version: u64,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    forced_refresh: Option<bool>,
    _shards: Shards,
    _seq_no: u64,
    _primary_term: u64,
}

// === impl Answer ===

impl Answer {
    /// Writes `body` with status 200.
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, ApiError> {
        Self::new(200, body)
    }

    /// Writes `body`.
    pub(super) fn new(status: u16, body: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| ApiError::internal("serialization_exception", error.to_string()))?;
        Ok(Self { status: status_of(status), body })
    }

    /// `{"acknowledged": true}`
    pub(super) fn acknowledged() -> Result<Self, ApiError> {
        Self::ok(&serde_json::json!({"acknowledged": true}))
    }

    /// Writes an error.
    pub(super) fn failed(error: &ApiError) -> Self {
        Self { status: status_of(error.status()), body: serde_json::to_vec(error).unwrap_or_default() }
    }

    /// Writes an error that the engines tell in one sentence.
    pub(super) fn sentence(status: StatusCode, sentence: &str) -> Self {
        let body = if status == StatusCode::BAD_REQUEST {
            serde_json::json!({"error": sentence})
        } else {
            serde_json::json!({"error": sentence, "status": status.as_u16()})
        };
        Self { status, body: body.to_string().into_bytes() }
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

// === impl Shards ===

impl Shards {
    /// Of a search on so many indices.
    pub(super) fn searched(indices: usize) -> Self {
        Self { total: indices, successful: indices, skipped: Some(0), failed: 0 }
    }

    /// Of a change of `indices`: their replicas count, though nobody keeps them.
    pub(super) fn changed<'a>(indices: impl Iterator<Item = &'a Index>) -> Self {
        let (successful, total) = indices.fold((0, 0), |(successful, total), index| {
            let replicas = usize::try_from(index.settings.replicas).unwrap_or(usize::MAX);
            (successful + 1, replicas.saturating_add(1).saturating_add(total))
        });
        Self { total, successful, skipped: None, failed: 0 }
    }
}

// === impl Written ===

impl Written {
    /// Tells what became of the document `id`.
    pub(super) fn new(index: &Index, id: &str, done: Done, forced_refresh: bool) -> Self {
        Self {
            _index: index.name.clone(),
            _id: id.to_owned(),
            _version: done.version,
            result: done.outcome.name(),
            forced_refresh: forced_refresh.then_some(true),
            _shards: Shards::changed([index].into_iter()),
            _seq_no: done.sequence,
            _primary_term: 1,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::NotFound => "not_found",
        }
    }

    /// Returns the status that says it.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Created => 201,
            Self::Updated | Self::Deleted => 200,
            Self::NotFound => 404,
        }
    }
}

/// Returns JSON with line breaks and blanks as the engines' `?pretty` does; what is inside strings stays.
pub(super) fn pretty(json: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_string {
            written.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' => {
                written.push(byte);
                while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
                if bytes.peek().is_some_and(|next| matches!(next, b'}' | b']')) {
                    written.extend([b' ']);
                    written.extend(bytes.next());
                } else {
                    depth += 1;
                    break_line(&mut written, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut written, depth);
                written.push(byte);
            }
            b',' => {
                written.push(byte);
                break_line(&mut written, depth);
            }
            b':' => written.extend(b" : "),
            _ => {
                in_string = byte == b'"';
                written.push(byte);
            }
        }
    }
    written.push(b'\n');
    written
}

fn break_line(written: &mut Vec<u8>, depth: usize) {
    written.push(b'\n');
    written.extend(std::iter::repeat_n(b' ', 2 * depth));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn pretty_moves_blanks_and_nothing_else() {
        let json = r#"{"a":{ },"b":[1,{"c\"}":"x, y: \\"}],"d":[]}"#;
        let expected = "{\n  \"a\" : { },\n  \"b\" : [\n    1,\n    {\n      \"c\\\"}\" : \"x, y: \\\\\"\n    }\n  ],\n  \"d\" : [ ]\n}\n";
        assert_eq!(String::from_utf8(pretty(json.as_bytes())).unwrap(), expected);
        let same = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(same(&pretty(json.as_bytes())), same(json.as_bytes()));
    }
}
