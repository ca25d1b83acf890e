//! The table of query kinds: where each holds its text, and which queries it holds.
//!
//! To support one more kind, add a row to [`KINDS`]. A kind without a row keeps the search from being rewritten.

use super::query_syntax::Dialect;

use Kind::{FunctionScore, Holds, InFields, InKey, Intervals, Joins, Silent, Syntax, TermsInFields};
use Role::{Aside, Filters, Scores};

/// What a part of a query is for. The worst of a query and of all that hold it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Its text says what is wanted.
    Scores,
    /// It only lets through; its text counts where the rule says so.
    Filters,
    /// Its text never counts.
    Aside,
}

/// How much a text is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Typed by the searcher, as far as one can tell.
    Full,
    /// An exact value: counts when there is nothing else.
    Exact,
}

/// How the text of a kind of query is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// No text, no queries inside.
    Silent,
    /// `{"key": "text"}`
    InKey(&'static str),
    /// `{"key": "text with operators"}`
    Syntax(&'static str, Dialect),
    /// `{"field": "text"}` or `{"field": {"key": "text"}}`, the first of these keys
    InFields(&'static [&'static str], Trust),
    /// `{"field": ["text", ..]}`: one exact text
    TermsInFields,
    /// Queries under these keys, alone or in arrays.
    Holds(&'static [(&'static str, Role)]),
    /// The same, whose texts are parts of one.
    Joins(&'static [(&'static str, Role)]),
    /// `query` and `functions`
    FunctionScore,
    /// A tree of [`INTERVALS`].
    Intervals,
}

/// Every kind of query that may be widened. Left out on purpose: kinds whose first hits change with their number.
pub(super) const KINDS: &[(&str, Kind)] = &[
    // full text
    ("match", InFields(&["query"], Trust::Full)),
    ("match_phrase", InFields(&["query"], Trust::Full)),
    ("match_phrase_prefix", InFields(&["query"], Trust::Full)),
    ("match_bool_prefix", InFields(&["query"], Trust::Full)),
    ("multi_match", InKey("query")),
    ("combined_fields", InKey("query")),
    ("query_string", Syntax("query", Dialect::Lucene)),
    ("simple_query_string", Syntax("query", Dialect::Simple)),
    ("intervals", Intervals),
    ("more_like_this", InKey("like")),
    // spans, joined in their order
    ("span_term", InFields(&["value", "term"], Trust::Full)),
    ("span_near", Joins(&[("clauses", Scores)])),
    ("span_or", Joins(&[("clauses", Scores)])),
    ("span_not", Joins(&[("include", Scores), ("exclude", Aside)])),
    ("span_first", Joins(&[("match", Scores)])),
    ("span_containing", Joins(&[("big", Scores), ("little", Scores)])),
    ("span_within", Joins(&[("big", Scores), ("little", Scores)])),
    ("span_multi", Joins(&[("match", Scores)])),
    ("span_field_masking", Joins(&[("query", Scores)])),
    ("field_masking_span", Joins(&[("query", Scores)])),
    ("span_gap", Silent),
    // exact values, when there is nothing else
    ("term", InFields(&["value"], Trust::Exact)),
    ("terms", TermsInFields),
    ("prefix", InFields(&["value"], Trust::Exact)),
    ("wildcard", InFields(&["value", "wildcard"], Trust::Exact)),
    ("regexp", InFields(&["value"], Trust::Exact)),
    ("fuzzy", InFields(&["value"], Trust::Exact)),
    // containers
    ("bool", Holds(&[("must", Scores), ("should", Scores), ("filter", Filters), ("must_not", Filters)])),
    ("dis_max", Holds(&[("queries", Scores)])),
    ("boosting", Holds(&[("positive", Scores), ("negative", Aside)])),
    ("constant_score", Holds(&[("filter", Scores)])),
    ("function_score", FunctionScore),
    ("script_score", Holds(&[("query", Scores)])),
    ("nested", Holds(&[("query", Scores)])),
    ("has_child", Holds(&[("query", Scores)])),
    ("has_parent", Holds(&[("query", Scores)])),
    // without text
    ("distance_feature", Silent),
    ("exists", Silent),
    ("geo_bounding_box", Silent),
    ("geo_distance", Silent),
    ("geo_grid", Silent),
    ("geo_polygon", Silent),
    ("geo_shape", Silent),
    ("ids", Silent),
    ("match_all", Silent),
    ("match_none", Silent),
    ("parent_id", Silent),
    ("percolate", Silent),
    ("range", Silent),
    ("rank_feature", Silent),
    ("script", Silent),
    ("shape", Silent),
    ("terms_set", Silent),
    ("xy_shape", Silent),
];

/// Rules of `intervals` and the keys of their texts; what holds rules itself holds them under `intervals`.
pub(super) const INTERVALS: &[(&str, &str)] = &[("match", "query"), ("prefix", "prefix"), ("wildcard", "pattern"), ("fuzzy", "term")];
pub(super) const INTERVAL_GROUPS: &[&str] = &["all_of", "any_of"];

/// What stands beside the field in a query on one field.
pub(super) const BESIDE_FIELDS: &[&str] = &["_name", "boost", "case_insensitive", "rewrite", "value_type"];
