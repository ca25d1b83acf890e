//! Template searches: rendered by the engine, reranked as the search that they become, answered in a template search's shape.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    answer::{Answer, assert_same, headers},
    app::{self, REVERSE},
    fake_engine::{FakeEngine, Mood, PRODUCTS, Product, Trouble},
    fake_models::{self, Observed},
    fake_upstream::{Act, FakeUpstream},
    http::Call,
};

const DOCUMENTS: usize = 120;

fn template(body: &Value) -> Call {
    Call::post("/products/_search/template", body.to_string())
}

fn inline(more: &str) -> Value {
    json!({"source":format!(r#"{{"query":{{"match":{{"title":"{{{{q}}}}"}}}}{more}}}"#),"params":{"q":"shoe"}})
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// How many requests of each path came since `before`.
fn paths(engine: &FakeEngine, before: usize) -> Vec<String> {
    engine.node.seen().split_off(before).iter().map(|seen| seen.line().split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_too_much_to_do_is_not_asked_twice() {
    let busy = FakeUpstream::always("HTTP/1.1 429 Busy\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    let gateway = app::start_before(busy.address, REVERSE, fake_models::families(&Observed::default())).await;
    gateway.loaded().await;
    let lines = format!("{{\"index\":\"products\"}}\n{}\n", inline(""));
    let multi = Call::post("/_msearch/template", lines).with("content-type", "application/x-ndjson");
    for (requests, call) in [template(&inline("")), multi].into_iter().enumerate() {
        let reply = call.send(gateway.address).await;
        assert_eq!((reply.status, reply.rerank_status()), (429, "skipped; reason=upstream-status"));
        assert_eq!(busy.seen().len(), requests + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_search_is_reranked_and_answered_as_a_template_search() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        for (body, page) in [
            (inline(""), 0..10),
            (inline(r#","from":20,"size":5,"_source":false"#), 20..25),
            (json!({"source":{"query":{"match":{"title":"{{q}}"}}},"params":{"q":"red shoe"}}), 0..10),
            (json!({"id":"stored","params":{"q":"shoe","from":40}}), 40..50),
        ] {
            for query in ["", "pretty", "rest_total_hits_as_int=true&routing=a"] {
                let call = template(&body).query(query);
                let (reply, direct) = (call.send(gateway.address).await, call.send(engine.node.address).await);
                assert!(reply.rerank_status().starts_with("reranked; model=\"m\""), "{body} {}", reply.rerank_status());
                let (answer, expected) = (Answer::of(&reply), Answer::of(&direct));
                assert_eq!((headers(&reply), &answer.outside), (headers(&direct), &expected.outside), "{body} {query}");
                assert_eq!(answer.ids(), ids((0..50).rev())[page.clone()], "{body} {query}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_templates_are_rendered_once_and_stored_ones_every_time() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    for (body, expected) in [
        (inline(""), ["/_render/template", "/products/_search", "/products/_search"].as_slice()),
        (
            json!({"id":"stored","params":{"q":"shoe","from":0}}),
            &["/_render/template", "/products/_search", "/_render/template", "/products/_search"],
        ),
    ] {
        let before = engine.count();
        for _ in 0..2 {
            let reply = template(&body).with("authorization", "Basic eA==").send(gateway.address).await;
            assert_eq!(Answer::of(&reply).ids(), ids((40..50).rev()));
        }
        assert_eq!(paths(&engine, before), expected);
        assert!(engine.node.seen()[before..].iter().all(|seen| seen.header("authorization") == Some("Basic eA==")), "the client's own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parameter_that_the_rule_names_is_the_query_text() {
    let rules = REVERSE.replace("fake-reverse", "fake-overlap") + "query = { template-param = \"wanted\" }\n";
    let engine = FakeEngine::start(Product::OpenSearch, 12).await;
    let reds = ids([0, 3, 6, 9, 1, 2, 4, 5, 7, 8]);
    let body = json!({"source":{"query":{"match":{"title":"{{q}}"}}},"params":{"q":"shoe","wanted":"red"}});
    for renders in [true, false] {
        engine.mood().renders = renders;
        let gateway = app::start(&engine, &rules).await;
        let reply = template(&body).send(gateway.address).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{}", reply.rerank_status());
        assert_eq!(Answer::of(&reply).ids(), reds, "renders: {renders}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_rendered_the_page_is_reranked_or_passed() {
    for product in PRODUCTS {
        let mood = Mood { renders: false, ..Mood::of(product, DOCUMENTS) };
        let engine = FakeEngine::start_with(mood).await;
        let gateway = app::start(&engine, &format!("{REVERSE}query = {{ template-param = \"q\" }}\n")).await;
        for (body, outcome, order) in [
            (inline(r#","from":20,"size":5"#), "reranked; model=\"m\"", ids((20..25).rev())),
            (inline(""), "reranked; model=\"m\"", ids((0..10).rev())),
            (json!({"source":{"query":{"match_all":{}}},"params":{"q":7}}), "skipped; reason=no-query-text", ids(0..10)),
            (json!({"source":{"query":{"match_all":{}}}}), "skipped; reason=no-query-text", ids(0..10)),
            (json!({"source":{"query":{"match_all":{}}},"params":{"q":"x"},"profile":true}), "skipped; reason=unsupported", ids(0..10)),
        ] {
            let before = engine.count();
            let reply = template(&body).query("pretty").send(gateway.address).await;
            assert!(reply.rerank_status().starts_with(outcome), "{body} {}", reply.rerank_status());
            assert_eq!(paths(&engine, before), ["/_render/template", "/products/_search/template?pretty"]);
            assert_eq!(engine.bodies().last(), Some(&body.to_string()), "as it came");
            let direct = template(&body).query("pretty").send(engine.node.address).await;
            assert_eq!((Answer::of(&reply).outside, headers(&reply)), (Answer::of(&direct).outside, headers(&direct)));
            assert_eq!(Answer::of(&reply).ids(), order);
        }
        let silent = app::start(&engine, REVERSE).await;
        let reply = template(&inline("")).send(silent.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=no-query-text");
        assert_same(&reply, &template(&inline("")).send(engine.node.address).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_templates_are_answered_by_the_engine() {
    let search = inline("");
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        for (call, reason) in [
            (template(&json!({"id":"unknown"})), "no-query-text"),
            (template(&json!({"source":"{\"query\": {{q}} }","params":{"q":"x"}})), "no-query-text"),
            (template(&json!({"source":"{\"uhost\":1}"})), "unsupported"),
            (template(&json!({"source":"[]"})), "no-query-text"),
            (template(&json!({"source":"{}","uhost":1})), "unsupported"),
            (template(&json!({"source":"{}","id":"stored"})), "unsupported"),
            (template(&json!({})), "unsupported"),
            (Call::post("/products/_search/template", "{"), "not-json"),
            (Call::post("/products/_search/template", ""), "not-json"),
            (template(&search).query("size=3"), "unsupported"),
            (template(&search).query("filter_path=took"), "unsupported"),
            (template(&inline(r#","sort":["price"]"#)), "sorted"),
            (template(&inline(r#","size":0"#)), "no-page"),
            (template(&search).with("rerank", "off"), "client-off"),
            (Call::post("/other/_search/template", search.to_string()), "no-rule"),
            (Call::post("/_search/template", search.to_string()), "no-rule"),
            (Call::post("/products,other/_search/template", search.to_string()), "mixed-rules"),
        ] {
            let reply = call.send(gateway.address).await;
            assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{call:?}");
            assert_same(&reply, &call.send(engine.node.address).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_refused_once_rendered_is_sent_as_it_came() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Status(400)));
    let gateway = app::start(&engine, REVERSE).await;
    let before = engine.count();
    let reply = template(&inline("")).send(gateway.address).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=rewrite-rejected");
    assert_eq!(paths(&engine, before), ["/_render/template", "/products/_search", "/products/_search/template"]);
    assert_same(&reply, &template(&inline("")).send(engine.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn rendering_counts_in_the_budget() {
    let slow = FakeUpstream::scripted(|_, seen| {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        let pause = if seen.line().contains("_render") { Duration::from_secs(5) } else { Duration::ZERO };
        vec![Act::Pause(pause), Act::text(answer)]
    })
    .await;
    let mut engine = FakeEngine::start(Product::OpenSearch, 1).await;
    engine.node = slow;
    let gateway = app::start(&engine, &REVERSE.replace("\"60s\"", "\"100ms\"").replace("\"30s\"", "\"50ms\"")).await;
    let started = std::time::Instant::now();
    let reply = template(&inline("")).send(gateway.address).await;
    assert_eq!((reply.text().as_str(), reply.rerank_status()), ("{}", "skipped; reason=timeout"));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_of_a_multi_search_are_rendered_and_reranked() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        engine.trouble(|asked| (asked.size > 10 && asked.header.contains_key("routing")).then_some(Trouble::Status(400)));
        let gateway = app::start(&engine, REVERSE).await;
        let header = r#"{"index":"products"}"#;
        let stored = json!({"id":"stored","params":{"q":"shoe","from":40}});
        let line = |body: &Value| format!("{header}\n{body}\n");
        let refused = format!("{{\"index\":\"products\",\"routing\":\"a\"}}\n{}\n", inline(""));
        let lines = line(&inline("")) + &line(&stored) + &refused + &line(&inline(r#","sort":["price"]"#));
        let call = |body: &str| Call::post("/_msearch/template", body).with("content-type", "application/x-ndjson");
        let before = engine.count();
        let reply = call(&lines).query("pretty").send(gateway.address).await;
        let told: Vec<&str> = reply.rerank_status().split(", ").map(|member| member.split("; window").next().unwrap()).collect();
        let reranked = "reranked; model=\"m\"";
        assert_eq!(told, [reranked, reranked, "skipped; reason=rewrite-rejected", "skipped; reason=sorted"]);
        let mut paths = paths(&engine, before);
        let last = paths.split_off(paths.len() - 2);
        assert_eq!(last, ["/_msearch?pretty", "/_msearch/template?pretty"]);
        assert!(paths.iter().all(|path| path == "/_render/template"), "{paths:?}");
        assert_eq!(engine.bodies().last(), Some(&refused), "the refused item alone, as it was");
        let whole: Value = serde_json::from_str(&reply.text()).unwrap();
        let seen = |item: usize| {
            whole["responses"][item]["hits"]["hits"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hit| hit["_id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!([seen(0), seen(1), seen(2)], [ids((40..50).rev()), ids((0..10).rev()), ids(0..10)]);
        assert!(whole["responses"].as_array().unwrap().iter().all(|item| item["status"] == 200));
        for (sent, reasons) in [
            (line(&json!({"id":"unknown"})) + &line(&inline("")), "skipped; reason=no-query-text, skipped; reason=unsupported"),
            (format!("{{\"index\":\"other\"}}\n{stored}\n{}", line(&inline(""))), "skipped; reason=no-rule, skipped; reason=unsupported"),
            (line(&json!({})), "skipped; reason=unsupported"),
            (line(&inline("")).repeat(33), "skipped; reason=unsupported; count=33"),
        ] {
            let passed = call(&sent).send(gateway.address).await;
            assert_eq!(passed.rerank_status(), reasons, "{sent}");
            assert_eq!(engine.bodies().last(), Some(&sent), "as it came");
            assert_eq!(engine.node.seen().last().unwrap().line().split(' ').nth(1), Some("/_msearch/template"));
        }
    }
}
