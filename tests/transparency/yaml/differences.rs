//! Which tests of OpenSearch's suites end in another way when every search is turned round, and why: all of them assert which hit is the first.
//!
//! Each must occur, where it is listed and nowhere else.

/// On both engines.
pub(super) const BOTH: &[&str] = &[
    // The document that matches best, or comes first, is to be the first hit.
    "search/310_match_bool_prefix.yml/multi_match multiple fields complete term",
    "search/310_match_bool_prefix.yml/multi_match multiple fields partial term",
    "search/310_match_bool_prefix.yml/multi_match multiple fields with boost",
    "search/310_match_bool_prefix.yml/multi_match single field complete term",
    "search/310_match_bool_prefix.yml/multi_match single field partial term",
    "search/310_match_bool_prefix.yml/scoring complete term",
    "search/310_match_bool_prefix.yml/scoring partial term",
    // `explain` is reranked too.
    "search/50_multi_match.yml/Cross fields do not return negative scores",
    // The tests are about the order by BM25F.
    "search/400_combined_fields.yml/Combined_fields query uses BM25F ranking across weighted fields",
    "search/400_combined_fields.yml/Combined_fields query with OR operator favors high-frequency single-term docs",
];

/// On OpenSearch alone: Elasticsearch lacks what they ask for.
pub(super) const OPENSEARCH: &[&str] = &[
    // A query on a wildcard field finds several documents with one score; the first is the one indexed first.
    "search/270_wildcard_fieldtype_queries.yml/case insensitive query on wildcard field",
    "search/270_wildcard_fieldtype_queries.yml/case insensitive regexp query on wildcard field",
    "search/270_wildcard_fieldtype_queries.yml/term query matches lowercase-normalized value",
    // `terms` finds two documents with one score.
    "search/380_bitmap_filtering.yml/Terms query accepting bitmap as value",
    "search/380_bitmap_filtering.yml/Terms query accepting bitmap for long field",
];
