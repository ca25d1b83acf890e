//! Models that are late, broken, absent or overloaded: the client gets the engine's own answer, and a header says why.

use std::time::{Duration, Instant};

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, Gateway, REVERSE},
    client::{Client, status},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    fake_models::COST,
    http::Call,
    log::{self, CANARY},
    until,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}},"from":3,"size":7}"#;
const TIMEOUT: Duration = Duration::from_millis(150);

/// How late an answer may be on a machine that has a lot to do; an answer that waits for the model comes later still.
const SLACK: Duration = Duration::from_secs(5);

/// Every kind of model that does not score, and what is said of it.
const FAILING: [(&str, &str); 7] = [
    ("fake-hang", "timeout"),
    ("fake-panic", "model-error"),
    ("fake-nan", "model-error"),
    ("fake-wrong-count", "model-error"),
    ("fake-broken", "model-error"),
    ("test-loading", "model-loading"),
    ("test-missing", "model-unavailable"),
];

fn rules(kind: &str) -> String {
    REVERSE.replace("fake-reverse", kind).replace("\"30s\"", &format!("\"{}ms\"", TIMEOUT.as_millis()))
}

/// Asserts that a search goes out in the engine's order, for this reason, and in every byte as the engine says it.
async fn assert_engine_order(engine: &FakeEngine, gateway: &Gateway, call: &Call, reason: &str) {
    let reply = call.send(gateway.address).await;
    assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
    assert_same(&reply, &call.send(engine.node.address).await);
}

/// Starts a gateway with a model of this kind, as far as it ever starts.
async fn start(engine: &FakeEngine, kind: &str, reason: &str) -> Gateway {
    // Only a search that is to be late has little time: a busy machine may need long to print a panic.
    let rules = if reason == "timeout" { rules(kind) } else { REVERSE.replace("fake-reverse", kind) };
    match reason {
        "model-loading" => app::start_at_once(engine, &rules).await,
        "model-unavailable" => {
            let gateway = app::start_at_once(engine, &rules).await;
            while !gateway.missing_models().await.contains("is unavailable") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            gateway
        }
        _ => app::start(engine, &rules).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_1_and_rule_4_a_model_that_fails_costs_the_order_and_nothing_else() {
    for product in PRODUCTS {
        for (kind, reason) in FAILING {
            let engine = FakeEngine::start(product, 120).await;
            let gateway = start(&engine, kind, reason).await;
            for call in
                [Call::search(MATCH), Call::search(MATCH).query("pretty&_source=big"), Call::search(MATCH).with("accept-encoding", "gzip")]
            {
                assert_engine_order(&engine, &gateway, &call, reason).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_2_a_model_that_is_too_slow_is_not_waited_for() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &rules("fake-hang")).await;
    for turn in 0..3 {
        // Another search each time: the same one would follow what became of the first.
        let call = Call::search(MATCH).query(&format!("preference={turn}"));
        let started = Instant::now();
        let reply = call.send(gateway.address).await;
        let took = started.elapsed();
        assert_eq!(reply.rerank_status(), "skipped; reason=timeout");
        assert_same(&reply, &call.send(engine.node.address).await);
        assert!(took >= TIMEOUT && took < TIMEOUT + SLACK, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_2_work_for_a_search_that_was_answered_stops() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &rules("test-observed")).await;
    let reply = gateway.search(MATCH).await;
    assert!(["skipped; reason=timeout", "skipped; reason=overloaded"].contains(&reply.rerank_status()), "{}", reply.rerank_status());
    assert_same(&reply, &Call::search(MATCH).send(engine.node.address).await);
    // Time enough for the whole window, were anybody at it.
    tokio::time::sleep(COST * 60).await;
    let documents = gateway.observed.documents();
    assert!((1..50).contains(&documents), "{documents}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_budget_counts_the_engines_time() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    engine.trouble(|_| Some(Trouble::Slow(Duration::from_millis(60))));
    let gateway = app::start(&engine, &REVERSE.replace("\"60s\"", "\"50ms\"").replace("\"30s\"", "\"50ms\"")).await;
    assert_engine_order(&engine, &gateway, &Call::search(MATCH), "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_the_queue_does_not_hold_is_shed() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let rules = rules("fake-hang").replace("[[rules]]", "max-queue = 50\n[[rules]]").replace("150ms", "1s");
    let gateway = app::start(&engine, &rules).await;
    // One pair of the first is with the model, the others wait; the second finds no room for fifty.
    let call = |word: &str| Call::search(&format!(r#"{{"query":{{"match":{{"title":"{word}"}}}}}}"#));
    let first = call("shoe");
    let first = first.send(gateway.address);
    let second = async {
        until(|| engine.count() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_engine_order(&engine, &gateway, &call("boot"), "queue-full").await;
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.rerank_status(), "skipped; reason=timeout");
    assert_engine_order(&engine, &gateway, &call("sandal"), "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_drips_in_is_not_waited_for_but_passed_on() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &rules("fake-reverse").replace("\"60s\"", "\"200ms\"")).await;
    let (start, end) = MATCH.split_at(20);
    let mut client = Client::connect(gateway.address).await;
    let head = "POST /products/_search HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\nconnection: close\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{start}", MATCH.len())).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.send(end).await;
    let answer = client.rest().await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains("rerank-status: skipped; reason=timeout"), "{answer}");
    assert_eq!(engine.bodies(), [MATCH], "as it came, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instruction_to_a_model_that_takes_none_is_refused_in_words() {
    let engine = FakeEngine::start(Product::OpenSearch, 30).await;
    let rules = REVERSE.replace("window = 50", "window = 50\ninstruction = 'find shoes'");
    let gateway = app::start_at_once(&engine, &rules).await;
    let mut missing = String::new();
    while !missing.contains("is unavailable") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        missing = gateway.missing_models().await;
    }
    assert!(missing.contains("rules[0].instruction is set, and a model of kind fake-reverse takes no instruction"), "{missing}");
    let reply = gateway.search(r#"{"query":{"match":{"title":"shoe"}}}"#).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=model-unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_that_fail_do_not_harm_those_beside_them() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let sound = "[models.sound]\nkind = \"fake-reverse\"\n[[rules]]\nindex = [\"sound\"]\nmodel = \"sound\"\nfields = [\"title\"]\ntimeout = \"30s\"\ntotal-timeout = \"60s\"\n";
    for kind in ["fake-panic", "fake-hang", "fake-wrong-count"] {
        let gateway = app::start(&engine, &format!("{}{sound}", rules(kind))).await;
        for _ in 0..3 {
            let other = Call::post("/sound/_search", MATCH);
            let (broken, other) = tokio::join!(gateway.search(MATCH), other.send(gateway.address));
            assert!(broken.rerank_status().starts_with("skipped"), "{kind}");
            assert_eq!(Answer::of(&other).ids()[0], "id96", "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_search_is_logged_whatever_becomes_of_it() {
    let body = format!(r#"{{"query":{{"match":{{"title":"shoe {CANARY}"}}}}}}"#);
    let calls = [
        Call::search(&body),
        Call::search(&body).query(&format!("q={CANARY}&preference={CANARY}")),
        Call::search(&body).query(&format!("{CANARY}={CANARY}")),
        Call::search(&body[..body.len() - 1]),
        Call::search(&format!("{{\"{CANARY}\":1}}")),
        Call::post(&format!("/{CANARY}/_search"), body.clone()),
    ];
    let troubles = [
        None,
        Some(Trouble::Status(400)),
        Some(Trouble::Status(503)),
        Some(Trouble::FailedShard),
        Some(Trouble::Cut),
        Some(Trouble::Text(CANARY)),
    ];
    for (kind, reason) in [("fake-overlap", ""), ("fake-panic", "model-error"), ("fake-hang", "timeout"), ("test-loading", "model-loading")]
    {
        for trouble in troubles.clone() {
            let engine = FakeEngine::start(Product::OpenSearch, 60).await;
            engine.trouble(move |asked| trouble.clone().filter(|_| asked.size > 10));
            let gateway = start(&engine, kind, reason).await;
            for call in calls.clone() {
                let secret = call.with("authorization", CANARY).with("cookie", CANARY).with("x-opaque-id", CANARY);
                let reply = secret.send(gateway.address).await;
                assert!(!reply.rerank_status().contains(CANARY) && !reply.header("server-timing").contains(CANARY));
            }
        }
    }
    assert!(log::searches_answered() > 0, "the log is not searched");
    assert_eq!(log::leaks(), [""; 0]);
}
