//! Searches of every form, good and bad, through the gateway: it never panics, and the hits are the engine's.
//!
//! The engine in miniature finds every document for every query; what is made up here is how searches are written.

use std::sync::OnceLock;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::{
    comparator::{Answer, Promise, Reranked, compare},
    corpus::say,
    golden::gateway,
    page::{from_the_first, window_of},
    support::{
        fake_engine::{FakeEngine, Product},
        http::Call,
    },
};

const DOCUMENTS: usize = 40;
const CASES: u32 = 700;
const RULES: &str = r#"
[models.m]
kind = "fake-reverse"
[[rules]]
index = ["products"]
model = "m"
fields = ["title"]
window = 20
timeout = "30s"
total-timeout = "60s"
"#;

/// A running engine and a gateway before it.
struct Setup {
    runtime: Runtime,
    engine: FakeEngine,
    gateway: std::net::SocketAddr,
}

/// A search as written.
#[derive(Clone, Debug)]
struct Search {
    target: String,
    body: String,
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (engine, gateway) = runtime.block_on(async {
            let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
            let gateway = gateway(engine.node.address, RULES).await;
            (engine, gateway)
        });
        Setup { runtime, engine, gateway }
    })
}

fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => select(vec!["red shoe", "hat", "a", "", "  ", "title:red AND (hat OR \"blue shoe\"~2)", "Größe 42 ☃", "\"", "\\", "*:*"]).prop_map(Value::from),
        1 => select(vec![json!(3), json!(1.5e300), json!(true), json!(null), json!([]), json!({}), json!(["red", 1])]),
    ]
}

fn field() -> impl Strategy<Value = String> {
    select(vec!["title", "n.t", "*", "", "query", "boost", "nothing", "tit\"le"]).prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = Value> {
    let in_fields = select(vec![
        "match",
        "match_phrase",
        "match_phrase_prefix",
        "match_bool_prefix",
        "term",
        "prefix",
        "wildcard",
        "fuzzy",
        "regexp",
        "span_term",
        "match_nonsense",
    ]);
    let in_key = select(vec!["multi_match", "query_string", "simple_query_string", "combined_fields", "kql", "semantic"]);
    prop_oneof![
        8 => (in_fields.clone(), field(), word()).prop_map(|(kind, name, text)| json!({kind: {name: text}})),
        4 => (in_fields, field(), word()).prop_map(|(kind, name, text)| json!({kind: {name: {"query": text, "value": text, "boost": 2}}})),
        6 => (in_key, word()).prop_map(|(kind, text)| json!({kind: {"query": text, "fields": ["title^2", "text"]}})),
        1 => word().prop_map(|text| json!({"terms": {"title": [text]}})),
        1 => word().prop_map(|text| json!({"more_like_this": {"fields": ["title"], "like": text}})),
        1 => word().prop_map(|text| json!({"intervals": {"title": {"all_of": {"intervals": [{"match": {"query": text}}, {"prefix": {"prefix": text}}]}}}})),
        1 => word().prop_map(|text| json!({"neural": {"v": {"query_text": text, "k": 5}}})),
        2 => select(vec![
            json!({"match_all": {}}), json!({"exists": {"field": "title"}}), json!({"ids": {"values": ["id1"]}}), json!({"range": {"price": {"gte": 1}}}),
            json!({"knn": {"v": {"vector": [1.0], "k": 3}}}), json!({}), json!(null), json!([]), json!("match"), json!({"match": 3}),
            json!({"match": {"title": "a"}, "term": {"title": "b"}}), json!({"function_score": {"random_score": {}}}),
            json!({"wrapper": {"query": "eyJtYXRjaCI6eyJ0aXRsZSI6InJlZCJ9fQ=="}}), json!({"wrapper": {"query": "%%%"}}),
        ]),
    ]
}

fn query() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 0..4);
        let roles = select(vec!["must", "should", "filter", "must_not", "musst"]);
        prop_oneof![
            4 => (roles.clone(), several.clone(), roles, inner.clone())
                .prop_map(|(one, list, other, alone)| json!({"bool": {one: list, other: alone}})),
            1 => several.clone().prop_map(|list| json!({"dis_max": {"queries": list, "tie_breaker": 0.3}})),
            1 => inner.clone().prop_map(|own| json!({"constant_score": {"filter": own}})),
            1 => (inner.clone(), inner.clone()).prop_map(|(good, bad)| json!({"boosting": {"positive": good, "negative": bad, "negative_boost": 0.2}})),
            1 => (inner.clone(), inner.clone()).prop_map(|(own, filter)| json!({"function_score": {"query": own, "functions": [{"filter": filter, "weight": 2}]}})),
            1 => inner.clone().prop_map(|own| json!({"function_score": {"query": own, "random_score": {"seed": 3, "field": "_seq_no"}}})),
            1 => inner.clone().prop_map(|own| json!({"nested": {"path": "n", "query": own, "inner_hits": {}}})),
            1 => inner.prop_map(|own| json!({"script_score": {"query": own, "script": {"source": "1"}}})),
            1 => several.prop_map(|list| json!({"hybrid": {"queries": list}})),
        ]
    })
}

/// Numbers as people write them, and worse.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0_usize..50).prop_map(Value::from),
        1 => select(vec![json!(-1), json!("3"), json!(1.0), json!(null), json!(10_000), json!(10_001), json!(18_446_744_073_709_551_615_u64), json!(1e300)]),
    ]
}

/// What may stand beside a query. The engine in miniature knows the forms of the fields; the rest is as odd as may be.
fn beside() -> impl Strategy<Value = (String, Value)> {
    let plain = select(vec![
        ("_source", json!(false)),
        ("_source", json!(["big"])),
        ("_source", json!("pri*")),
        ("_source", json!({"excludes": ["title"]})),
        ("fields", json!(["title", "price"])),
        ("fields", json!([{"field": "t*"}])),
        ("docvalue_fields", json!(["big"])),
        ("docvalue_fields", json!(["title"])),
        ("script_fields", json!({"title": {"script": "1"}})),
        ("script_fields", json!({"other": {"script": "1"}})),
        ("stored_fields", json!(["x"])),
        ("stored_fields", json!("_none_")),
        ("highlight", json!({"fields": {"title": {}}})),
        ("aggs", json!({"hits": {"max": {"field": "big"}}})),
        ("suggest", json!({"s": {"text": "sheo", "term": {"field": "title"}}})),
        ("sort", json!(["_score"])),
        ("sort", json!([{"price": "asc"}])),
        ("sort", json!(3)),
        ("search_after", json!([1])),
        ("track_total_hits", json!(false)),
        ("track_scores", json!(true)),
        ("version", json!(true)),
        ("min_score", json!(0.1)),
        ("collapse", json!({"field": "price"})),
        ("rescore", json!({"window_size": 7, "query": {"rescore_query": {"match": {"title": "red"}}}})),
        ("rescore", json!([{"query": {}}])),
        ("rescore", json!("odd")),
        ("knn", json!({"field": "v", "query_vector": [1]})),
        ("ext", json!({"rerank": {"query_context": {"query_text": "x"}}})),
        ("pit", json!({"id": "elsewhere"})),
        ("retriever", json!({"standard": {"query": {"match": {"title": "x"}}}})),
        ("explain", json!(true)),
        ("uhost", json!("elsewhere")),
        ("", json!(null)),
    ])
    .prop_map(|(key, value)| (key.to_owned(), value));
    prop_oneof![
        6 => plain,
        2 => number().prop_map(|value| ("from".to_owned(), value)),
        3 => number().prop_map(|value| ("size".to_owned(), value)),
        1 => query().prop_map(|value| ("post_filter".to_owned(), value)),
    ]
}

fn parameters() -> impl Strategy<Value = String> {
    let one = select(vec![
        "pretty",
        "size=5",
        "size=0",
        "size=-1",
        "from=7",
        "from=19",
        "q=red",
        "q=title:(red%20OR%20hat)",
        "_source=false",
        "_source=price,big",
        "_source_excludes=title",
        "rest_total_hits_as_int=true",
        "typed_keys",
        "preference=me",
        "routing=a%2Cb",
        "filter_path=**",
        "search_type=dfs_query_then_fetch",
        "explain=true",
        "uhost=x",
        "=",
        "%zz",
        "a=%ff",
        "source=%7B%7D&source_content_type=application/json",
    ]);
    prop::collection::vec(one, 0..3).prop_map(|all| all.join("&"))
}

/// A body, and one in six of them broken.
fn search() -> impl Strategy<Value = Search> {
    let breaks = prop_oneof![5 => Just(None), 1 => (any::<prop::sample::Index>(), select(vec!["", "}", "\"", ",", "\\", "\0", "[", "é"])).prop_map(Some)];
    (prop::option::weighted(0.9, query()), prop::collection::vec(beside(), 0..4), parameters(), breaks).prop_map(
        |(query, more, parameters, broken)| {
            let mut entries = Map::new();
            entries.extend(more);
            if let Some(query) = query {
                entries.insert("query".into(), query);
            }
            let mut body = Value::Object(entries).to_string();
            if let Some((place, piece)) = broken {
                let at = (0..=body.len()).filter(|at| body.is_char_boundary(*at)).collect::<Vec<_>>();
                let at = at[place.index(at.len())];
                body = if piece.is_empty() { body[..at].to_owned() } else { format!("{}{piece}{}", &body[..at], &body[at..]) };
            }
            let mark = if parameters.is_empty() { "" } else { "?" };
            Search { target: format!("/products/_search{mark}{parameters}"), body }
        },
    )
}

/// Sends a search directly and through, and compares; returns what Podium said.
async fn check(setup: &Setup, search: &Search) -> Result<String, TestCaseError> {
    let call_of = |target: &str| Call::post(target, search.body.as_str());
    let call = call_of(&search.target);
    let node = setup.engine.node.address;
    let (direct, through) = (Answer::of(&call.send(node).await), Answer::of(&call.send(setup.gateway).await));
    let status = through.header("rerank-status").to_owned();
    let page = |key: &str, absent: usize| {
        let query = search.target.split_once('?').map_or("", |(_, query)| query);
        let in_url = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
        let body: Value = serde_json::from_str(&search.body).unwrap_or_default();
        in_url.or(body[key].as_u64().map(|number| number as usize)).unwrap_or(absent)
    };
    let (from, size) = (page("from", 0), page("size", 10));
    let found = match window_of(&status) {
        None => compare(&direct, &through, &Promise::Untouched),
        Some(window) => {
            // What must not be widened is put in order page by page.
            let own_order = (0..window).rev().chain(window..size).collect();
            let alone = Reranked { wide: direct.text().unwrap_or_default(), from: 0, window, order: Some(own_order) };
            let alone = compare(&direct, &through, &Promise::Reranked(alone));
            let end = window.max(from + size);
            let wide = call_of(&from_the_first(&search.target, end)).send(node).await.text();
            let order = (0..window).rev().chain(window..end.min(DOCUMENTS)).collect();
            let widened = Reranked { wide: &wide, from, window, order: Some(order) };
            if alone.is_empty() { alone } else { compare(&direct, &through, &Promise::Reranked(widened)) }
        }
    };
    prop_assert!(found.is_empty(), "{status}: {found:?}");
    Ok(status)
}

#[test]
fn no_search_panics_or_gets_other_hits() {
    let setup = setup();
    let reranked = std::cell::Cell::new(0_usize);
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() },
        // The same searches in every run.
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    runner
        .run(&search(), |search| {
            let status = setup.runtime.block_on(check(setup, &search))?;
            reranked.set(reranked.get() + usize::from(status.starts_with("reranked")));
            Ok(())
        })
        .unwrap();
    say(&format!("generated searches: {CASES}, of which {} reranked", reranked.get()));
    assert!(reranked.get() >= 50, "{}", reranked.get());
}
