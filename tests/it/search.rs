//! Reranked searches: the engine's own answer in another order, and nothing else. Numbers are those of the cases that
//! broke others.

use crate::support::{
    answer::{Answer, assert_same, headers},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, Mood, PRODUCTS, Product, descending},
    fake_hits::title,
    http::{Call, Reply},
};

const DOCUMENTS: usize = 120;
const WINDOW: usize = 50;
const MATCH: &str = r#""query":{"match":{"title":"shoe"}}"#;

/// Returns a search's body with these entries more.
fn shoes(more: &str) -> String {
    format!("{{{MATCH}{}{more}}}", if more.is_empty() { "" } else { "," })
}

fn page(from: usize, size: usize) -> String {
    shoes(&format!(r#""from":{from},"size":{size}"#))
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// Asserts that `call`, asked for the whole window, is answered with the engine's own hits turned round, and that all
/// else is as the engine says it.
async fn assert_turned_round(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> (Answer, Reply) {
    let (direct, reply) = (call.send(engine.node.address).await, call.send(gateway.address).await);
    assert!(reply.rerank_status().starts_with("reranked; model=\"m\"; window="), "{call:?}: {}", reply.rerank_status());
    assert!(reply.header("server-timing").starts_with("engine;dur="));
    assert_eq!((reply.status, headers(&reply)), (direct.status, headers(&direct)), "{call:?}");
    let (expected, answer) = (Answer::of(&direct), Answer::of(&reply));
    assert_eq!(answer.outside, expected.outside, "{call:?}");
    let turned: Vec<String> = expected.unscored().into_iter().rev().collect();
    assert_eq!(answer.unscored(), turned, "{call:?}");
    (answer, reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn case_3_pages_are_the_first_stage_set_in_the_new_order() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let mut seen = Vec::new();
    let mut scores = Vec::new();
    let mut maxima = Vec::new();
    for from in (0..WINDOW).step_by(10) {
        let answer = Answer::of(&gateway.search(&page(from, 10)).await);
        seen.extend(answer.ids());
        scores.extend(answer.scores());
        maxima.push(answer.max_score);
    }
    assert_eq!(seen, ids((0..WINDOW).rev()));
    assert!(scores.is_sorted_by(|before, after| before >= after), "{scores:?}");
    assert!(maxima.iter().all(|maximum| *maximum == maxima[0]), "{maxima:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_4_empty_large_and_straddling_pages() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let turned = |size: usize| ids((0..WINDOW).rev().chain(WINDOW..size));
    for (from, size) in [(0, 100), (0, WINDOW), (45, 10), (49, 1), (0, 1), (30, 500)] {
        let answer = Answer::of(&gateway.search(&page(from, size)).await);
        assert_eq!(answer.ids(), turned(DOCUMENTS)[from..DOCUMENTS.min(from + size)], "{from} {size}");
        assert!(answer.scores().is_sorted_by(|before, after| before >= after && *after >= Some(0.0)), "{:?}", answer.scores());
    }
    for (from, size, reason) in
        [(0, 0, "no-page"), (WINDOW, 10, "beyond-window"), (9_999, 10, "beyond-window"), (DOCUMENTS, 10, "beyond-window")]
    {
        let call = Call::search(&page(from, size));
        let reply = call.send(gateway.address).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
        assert_same(&reply, &call.send(engine.node.address).await);
        assert_eq!(engine.bodies().iter().rev().take(2).collect::<Vec<_>>(), [&page(from, size); 2], "forwarded as it came");
    }
    let call = Call::search(&page(40, 2)).query("from=3&size=1");
    assert_eq!(Answer::of(&call.send(gateway.address).await).ids(), ["id46"], "the URL wins");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_5_9_10_18_and_22_hits_and_all_around_them_keep_their_bytes() {
    let asked = [
        "",
        r#""_source":true"#,
        r#""_source":false"#,
        r#""_source":["price"]"#,
        r#""_source":"n*""#,
        r#""_source":{"excludes":["title","n"]},"fields":["big"]"#,
        r#""_source":{"includes":["big"],"excludes":["title"]}"#,
        r#""_source":false,"fields":["title","price"]"#,
        r#""_source":false,"fields":["n.t"]"#,
        r#""_source":false,"fields":["t*",{"field":"n.*"}]"#,
        r#""_source":["big"],"fields":["nothing"]"#,
        r#""stored_fields":["x"]"#,
        r#""sort":["_score"],"track_scores":true"#,
        r#""_source":false,"docvalue_fields":["big"]"#,
        r#""version":true,"highlight":{"fields":{"title":{}}}"#,
        r#""aggs":{"a":{"max":{"field":"big"}}},"suggest":{"s":{"text":"sheo","term":{"field":"title"}}}"#,
        r#""track_total_hits":false"#,
        r#""script_fields":{"other":{"script":"1"}},"_source":true"#,
        r#""min_score":0.1,"post_filter":{"term":{"price":1}}"#,
    ];
    let urls = ["", "pretty", "rest_total_hits_as_int=true", "_source=false", "_source_includes=price,big&pretty=true", "preference=me"];
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        for fields in [r#"["title"]"#, r#"["n.t", "text"]"#] {
            let gateway = app::start(&engine, &REVERSE.replace(r#"["title"]"#, fields)).await;
            for more in asked {
                for url in urls {
                    let size = format!(r#"{more}{}"size":{WINDOW}"#, if more.is_empty() { "" } else { "," });
                    assert_turned_round(&engine, &gateway, &Call::search(&shoes(&size)).query(url)).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_18_large_integers_and_decimals_survive() {
    let engine = FakeEngine::start(Product::OpenSearch, 20).await;
    let gateway = app::start(&engine, REVERSE).await;
    let reply = gateway.search(&shoes(r#""aggs":{}"#)).await;
    let text = reply.text();
    assert_eq!(text.matches(r#""big":9007199254740993,"price":1.0"#).count(), 10, "{text}");
    assert!(text.ends_with(r#""aggregations":{"hits":{"value":9007199254740993,"hits":[1.0,1,1e3]}}}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_may_stay_the_engines() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &format!("{REVERSE}score = \"keep\"\n")).await;
    let call = Call::search(&page(0, WINDOW)).query("pretty");
    let (mut direct, kept) = (Answer::of(&call.send(engine.node.address).await), Answer::of(&call.send(gateway.address).await));
    direct.hits.reverse();
    assert_eq!(kept, direct, "scores and maximum included");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_many_hits_is_read_off_the_async_threads() {
    let engine = FakeEngine::start(Product::OpenSearch, 5000).await;
    let gateway = app::start(&engine, REVERSE).await;
    let answer = Answer::of(&gateway.search(&page(0, 4000)).await);
    assert_eq!(answer.ids(), ids((0..WINDOW).rev().chain(WINDOW..4000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_asked_what_the_engine_was_asked() {
    let engine = FakeEngine::start(Product::OpenSearch, 12).await;
    let gateway = app::start(&engine, &REVERSE.replace("fake-reverse", "fake-overlap")).await;
    let reds = ids([0, 3, 6, 9, 1, 2, 4, 5, 7, 8]);
    for call in [
        Call::search(r#"{"query":{"match":{"title":"red"}}}"#),
        Call::search(
            r#"{"query":{"bool":{"must":[{"multi_match":{"query":"red","fields":["title"]}}],"filter":{"match":{"title":"7"}}}}}"#,
        ),
        Call::search(&shoes("")).query("q=red"),
        Call::get("/products/_search?q=title:red"),
    ] {
        assert_eq!(Answer::of(&call.send(gateway.address).await).ids(), reds, "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_22_a_needed_name_that_a_script_makes_is_left_to_it() {
    let engine = FakeEngine::start(Product::OpenSearch, 20).await;
    let gateway = app::start(&engine, REVERSE).await;
    for more in [r#""_source":false,"script_fields":{"title":{"script":"1"}}"#, r#""_source":["big"],"docvalue_fields":["title"]"#] {
        let call = Call::search(&shoes(more));
        let reply = call.send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=field-conflict");
        assert_same(&reply, &call.send(engine.node.address).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_8_scores_belong_to_the_texts_of_their_documents() {
    let engine = FakeEngine::start(Product::Elasticsearch, 60).await;
    let rules = REVERSE.replace("fake-reverse", "fake-overlap").replace(r#"["title"]"#, "[\"title\", \"text\"]\nannotate = true");
    let gateway = app::start(&engine, &rules).await;
    let body = r#"{"query":{"match":{"title":"red hat"}},"size":50}"#;
    let answer = Answer::of(&gateway.search(body).await);
    let found = |document: &usize| usize::from(title(*document).ends_with("red")) + usize::from(document.is_multiple_of(5));
    let mut expected: Vec<usize> = (0..WINDOW).collect();
    expected.sort_by_key(|document| 2 - found(document));
    assert_eq!(answer.ids(), ids(expected.iter().copied()));
    for (hit, document) in answer.hits.iter().zip(&expected) {
        let hit: serde_json::Value = serde_json::from_str(hit).unwrap();
        let annotation = &hit["fields"]["_rerank"][0];
        let overlap = found(document) as f64 / 2.0;
        let probability = 1.0 / (1.0 + (-overlap).exp());
        assert!((annotation["score"].as_f64().unwrap() - probability).abs() < 1e-6, "{hit}");
        assert_eq!(annotation["previous_rank"], document + 1, "{hit}");
        assert_eq!(annotation["previous_score"].as_f64().unwrap().to_string(), descending(*document).trim_end_matches(".0"), "{hit}");
        assert_eq!(hit["_score"], annotation["score"], "{hit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_pinned_documents_stay() {
    let score = |place: usize| if matches!(place, 0 | 2) { "3.0E38".to_owned() } else { descending(place) };
    for product in PRODUCTS {
        let mood = Mood { score, ..Mood::of(product, DOCUMENTS) };
        let engine = FakeEngine::start_with(mood).await;
        let gateway = app::start(&engine, REVERSE).await;
        let mut expected: Vec<usize> = (0..WINDOW).rev().filter(|place| !matches!(place, 0 | 2)).collect();
        expected.insert(0, 0);
        expected.insert(2, 2);
        let pages = [Answer::of(&gateway.search(&page(0, 10)).await), Answer::of(&gateway.search(&page(10, 40)).await)];
        assert_eq!(pages.iter().flat_map(Answer::ids).collect::<Vec<_>>(), ids(expected));
        for place in [0, 2] {
            assert!(pages[0].hits[place].contains(r#""_score":3.0E38"#), "{}", pages[0].hits[place]);
        }
        assert_eq!(pages[0].max_score.as_deref(), Some("3.0E38"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_21_a_rescorer_bounds_what_moves_and_what_is_asked() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let rescored = shoes(r#""size":10,"rescore":{"query":{"rescore_query":{"match":{"title":"red"}}}}"#);
    assert_turned_round(&engine, &gateway, &Call::search(&rescored)).await;
    assert!(engine.bodies().last().unwrap().contains(r#""size":10,"rescore""#), "{:?}", engine.bodies().last());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_24_scores_that_are_all_the_same_or_not_there() {
    let scores: [fn(usize) -> String; 3] = [|_| "0.0".into(), |_| "null".into(), |_| "1.0".into()];
    for score in scores {
        for fusion in ["replace", "adaptive", "rrf", "weighted"] {
            let mood = Mood { score, ..Mood::of(Product::OpenSearch, DOCUMENTS) };
            let engine = FakeEngine::start_with(mood).await;
            let kind = REVERSE.replace("fake-reverse", if fusion == "adaptive" { "fake-overlap" } else { "fake-reverse" });
            let gateway = app::start(&engine, &format!("{kind}fusion = {{ kind = \"{fusion}\" }}\n")).await;
            let reply = gateway.search(&page(0, 60)).await;
            let answer = Answer::of(&reply);
            assert!(reply.rerank_status().starts_with("reranked"), "{fusion}: {}", reply.rerank_status());
            let mut sorted = answer.ids();
            sorted.sort();
            let mut all = ids(0..60);
            all.sort();
            assert_eq!(sorted, all);
            assert_eq!(answer.ids()[WINDOW..], ids(WINDOW..60), "the tail keeps its order");
            if score(0) == "null" {
                assert_eq!((answer.scores(), answer.max_score), (vec![None; 60], None), "{fusion}");
            } else {
                assert!(answer.scores().is_sorted_by(|before, after| before >= after), "{fusion}: {:?}", answer.scores());
            }
        }
    }
}
