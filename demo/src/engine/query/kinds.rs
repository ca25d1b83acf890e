//! The table of query kinds.
//!
//! To support one more kind, add a row to [`KINDS`].

use serde_json::Value;

use super::{clause::Clause, compound, exact, full_text, multi_field, query_string, range, reader::Reader};
use crate::engine::error::ApiError;

pub(super) type Read = fn(&Reader<'_>, &Value) -> Result<Clause, ApiError>;

/// Every kind of query that is understood.
pub(super) const KINDS: &[(&str, Read)] = &[
    ("bool", compound::read_bool),
    ("exists", exact::read_exists),
    ("ids", exact::read_ids),
    ("match", full_text::read_match),
    ("match_all", compound::read_match_all),
    ("match_none", compound::read_match_none),
    ("match_phrase", full_text::read_match_phrase),
    ("multi_match", multi_field::read),
    ("query_string", query_string::read),
    ("range", range::read),
    ("term", exact::read_term),
    ("terms", exact::read_terms),
];
