//! Searches that ask the engine to rerank, on an engine that would refuse them; and hits that are dropped by their score.

use crate::support::{
    answer::{Answer, assert_same, unscored},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    http::{Call, Reply},
};

const CHILD: &str = r#"{"standard":{"query":{"match":{"title":"shoe"}}}}"#;
const RERANK: &str = r#""rerank":{"query_context":{"query_text":"red"}}"#;

/// A rule whose model counts the query's words in a hit.
fn rules(more: &str) -> String {
    format!("{}{more}\n", REVERSE.replace("fake-reverse", "fake-overlap"))
}

fn serving() -> String {
    rules("serve-retrievers = true\next-rerank = 'serve'")
}

/// A retriever that reranks by the second text, which speaks of a hat in every fifth document.
fn reranking(more: &str) -> String {
    format!(r#"{{"text_similarity_reranker":{{"retriever":{CHILD},"field":"text","inference_text":"hat","rank_window_size":20{more}}}}}"#)
}

fn asking(retriever: &str, more: &str) -> String {
    format!(r#"{{"retriever":{retriever}{more}}}"#)
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// The first `window` documents, those that `stand_out` first.
fn ranked(window: usize, stand_out: impl Fn(usize) -> bool) -> Vec<usize> {
    let (first, rest): (Vec<usize>, Vec<usize>) = (0..window).partition(|document| stand_out(*document));
    [first, rest].concat()
}

/// Asserts that nothing came to the engine that it would have refused.
fn assert_never_refused(engine: &FakeEngine) {
    for body in engine.bodies() {
        assert!(!body.contains("text_similarity_reranker") && !body.contains("\"rerank\""), "{body}");
    }
}

async fn search(gateway: &Gateway, body: &str) -> Reply {
    let reply = gateway.search(body).await;
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reranking_retriever_is_served_wherever_it_stands() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &serving()).await;
    for around in [
        "@",
        r#"{"pinned":{"ids":["x"],"retriever":@,"rank_window_size":60}}"#,
        r#"{"rrf":{"retrievers":[{"retriever":@,"weight":2}],"rank_window_size":60}}"#,
    ] {
        let reply = search(&gateway, &asking(&around.replace('@', &reranking("")), r#","size":15"#)).await;
        assert_eq!(reply.rerank_status(), "reranked; model=\"m\"; window=20; scored=20; cached=0", "{around}");
        assert_eq!(Answer::of(&reply).ids(), ids(ranked(20, |document| document % 5 == 0)).split_off(0)[..15], "{around}");
        assert_eq!(engine.bodies().pop().unwrap(), asking(&around.replace('@', CHILD), r#","size":20,"from":0"#), "as raw bytes");
        let direct = Call::search(&asking(&around.replace('@', CHILD), r#","size":20"#)).send(engine.node.address).await;
        assert_eq!(Answer::of(&reply).outside, Answer::of(&direct).outside);
        let given: Vec<String> = Answer::of(&direct).hits.iter().map(|hit| unscored(hit)).collect();
        assert!(Answer::of(&reply).unscored().iter().all(|hit| given.contains(hit)), "hits are the engine's own bytes");
    }
    assert_never_refused(&engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_retriever_says_what_is_dropped_and_reads_filtered_sources() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &serving()).await;
    let body = asking(&reranking(r#","min_score":0.6"#), r#","_source":["big"]"#);
    let reply = search(&gateway, &body).await;
    assert_eq!(reply.rerank_status(), "reranked; model=\"m\"; window=20; scored=20; cached=0; dropped=16");
    assert_eq!(Answer::of(&reply).ids(), ids([0, 5, 10, 15]));
    assert!(!reply.text().contains("goes with") && reply.text().contains("9007199254740993"), "{}", reply.text());
    assert!(engine.bodies()[0].contains(r#""fields":["text"]"#), "{}", engine.bodies()[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerank_extension_is_served_and_goes() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &serving()).await;
    let query = r#""query":{"match":{"title":{"query":"shoe"}}}"#;
    let path = r#""rerank":{"query_context":{"query_text_path":"query.match.title.query"}}"#;
    for (ext, left, first) in [
        (format!(r#","ext":{{{RERANK}}}"#), String::new(), ids(ranked(50, |document| document % 3 == 0))),
        (format!(r#","ext":{{"ubi":{{}},{RERANK}}}"#), r#","ext":{"ubi":{}}"#.to_owned(), ids(ranked(50, |document| document % 3 == 0))),
        (format!(r#","ext":{{{path}}}"#), String::new(), ids(0..50)),
    ] {
        let reply = search(&gateway, &format!("{{{query}{ext}}}")).await;
        assert!(reply.rerank_status().starts_with("reranked; model=\"m\"; window=50; scored=50"), "{ext}: {}", reply.rerank_status());
        assert_eq!(Answer::of(&reply).ids(), first[..10], "{ext}");
        assert_eq!(engine.bodies().pop().unwrap(), format!(r#"{{{query}{left},"from":0,"size":50}}"#));
    }
    let in_url = Call::get(&format!(
        "/products/_search?q=shoe&source=%7B%22ext%22:%7B{}%7D%7D&source_content_type=application/json",
        RERANK.replace('"', "%22")
    ));
    assert_eq!(Answer::of(&in_url.send(gateway.address).await).ids()[0], "id0");
    assert_never_refused(&engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_never_ends_in_the_engines_refusal() {
    let retriever = asking(&reranking(""), r#","from":2,"size":5"#);
    let extension = format!(r#"{{"query":{{"match":{{"title":"shoe"}}}},"from":2,"size":5,"ext":{{{RERANK}}}}}"#);
    for (kind, reason) in
        [("test-loading", "model-loading"), ("test-missing", "model-unavailable"), ("fake-hang", "timeout"), ("fake-panic", "model-error")]
    {
        for (product, body, left) in [
            (Product::Elasticsearch, &retriever, asking(CHILD, r#","from":2,"size":5"#)),
            (Product::OpenSearch, &extension, extension.replace(&format!(r#","ext":{{{RERANK}}}"#), "")),
        ] {
            let engine = FakeEngine::start(product, 120).await;
            let mut rules = serving().replace("fake-overlap", kind);
            if reason == "timeout" {
                rules = rules.replace("\"30s\"", "\"150ms\"");
            }
            let gateway = app::start_at_once(&engine, &rules).await;
            match reason {
                "model-loading" => {}
                "model-unavailable" => {
                    while !gateway.missing_models().await.contains("is unavailable") {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                }
                _ => gateway.loaded().await,
            }
            let reply = search(&gateway, body).await;
            assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
            assert_same(&reply, &Call::search(&left).send(engine.node.address).await);
            assert_never_refused(&engine);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_reranked_for_another_reason_goes_out_served() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &serving()).await;
    for (more, reason) in [
        (r#","size":0"#, "no-page"),
        (r#","from":20"#, "beyond-window"),
        (r#","sort":["price"]"#, "sorted"),
        (r#","ext":{"ubi":3}"#, "unsupported"),
    ] {
        let reply = search(&gateway, &asking(&reranking(""), more)).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
        assert_same(&reply, &Call::search(&asking(CHILD, more)).send(engine.node.address).await);
    }
    engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Status(400)));
    for requests in [2, 1] {
        let before = engine.count();
        let reply = search(&gateway, &asking(&reranking(""), "")).await;
        assert_eq!((reply.rerank_status(), engine.count() - before), ("skipped; reason=rewrite-rejected", requests));
        assert_eq!(engine.bodies().pop().unwrap(), asking(CHILD, ""), "what stands for the client's search is sent again");
    }
    assert_never_refused(&engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rule_does_not_serve_is_the_engines() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        let nested = format!(r#"{{"text_similarity_reranker":{{"retriever":{},"field":"title","inference_text":"x"}}}}"#, reranking(""));
        for (rules, body, reason) in [
            (rules(""), asking(&reranking(""), ""), "engine-reranked"),
            (rules("ext-rerank = 'serve'"), asking(&reranking(""), ""), "engine-reranked"),
            (serving(), asking(&nested, ""), "engine-reranked"),
            (serving(), asking(&reranking(r#","_name":"n""#), ""), "engine-reranked"),
            (serving(), asking(&format!(r#"{{"unheard":{{"retriever":{}}}}}"#, reranking("")), ""), "unsupported"),
            (serving(), r#"{"query":{"match":{"title":"a"}},"ext":{"rerank":{"query_context":{}}}}"#.to_owned(), "unsupported"),
        ] {
            let gateway = app::start(&engine, &rules).await;
            let call = Call::search(&body);
            let before = engine.count();
            let reply = call.send(gateway.address).await;
            assert_eq!((reply.rerank_status(), engine.count() - before), (format!("skipped; reason={reason}").as_str(), 1), "{body}");
            assert_eq!(engine.bodies().pop().unwrap(), body);
            assert_same(&reply, &call.send(engine.node.address).await);
        }
        let off = Call::search(&asking(&reranking(""), "")).with("rerank", "off").send(app::start(&engine, &serving()).await.address).await;
        assert_eq!((off.status, off.rerank_status()), (400, "skipped; reason=client-off"), "the client wants the engine's word");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_7_a_window_that_a_retriever_has_is_never_exceeded() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &rules("")).await;
    let rrf =
        |more: &str| asking(&format!(r#"{{"rrf":{{"retrievers":[{{"standard":{{"query":{{"match":{{"title":"red"}}}}}}}}]{more}}}}}"#), "");
    for (body, page, window) in
        [(rrf(""), "", 10), (rrf(r#","rank_window_size":30"#), "from=25&size=10", 30), (rrf(r#","rank_window_size":1000"#), "", 50)]
    {
        let before = engine.count();
        let reply = Call::search(&body).query(page).send(gateway.address).await;
        assert!(reply.rerank_status().starts_with(&format!("reranked; model=\"m\"; window={window};")), "{}", reply.rerank_status());
        assert_eq!(engine.count() - before, 1, "no 400");
    }
    let refused = Call::search(&rrf("")).query("size=11");
    assert_same(&refused.send(gateway.address).await, &refused.send(engine.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_12_items_of_a_multi_search_are_served() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &serving()).await;
    let plain = r#"{"query":{"match":{"title":"red"}}}"#;
    let lines = format!(
        "{{\"index\":\"products\"}}\n{}\n{{\"index\":\"other\"}}\n{plain}\n{{\"index\":\"products\"}}\n{plain}\n",
        asking(&reranking(""), "")
    );
    let reply = Call::post("/_msearch", lines).with("content-type", "application/x-ndjson").send(gateway.address).await;
    let told = reply.rerank_status().split(", ").map(|one| one.split("; scored").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(told, ["reranked; model=\"m\"; window=20", "skipped; reason=no-rule", "reranked; model=\"m\"; window=50"]);
    assert_eq!((reply.status, engine.count()), (200, 1));
    assert!(reply.text().find("id5\"").unwrap() < reply.text().find("id1\"").unwrap(), "{}", reply.text());
    assert_never_refused(&engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_below_the_least_score_are_dropped_and_pages_agree() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        let gateway = app::start(&engine, &rules("min-score = 0.6")).await;
        let red = |from: usize, size: usize| format!(r#"{{"query":{{"match":{{"title":"red"}}}},"from":{from},"size":{size}}}"#);
        let expected: Vec<usize> = (0..50).filter(|document| document % 3 == 0).chain(50..60).collect();
        let mut all = Vec::new();
        for from in (0..60).step_by(10) {
            let reply = search(&gateway, &red(from, 10)).await;
            let expected_status = if from < 50 {
                "reranked; model=\"m\"; window=50; scored=50; cached=0; dropped=33"
            } else {
                "skipped; reason=beyond-window"
            };
            assert_eq!(reply.rerank_status(), expected_status, "{from}");
            let answer = Answer::of(&reply);
            assert!(answer.outside.contains("120"), "totals stay: {}", answer.outside);
            assert!(answer.scores().is_sorted_by(|before, after| before >= after));
            all.extend(answer.ids());
        }
        assert_eq!(all, ids(expected));
        assert_eq!(Answer::of(&search(&gateway, &red(45, 10)).await).ids(), ids(50..55), "a straddling page has the rest alone");
        let nothing = search(&gateway, r#"{"query":{"match":{"title":"nowhere"}},"size":20}"#).await;
        assert_eq!((Answer::of(&nothing).hits.len(), Answer::of(&nothing).max_score.as_deref()), (0, Some("0.0")));
        assert!(nothing.rerank_status().ends_with("dropped=50"), "{}", nothing.rerank_status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_15_a_clients_word_for_the_query_counts_where_it_is_trusted() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let body = r#"{"query":{"match":{"title":"shoe"}}}"#;
    for (rules, first) in [(rules(""), ids([0, 1, 2])), (rules("trust-client = true"), ids([0, 3, 6]))] {
        let gateway = app::start(&engine, &rules).await;
        let reply = Call::search(body).with("rerank-query", "red").send(gateway.address).await;
        assert_eq!(Answer::of(&reply).ids()[..3], first);
    }
}
