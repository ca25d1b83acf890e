//! Searches that ask for a reranker which the engines here lack: refused directly, served through the gateway.

use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on},
    gateway::{Gateway, status_of},
};

const DOCUMENTS: usize = 60;
const RULES: &str = r#"
[models.overlap]
kind = "fake-overlap"
[models.hang]
kind = "fake-hang"

[defaults]
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }
serve-retrievers = true
ext-rerank = "serve"

[[rules]]
index = ["serving-*"]
when = { url-param = { preference = "late" } }
model = "hang"
timeout = "100ms"

[[rules]]
index = ["serving-*"]
model = "overlap"
"#;

fn before(engine: &Engine, index: &str, test: impl Fn(&Gateway, &str)) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"note":{"type":"text"}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!("shoe {}{}", if number % 7 == 6 { "red " } else { "" }, "more ".repeat(number));
        (id.as_str(), format!(r#"{{"title":"{title}","note":"{}"}}"#, if number % 5 == 4 { "with a hat" } else { "alone" }))
    });
    engine.fill(index, definition, documents);
    test(&Gateway::start(engine, RULES), &format!("/{index}/_search"));
}

fn shoes() -> Value {
    json!({"match":{"title":"shoe"}})
}

/// Returns the engine's first `window` ids, those first whose number leaves `rest` when divided by `by`.
fn ranked(engine: &Engine, target: &str, window: usize, (by, rest): (usize, usize)) -> Vec<String> {
    let ids = engine.call("POST", target, &json!({"query":shoes(),"size":window}).to_string()).ids();
    assert_eq!(ids.len(), window);
    let (first, last): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| id[2..].parse::<usize>().expect("a number") % by == rest);
    [first, last].concat()
}

#[test]
fn a_reranking_retriever_is_served_where_the_engine_knows_none() {
    on(Product::Elasticsearch, |engine| {
        before(engine, "serving-retriever", |gateway, target| {
            let child = json!({"standard":{"query":shoes()}});
            let reranker = |filter: Value| json!({"text_similarity_reranker":{"retriever":child,"field":"note","inference_text":"hat","rank_window_size":30,"filter":filter}});
            let all = reranker(json!({"match_all":{}}));
            let body = json!({"retriever":all,"_source":["title"]}).to_string();
            assert_eq!(engine.call("POST", target, &body).status, 400, "the engine knows no such retriever");
            let reply = gateway.call("POST", target, &body);
            assert_eq!(status_of(&reply), "reranked; model=\"overlap\"; window=30; scored=30; cached=0", "{}", reply.text());
            assert_eq!(reply.ids(), ranked(engine, target, 30, (5, 4))[..10]);
            assert!(!reply.text().contains("hat"), "what was read is not shown");
            let rescored =
                json!({"retriever":{"rescorer":{"retriever":all,"rescore":{"window_size":40,"query":{"rescore_query":shoes()}}}}});
            let inside = gateway.call("POST", target, &rescored.to_string());
            assert_eq!((inside.status, status_of(&inside)), (200, "reranked; model=\"overlap\"; window=30; scored=30; cached=0"));
            let filtered = json!({"retriever":reranker(json!({"ids":{"values":["id4","id5","id6"]}}))});
            assert_eq!(gateway.call("POST", target, &filtered.to_string()).ids(), ["id4", "id5", "id6"]);
            let late = gateway.call("POST", &format!("{target}?preference=late"), &body);
            assert_eq!((late.status, status_of(&late)), (200, "skipped; reason=timeout"));
            assert_eq!(late.ids(), engine.call("POST", target, &json!({"retriever":child}).to_string()).ids());
        });
    });
}

#[test]
fn a_rerank_extension_is_served_where_the_engine_knows_none() {
    on(Product::OpenSearch, |engine| {
        before(engine, "serving-extension", |gateway, target| {
            for context in [json!({"query_text":"red"}), json!({"query_text_path":"query.bool.should.0.match.title.query"})] {
                let red = json!({"bool":{"must":shoes(),"should":[{"match":{"title":{"query":"red","boost":0}}}]}});
                let body = json!({"query":red,"ext":{"rerank":{"query_context":context}}}).to_string();
                assert_eq!(engine.call("POST", target, &body).status, 400, "the engine knows no such extension");
                let reply = gateway.call("POST", target, &body);
                assert_eq!(status_of(&reply), "reranked; model=\"overlap\"; window=50; scored=50; cached=0", "{}", reply.text());
                let first: Vec<usize> = reply.ids()[..7].iter().map(|id| id[2..].parse().expect("a number")).collect();
                assert!(first.iter().all(|number| number % 7 == 6), "{first:?}");
                let late = gateway.call("POST", &format!("{target}?preference=late"), &body);
                assert_eq!((late.status, status_of(&late)), (200, "skipped; reason=timeout"));
                assert_eq!(late.ids(), engine.call("POST", target, &json!({"query":red}).to_string()).ids());
            }
        });
    });
}
