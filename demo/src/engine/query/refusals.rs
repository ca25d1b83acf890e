//! What is not understood, and how it is named.

use serde_json::{Value, json};

use super::testing::Shop;

fn assert_refused(cases: Vec<(Value, &str, &str)>) {
    let shop = Shop::new();
    for (query, kind, reason) in cases {
        let error = shop.error(query.clone());
        assert_eq!((error.cause().kind(), error.cause().reason()), (kind, reason), "{query}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn what_is_wrong_with_full_text_is_named() {
    let no_date = "failed to parse date field [abc] with format [strict_date_optional_time||epoch_millis]";
    assert_refused(vec![
        (json!({"nosuch": {}}), "parsing_exception", "unknown query [nosuch]"),
        (json!({}), "illegal_argument_exception", "query malformed, empty clause found"),
        (
            json!({"match_all": {}, "term": {"x": 1}}),
            "parsing_exception",
            "[match_all] malformed query, expected [END_OBJECT] but found [FIELD_NAME]",
        ),
        (json!({"match": "a"}), "parsing_exception", "[match] query malformed, no start_object after query name"),
        (
            json!({"match": {"title": {"query": "quick", "fuzziness": 1}}}),
            "parsing_exception",
            "[match] query does not support [fuzziness]",
        ),
        (
            json!({"match": {"title": {"query": "a", "zero_terms_query": "all"}}}),
            "parsing_exception",
            "[match] query does not support [zero_terms_query]",
        ),
        (
            json!({"match": {"title": "a", "body": "b"}}),
            "parsing_exception",
            "[match] query doesn't support multiple fields, found [body] and [title]",
        ),
        (json!({"match": {"title": {}}}), "parsing_exception", "No text specified for text query"),
        (json!({"match": {"title": {"query": ["a"]}}}), "parsing_exception", "[match] unknown token [START_ARRAY] after [query]"),
        (json!({"match": {"title": {"query": "a", "boost": "x"}}}), "number_format_exception", "For input string: \"x\""),
        (
            json!({"match": {"title": {"query": "a", "boost": -1}}}),
            "illegal_argument_exception",
            "negative [boost] are not allowed in [match], got [-1]",
        ),
        (
            json!({"match": {"title": {"query": "a", "operator": "xor"}}}),
            "illegal_argument_exception",
            "operator must be [and] or [or], got [xor]",
        ),
        (
            json!({"match": {"title": {"query": "a b", "minimum_should_match": "abc"}}}),
            "query_shard_exception",
            "failed to create query: For input string: \"abc\"",
        ),
        (json!({"match": {"n": "abc"}}), "query_shard_exception", "failed to create query: For input string: \"abc\""),
        (
            json!({"match": {"b": "abc"}}),
            "query_shard_exception",
            "failed to create query: Can't parse boolean value [abc], expected [true] or [false]",
        ),
        (json!({"match": {"t": "abc"}}), "parse_exception", &format!("{no_date}: [{no_date}]")),
        (
            json!({"match_phrase": {"title": {"query": "a b", "slop": 2}}}),
            "illegal_argument_exception",
            "the [slop] of [match_phrase] is not supported by the engine of podium demo",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_exact_values_and_bool_is_named() {
    assert_refused(vec![
        (json!({"bool": {"mst": []}}), "x_content_parse_exception", "[bool] query does not support [mst]"),
        (json!({"bool": {"must": "x"}}), "parsing_exception", "[bool] must doesn't support values of type: VALUE_STRING"),
        (json!({"term": {"tag": ["a"]}}), "parsing_exception", "[term] query does not support array of values"),
        (json!({"term": {"tag": {"value": "a", "_name": "x"}}}), "parsing_exception", "[term] query does not support [_name]"),
        (
            json!({"term": {"i": 99_999_999_999_i64}}),
            "query_shard_exception",
            "failed to create query: Value [99999999999] is out of range for an integer",
        ),
        (json!({"terms": {"tag": "a"}}), "parsing_exception", "[terms] query does not support [tag]"),
        (json!({"terms": {"n": ["x"]}}), "query_shard_exception", "failed to create query: For input string: \"x\""),
        (json!({"range": {"n": {"gte": 1, "format": "x"}}}), "parsing_exception", "[range] query does not support [format]"),
        (
            json!({"range": {"t": {"gte": "now-1d/d"}}}),
            "illegal_argument_exception",
            "date math, as in [now-1d/d], is not supported by the engine of podium demo",
        ),
        (
            json!({"range": {"i": {"gt": 99_999_999_999_i64}}}),
            "query_shard_exception",
            "failed to create query: Value [99999999999] is out of range for an integer",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_many_fields_is_named() {
    assert_refused(vec![
        (
            json!({"multi_match": {"query": "a", "type": "cross_fields"}}),
            "illegal_argument_exception",
            "the [multi_match] type [cross_fields] is not supported by the engine of podium demo",
        ),
        (
            json!({"multi_match": {"query": "a", "tie_breaker": -3}}),
            "query_shard_exception",
            "failed to create query: tieBreakerMultiplier must be in [0, 1]",
        ),
        (
            json!({"multi_match": {"query": "a b", "fields": ["b"]}}),
            "query_shard_exception",
            "failed to create query: Can't parse boolean value [a b], expected [true] or [false]",
        ),
        (
            json!({"query_string": {"query": "fo*"}}),
            "illegal_argument_exception",
            "the syntax of wildcards (* and ?) in the query string [fo*] is not supported by the engine of podium demo",
        ),
        (
            json!({"query_string": {"query": "n:>3"}}),
            "illegal_argument_exception",
            "the syntax of ranges in the query string [n:>3] is not supported by the engine of podium demo",
        ),
        (json!({"query_string": {"query": "fox AND"}}), "query_shard_exception", "Failed to parse query [fox AND]"),
        (json!({"query_string": {"query": "(fox"}}), "query_shard_exception", "Failed to parse query [(fox]"),
        (json!({"query_string": {"query": "fox)"}}), "query_shard_exception", "Failed to parse query [fox)]"),
        (json!({"query_string": {"query": "()"}}), "query_shard_exception", "Failed to parse query [()]"),
        (
            json!({"query_string": {"query": "abc", "fields": ["n"]}}),
            "query_shard_exception",
            "failed to create query: For input string: \"abc\"",
        ),
    ]);
}

#[test]
fn sizes_are_bounded() {
    let shop = Shop::new();
    let words = (0..1025).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ");
    assert_eq!(shop.error(json!({"match": {"title": words}})).cause().reason(), "maxClauseCount is set to 1024");
    let deep = (0..21).fold(json!({"match_all": {}}), |inner, _| json!({"bool": {"must": inner}}));
    assert!(shop.error(deep).cause().reason().contains("[20] levels"));
    let parentheses = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(shop.error(json!({"query_string": {"query": parentheses}})).cause().reason().contains("[20] levels"));
}

#[test]
fn what_is_kept_about_documents_is_no_field() {
    let shop = Shop::new();
    for (query, field) in [
        (json!({"term": {"_index": "shop"}}), "_index"),
        (json!({"terms": {"_seq_no": [1]}}), "_seq_no"),
        (json!({"match": {"_version": 1}}), "_version"),
        (json!({"match_phrase": {"_index": "shop"}}), "_index"),
        (json!({"range": {"_id": {"gt": "1"}}}), "_id"),
        (json!({"exists": {"field": "_id"}}), "_id"),
        (json!({"multi_match": {"query": "a", "fields": ["title", "_source"]}}), "_source"),
        (json!({"query_string": {"query": "_index:shop"}}), "_index"),
        (json!({"query_string": {"query": "_exists_:_id"}}), "_id"),
    ] {
        let reason = format!("this query on [{field}] is not supported by the engine of podium demo");
        assert_eq!(shop.error(query.clone()).cause().reason(), reason, "{query}");
    }
}
