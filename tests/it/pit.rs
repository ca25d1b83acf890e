//! Searches in points in time: each belongs to the indices that its point was opened for.

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    answer::{Answer, assert_same, untimed},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, PRODUCTS, Product},
    http::{Call, Reply},
};

const RERANKED: &str = "reranked; model=\"m\"";

/// Opens a point in time through the gateway in the product's own way, and returns its id.
async fn open(engine: &FakeEngine, gateway: &Gateway, index: &str) -> String {
    let product = engine.mood().product;
    let (path, key) = if product == Product::Elasticsearch { ("_pit", "id") } else { ("_search/point_in_time", "pit_id") };
    let call = Call::get(&format!("/{index}/{path}?keep_alive=1m")).by(Method::POST);
    let reply = call.send(gateway.address).await;
    assert_eq!((reply.status, reply.rerank_status()), (200, ""));
    let answer: Value = serde_json::from_str(&reply.text()).unwrap();
    let length = reply.header("content-length");
    assert!(length.is_empty() || length == reply.body.len().to_string());
    answer[key].as_str().unwrap().to_owned()
}

fn search(id: &str, more: &Value) -> Call {
    let mut body = json!({"query":{"match":{"title":"shoe"}},"pit":{"id":id,"keep_alive":"1m"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Call::post("/_search", body.to_string())
}

fn told(reply: &Reply) -> String {
    reply.rerank_status().split(';').take(2).collect::<Vec<_>>().join(";")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_in_time_has_the_rule_of_what_it_was_opened_for() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        let everything = "[[rules]]\nindex = ['*']\nmodel = 'm'\nfields = ['title']\nwindow = 5\ntimeout = '30s'\ntotal-timeout = '60s'\n";
        for (rules, unknown) in [(REVERSE.to_owned(), "skipped; reason=no-rule"), (format!("{REVERSE}{everything}"), RERANKED)] {
            let gateway = app::start(&engine, &rules).await;
            for (index, outcome, first) in
                [("products", RERANKED, "id49"), ("other", unknown, if unknown == RERANKED { "id4" } else { "id0" })]
            {
                let id = open(&engine, &gateway, index).await;
                for call in [search(&id, &json!({})), search(&id, &json!({"_source":false})).query("pretty")] {
                    let (reply, direct) = (call.send(gateway.address).await, call.send(engine.node.address).await);
                    assert_eq!((told(&reply).as_str(), Answer::of(&reply).ids()[0].as_str()), (outcome, first), "{index}");
                    assert_eq!(Answer::of(&reply).outside, Answer::of(&direct).outside);
                    assert!(engine.node.seen().iter().any(|seen| seen.line().starts_with("POST /_search")), "the path names no index");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_agree_cursors_pass_and_the_id_may_change() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        let gateway = app::start(&engine, REVERSE).await;
        let id = open(&engine, &gateway, "products").await;
        let mut seen = Vec::new();
        for from in [0, 10, 20, 30, 40] {
            seen.extend(Answer::of(&search(&id, &json!({"from":from})).send(gateway.address).await).ids());
        }
        assert_eq!(seen, (0..50).rev().map(|document| format!("id{document}")).collect::<Vec<_>>());
        let cursor = search(&format!("{id}+"), &json!({"sort":["_score"],"search_after":[1.0]}));
        let reply = cursor.send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=cursor", "the id of the first answer is known");
        assert_same(&reply, &cursor.send(engine.node.address).await);
        let later = search(&format!("{id}++"), &json!({})).send(gateway.address).await;
        assert_eq!(told(&later), RERANKED, "the id of the cursor's answer is known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_elsewhere_pass() {
    let everything = REVERSE.replace("[\"products\"]", "[\"*\"]");
    for product in PRODUCTS {
        for rules in [REVERSE, &everything] {
            let engine = FakeEngine::start(product, 120).await;
            let gateway = app::start(&engine, rules).await;
            let known = open(&engine, &gateway, "products").await;
            for call in [
                search("elsewhere", &json!({})),
                search(&known, &json!({"pit":{"keep_alive":"1m"}})),
                search(&known, &json!({"pit":{"id":[known]}})),
                search(&known, &json!({"pit":known})),
            ] {
                let reply = call.send(gateway.address).await;
                assert_eq!(reply.rerank_status(), "skipped; reason=unknown-pit", "{call:?}");
                let direct = call.send(engine.node.address).await;
                assert_eq!((reply.status, untimed(&reply.text())), (direct.status, untimed(&direct.text())));
            }
            let delete = if product == Product::Elasticsearch { "/_pit" } else { "/_search/point_in_time" };
            let body = if product == Product::Elasticsearch { json!({"id":known}) } else { json!({"pit_id":[known]}) };
            let closed = Call::post(delete, body.to_string()).by(Method::DELETE).send(gateway.address).await;
            assert_eq!((closed.status, closed.rerank_status()), (200, ""));
            assert_eq!(engine.bodies().last(), Some(&body.to_string()));
            assert_eq!(search(&known, &json!({})).send(gateway.address).await.rerank_status(), "skipped; reason=unknown-pit");
            let another = open(&engine, &gateway, "products").await;
            Call::get("/_search/point_in_time/_all").by(Method::DELETE).send(gateway.address).await;
            assert_eq!(search(&another, &json!({})).send(gateway.address).await.rerank_status(), "skipped; reason=unknown-pit");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_multi_search_may_be_of_points_in_time() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, REVERSE).await;
    let id = open(&engine, &gateway, "products").await;
    let line = |own: &str| format!("{{}}\n{{\"query\":{{\"match\":{{\"title\":\"shoe\"}}}},\"pit\":{{\"id\":\"{own}\"}}}}\n");
    let reply = Call::post("/_msearch", line(&id) + &line("elsewhere")).send(gateway.address).await;
    assert!(
        reply.rerank_status().starts_with(RERANKED) && reply.rerank_status().ends_with(", skipped; reason=unknown-pit"),
        "{}",
        reply.rerank_status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_everything_without_a_point_in_time_are_as_ever() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let everything = REVERSE.replace("[\"products\"]", "[\"*\"]");
    let body = r#"{"query":{"match":{"title":"shoe"}}}"#;
    for (rules, outcome) in [(REVERSE, "skipped; reason=no-rule"), (everything.as_str(), RERANKED)] {
        let gateway = app::start(&engine, rules).await;
        let call = Call::post("/_search", body);
        assert_eq!(told(&call.send(gateway.address).await), outcome);
        assert_eq!(told(&Call::get("/_search?q=title:shoe").send(gateway.address).await), outcome);
        let off = call.clone().with("rerank", "off").send(gateway.address).await;
        assert_eq!(off.rerank_status(), if outcome == RERANKED { "skipped; reason=client-off" } else { outcome });
        assert_same(&off, &call.send(engine.node.address).await);
        let broken = Call::post("/_search", "{").send(gateway.address).await;
        assert_eq!(broken.rerank_status(), if outcome == RERANKED { "skipped; reason=not-json" } else { outcome });
    }
}
