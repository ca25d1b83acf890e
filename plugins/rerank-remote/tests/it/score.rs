//! What a remote model does when all goes well, or well enough.

use std::{
    thread,
    time::{Duration, Instant},
};

use rerank_plugin::{Deadline, testing::conformance};
use tokio::runtime::Runtime;

use crate::server::{Manner, Server, documents, endpoints, load, model, orders, score};

const AMPLE: Duration = Duration::from_secs(10);

fn hundred() -> Vec<f32> {
    (0..100).map(|number| number as f32 / 128.0).collect()
}

#[test]
fn scores_come_back_in_the_order_of_the_documents_whatever_the_calls() {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    assert_eq!(orders(score(model.as_ref(), &documents(hundred()), AMPLE)), hundred());
    let mut sizes: Vec<_> = server.calls().iter().map(|call| call.body["documents"].as_array().map(Vec::len)).collect();
    sizes.sort();
    assert_eq!(sizes, [Some(36), Some(64)], "split to the batch of the configuration");
}

#[test]
fn what_is_sent_is_what_the_protocol_says() {
    let server = Server::start(Manner::Score);
    let mut asked = endpoints(&[&server]);
    asked.token = Some("secret".into());
    let model = load(asked).expect("the server answers");
    let first = server.calls().remove(0);
    assert_eq!((first.path.as_str(), first.token.as_deref()), ("/v1/rerank", Some("Bearer secret")), "the first call is asked at loading");
    score(model.as_ref(), &documents([0.25]), AMPLE);
    let call = server.calls().remove(0);
    assert_eq!(call.body["query"], "red shoes");
    assert_eq!(call.body["documents"][0], "0.25 is the score");
    assert_eq!(call.body["model"], "model");
}

#[test]
fn a_server_with_a_limit_is_asked_in_smaller_calls_from_then_on() {
    let server = Server::start(Manner::AtMost(20));
    let model = model(&[&server]);
    for (round, calls) in [(0, 10), (1, 7)] {
        assert_eq!(orders(score(model.as_ref(), &documents(hundred()), AMPLE)), hundred());
        assert_eq!(server.calls().len(), calls, "round {round}: 64 + 36 documents by halves, then by 16");
    }
}

#[test]
fn another_endpoint_is_asked_when_one_fails() {
    let (ill, well) = (Server::start(Manner::Score), Server::start(Manner::Score));
    let model = model(&[&ill, &well]);
    for manner in [Manner::Say(500, "broken"), Manner::Say(429, "busy"), Manner::Say(200, "<html>"), Manner::Say(503, "")] {
        ill.behave(manner);
        for _ in 0..8 {
            assert_eq!(orders(score(model.as_ref(), &documents([0.5, 0.75]), AMPLE)), [0.5, 0.75], "{manner:?}");
        }
    }
    let (asked_ill, asked_well) = (ill.calls().len(), well.calls().len());
    assert_eq!(asked_well, 32);
    assert!(asked_ill < 8, "an endpoint that failed rests: {asked_ill} calls");
}

#[test]
fn endpoints_share_the_calls_and_one_that_is_down_does_not_matter() {
    let (one, other) = (Server::start(Manner::Score), Server::start(Manner::Score));
    let mut asked = endpoints(&[&one, &other]);
    asked.urls.push("http://127.0.0.1:1".to_owned());
    asked.batch = 1;
    let model = load(asked).expect("two endpoints answer");
    for _ in 0..4 {
        assert_eq!(orders(score(model.as_ref(), &documents(hundred()), AMPLE)), hundred());
    }
    let (first, second) = (one.calls().len(), other.calls().len());
    assert!(first > 100 && second > 100, "{first} and {second} calls");
}

#[test]
fn an_answer_comes_before_the_deadline_and_keeps_what_is_there() {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    server.behave(Manner::Hang);
    let started = Instant::now();
    let results = score(model.as_ref(), &documents(hundred()), Duration::from_millis(200));
    assert!(results.iter().all(|result| *result == Err(rerank_plugin::Fault::Stopped)));
    assert!(started.elapsed() < Duration::from_millis(1000), "{:?}", started.elapsed());
}

#[test]
fn a_call_that_is_given_up_is_not_kept_open() {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    server.behave(Manner::Hang);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (query, documents) = (conformance::query("q"), documents([0.5]));
        let call = model.score(&query, &documents, Deadline::after(AMPLE));
        tokio::time::timeout(Duration::from_millis(300), call).await.expect_err("the server hangs");
    });
    drop(runtime);
    let closed = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        server.open() == 0
    });
    assert!(closed, "the server was told that nobody waits");
}
