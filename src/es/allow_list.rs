//! The one list of what a search may contain and still be rewritten; everything that is not on it is forwarded as it came.
//!
//! To support one more key or parameter: make sure that its effect survives the rewrite, then add a row.

use serde_json::value::RawValue;

use super::{
    json::{
        self,
        Kind::{self, Array, Bool, Number, Object, String},
        Object as Entries, kind,
    },
    request::Widening,
    url::Params,
};

/// Top-level keys of the body, each with what its value may be.
const BODY: &[(&str, &[Kind])] = &[
    ("_source", &[Bool, String, Array, Object]),
    ("aggregations", &[Object]),
    ("aggs", &[Object]),
    ("collapse", &[Object]),
    ("docvalue_fields", &[Array]),
    ("ext", &[Object]),
    ("fields", &[Array]),
    ("from", &[Number]),
    ("highlight", &[Object]),
    ("indices_boost", &[Array, Object]),
    ("knn", &[Array, Object]),
    ("min_score", &[Number]),
    ("pit", &[Object]),
    ("post_filter", &[Object]),
    ("profile", &[Bool]),
    ("query", &[Object]),
    ("rank", &[Object]),
    ("rescore", &[Array, Object]),
    ("retriever", &[Object]),
    ("script_fields", &[Object]),
    ("search_pipeline", &[String, Object]),
    ("seq_no_primary_term", &[Bool]),
    ("size", &[Number]),
    ("sort", &[String, Array, Object]),
    ("stored_fields", &[String, Array]),
    ("sub_searches", &[Array]),
    ("suggest", &[Object]),
    ("terminate_after", &[Number]),
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
    "search_pipeline",
    "search_type",
    "size",
    "source",
    "source_content_type",
    "terminate_after",
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

/// Returns how many hits may be asked for, by all that stands beside the query.
///
/// Some of it costs more for every hit (`explain`, the searches of `inner_hits`), some works on the page as a whole (pipelines), and
/// some would show the client that more was asked for (`profile`) or end in other hits (`terminate_after`).
pub fn widening(params: &Params<'_>, body: &Entries<'_>) -> Widening {
    let in_url = params.names().any(|name| is_of_page_in_url(name, params.get(name).unwrap_or_default()));
    if in_url || body.entries().iter().any(|(key, value)| is_of_page(key, value)) { Widening::Page } else { Widening::Window }
}

fn is_of_page(key: &str, value: &RawValue) -> bool {
    let holds = |inner: &str| json::object(value.get()).is_ok_and(|entries| entries.get(inner).is_some());
    match key {
        "collapse" => holds("inner_hits"),
        "explain" | "profile" => value.get() != "false",
        "ext" => holds("generative_qa_parameters"),
        "search_pipeline" => true,
        "terminate_after" => value.get() != "0",
        _ => false,
    }
}

fn is_of_page_in_url(name: &str, value: &str) -> bool {
    match name {
        "explain" => value != "false",
        "search_pipeline" => true,
        "terminate_after" => value != "0",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{allows_entry, allows_param, widening};
    use crate::es::{json::object, request::Widening, url::Params};

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
        for entry in [r#""query":[]"#, r#""query":null"#, r#""size":"3""#, r#""fields":"a""#, r#""knn":3"#, r#""Query":{}"#, r#""ext":[]"#]
        {
            assert!(!allows(entry), "{entry}");
        }
    }

    #[test]
    fn parameters_are_allowed_by_their_exact_names() {
        assert!(allows_param("q") && allows_param("_source_includes"));
        for name in ["", "Q", "filter_path", "uhost", "query_prep", "docvalue_fields", "explain"] {
            assert!(!allows_param(name), "{name}");
        }
    }

    #[test]
    fn some_searches_are_never_asked_for_more_than_their_page() {
        let of = |query: &str, body: &str| widening(&Params::parse(Some(query)).expect("plain"), &object(body).expect("json"));
        for (query, body) in [
            ("explain", "{}"),
            ("explain=true", "{}"),
            ("search_pipeline=p", "{}"),
            ("terminate_after=3", "{}"),
            ("", r#"{"explain":true}"#),
            ("", r#"{"profile":true}"#),
            ("", r#"{"terminate_after":3}"#),
            ("", r#"{"search_pipeline":"p"}"#),
            ("", r#"{"search_pipeline":{}}"#),
            ("", r#"{"collapse":{"field":"a","inner_hits":{"name":"b"}}}"#),
            ("", r#"{"ext":{"generative_qa_parameters":{"llm_question":"a"}}}"#),
        ] {
            assert_eq!(of(query, body), Widening::Page, "{query} {body}");
        }
        for (query, body) in [
            ("explain=false&terminate_after=0&q=explain", r#"{"query":{"match":{"explain":true}}}"#),
            ("", r#"{"explain":false,"profile":false,"terminate_after":0,"collapse":{"field":"a"},"ext":{"ubi":{}}}"#),
        ] {
            assert_eq!(of(query, body), Widening::Window, "{query} {body}");
        }
    }
}
