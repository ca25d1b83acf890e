//! A search of our own for every other that others wrote: where theirs cannot run or be reranked here, ours can. It asks for what all
//! documents hold, in one of many forms, with one or two more things that searches have.

use serde_json::{Map, Value, json};

use crate::{
    compare::Search,
    generated::{BIG, Dice, Index, PRICE},
    rig::engines::Product,
};

/// Returns the variation of this number.
pub(super) fn variation(product: Product, index: &Index, number: usize) -> Search {
    let mut dice = Dice::new(number as u64 + 1_000_000);
    let field = index.reads.as_str();
    let queries = queries(field);
    let turn = dice.roll(queries.len() + 1);
    let mut body = Map::new();
    let mut parameters = Vec::new();
    match queries.into_iter().nth(turn) {
        Some(query) => {
            body.insert("query".into(), query);
        }
        None => parameters.push("q=common".to_owned()),
    }
    let (from, size) = [(0, 10), (0, 5), (3, 4), (0, 30), (15, 10), (0, 20), (18, 30), (10, 10), (0, 100), (19, 1)][dice.roll(10)];
    match dice.roll(4) {
        0 => parameters.push(format!("from={from}&size={size}")),
        1 if (from, size) == (0, 10) => {}
        _ => body.extend([("from".to_owned(), json!(from)), ("size".to_owned(), json!(size))]),
    }
    let more = beside(field);
    for _ in 0..dice.roll(3) {
        let (key, value) = more[dice.roll(more.len())].clone();
        body.insert(key.to_owned(), value);
    }
    let in_url = [
        "",
        "",
        "",
        "pretty",
        "rest_total_hits_as_int=true",
        "typed_keys=true",
        "_source=false",
        "_source_includes=podium_*",
        "preference=me",
        "track_total_hits=true",
    ];
    parameters.push(in_url[dice.roll(in_url.len())].to_owned());
    let parameters: Vec<String> = parameters.into_iter().filter(|own| !own.is_empty()).collect();
    let mark = if parameters.is_empty() { "" } else { "?" };
    Search {
        product,
        name: format!("variation {number}"),
        method: "POST".into(),
        target: format!("/{}/_search{mark}{}", index.name, parameters.join("&")),
        body: Value::Object(body).to_string(),
    }
}

fn queries(field: &str) -> Vec<Value> {
    let alone = || json!({"match": {field: "common"}});
    let cheap = || json!({"range": {PRICE: {"lte": 2}}});
    vec![
        json!({"match": {field: "common number"}}),
        json!({"match": {field: {"query": "common amber", "boost": 2}}}),
        json!({"match": {field: {"query": "common number", "operator": "and"}}}),
        json!({"multi_match": {"query": "common cedar", "fields": [field, format!("{field}.keyword")]}}),
        json!({"multi_match": {"query": "common ember", "fields": [format!("{field}^3")], "type": "most_fields"}}),
        json!({"bool": {"must": [alone()], "filter": [cheap()]}}),
        json!({"bool": {"must": alone(), "should": [{"match": {field: "delta"}}, cheap()], "must_not": {"term": {field: "krill"}}}}),
        json!({"query_string": {"query": "common AND (number OR amber)", "default_field": field}}),
        json!({"simple_query_string": {"query": "common + number", "fields": [field]}}),
        json!({"match_phrase": {field: "common number"}}),
        json!({"match_phrase_prefix": {field: "common num"}}),
        json!({"match_bool_prefix": {field: "number com"}}),
        json!({"combined_fields": {"query": "common fjord", "fields": [field]}}),
        json!({"dis_max": {"queries": [alone(), {"match": {field: "garnet"}}], "tie_breaker": 0.4}}),
        json!({"constant_score": {"filter": alone(), "boost": 1.5}}),
        json!({"boosting": {"positive": alone(), "negative": cheap(), "negative_boost": 0.3}}),
        json!({"function_score": {"query": alone(), "functions": [{"filter": cheap(), "weight": 2}], "score_mode": "sum"}}),
        json!({"function_score": {"query": alone(), "field_value_factor": {"field": PRICE, "modifier": "log1p", "missing": 1}}}),
        json!({"function_score": {"query": alone(), "random_score": {"seed": 7, "field": "_seq_no"}}}),
        json!({"span_near": {"clauses": [{"span_term": {field: "common"}}, {"span_term": {field: "number"}}], "slop": 3, "in_order": true}}),
        json!({"intervals": {field: {"match": {"query": "common number", "max_gaps": 2}}}}),
        json!({"more_like_this": {"fields": [field], "like": "common number", "min_term_freq": 1, "min_doc_freq": 1}}),
        json!({"fuzzy": {field: {"value": "commen"}}}),
        json!({"term": {field: {"value": "common", "_name": "named"}}}),
    ]
}

fn beside(field: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("_source", json!(false)),
        ("_source", json!([BIG, "podium*"])),
        ("_source", json!({"excludes": [field]})),
        ("_source", json!({"includes": ["*"], "excludes": [PRICE]})),
        ("fields", json!([BIG, PRICE])),
        ("fields", json!([field, {"field": "podium_*"}])),
        ("docvalue_fields", json!([BIG, {"field": PRICE, "format": "0.000"}])),
        ("stored_fields", json!(["nothing"])),
        ("highlight", json!({"fields": {field: {}}})),
        ("version", json!(true)),
        ("seq_no_primary_term", json!(true)),
        ("track_total_hits", json!(false)),
        ("track_total_hits", json!(15)),
        ("track_scores", json!(true)),
        ("sort", json!(["_score"])),
        ("sort", json!([{"_score": "desc"}])),
        ("sort", json!([{PRICE: "asc"}])),
        ("aggs", json!({"greatest": {"max": {"field": BIG}}, "prices": {"terms": {"field": PRICE}}})),
        ("suggest", json!({"near": {"text": "commen", "term": {"field": field}}})),
        ("post_filter", json!({"range": {PRICE: {"gte": 1}}})),
        ("min_score", json!(0.000_001)),
        ("rescore", json!({"window_size": 12, "query": {"rescore_query": {"match": {field: "number"}}, "rescore_query_weight": 0.5}})),
        ("rescore", json!({"query": {"rescore_query": {"range": {PRICE: {"gte": 2}}}}})),
        ("collapse", json!({"field": PRICE})),
        ("explain", json!(true)),
        ("timeout", json!("10s")),
        ("indices_boost", json!([{"generated-*": 1.5}])),
    ]
}
