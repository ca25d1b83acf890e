//! How much is looked into at one time: what does not fit streams through, and nobody waits.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use podium::config::{self, KINDS};

use crate::support::{
    answer::assert_same,
    app::{self, REVERSE},
    client::{Client, status},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    fake_models,
    fake_upstream::{Act, FakeUpstream},
    http::Call,
    soon, until,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}},"size":7}"#;
const OVERLOADED: &str = "skipped; reason=overloaded";
/// What a widened search takes of the engine's time where a test wants it to be under way.
const SLOW: Duration = Duration::from_secs(3);

/// Asserts that a search passes as it is, at once, and is not looked into.
async fn assert_passes(engine: &FakeEngine, gateway: &app::Gateway, call: &Call) {
    let started = Instant::now();
    let reply = call.send(gateway.address).await;
    assert!(started.elapsed() < SLOW, "it waited");
    assert_eq!(reply.rerank_status(), OVERLOADED);
    assert_same(&reply, &call.send(engine.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_searches_than_may_be_under_way_stream_through() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Slow(SLOW)));
        let gateway = app::start(&engine, &format!("limits.max-concurrent-searches = 1\n{REVERSE}")).await;
        let first = tokio::spawn({
            let address = gateway.address;
            async move { Call::search(MATCH).send(address).await }
        });
        until(|| engine.count() == 1).await;
        for call in
            [Call::search(MATCH), Call::search(MATCH).query("pretty"), Call::post("/products/_search/template", r#"{"id":"stored"}"#)]
        {
            assert_passes(&engine, &gateway, &call).await;
        }
        let lines = format!("{{\"index\":\"products\"}}\n{MATCH}\n");
        let several = Call::post("/_msearch", lines.clone()).send(gateway.address).await;
        assert_eq!((several.status, several.rerank_status(), engine.bodies().last()), (200, OVERLOADED, Some(&lines)));
        assert!(first.await.unwrap().rerank_status().starts_with("reranked; "));
        engine.trouble(|_| None);
        assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked; "), "there is a place again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_rule_needs_no_place() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Slow(SLOW)));
    let gateway = app::start(&engine, &format!("limits.max-concurrent-searches = 1\n{REVERSE}")).await;
    let address = gateway.address;
    let first = tokio::spawn(async move { Call::search(MATCH).send(address).await });
    until(|| engine.count() == 1).await;
    let other = Call::post("/other/_search", MATCH).send(gateway.address).await;
    assert_eq!((other.status, other.rerank_status()), (200, "skipped; reason=no-rule"));
    assert_eq!(Call::get("/_cluster/health").send(gateway.address).await.rerank_status(), "");
    first.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_share_the_memory_for_what_is_looked_into() {
    for codings in ["identity", "gzip"] {
        let engine = FakeEngine::start(Product::OpenSearch, 120).await;
        engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Bulk(60_000)));
        let limits = "limits.max-inspected-body = '90KiB'\nlimits.inspected-memory = '130KiB'\n";
        // Its answer is held for the two seconds that the model takes for it.
        let rules = REVERSE.replace("fake-reverse", "fake-fixed-cost").replace("window = 50", "window = 100");
        let gateway = app::start(&engine, &format!("{limits}{rules}")).await;
        // Each is another search: the same one would wait for the first.
        let call = |number: usize| Call::search(MATCH).query(&format!("preference={number}")).with("accept-encoding", codings);
        let address = gateway.address;
        let first = call(0);
        let first = tokio::spawn(async move { first.send(address).await });
        until(|| engine.count() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let second = call(1).send(gateway.address).await;
        assert_eq!(second.rerank_status(), OVERLOADED, "{codings}");
        assert_same(&second, &call(1).send(engine.node.address).await);
        assert_eq!(first.await.unwrap().rerank_status().split(';').next(), Some("reranked"), "{codings}");
        let third = call(2).send(gateway.address).await;
        assert_eq!(third.rerank_status().split(';').next(), Some("reranked"), "what was held is given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_share_it_as_well() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let limits = "limits.max-inspected-body = '90KiB'\nlimits.inspected-memory = '130KiB'\n";
    let gateway = app::start(&engine, &format!("{limits}{REVERSE}")).await;
    // The largest part of a search, and no more for a while.
    let long = format!(r#"{{"query":{{"match":{{"title":"{}"}}}}}}"#, "shoe ".repeat(16_000));
    let mut dripping = Client::connect(gateway.address).await;
    let head = "POST /products/_search HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let (start, end) = long.split_at(long.len() - 10);
    dripping.send(format!("{head}content-length: {}\r\n\r\n{start}", long.len())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let call = Call::search(&long);
    let reply = call.send(gateway.address).await;
    assert_eq!(reply.rerank_status(), OVERLOADED);
    assert_same(&reply, &call.send(engine.node.address).await);
    assert_eq!(engine.bodies()[0], long, "as it came");
    dripping.send(end).await;
    let answer = dripping.rest().await;
    assert_eq!(status(&answer), 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_whose_answer_will_not_fit_is_sent_once() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let limits = "limits.max-inspected-body = '128KiB'\nlimits.inspected-memory = '130KiB'\n";
    let gateway = app::start(&engine, &format!("{limits}{REVERSE}")).await;
    assert!(gateway.search(MATCH).await.rerank_status().starts_with("reranked; "), "now it is known how large hits are");
    let held = 125 << 10;
    let mut dripping = Client::connect(gateway.address).await;
    let head = "POST /products/_search HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\n";
    dripping.send(format!("{head}content-length: {}\r\n\r\n{}", held + 1, " ".repeat(held))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reply = Call::search(MATCH).query("preference=other").send(gateway.address).await;
    assert_eq!((reply.rerank_status(), engine.bodies().len()), (OVERLOADED, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_the_rerank_api_share_it_too() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let limits = "limits.max-inspected-body = '128KiB'\nlimits.inspected-memory = '130KiB'\n";
    let gateway = app::start(&engine, &format!("{limits}{REVERSE}")).await;
    let call = Call::post("/v1/rerank", format!(r#"{{"query":"red","documents":["{}","shoe"]}}"#, "red ".repeat(2000)));
    assert_eq!(call.send(gateway.admin).await.status, 200);
    let held = 125 << 10;
    let mut dripping = Client::connect(gateway.admin).await;
    let head = "POST /v1/rerank HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\n";
    dripping.send(format!("{head}content-length: {}\r\n\r\n{}", held + 1, " ".repeat(held))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = call.send(gateway.admin).await;
    assert!(refused.status == 429 && refused.text().contains("inspected-memory"), "{}", refused.text());
    drop(dripping);
    soon(async {
        while call.send(gateway.admin).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Ten thousand hits of a megabyte each, never all at once in memory here: neither in what is looked into nor in what passes through.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_ten_gigabytes_is_dropped_at_the_cap_and_then_streams() {
    const WHOLE: usize = 10_000 << 20;
    /// What the cap lets in, and what sockets and pipes hold of two connections.
    const MOST: usize = (16 + 48) << 20;
    for framing in [format!("Content-Length: {WHOLE}"), "Connection: close".to_owned()] {
        let answered = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{{\"hits\":{{\"hits\":[");
        let node = FakeUpstream::scripted(move |_, _| vec![Act::text(answered.clone()), Act::Flood(WHOLE), Act::Close]).await;
        let gateway = app::start_before(node.address, REVERSE, fake_models::families(&Default::default())).await;
        gateway.loaded().await;
        let mut client = Client::connect(gateway.address).await;
        let body = r#"{"query":{"match":{"title":"shoe"}},"size":10000}"#;
        let head = "POST /products/_search HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\n";
        client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
        let answer = client.head().await;
        assert!(answer.contains("rerank-status: skipped; reason=too-large"), "{answer}");
        // Nobody reads on: what the node got rid of stands still.
        let mut flooded = node.flooded();
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = node.flooded();
            assert!(now < MOST, "{now} bytes are somewhere between");
            if now == flooded {
                break;
            }
            flooded = now;
        }
        assert_eq!(node.seen().len(), 2, "the widened search, and the client's own");
    }
}

#[test]
fn absurd_settings_are_refused_with_the_arithmetic() {
    let right = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n[models.m]\nsource = './m'\n\
        [[rules]]\nindex = ['a']\nmodel = 'm'\nfields = ['title']\n";
    let parse = |more: &str| config::parse(Path::new("p.toml"), &format!("{right}{more}"), KINDS);
    let rows: &[(&str, &str)] = &[
        (
            "[limits]\nmax-inspected-body = '1GiB'",
            "p.toml:10: limits.max-inspected-body = \"1GiB\": max-inspected-body (1.0 GiB) is more than inspected-memory (512.0 MiB), so that a body of that size never fits; lower it or raise inspected-memory",
        ),
        (
            "[limits]\ninspected-memory = '1MiB'",
            "p.toml:10: limits.inspected-memory = \"1MiB\": max-inspected-body (16.0 MiB) is more than inspected-memory (1.0 MiB), so that a body of that size never fits; lower it or raise inspected-memory",
        ),
        (
            "[limits]\ninspected-memory = 0",
            "p.toml:10: limits.inspected-memory = 0: must be a size from 1.0 KiB to 16.0 EiB, such as \"64MiB\"",
        ),
        (
            "[limits]\nmax-concurrent-searches = 0",
            "p.toml:10: limits.max-concurrent-searches = 0: must be a whole number from 1 to 1000000",
        ),
        ("timeout = '0s'", "p.toml:9: rules[0].timeout = \"0s\": must be a duration from 1ms to 1day, such as \"300ms\" or \"10s\""),
        (
            "timeout = '2s'\ntotal-timeout = '500ms'",
            "p.toml:10: rules[0].total-timeout = \"500ms\": the engine and reranking together (500ms) get less than reranking alone (timeout, 2s), which never gets that much; write a total-timeout of 2s and what the engine takes",
        ),
        (
            "answer-cache = '5s'\n[cache]\nanswers = 0",
            "p.toml:9: rules[0].answer-cache = \"5s\": cache.answers is 0, so that no answer is kept; raise it or leave this out",
        ),
        ("answer-cache = '2h'", "p.toml:9: rules[0].answer-cache = \"2h\": must be a duration from 0s to 1h, such as \"300ms\" or \"10s\""),
        ("[cache]\nscores-scope = 'me'", "p.toml:10: cache.scores-scope = \"me\": must be \"shared\" or \"identity\""),
    ];
    for (more, expected) in rows {
        assert_eq!(parse(more).expect_err("absurd").to_string(), *expected, "{more}");
    }
    let read = |more: &str| parse(more).expect("right");
    assert_eq!(read("total-timeout = '200ms'").rules[0].timeout.as_millis(), 300, "who sets one alone is left alone");
    let off = "answer-cache = '0s'\n[defaults]\nanswer-cache = '5s'";
    assert_eq!(read(off).rules[0].answer_cache, None, "a rule can do without");
}
