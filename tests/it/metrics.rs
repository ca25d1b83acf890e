//! What `/metrics` says after searches, and docs/metrics.md of it.
//!
//! Each test here counts under a number of a rule that no other test has.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use podium::telemetry::names::{self, Kind, Metric};
use serde_json::Value;

use crate::support::{
    app::{self, REVERSE},
    client::Client,
    fake_engine::{FakeEngine, Product, Trouble},
    http::{Call, Reply},
    log::{self, CANARY},
    metrics::{Page, numbered},
    soon, until,
};

const DOCUMENTS: usize = 120;
const WINDOW: f64 = 50.0;
const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}},"size":7}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_counted_by_what_became_of_it() {
    const RULE: usize = 21;
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &numbered(RULE, REVERSE)).await;
    for _ in 0..3 {
        assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked"));
    }
    let sorted = gateway.search(r#"{"query":{"match":{"title":"shoe"}},"sort":["price"]}"#).await;
    assert_eq!(sorted.rerank_status(), "skipped; reason=sorted");
    let page = Page::of(&gateway).await;
    assert_eq!((page.searches(RULE, "reranked", ""), page.searches(RULE, "skipped", "sorted")), (3.0, 1.0));
    assert_eq!(page.stages(RULE), [4.0, 4.0, 3.0, 4.0], "plan, upstream, rerank, total");
    assert_eq!(page.of_rule("podium_window_hits_count", RULE), 3.0);
    assert_eq!(page.of_rule("podium_window_hits_sum", RULE), 3.0 * WINDOW);
    assert_eq!(page.value(&format!(r#"podium_rule_info{{rule="{RULE}",index="products",model="m"}}"#)), 1.0);
    assert_eq!(page.value(r#"podium_model_ready{model="m"}"#), 1.0);
    let (upstream, pages) = (page.of_rule("podium_upstream_bytes_total", RULE), page.of_rule("podium_page_bytes_total", RULE));
    assert!(upstream > pages * WINDOW / 10.0 && pages > 0.0, "{upstream} bytes of 50 hits, {pages} bytes of 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_of_a_multi_search_is_counted() {
    const RULE: usize = 22;
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &numbered(RULE, REVERSE)).await;
    let sorted = r#"{"query":{"match":{"title":"shoe"}},"sort":["price"]}"#;
    let lines: String = [MATCH, sorted, MATCH].iter().map(|body| format!("{{\"index\":\"products\"}}\n{body}\n")).collect();
    let reply = Call::post("/_msearch", lines).with("content-type", "application/x-ndjson").send(gateway.address).await;
    assert_eq!(reply.rerank_status().matches("reranked").count(), 2, "{}", reply.rerank_status());
    let page = Page::of(&gateway).await;
    assert_eq!((page.searches(RULE, "reranked", ""), page.searches(RULE, "skipped", "sorted")), (2.0, 1.0));
    assert_eq!(page.stages(RULE), [3.0, 2.0, 2.0, 3.0], "plan, upstream, rerank, total");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_sent_twice_asks_upstream_twice() {
    const RULE: usize = 23;
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    engine.trouble(|asked| (asked.size > 7).then_some(Trouble::Status(400)));
    let gateway = app::start(&engine, &numbered(RULE, REVERSE)).await;
    assert_eq!(gateway.search(MATCH).await.rerank_status(), "skipped; reason=rewrite-rejected");
    let page = Page::of(&gateway).await;
    assert_eq!(page.searches(RULE, "skipped", "rewrite-rejected"), 1.0);
    assert_eq!(page.stages(RULE), [1.0, 2.0, 0.0, 1.0], "plan, upstream, rerank, total");
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_is_told_of_rules_that_fuse_adaptively() {
    const RULE: usize = 24;
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let adaptive = format!("{}fusion = {{ kind = \"adaptive\" }}\n", REVERSE.replace("fake-reverse", "fake-overlap"));
    let gateway = app::start(&engine, &numbered(RULE, &adaptive)).await;
    let reply = gateway.search(MATCH).await;
    let told: f64 = reply.rerank_status().split("trust=").nth(1).unwrap().parse().unwrap();
    let page = Page::of(&gateway).await;
    assert!((page.of_rule("podium_trust", RULE) - told).abs() < 0.01, "{told}");
    assert!(!page.series.contains_key(r#"podium_trust{rule="21"}"#), "another fusion has none");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_their_way_and_status() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let ways = [
        ("search", Call::search(MATCH)),
        ("passthrough", Call::get("/_cat/indices")),
        ("msearch", Call::post("/_msearch", "{}\n{}\n").with("content-type", "application/x-ndjson")),
        ("template", Call::post("/products/_search/template", r#"{"source":"{\"query\":{\"match_all\":{}}}"}"#)),
        ("pit", Call::post("/products/_search/point_in_time?keep_alive=1m", "")),
    ];
    for (way, call) in ways {
        let before = Page::of(&gateway).await;
        let reply = call.send(gateway.address).await;
        let series = format!(r#"podium_requests_total{{route="{way}",status_class="{}xx"}}"#, reply.status / 100);
        // Other tests send requests too.
        assert!(Page::of(&gateway).await.value(&series) > before.value(&series), "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_is_counted() {
    const GONE: &str = r#"podium_requests_total{route="search",status_class="none"}"#;
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    engine.trouble(|_| Some(Trouble::Slow(Duration::from_secs(60))));
    let gateway = app::start(&engine, REVERSE).await;
    let before = Page::of(&gateway).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("GET /products/_search?q=a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(|| engine.count() > 0).await;
    // Another gateway's page may be written at the same time, and sets the same gauge.
    soon(async { while Page::of(&gateway).await.value("podium_searches_under_way") < 1.0 {} }).await;
    drop(client);
    soon(async {
        while Page::of(&gateway).await.value(GONE) <= before.value(GONE) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_computes_is_counted_and_what_a_cache_knows_is_not() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let named = REVERSE.replace("models.m]", "models.counted]").replace("model = \"m\"", "model = \"counted\"");
    let gateway = app::start(&engine, &format!("cache.scores = \"1MiB\"\n{}", named.replace("fake-reverse", "fake-overlap"))).await;
    let of = |page: &Page, name: &str| page.value(&format!("{name}{{model=\"counted\"}}"));
    let before = Page::of(&gateway).await;
    assert_eq!([of(&before, "podium_scored_pairs_total"), of(&before, "podium_model_ready")], [0.0, 1.0]);
    for _ in 0..2 {
        assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked"));
    }
    let page = Page::of(&gateway).await;
    assert_eq!([of(&page, "podium_scored_pairs_total"), of(&page, "podium_batch_pairs_sum")], [WINDOW; 2]);
    let passes = of(&page, "podium_batch_pairs_count");
    assert!(passes >= 1.0);
    for name in ["podium_batch_seconds_count", "podium_batch_fill_ratio_count", "podium_batch_padding_ratio_count"] {
        assert_eq!(of(&page, name), passes, "{name}");
    }
    assert!(of(&page, "podium_scored_tokens_total") >= WINDOW);
    assert_eq!([of(&page, "podium_queue_pairs"), of(&page, "podium_queue_tokens"), of(&page, "podium_breaker_state")], [0.0; 3]);
    let hits = r#"podium_cache_hits_total{cache="scores"}"#;
    assert!(page.value(hits) >= before.value(hits) + WINDOW, "the second search's");
}

#[tokio::test(flavor = "multi_thread")]
async fn later_pages_tell_whether_they_found_the_first() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let before = Page::of(&gateway).await;
    for from in [10, 20] {
        gateway.search(&format!(r#"{{"query":{{"match":{{"title":"blue shoe"}}}},"from":{from},"size":10}}"#)).await;
    }
    let page = Page::of(&gateway).await;
    for series in [r#"podium_cache_misses_total{cache="pages"}"#, r#"podium_cache_hits_total{cache="pages"}"#] {
        assert!(page.value(series) > before.value(series), "{series}");
    }
    assert!(page.value(r#"podium_cache_entries{cache="pages"}"#) >= 1.0);
    assert!(page.value(r#"podium_cache_bytes{cache="pages"}"#) >= 50.0 * 16.0, "a window's names");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_show_the_token_sees_no_metrics() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &format!("admin.token = \"{CANARY}\"\n{REVERSE}")).await;
    let shown = |token: &str| Call::get("/metrics").with("authorization", token);
    for call in [Call::get("/metrics"), shown("Bearer other"), shown(CANARY)] {
        let reply = call.send(gateway.admin).await;
        assert_eq!(reply.status, 401);
        assert!(!reply.text().contains("podium_"), "{}", reply.text());
    }
    assert_eq!(shown(&format!("Bearer {CANARY}")).send(gateway.admin).await.status, 200);
    assert_eq!(Call::get("/health").send(gateway.admin).await.status, 200);
    assert_eq!(log::leaks(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_is_on_the_page() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let rules = REVERSE.replace("[\"products\"]", "[\"products*\"]");
    let gateway = app::start(&engine, &rules).await;
    let body = format!(r#"{{"query":{{"match":{{"title":"{CANARY}"}}}}}}"#);
    let searches = [
        Call::search(&body).with("x-opaque-id", CANARY).query(&format!("preference={CANARY}")),
        Call::post(&format!("/products-{CANARY}/_search"), body.clone()),
        Call::post(&format!("/{CANARY}/_search"), body.clone()),
        Call::get(&format!("/{CANARY}")),
    ];
    for call in searches {
        call.send(gateway.address).await;
    }
    assert!(!Page::of(&gateway).await.text.contains(CANARY));
    assert_eq!(log::leaks(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_has_a_span_for_each_stage() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let reply: Reply = gateway.search(MATCH).await;
    assert!(reply.rerank_status().starts_with("reranked"));
    for stage in ["plan", "upstream", "rerank"] {
        assert!(log::spans().contains(&("request".to_owned(), stage.to_owned())), "{stage} in {:?}", log::spans());
    }
}

/// Returns the row of a metric in the document.
fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns the names of metrics that stand anywhere in a text.
fn mentioned(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| word.starts_with("podium_")).collect()
}

fn is_known(name: &str) -> bool {
    names::ALL.iter().any(|metric| {
        let rest = name.strip_prefix(metric.name);
        rest == Some("") || matches!((metric.kind, rest), (Kind::Histogram(_), Some("_bucket" | "_sum" | "_count")))
    })
}

#[test]
fn the_document_lists_exactly_what_there_is() {
    let document = read("docs/metrics.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `podium_")).collect();
    let known: Vec<String> = names::ALL.iter().map(row).collect();
    assert_eq!(rows, known, "the rows should be:\n{}", known.join("\n"));
    let unknown: Vec<&str> = mentioned(&document).into_iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "there are no such metrics: {unknown:?}");
}

#[test]
fn the_dashboard_shows_every_metric_that_measures_something_and_no_other() {
    let text = read("docs/grafana.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let shown: BTreeSet<&str> = expressions.iter().flat_map(|expression| mentioned(expression)).collect();
    assert!(shown.iter().all(|name| is_known(name)), "there are no such metrics: {shown:?}");
    for metric in names::ALL {
        let is_shown = shown.iter().any(|name| name.starts_with(metric.name));
        let is_left_out = NOT_DRAWN.contains(&metric.name);
        assert!(is_shown != is_left_out, "{}", metric.name);
    }
    for expression in &expressions {
        let labels = expression
            .split(['{', '(', ',', ' '])
            .filter_map(|piece| piece.split_once('=').map(|(label, _)| label.trim_end_matches(['!', '~'])));
        let unknown: Vec<&str> = labels.filter(|label| !is_label(label)).collect();
        assert!(unknown.is_empty(), "{expression}: no metric has {unknown:?}");
    }
}

/// What says who somebody is, what only alerts are for, and what others say better.
const NOT_DRAWN: [&str; 6] =
    [names::BUILD_INFO, names::RULE_INFO, names::PANICS, names::QUEUE_TOKENS, names::BATCH_PAIRS, names::SEARCHES_SHED];

/// Whether a metric has such a label, or Prometheus adds it.
fn is_label(label: &str) -> bool {
    label == "instance" || names::ALL.iter().any(|metric| metric.labels.contains(&label))
}

/// What is there only when something has happened.
const SOMETIMES: [&str; 2] = [names::TRUST, names::SEARCHES_SHED];

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_on_the_page_after_one_search() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    gateway.search(MATCH).await;
    let page = Page::of(&gateway).await;
    let there = page.names();
    let missing: Vec<&str> =
        names::ALL.iter().map(|metric| metric.name).filter(|name| !there.contains(name) && !SOMETIMES.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown: Vec<&&str> = there.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "not in names.rs: {unknown:?}");
    for metric in names::ALL.iter().filter(|metric| there.contains(metric.name)) {
        assert!(page.text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
    }
}
