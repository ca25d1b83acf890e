//! Features of `_search` beside the query: each as the engine does it, on the reranked page.

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    http::{Call, Reply},
};

const DOCUMENTS: usize = 120;

fn search(more: &str) -> Call {
    Call::search(&format!(r#"{{"query":{{"match":{{"title":"red shoe"}}}}{more}}}"#))
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// Sends a search that must be reranked, and be one request to the engine.
async fn reranked(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> Reply {
    let before = engine.count();
    let reply = call.send(gateway.address).await;
    assert!(reply.rerank_status().starts_with("reranked"), "{call:?}: {}", reply.rerank_status());
    assert_eq!(engine.count(), before + 1, "{call:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_must_not_be_widened_is_reranked_page_by_page() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, &REVERSE.replace("fake-reverse", "test-observed")).await;
        for (query, more) in [
            ("search_pipeline=p", ""),
            ("terminate_after=100&pretty", ""),
            ("", r#","profile":true"#),
            ("", r#","terminate_after":100"#),
            ("", r#","search_pipeline":{"response_processors":[]}"#),
            ("", r#","collapse":{"field":"price","inner_hits":{"name":"i"}}"#),
        ] {
            for (from, searches) in [(0, 1), (10, 1), (10, 1)] {
                let call = search(&format!(r#"{more},"from":{from}"#)).query(query);
                let before = gateway.observed.searches();
                let reply = reranked(&engine, &gateway, &call).await;
                assert_eq!(gateway.observed.searches(), before + searches, "{query} {more}: pages are not pinned");
                let direct = call.send(engine.node.address).await;
                let seen = engine.node.seen().split_off(engine.count() - 2);
                assert_eq!((seen[0].line(), &seen[0].body), (seen[1].line(), &seen[1].body), "the client's own page is asked for");
                let (mut own, mut engines) = (Answer::of(&reply), Answer::of(&direct));
                assert_eq!(own.outside, engines.outside);
                assert_ne!(own.ids(), engines.ids(), "{query} {more}");
                own.hits = own.unscored();
                engines.hits = engines.unscored();
                own.hits.sort();
                engines.hits.sort();
                assert_eq!(own.hits, engines.hits, "no hit but the page's");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_alone_ends_at_the_window_and_tells_its_ranks() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &format!("{REVERSE}annotate = true\n")).await;
    let reply = reranked(&engine, &gateway, &search(r#","profile":true,"from":45"#)).await;
    assert_eq!(reply.rerank_status(), "reranked; model=\"m\"; window=5; scored=5; cached=0");
    let answer = Answer::of(&reply);
    assert_eq!(answer.ids(), ids([49, 48, 47, 46, 45, 50, 51, 52, 53, 54]));
    assert!(answer.hits[0].contains(r#""previous_rank":50"#), "{}", answer.hits[0]);
    let beyond = search(r#","profile":true,"from":50"#).send(gateway.address).await;
    assert_eq!(beyond.rerank_status(), "skipped; reason=beyond-window");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_added_to_a_page_that_comes_alone_and_its_own_errors_are_not_asked_for_twice() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let call = search(r#","_source":false,"terminate_after":3,"from":5"#).query("size=4");
    let reply = reranked(&engine, &gateway, &call).await;
    assert_eq!(Answer::of(&reply).ids(), ids([8, 7, 6, 5]));
    assert!(engine.bodies()[0].ends_with(r#""terminate_after":3,"from":5,"fields":["title"]}"#), "{}", engine.bodies()[0]);
    assert!(!reply.text().contains("fields"));
    engine.trouble(|_| Some(Trouble::Status(400)));
    let own = search(r#","profile":true"#);
    let before = engine.count();
    let own_reply = own.send(gateway.address).await;
    assert_eq!((own_reply.rerank_status(), engine.count()), ("skipped; reason=upstream-status", before + 1));
    assert_same(&own_reply, &own.send(engine.node.address).await);
    engine.trouble(|_| Some(Trouble::FailedShard));
    reranked(&engine, &gateway, &own).await;
}
