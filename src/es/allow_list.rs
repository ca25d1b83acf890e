//! The one list of what a search may contain and still be rewritten; everything that is not on it is forwarded as it came.
//!
//! To support one more key or parameter: make sure that its effect survives the rewrite, then add a row.

use serde_json::value::RawValue;

use super::json::{
    Kind::{self, Array, Bool, Number, Object, String},
    kind,
};

/// Top-level keys of the body, each with what its value may be.
const BODY: &[(&str, &[Kind])] = &[
    ("_source", &[Bool, String, Array, Object]),
    ("aggregations", &[Object]),
    ("aggs", &[Object]),
    ("docvalue_fields", &[Array]),
    ("fields", &[Array]),
    ("from", &[Number]),
    ("highlight", &[Object]),
    ("indices_boost", &[Array, Object]),
    ("min_score", &[Number]),
    ("post_filter", &[Object]),
    ("query", &[Object]),
    ("rescore", &[Array, Object]),
    ("script_fields", &[Object]),
    ("seq_no_primary_term", &[Bool]),
    ("size", &[Number]),
    ("sort", &[String, Array, Object]),
    ("stored_fields", &[String, Array]),
    ("suggest", &[Object]),
    ("timeout", &[String]),
    ("track_scores", &[Bool]),
    ("track_total_hits", &[Bool, Number]),
    ("version", &[Bool]),
];

/// Parameters of the URL.
const URL: &[&str] = &[
    "_source",
    "_source_excludes",
    "_source_includes",
    "allow_no_indices",
    "allow_partial_search_results",
    "analyze_wildcard",
    "analyzer",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "default_operator",
    "df",
    "error_trace",
    "expand_wildcards",
    "from",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "lenient",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "preference",
    "pretty",
    "q",
    "request_cache",
    "rest_total_hits_as_int",
    "routing",
    "search_type",
    "size",
    "source",
    "source_content_type",
    "timeout",
    "track_total_hits",
    "typed_keys",
];

/// Whether a search with this entry in its body may be rewritten.
pub fn allows_entry(key: &str, value: &RawValue) -> bool {
    BODY.iter().any(|(allowed, kinds)| *allowed == key && kinds.contains(&kind(value)))
}

/// Whether a search with this parameter may be rewritten.
pub fn allows_param(name: &str) -> bool {
    URL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{allows_entry, allows_param};
    use crate::es::json::object;

    fn allows(entry: &str) -> bool {
        let body = format!("{{{entry}}}");
        let parsed = object(&body).expect("an object");
        let (key, value) = &parsed.entries()[0];
        allows_entry(key, value)
    }

    #[test]
    fn keys_are_allowed_with_their_kinds_only() {
        for entry in [r#""query":{}"#, r#""_source":"a""#, r#""track_total_hits":10"#, r#""rescore":[]"#, r#""\u0073ize":3"#] {
            assert!(allows(entry), "{entry}");
        }
        for entry in [r#""query":[]"#, r#""query":null"#, r#""size":"3""#, r#""fields":"a""#, r#""knn":{}"#, r#""Query":{}"#, r#""ext":{}"#]
        {
            assert!(!allows(entry), "{entry}");
        }
    }

    #[test]
    fn parameters_are_allowed_by_their_exact_names() {
        assert!(allows_param("q") && allows_param("_source_includes"));
        for name in ["", "Q", "filter_path", "search_pipeline", "uhost", "query_prep", "docvalue_fields", "explain"] {
            assert!(!allows_param(name), "{name}");
        }
    }
}
