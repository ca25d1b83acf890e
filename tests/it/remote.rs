//! Models that run elsewhere: one Podium asks another, and whoever speaks as Cohere or Jina does asks Podium.

use std::{net::SocketAddr, time::Duration};

use podium::models;
use serde_json::{Value, json};

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, Product},
    fake_upstream::{Act, FakeUpstream},
    http::{Call, Reply},
    soon,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}},"size":7}"#;

/// A model that counts common words, and a rule for it.
fn overlap() -> String {
    REVERSE.replace("fake-reverse", "fake-overlap")
}

fn rules(admin: SocketAddr, more: &str) -> String {
    let keys = format!("remote\"\nprotocol = \"podium\"\nmodel = \"m\"\nbatch = 8\nendpoints = [\"http://{admin}\"]\n{more}#");
    REVERSE.replace("fake-reverse\"", &keys)
}

/// Starts a gateway that asks the one whose admin port is `admin`.
async fn near(engine: &FakeEngine, admin: SocketAddr, more: &str) -> Gateway {
    app::start_with(engine, &rules(admin, more), models::families()).await
}

async fn ask(admin: SocketAddr, body: &Value) -> Reply {
    Call::post("/v1/rerank", body.to_string()).send(admin).await
}

fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_podium_ranks_with_the_model_of_another() {
    let engine = FakeEngine::start(Product::OpenSearch, 50).await;
    let far = app::start(&engine, &overlap()).await;
    let near = near(&engine, far.admin, "").await;
    near.loaded().await;
    let (there, here) = (far.search(MATCH).await, near.search(MATCH).await);
    assert!(here.rerank_status().starts_with("reranked; model=\"m\"; window=50; scored=50"), "{}", here.rerank_status());
    assert_eq!(Answer::of(&here).ids(), Answer::of(&there).ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_model_that_does_not_answer_leaves_the_engines_order() {
    let engine = FakeEngine::start(Product::OpenSearch, 50).await;
    for (kind, reasons) in [("fake-broken", ["model-loading", "model-unavailable"]), ("fake-hang", ["model-loading"; 2])] {
        let far = app::start(&engine, &REVERSE.replace("fake-reverse", kind)).await;
        let near = near(&engine, far.admin, "").await;
        let reply = near.search(MATCH).await;
        let reason = reply.rerank_status().strip_prefix("skipped; reason=").unwrap_or_default();
        assert!(reasons.contains(&reason), "{kind}: {}", reply.rerank_status());
        assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
    }
}

/// Returns a server that answers the first call, which asks for two scores, as it should, and all others in this way.
async fn misbehaving(acts: Vec<Act>) -> FakeUpstream {
    let good = answer(200, r#"{"results":[{"index":0,"relevance_score":0.5},{"index":1,"relevance_score":0.25}]}"#);
    FakeUpstream::scripted(move |number, _| if number == 0 { vec![Act::text(good.clone())] } else { acts.clone() }).await
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_model_that_answers_badly_leaves_the_engines_order() {
    let engine = FakeEngine::start(Product::OpenSearch, 50).await;
    let scores = |score: &str| {
        let all: Vec<String> = (0..50).map(|index| format!(r#"{{"index":{index},"relevance_score":{score}}}"#)).collect();
        format!(r#"{{"results":[{}]}}"#, all.join(","))
    };
    let endless = "HTTP/1.1 200 Told\r\nContent-Length: 1000000000\r\n\r\n";
    for (name, acts, reason) in [
        ("too few scores", vec![Act::text(answer(200, r#"{"results":[{"index":0,"relevance_score":0.5}]}"#))], "model-error"),
        ("the scores of others", vec![Act::text(answer(200, &scores("0.5").replace(":7,", ":77,")))], "model-error"),
        ("scores that are no numbers", vec![Act::text(answer(200, &scores("NaN")))], "model-error"),
        ("scores without a value", vec![Act::text(answer(200, &scores("null")))], "model-error"),
        ("infinite scores", vec![Act::text(answer(200, &scores("1e99")))], "model-error"),
        ("a page for people", vec![Act::text(answer(200, "<!doctype html><title>Sign in</title>"))], "model-error"),
        ("an illness", vec![Act::text(answer(500, "oops"))], "model-error"),
        ("too much to do", vec![Act::text(answer(429, "later"))], "queue-full"),
        ("half an answer", vec![Act::text("HTTP/1.1 200 Told\r\nContent-Length: 999\r\n\r\n{\"results\":["), Act::Close], "model-error"),
        ("nothing like HTTP", vec![Act::text("SSH-2.0-OpenSSH\r\n"), Act::Close], "model-error"),
        ("an answer without an end", vec![Act::text(endless), Act::Flood(1_000_000_000)], "model-error"),
        ("never", vec![Act::Hold], "timeout"),
    ] {
        let far = misbehaving(acts).await;
        let keys = format!("remote\"\nprotocol = \"jina\"\nmodel = \"x\"\nendpoints = [\"http://{}\"]\n#", far.address);
        let timeout = if reason == "timeout" { "timeout = \"300ms\"" } else { "timeout = \"30s\"" };
        let rules = REVERSE.replace("fake-reverse\"", &keys).replacen("\ntimeout = \"30s\"", &format!("\n{timeout}"), 1);
        let near = app::start_with(&engine, &rules, models::families()).await;
        near.loaded().await;
        let reply = near.search(MATCH).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"), "{name}");
        assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adaptive_fusion_is_refused_by_name() {
    let engine = FakeEngine::start(Product::OpenSearch, 5).await;
    let far = app::start(&engine, &overlap()).await;
    let rules = rules(far.admin, "") + "fusion = { kind = 'adaptive' }\n";
    let near = app::start_with(&engine, &rules, models::families()).await;
    soon(async {
        while !near.missing_models().await.contains("rules[0].fusion is adaptive") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_cohere_and_jina_do() {
    let engine = FakeEngine::start(Product::OpenSearch, 5).await;
    let gateway = app::start(&engine, &overlap()).await;
    let documents = json!(["a blue hat", "red shoe", { "text": "a red hat" }]);
    let reply = ask(gateway.admin, &json!({ "model": "m", "query": "red shoe", "documents": documents })).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let answer = read(&reply);
    let places: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| result["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 2, 0], "best first: {answer}");
    let two = json!({ "query": "red shoe", "documents": documents, "top_n": 2, "return_documents": true });
    let best = read(&Call::post("/v2/rerank", two.to_string()).send(gateway.admin).await);
    assert_eq!(best["results"].as_array().unwrap().len(), 2, "the only model needs no name");
    assert_eq!(best["results"][1]["document"]["text"], "a red hat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_call_is_told_what_is_wrong() {
    let engine = FakeEngine::start(Product::OpenSearch, 5).await;
    let gateway = app::start(&engine, &overlap()).await;
    for (body, status, words) in [
        (json!({ "query": "a" }), 400, "missing field `documents`"),
        (json!({ "query": "a", "documents": ["b"], "rank_fields": [] }), 400, "unknown field `rank_fields`"),
        (json!({ "query": "a", "documents": ["b", " "] }), 400, "documents[1] is empty"),
        (json!({ "query": " ", "documents": ["b"] }), 400, "a query and at least one document"),
        (json!({ "query": "a", "documents": [] }), 400, "a query and at least one document"),
        (json!({ "query": "a", "documents": ["b"], "model": "x" }), 404, "there is no model \\\"x\\\"; the models are: m"),
        (json!({ "query": "a", "documents": ["b"], "instruction": "x" }), 400, "takes no instruction"),
        (json!({ "query": "a", "documents": vec!["b"; 5000] }), 429, "too many documents waiting"),
        (json!({ "query": "a", "documents": vec!["b"; 10_001] }), 413, "more than 10000 documents"),
    ] {
        let reply = ask(gateway.admin, &body).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(words), "{}", reply.text());
    }
    assert_eq!(Call::post("/v1/rerank", "{").send(gateway.admin).await.status, 400);
    assert_eq!(Call::get("/v1/rerank").send(gateway.admin).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_guards_the_api_and_not_the_probes() {
    let engine = FakeEngine::start(Product::OpenSearch, 50).await;
    let far = app::start(&engine, &format!("admin.token = 'sesame'\n{}", overlap())).await;
    let call = || Call::post("/v1/rerank", r#"{"query":"a","documents":["b"]}"#);
    for (shown, status) in
        [(None, 401), (Some("Bearer other"), 401), (Some("sesame"), 401), (Some("bearer sesame"), 200), (Some("Bearer sesame"), 200)]
    {
        let call = shown.map_or_else(call, |shown| call().with("authorization", shown));
        assert_eq!(call.send(far.admin).await.status, status, "{shown:?}");
    }
    assert_eq!(Call::get("/health").send(far.admin).await.status, 200);
    let near = near(&engine, far.admin, "token = 'sesame'\n").await;
    near.loaded().await;
    assert!(near.search(MATCH).await.rerank_status().starts_with("reranked"));
}
