//! Pages of one search agree, at the price of one computation, and for one identity alone.

use crate::support::{
    answer::Answer,
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, Product, Trouble},
    http::{Call, Reply},
    until,
};

const DOCUMENTS: usize = 120;

fn page(from: usize, size: usize) -> Call {
    Call::search(&format!(r#"{{"query":{{"match":{{"title":"red shoe"}}}},"from":{from},"size":{size}}}"#))
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// Starts a gateway whose model tells what it does.
async fn observed(engine: &FakeEngine) -> Gateway {
    app::start(engine, &REVERSE.replace("fake-reverse", "test-observed")).await
}

fn assert_reranked(reply: &Reply) {
    assert!(reply.rerank_status().starts_with("reranked"), "{}", reply.rerank_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_3_pages_after_the_first_cost_no_scoring_and_say_the_same() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = observed(&engine).await;
    let first = page(0, 10).send(gateway.address).await;
    assert_reranked(&first);
    let mut all = Answer::of(&first).ids();
    for from in [10, 20, 30, 40] {
        let reply = page(from, 10).send(gateway.address).await;
        assert_eq!(reply.rerank_status(), first.rerank_status());
        all.extend(Answer::of(&reply).ids());
    }
    assert_eq!((gateway.observed.searches(), engine.count()), (1, 5), "each page is the caller's own search");
    all.sort();
    let mut window = ids(0..50);
    window.sort();
    assert_eq!(all, window);
    assert_eq!(Answer::of(&page(0, 50).send(gateway.address).await).ids()[0], "id0");
    assert_eq!(gateway.observed.searches(), 2, "a first page is computed afresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_page_without_a_first_computes_and_is_followed() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = observed(&engine).await;
    let deep = page(20, 10).send(gateway.address).await;
    assert_reranked(&deep);
    let again = page(20, 10).send(gateway.address).await;
    assert_eq!((Answer::of(&deep).hits, gateway.observed.searches()), (Answer::of(&again).hits, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_a_pin_is_for_one_identity_and_one_search() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = observed(&engine).await;
    let bob = |from| page(from, 10).with("authorization", "Basic Ym9i");
    bob(0).send(gateway.address).await;
    let others = [
        (bob(10), 1),
        (bob(10).with("x-opaque-id", "7").with("traceparent", "00-1-1-00").with("accept-encoding", "gzip"), 1),
        (page(10, 10).with("authorization", "Basic ZXZl"), 2),
        (page(10, 10), 3),
        (bob(10).with("cookie", "sid=1"), 4),
        (bob(10).with("x-tenant", "1"), 5),
        (bob(10).query("preference=1"), 6),
        (bob(10).query("from=10&size=10"), 6),
    ];
    for (call, searches) in others {
        assert_reranked(&call.send(gateway.address).await);
        assert_eq!(gateway.observed.searches(), searches, "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_pages_after_a_first_that_timed_out_stay_in_the_engines_order() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let rules = REVERSE.replace("fake-reverse", "test-observed").replace("\"30s\"", "\"20ms\"");
    let gateway = app::start(&engine, &rules).await;
    let mut all = Vec::new();
    for from in [0, 10, 20, 45] {
        let reply = page(from, 10).send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=timeout");
        all.extend(Answer::of(&reply).ids());
    }
    assert_eq!(all, ids((0..30).chain(45..55)));
    assert_eq!(gateway.observed.searches(), 1, "later pages follow the first, late as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_pages_after_a_first_without_a_model_stay_in_the_engines_order() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start_at_once(&engine, &REVERSE.replace("fake-reverse", "test-loading")).await;
    for from in [0, 10] {
        let reply = page(from, 10).send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=model-loading");
        assert_eq!(Answer::of(&reply).ids(), ids(from..from + 10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_pages_after_a_first_that_the_engine_spoilt_stay_in_its_order() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Text("<html>")));
    for from in [0, 10] {
        let reply = page(from, 10).send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=upstream-answer");
        assert_eq!(Answer::of(&reply).ids(), ids(from..from + 10));
        engine.trouble(|_| None);
    }
    assert_reranked(&page(0, 10).send(gateway.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_after_a_refresh_new_hits_come_behind_the_pinned_ones() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    assert_eq!(Answer::of(&page(0, 10).send(gateway.address).await).ids(), ids((40..50).rev()));
    engine.mood().order = [200, 201].into_iter().chain(0..DOCUMENTS).collect();
    let pinned: Vec<usize> = (0..48).rev().chain([200, 201]).collect();
    for from in [10, 40] {
        let answer = Answer::of(&page(from, 10).send(gateway.address).await);
        assert_eq!(answer.ids(), ids(pinned[from..from + 10].iter().copied()));
        assert!(answer.scores().is_sorted_by(|before, after| before >= after), "{:?}", answer.scores());
    }
    let afresh = Answer::of(&page(0, 10).send(gateway.address).await).ids();
    assert_eq!(afresh, ids((38..48).rev()), "a first page is computed afresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_concurrent_firsts_share_one_computation() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = observed(&engine).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let address = gateway.address;
            tokio::spawn(async move { page(0, 10).send(address).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        let reply = call.await.unwrap();
        assert_reranked(&reply);
        answers.push(Answer::of(&reply));
    }
    assert!(answers.iter().all(|answer| answer.hits == answers[0].hits));
    assert_eq!((gateway.observed.searches(), engine.count()), (1, 8), "every hit comes from the caller's own answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_nobody_with_it() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = observed(&engine).await;
    let address = gateway.address;
    let leader = tokio::spawn(async move { page(0, 10).send(address).await });
    until(|| gateway.observed.documents() > 0).await;
    let follower = tokio::spawn(async move { page(0, 10).send(address).await });
    until(|| engine.count() == 2).await;
    leader.abort();
    let reply = follower.await.unwrap();
    assert_reranked(&reply);
    let begun = gateway.observed.searches();
    assert!((1..=2).contains(&begun), "the follower begins anew, or goes on with what is under way: {begun}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_page_memory_every_page_computes() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let rules = REVERSE.replace("fake-reverse", "test-observed");
    let gateway = app::start(&engine, &format!("{rules}[cache]\npage-memory = \"0s\"\n")).await;
    for (from, searches) in [(0, 1), (10, 2), (20, 3)] {
        assert_reranked(&page(from, 10).send(gateway.address).await);
        assert_eq!(gateway.observed.searches(), searches);
    }
}
