//! The one list of what a search may contain and still be rewritten; everything that is not on it is forwarded as it came.
//!
//! To support one more key or parameter: make sure that its effect survives the rewrite, then add a row. What engines document and is
//! forwarded on purpose stands in [`FORWARDED`].

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

/// Where a key or a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the top level of the body.
    Body,
    /// In the URL.
    Url,
}

/// Top-level keys of the body, each with what its value may be.
pub const BODY: &[(&str, &[Kind])] = &[
    ("_source", &[Bool, String, Array, Object]),
    ("aggregations", &[Object]),
    ("aggs", &[Object]),
    ("collapse", &[Object]),
    ("derived", &[Object]),
    ("docvalue_fields", &[Array]),
    ("explain", &[Bool]),
    ("ext", &[Object]),
    ("fields", &[Array]),
    ("from", &[Number]),
    ("highlight", &[Object]),
    ("include_named_queries_score", &[Bool]),
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
    ("runtime_mappings", &[Object]),
    ("script_fields", &[Object]),
    ("search_pipeline", &[String, Object]),
    ("seq_no_primary_term", &[Bool]),
    ("size", &[Number]),
    ("sort", &[String, Array, Object]),
    ("stats", &[Array]),
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
pub const URL: &[&str] = &[
    "_source",
    "_source_excludes",
    "_source_includes",
    "allow_no_indices",
    "allow_partial_search_results",
    "analyze_wildcard",
    "analyzer",
    "batched_reduce_size",
    "cancel_after_time_interval",
    "ccs_minimize_roundtrips",
    "default_operator",
    "df",
    "docvalue_fields",
    "enable_fields_emulation",
    "error_trace",
    "expand_wildcards",
    "explain",
    "filter_path",
    "force_synthetic_source",
    "from",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "include_named_queries_score",
    "lenient",
    "max_concurrent_shard_requests",
    "min_compatible_shard_node",
    "phase_took",
    "pre_filter_shard_size",
    "preference",
    "pretty",
    "q",
    "request_cache",
    "rest_total_hits_as_int",
    "routing",
    "search_pipeline",
    "search_type",
    "seq_no_primary_term",
    "size",
    "sort",
    "source",
    "source_content_type",
    "stats",
    "stored_fields",
    "suggest_field",
    "suggest_mode",
    "suggest_size",
    "suggest_text",
    "terminate_after",
    "timeout",
    "track_scores",
    "track_total_hits",
    "typed_keys",
    "version",
];

/// What engines document and a search must not contain to be rewritten, with the word in `Rerank-Status` and why.
pub const FORWARDED: &[(Place, &str, &str, &str)] = &[
    (Place::Body, "project_routing", "unsupported", "only serverless Elasticsearch has projects; nothing here can prove that it survives"),
    (Place::Body, "search_after", "cursor", "it names the last hit that was seen in the engine's order"),
    (Place::Body, "slice", "cursor", "a part of a scroll or of a point in time, read to its end and not for its first hits"),
    (Place::Body, "verbose_pipeline", "unsupported", "the answer shows hits as they were between the processors"),
    (Place::Url, "format", "not-json", "the answer may be another format"),
    (Place::Url, "include_source_on_error", "unsupported", "engines that know it check it against the body that they were sent"),
    (Place::Url, "index", "unsupported", "it names the index instead of the path, by which the rule was chosen"),
    (Place::Url, "project_routing", "unsupported", "only serverless Elasticsearch has projects; nothing here can prove that it survives"),
    (Place::Url, "scroll", "cursor", "the engine's cursor goes on where its own first page ended"),
    (Place::Url, "stream_scoring_mode", "unsupported", "an experiment: hits come in pieces"),
    (Place::Url, "streaming_mode", "unsupported", "an experiment: hits come in pieces"),
    (Place::Url, "verbose_pipeline", "unsupported", "the answer shows hits as they were between the processors"),
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
    let in_body = body.entries().iter().any(|(key, value)| is_of_page(key, value));
    if in_url || in_body || explains(params, body) { Widening::Page } else { Widening::Window }
}

/// Whether each hit comes with an explanation of its score. The URL wins, and without a value says no.
pub fn explains(params: &Params<'_>, body: &Entries<'_>) -> bool {
    params.get("explain").map_or_else(|| body.get("explain").is_some_and(|value| value.get() == "true"), |value| value == "true")
}

/// Whether a pipeline of the search sees its hits before Podium does.
pub fn has_pipeline(params: &Params<'_>, body: &Entries<'_>) -> bool {
    params.get("search_pipeline").is_some() || body.get("search_pipeline").is_some()
}

fn is_of_page(key: &str, value: &RawValue) -> bool {
    let holds = |inner: &str| json::object(value.get()).is_ok_and(|entries| entries.get(inner).is_some());
    match key {
        "collapse" => holds("inner_hits"),
        "profile" => value.get() != "false",
        "ext" => holds("generative_qa_parameters"),
        "search_pipeline" => true,
        "terminate_after" => value.get() != "0",
        _ => false,
    }
}

fn is_of_page_in_url(name: &str, value: &str) -> bool {
    match name {
        "search_pipeline" => true,
        "terminate_after" => value != "0",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY, FORWARDED, Place, URL, allows_entry, allows_param, widening};
    use crate::es::{json::object, request::Widening, url::Params};

    /// What the engines' own parsers know (OpenSearch 3.8.0, Elasticsearch 9.5.3: `SearchSourceBuilder`), but for what has a row elsewhere.
    const BODY_KEYS: [&str; 35] = [
        "_source",
        "aggregations",
        "aggs",
        "collapse",
        "derived",
        "docvalue_fields",
        "explain",
        "fields",
        "from",
        "highlight",
        "include_named_queries_score",
        "indices_boost",
        "min_score",
        "post_filter",
        "profile",
        "project_routing",
        "query",
        "rescore",
        "runtime_mappings",
        "script_fields",
        "search_after",
        "search_pipeline",
        "seq_no_primary_term",
        "size",
        "slice",
        "sort",
        "stats",
        "stored_fields",
        "suggest",
        "terminate_after",
        "timeout",
        "track_scores",
        "track_total_hits",
        "verbose_pipeline",
        "version",
    ];

    /// The same for the URL (`RestSearchAction`, `RestActions`, `IndicesOptions`, `BaseRestHandler`, and both `search.json`).
    const PARAMETERS: [&str; 62] = [
        "_source",
        "_source_excludes",
        "_source_includes",
        "allow_no_indices",
        "allow_partial_search_results",
        "analyze_wildcard",
        "analyzer",
        "batched_reduce_size",
        "cancel_after_time_interval",
        "ccs_minimize_roundtrips",
        "default_operator",
        "df",
        "docvalue_fields",
        "enable_fields_emulation",
        "error_trace",
        "expand_wildcards",
        "explain",
        "filter_path",
        "force_synthetic_source",
        "format",
        "from",
        "human",
        "ignore_throttled",
        "ignore_unavailable",
        "include_named_queries_score",
        "include_source_on_error",
        "index",
        "lenient",
        "max_concurrent_shard_requests",
        "min_compatible_shard_node",
        "phase_took",
        "pre_filter_shard_size",
        "preference",
        "pretty",
        "project_routing",
        "q",
        "request_cache",
        "rest_total_hits_as_int",
        "routing",
        "scroll",
        "search_pipeline",
        "search_type",
        "seq_no_primary_term",
        "size",
        "sort",
        "source",
        "source_content_type",
        "stats",
        "stored_fields",
        "stream_scoring_mode",
        "streaming_mode",
        "suggest_field",
        "suggest_mode",
        "suggest_size",
        "suggest_text",
        "terminate_after",
        "timeout",
        "track_scores",
        "track_total_hits",
        "typed_keys",
        "verbose_pipeline",
        "version",
    ];

    #[test]
    fn all_that_engines_know_is_on_one_list() {
        let forwarded = |place: Place, name: &str| FORWARDED.iter().any(|(own, key, ..)| *own == place && *key == name);
        for key in BODY_KEYS {
            assert!(BODY.iter().any(|(allowed, _)| *allowed == key) ^ forwarded(Place::Body, key), "{key}");
        }
        for name in PARAMETERS {
            assert!(allows_param(name) ^ forwarded(Place::Url, name), "{name}");
        }
        assert!(BODY.is_sorted_by_key(|(key, _)| *key) && URL.is_sorted(), "rows are found and merged by their names");
    }

    /// Both tables stand in the document that the README's promise links to.
    #[test]
    fn every_row_is_documented() {
        let document = include_str!("../../docs/compatibility.md");
        let (body, url) = (section(document, "## Body keys"), section(document, "## URL parameters"));
        let row = |part: &str, name: &str| part.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).map(str::to_owned);
        for (key, _) in BODY {
            assert!(row(body, key).is_some_and(|line| !line.contains("forwarded")), "{key}");
        }
        for name in URL {
            assert!(row(url, name).is_some_and(|line| !line.contains("forwarded")), "{name}");
        }
        for (place, name, reason, _) in FORWARDED {
            let part = if *place == Place::Body { body } else { url };
            assert!(row(part, name).is_some_and(|line| line.contains(&format!("forwarded: {reason}"))), "{name}");
        }
    }

    fn section<'d>(document: &'d str, heading: &str) -> &'d str {
        let start = document.find(heading).unwrap_or_else(|| panic!("no {heading}"));
        let rest = &document[start + heading.len()..];
        &rest[..rest.find("\n## ").unwrap_or(rest.len())]
    }

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
        for name in ["", "Q", "Filter_path", "uhost", "query_prep", "scroll", "index", "format"] {
            assert!(!allows_param(name), "{name}");
        }
    }

    #[test]
    fn some_searches_are_never_asked_for_more_than_their_page() {
        let of = |query: &str, body: &str| widening(&Params::parse(Some(query)).expect("plain"), &object(body).expect("json"));
        for (query, body) in [
            ("explain=true", r#"{"explain":false}"#),
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
            ("explain=false&terminate_after=0&q=explain", r#"{"query":{"match":{"explain":true}},"explain":true}"#),
            ("explain", r#"{"explain":true}"#),
            ("", r#"{"explain":false,"profile":false,"terminate_after":0,"collapse":{"field":"a"},"ext":{"ubi":{}}}"#),
        ] {
            assert_eq!(of(query, body), Widening::Window, "{query} {body}");
        }
    }
}
