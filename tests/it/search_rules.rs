//! The hard rules: what is not rewritten passes as it came, and what the engine does not take is never the client's loss.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::Method;

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    http::{Call, Reply},
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}}}"#;

/// Sends a call and asserts that it came to the engine as it was, once and alone, and its answer to the client.
async fn assert_passes(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> Reply {
    let before = engine.count();
    let direct = call.send(engine.node.address).await;
    let reply = call.send(gateway.address).await;
    let seen = engine.node.seen().split_off(before);
    assert_eq!(seen.len(), 2, "{call:?}");
    assert_eq!((seen[0].line(), &seen[0].body), (seen[1].line(), &seen[1].body), "{call:?}");
    assert_same(&reply, &direct);
    reply
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_0_everything_without_a_rule_streams_through() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 30).await;
        let gateway = app::start(&engine, REVERSE).await;
        let lines = format!("{{\"index\":\"products\"}}\n{MATCH}\n");
        for target in [
            "/_search/scroll",
            "/products/_search/template",
            "/_msearch/template",
            "/products/_count",
            "/products/_async_search",
            "/_bulk",
            "/products/_doc/1",
            "/_render/template",
            "/products/_search/point_in_time",
            "/products/_pit",
            "/_sql",
        ] {
            let reply = assert_passes(&engine, &gateway, &Call::post(target, lines.clone())).await;
            assert_eq!((reply.rerank_status(), reply.header("server-timing")), ("", ""), "{target}");
        }
        for (target, reason) in [("/other/_search?pretty", "no-rule"), ("/_search", "no-rule"), ("/other,products/_search", "mixed-rules")]
        {
            let reply = assert_passes(&engine, &gateway, &Call::post(target, MATCH)).await;
            assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_0_different_rules_and_silent_ones() {
    let engine = FakeEngine::start(Product::OpenSearch, 30).await;
    let more = "[[rules]]\nindex = ['other']\nmodel = 'm'\nfields = ['title']\n";
    let gateway = app::start(&engine, &format!("{REVERSE}{more}")).await;
    let reply = assert_passes(&engine, &gateway, &Call::post("/other,products/_search", MATCH)).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=mixed-rules");
    let silent = app::start(&engine, &format!("{REVERSE}headers = false\n{more}[defaults]\nheaders = false")).await;
    for target in ["/other,products/_search", "/none/_search"] {
        assert_eq!(assert_passes(&engine, &silent, &Call::post(target, MATCH)).await.rerank_status(), "");
    }
    let reranked = silent.search(MATCH).await;
    assert_eq!((reranked.rerank_status(), reranked.header("server-timing")), ("", ""));
    assert_eq!(Answer::of(&reranked).ids()[0], "id29", "reranked nevertheless");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_a_refused_search_is_sent_again_as_it_came_and_the_refusal_is_remembered() {
    for product in PRODUCTS {
        for trouble in [Trouble::Status(400), Trouble::Status(500), Trouble::FailedShard] {
            let engine = FakeEngine::start(product, 30).await;
            let told = trouble.clone();
            engine.trouble(move |asked| (asked.size > 10).then(|| told.clone()));
            let gateway = app::start(&engine, REVERSE).await;
            for requests in [2, 1, 1] {
                let call = Call::search(MATCH).query("pretty");
                let before = engine.count();
                let reply = call.send(gateway.address).await;
                assert_eq!(reply.rerank_status(), "skipped; reason=rewrite-rejected");
                let bodies = engine.bodies().split_off(before);
                assert_eq!((bodies.len(), bodies.last().unwrap().as_str()), (requests, MATCH), "{trouble:?}");
                assert_same(&reply, &call.send(engine.node.address).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_a_search_that_is_wrong_by_itself_is_answered_by_the_engine_and_not_remembered() {
    for trouble in [Trouble::Status(400), Trouble::Status(500), Trouble::FailedShard] {
        let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
        let told = trouble.clone();
        engine.trouble(move |_| Some(told.clone()));
        let gateway = app::start(&engine, REVERSE).await;
        let reply = gateway.search(MATCH).await;
        assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
        engine.trouble(|_| None);
        assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked"), "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_errors_of_the_cluster_pass_and_are_never_sent_again() {
    for status in [401, 403, 404, 429, 502, 503, 504] {
        let engine = FakeEngine::start(Product::OpenSearch, 30).await;
        engine.trouble(move |_| Some(Trouble::Status(status)));
        let gateway = app::start(&engine, REVERSE).await;
        let reply = gateway.search(MATCH).await;
        assert_eq!((reply.status, engine.count()), (status, 1));
        assert_eq!(reply.rerank_status(), "skipped; reason=upstream-status");
        assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
        engine.trouble(|_| None);
        assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked"), "case 17: {status} is not remembered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_6_an_index_without_source() {
    let (no_text, refused) = ("skipped; reason=no-text", "skipped; reason=rewrite-rejected");
    // The first search shows that there is no text in the source; the second asks for fields, and the third does not, where
    // the engine refuses them.
    for (product, expected) in [(Product::OpenSearch, [no_text, refused, no_text]), (Product::Elasticsearch, [no_text, no_text, no_text])] {
        let engine = FakeEngine::start(product, 30).await;
        engine.mood().keeps_source = false;
        let gateway = app::start(&engine, REVERSE).await;
        let call = Call::search(MATCH);
        let told: Vec<String> = {
            let mut told = Vec::new();
            for _ in 0..3 {
                let reply = call.send(gateway.address).await;
                assert_same(&reply, &call.send(engine.node.address).await);
                told.push(reply.rerank_status().to_owned());
            }
            told
        };
        assert_eq!(told, expected);
    }
    let beside = FakeEngine::start(Product::OpenSearch, 30).await;
    beside.trouble(|asked| asked.asks_fields().then_some(Trouble::FailedShard));
    let gateway = app::start(&beside, REVERSE).await;
    let call = Call::search(r#"{"query":{"match":{"title":"shoe"}},"_source":false}"#);
    let reply = call.send(gateway.address).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=rewrite-rejected");
    assert_same(&reply, &call.send(beside.node.address).await);
    assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked"), "what was added is remembered, not the index");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_an_answer_that_cannot_be_read_is_dropped_and_the_original_answered() {
    for product in PRODUCTS {
        for (trouble, reason) in [
            (Trouble::Bulk(200_000), "too-large"),
            (Trouble::Cut, "upstream-answer"),
            (Trouble::Text("<html>"), "upstream-answer"),
            (Trouble::Text(""), "upstream-answer"),
            (Trouble::Text("{}"), "upstream-answer"),
            (Trouble::Text("[]"), "upstream-answer"),
            (Trouble::Text(r#"{"hits":{"hits":[{"_id":"1"}"#), "upstream-answer"),
        ] {
            for accepted in ["gzip", "identity"] {
                let engine = FakeEngine::start(product, 30).await;
                let told = trouble.clone();
                engine.trouble(move |asked| (asked.size > 10).then(|| told.clone()));
                let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
                let call = Call::search(MATCH).with("accept-encoding", accepted);
                let reply = call.send(gateway.address).await;
                assert_eq!((reply.rerank_status(), engine.count()), (format!("skipped; reason={reason}").as_str(), 2), "{trouble:?}");
                assert_eq!(engine.bodies()[1], MATCH);
                assert_same(&reply, &call.send(engine.node.address).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_an_original_answer_is_streamed_whatever_it_is() {
    for product in PRODUCTS {
        for trouble in [Trouble::Bulk(2_000_000), Trouble::Text("<html>"), Trouble::Cut] {
            let engine = FakeEngine::start(product, 30).await;
            let told = trouble.clone();
            engine.trouble(move |_| Some(told.clone()));
            let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
            let reply = gateway.search(MATCH).await;
            if matches!(trouble, Trouble::Cut) {
                assert!(reply.broken, "what is cut must not look whole");
            } else {
                assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_after_too_large_answers_fewer_hits_are_asked_for() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"4KiB\"\n")).await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| last.contains("too-large")) && told.len() < 5 {
        let reply = gateway.search(MATCH).await;
        let mut sorted = Answer::of(&reply).ids();
        assert_eq!(sorted.len(), 10);
        sorted.dedup();
        assert_eq!(sorted.len(), 10);
        told.push(reply.rerank_status().to_owned());
    }
    assert_eq!(told[0], "skipped; reason=too-large");
    assert!(told.last().unwrap().starts_with("reranked"), "{told:?}");
    // What is believed of hits grows lighter with every search, and must not end in asking for too many again.
    for _ in 0..30 {
        let reply = gateway.search(MATCH).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{}", reply.rerank_status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_few_hits_and_much_else_does_not_narrow_the_window() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
    engine.trouble(|_| Some(Trouble::Bulk(30_000)));
    for documents in [0, 1, 2] {
        engine.mood().order = (0..documents).collect();
        gateway.search(MATCH).await;
    }
    engine.mood().order = (0..120).collect();
    assert_eq!(gateway.search(MATCH).await.rerank_status(), "reranked; model=\"m\"; window=50; scored=50; cached=0");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_7_what_is_not_on_the_list_is_forwarded() {
    let engine = FakeEngine::start(Product::OpenSearch, 30).await;
    let gateway = app::start(&engine, REVERSE).await;
    for (query, more, reason) in [
        ("", r#""unheard-of":1"#, "unsupported"),
        ("unheard-of=1", "", "unsupported"),
        ("", r#""track_total_hits":"true""#, "unsupported"),
        ("", r#""version":1"#, "unsupported"),
        ("filter_path=hits..hits", "", "filter-path"),
        ("", r#""sort":["price"]"#, "sorted"),
        ("sort=price:asc", "", "sorted"),
        ("scroll=1m", "", "cursor"),
        ("", r#""search_after":[1]"#, "cursor"),
        ("format=yaml", "", "not-json"),
        ("q=*", "", "no-query-text"),
    ] {
        let body = format!(r#"{{"query":{{"match":{{"title":"shoe"}}}}{}{more}}}"#, if more.is_empty() { "" } else { "," });
        let reply = assert_passes(&engine, &gateway, &Call::search(&body).query(query)).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{query} {more}");
    }
    for (body, reason) in [
        (r#"{"query":{"match_all":{}}}"#, "no-query-text"),
        ("", "no-query-text"),
        (r#"{"query":{"function_score":{"query":{"match":{"title":"a"}},"random_score":{}}}}"#, "unstable"),
        (r#"{"query":{"something_new":{"title":"a"}}}"#, "unsupported"),
    ] {
        let reply = assert_passes(&engine, &gateway, &Call::search(body)).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_15_keys_that_once_reached_a_reranker_have_no_effect() {
    let engine = FakeEngine::start(Product::OpenSearch, 30).await;
    let gateway = app::start(&engine, REVERSE).await;
    for query in ["uhost=http%3A%2F%2Fevil.example", "query_prep=import%20os"] {
        let reply = assert_passes(&engine, &gateway, &Call::search(MATCH).query(query)).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=unsupported");
    }
    for more in [r#""uhost":"http://evil.example""#, r#""query_prep":"import os""#, r#""ext":{"uhost":"http://evil.example"}"#] {
        let body = format!("{},{more}}}", &MATCH[..MATCH.len() - 1]);
        let reply = assert_passes(&engine, &gateway, &Call::search(&body)).await;
        assert_eq!((reply.rerank_status(), reply.status), ("skipped; reason=unsupported", 400), "the engine's own word");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_20_broken_gigantic_and_deep_bodies_are_forwarded() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"256KiB\"\n")).await;
    let deep = |levels: usize| format!("{}{MATCH}{}", r#"{"query":{"bool":{"must":"#.repeat(levels), "}}}".repeat(levels));
    let padded = format!("{{\"query\":{{\"match\":{{\"title\":\"shoe\"}}}},\"aggs\":{{\"a\":\"{}\"}}}}", "x".repeat(300_000));
    for (body, reason) in [
        (b"{".to_vec(), "not-json"),
        (b"{]".to_vec(), "not-json"),
        (b"\xff\xfe{}".to_vec(), "not-json"),
        (b"[]".to_vec(), "not-json"),
        (b"null".to_vec(), "not-json"),
        (MATCH.as_bytes()[..20].to_vec(), "not-json"),
        (format!("{MATCH}{MATCH}").into_bytes(), "not-json"),
        (b"{\"query\":{\"match\":{\"title\":\"\\ud800\"}}}".to_vec(), "no-query-text"),
        (b"{\"query\":{\"match\":{\"title\":\"a\"}},\"query\":{\"match\":{\"title\":\"b\"}}}".to_vec(), "not-json"),
        ("[".repeat(200_000).into_bytes(), "not-json"),
        (deep(5_000).into_bytes(), "unsupported"),
        (padded.into_bytes(), "too-large"),
    ] {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let reply = assert_passes(&engine, &gateway, &Call::post("/products/_search", body)).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_undone_to_look_inside_and_done_again() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 30).await;
        let gateway = app::start(&engine, REVERSE).await;
        let packed = Call::post("/products/_search", gzip(MATCH.as_bytes())).with("content-encoding", "gzip");
        let turned = Answer::of(&gateway.search(MATCH).await).hits;
        for (accepted, coding) in [("gzip", "gzip"), ("deflate, gzip;q=0.5", "gzip"), ("br", ""), ("identity", "")] {
            let reply = packed.clone().with("accept-encoding", accepted).send(gateway.address).await;
            assert_eq!(reply.header("content-encoding"), coding, "{accepted}");
            // Nothing is asked for that could not be looked into.
            assert_eq!(engine.node.seen().last().unwrap().header("accept-encoding").unwrap_or_default(), coding);
            assert_eq!(Answer::of(&reply).hits, turned);
        }
        for (body, coding, reason) in [
            (b"not gzip".to_vec(), "gzip", "not-json"),
            (gzip(MATCH.as_bytes())[..30].to_vec(), "gzip", "not-json"),
            (gzip(&vec![b' '; 20 << 20]), "gzip", "too-large"),
            (MATCH.as_bytes().to_vec(), "zstd", "unsupported"),
        ] {
            let call = Call::post("/products/_search", body).with("content-encoding", coding);
            let reply = assert_passes(&engine, &gateway, &call).await;
            assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{coding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_send_a_search_is_understood() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let gateway = app::start(&engine, REVERSE).await;
    let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
    let encoded = "%7B%22query%22%3A%7B%22match%22%3A%7B%22title%22%3A%22shoe%22%7D%7D%7D";
    for call in [
        Call::search(MATCH),
        Call::get("/products/_search?q=shoe"),
        Call::get(&format!("/products/_search?source={encoded}&source_content_type=application/json")),
        Call::search(MATCH).with("content-type", vendor).with("accept", vendor),
        Call::search(MATCH).by(Method::GET),
        Call::search(MATCH).with("transfer-encoding", "chunked"),
        Call::search(MATCH).with("x-opaque-id", "7").with("traceparent", "00-1-1-00"),
        Call::post("/products/_search/", MATCH),
    ] {
        let reply = call.send(gateway.address).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{call:?}: {}", reply.rerank_status());
        assert_eq!(Answer::of(&reply).ids()[0], "id29");
        let direct = call.send(engine.node.address).await;
        for name in ["content-type", "x-elastic-product", "x-opaque-id", "warning", "transfer-encoding"] {
            assert_eq!(reply.headers.get(name), direct.headers.get(name), "{call:?}");
        }
    }
    let widened = engine.node.seen().into_iter().rev().find(|seen| seen.header("accept") == Some(vendor)).unwrap();
    assert_eq!(widened.header("content-type"), Some(vendor));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_not_to_be_reranked() {
    let engine = FakeEngine::start(Product::OpenSearch, 30).await;
    let gateway = app::start(&engine, REVERSE).await;
    for word in ["off", "OFF"] {
        let reply = assert_passes(&engine, &gateway, &Call::search(MATCH).with("rerank", word)).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=client-off");
    }
    assert!(Call::search(MATCH).with("rerank", "on").send(gateway.address).await.rerank_status().starts_with("reranked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hit_or_none_is_not_reranked() {
    for documents in [0, 1] {
        let engine = FakeEngine::start(Product::OpenSearch, documents).await;
        let gateway = app::start(&engine, REVERSE).await;
        let call = Call::search(MATCH).query("pretty");
        let reply = call.send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=few-hits");
        assert_same(&reply, &call.send(engine.node.address).await);
    }
}
