//! Features of `_search` beside the query: each as the engine does it, on the reranked page.

use std::collections::BTreeSet;

use podium::es::allow_list::{BODY, URL};

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
    let reply = own.send(gateway.address).await;
    assert_eq!((reply.rerank_status(), engine.count()), ("skipped; reason=upstream-status", before + 1));
    assert_same(&reply, &own.send(engine.node.address).await);
    engine.trouble(|_| Some(Trouble::FailedShard));
    reranked(&engine, &gateway, &own).await;
}

/// Each key of the allow-list that needs no test of its own, with a value.
const KEYS: [(&str, &str); 29] = [
    ("_source", r#"["title","price"]"#),
    ("aggregations", r#"{ "a":{"terms":{"field":"price"}}}"#),
    ("aggs", r#"{"a":{"terms":{"field":"price"}}}"#),
    ("collapse", r#"{"field":"price"}"#),
    ("derived", r#"{"d":{"type":"keyword","script":"emit('a')"}}"#),
    ("docvalue_fields", r#"["price"]"#),
    ("explain", "true"),
    ("fields", r#"["title"]"#),
    ("highlight", r#"{"fields":{"title":{}}}"#),
    ("include_named_queries_score", "true"),
    ("indices_boost", r#"[{"products":1.50}]"#),
    ("min_score", "0.10"),
    ("post_filter", r#"{"match_all":{}}"#),
    ("profile", "true"),
    ("rescore", r#"{"window_size":60,"query":{"rescore_query":{"match":{"title":"x"}}}}"#),
    ("runtime_mappings", r#"{"r":{"type":"long"}}"#),
    ("script_fields", r#"{"s":{"script":"1"}}"#),
    ("search_pipeline", r#""p""#),
    ("seq_no_primary_term", "true"),
    ("sort", r#"["_score"]"#),
    ("stats", r#"["g"]"#),
    ("stored_fields", r#"["price"]"#),
    ("suggest", r#"{"s":{"text":"sheo","term":{"field":"title"}}}"#),
    ("terminate_after", "100"),
    ("timeout", r#""10s""#),
    ("track_scores", "true"),
    ("track_total_hits", "9007199254740993"),
    ("version", "true"),
    ("query", r#"{"match":{"title":{"query":"red shoe","_name":"n"}}}"#),
];

/// What stands in the body of a rewritten search, and not in its URL.
const MOVED: [&str; 5] = ["filter_path", "from", "size", "source", "source_content_type"];

#[tokio::test(flavor = "multi_thread")]
async fn each_key_and_parameter_reaches_the_engine() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let mut tested: BTreeSet<&str> = BTreeSet::from(["from", "size"]);
    for (key, value) in KEYS {
        tested.insert(key);
        let query = if key == "query" { String::new() } else { format!(r#","query":{{"match":{{"title":"red shoe"}}}}"#) };
        let pair = format!(r#""{key}": {value}"#);
        reranked(&engine, &gateway, &Call::search(&format!("{{{pair}{query}}}"))).await;
        let sent = engine.bodies().pop().unwrap();
        assert!(sent.contains(&pair), "{pair}: {sent}");
    }
    assert_eq!(tested, BODY.iter().map(|(key, _)| *key).collect());
    for name in URL {
        let value = match *name {
            "_source" | "_source_includes" | "_source_excludes" | "docvalue_fields" | "stored_fields" => "price%2Cbig",
            "explain" => "false",
            "sort" => "_score%3Adesc",
            "filter_path" => "hits",
            "q" => "red+shoe",
            "source" => "%7B%22query%22:%7B%22match%22:%7B%22title%22:%22shoe%22%7D%7D%7D&source_content_type=application%2Fjson",
            "source_content_type" => "application%2Fjson&source=%7B%22query%22:%7B%22match%22:%7B%22title%22:%22shoe%22%7D%7D%7D",
            _ => "5",
        };
        let pair = format!("{name}={value}");
        let call = if name.starts_with("source") { Call::get("/products/_search") } else { search("") };
        reranked(&engine, &gateway, &call.query(&format!("pretty=false&{pair}").replace("pretty=false&pretty", "pretty"))).await;
        let seen = engine.node.seen().pop().unwrap();
        assert_eq!(seen.line().contains(&pair), !MOVED.contains(name), "{}", seen.line());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collapsed_groups_are_reranked_by_their_first_hits() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        let call = search(r#","collapse":{"field":"group"}"#);
        let answer = Answer::of(&reranked(&engine, &gateway, &call).await);
        assert_eq!(answer.ids(), ids((40..50).rev()));
        let direct = Answer::of(&search(r#","collapse":{"field":"group"},"size":50"#).send(engine.node.address).await);
        assert!(answer.unscored().iter().all(|hit| hit.contains(r#""fields":{"group":["#) && direct.unscored().contains(hit)));
        let own = reranked(&engine, &gateway, &search(r#","_source":false,"collapse":{"field":"group"}"#)).await;
        assert!(Answer::of(&own).hits[0].ends_with(r#""fields":{"group":[49]}}"#), "{}", own.text());
        let conflict = search(r#","_source":false,"collapse":{"field":"title"}"#).send(gateway.address).await;
        assert_eq!(conflict.rerank_status(), "skipped; reason=field-conflict");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_are_wrapped() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    for call in [search(r#","explain":true,"size":2"#), search(r#","size":2"#).query("explain=true")] {
        let answer = Answer::of(&reranked(&engine, &gateway, &call).await);
        assert_eq!(answer.ids(), ids([1, 0]));
        for (hit, (score, own)) in answer.hits.iter().zip(answer.scores().into_iter().zip(["19.875", "20.0"])) {
            let explained = format!(
                r#""_explanation":{{"value":{:?},"description":"reranked by model [m], from the engine's own:","details":[{{"value":{own},"description":"weight(title:shoe)","details":[]}}]}}"#,
                score.unwrap() as f32
            );
            assert!(hit.contains(&explained), "{explained}: {hit}");
        }
    }
    let keeping = app::start(&engine, &format!("{REVERSE}score = 'keep'\n")).await;
    let kept = reranked(&engine, &keeping, &search(r#","explain":true,"size":2"#)).await;
    assert!(!kept.text().contains("reranked"), "a score that stays needs no other explanation");
}

#[tokio::test(flavor = "multi_thread")]
async fn filter_path_is_applied_to_the_reranked_page() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        for (query, more, expected) in [
            ("filter_path=hits.hits._id", r#","size":2"#, r#"{"hits":{"hits":[{"_id":"id49"},{"_id":"id48"}]}}"#),
            ("filter_path=**.title,-hits.hits.fields", r#","size":1"#, r#"{"hits":{"hits":[{"_source":{"title":"shoe 49"}}]}}"#),
            ("filter_path=hits.hits.fields,_shards.failed", r#","size":1,"_source":false"#, r#"{"_shards":{"failed":0}}"#),
            ("filter_path=nothing", "", "{}"),
            (
                "filter_path=hits.hits._id&pretty",
                r#","size":1,"profile":true"#,
                "{\n  \"hits\" : {\n    \"hits\" : [\n      {\n        \"_id\" : \"id0\"\n      }\n    ]\n  }\n}\n",
            ),
        ] {
            let reply = engine_and(&engine, &gateway, &search(more).query(query)).await;
            assert_eq!(reply.text(), expected, "{query}");
            assert!(!engine.node.seen().pop().unwrap().line().contains("filter_path"), "{query}");
        }
        engine.mood().order.clear();
        let none =
            engine_and(&engine, &gateway, &search("").query("filter_path=-hits.hits._source,-took,-_shards,-timed_out,-hits.total")).await;
        let kept = if product == Product::Elasticsearch { r#","hits":[]"# } else { "" };
        assert_eq!(none.text(), format!(r#"{{"hits":{{"max_score":null{kept}}}}}"#));
        engine.trouble(|_| Some(Trouble::Status(404)));
        let call = search("").query("filter_path=took");
        assert_same(&call.send(gateway.address).await, &call.send(engine.node.address).await);
    }
}

/// Sends a search that must be one request to the engine, whatever comes of it.
async fn engine_and(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> Reply {
    let before = engine.count();
    let reply = call.send(gateway.address).await;
    assert_eq!((reply.status, engine.count()), (200, before + 1), "{call:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn vendor_media_types_are_kept() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
    let call = search("").with("content-type", vendor).with("accept", vendor);
    let reply = reranked(&engine, &gateway, &call).await;
    assert_eq!(reply.header("content-type"), vendor);
    let seen = engine.node.seen().pop().unwrap();
    assert_eq!((seen.header("content-type"), seen.header("accept")), (Some(vendor), Some(vendor)));
    let bare = Call::get("/products/_search?q=shoe").with("accept", vendor);
    reranked(&engine, &gateway, &bare).await;
    assert_eq!(engine.node.seen().pop().unwrap().header("content-type"), Some(vendor), "a body of ours agrees with what is accepted");
}
