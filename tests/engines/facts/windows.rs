//! Which of `from`, `size` and `q` count, and what scores a page shows.

use serde_json::{Value, json};

use crate::rig::engines::{Engine, Product, on, on_each};

const IDS: usize = 300;

/// Texts of growing length, so that every hit of `shoe` has a score of its own.
fn filled(engine: &Engine, index: &str) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"rank":{"type":"long"},"colour":{"type":"keyword"}}}}"#;
    let ids: Vec<String> = (0..IDS).map(|number| number.to_string()).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!("shoe {}", "more ".repeat(number % 60));
        let colour = if number % 3 == 0 { "red" } else { "blue" };
        (id.as_str(), json!({"title":title,"rank":number,"colour":colour}).to_string())
    });
    engine.fill(index, definition, documents);
}

#[test]
fn the_urls_page_wins_over_the_bodys() {
    on_each(|engine| {
        filled(engine, "windows-url");
        let reply = engine.call("POST", "/windows-url/_search?size=2&from=1", r#"{"size":1,"from":0,"sort":["rank"]}"#);
        assert_eq!(reply.ids(), ["1", "2"]);
    });
}

#[test]
fn the_urls_query_replaces_the_bodys() {
    on_each(|engine| {
        filled(engine, "windows-q");
        let body = r#"{"query":{"term":{"colour":"red"}},"size":300,"track_total_hits":true}"#;
        let answer = engine.ok("POST", "/windows-q/_search?q=colour:blue", body);
        assert_eq!(answer["hits"]["total"]["value"], 200);
    });
}

#[test]
fn the_second_page_shows_the_maximum_of_the_first() {
    on_each(|engine| {
        filled(engine, "windows-maximum");
        let first = engine.ok("POST", "/windows-maximum/_search", r#"{"query":{"match":{"title":"shoe"}}}"#);
        let second = engine.ok("POST", "/windows-maximum/_search", r#"{"query":{"match":{"title":"shoe"}},"from":10}"#);
        assert_eq!(second["hits"]["max_score"], first["hits"]["max_score"]);
        assert!(second["hits"]["hits"][0]["_score"].as_f64() < second["hits"]["max_score"].as_f64());
    });
}

#[test]
fn a_search_of_filters_alone_scores_zero() {
    on_each(|engine| {
        filled(engine, "windows-filter");
        let reply = engine.call("POST", "/windows-filter/_search", r#"{"query":{"bool":{"filter":{"term":{"colour":"red"}}}}}"#);
        assert!(reply.hits().iter().all(|hit| hit["_score"] == json!(0.0)), "{}", reply.text());
    });
}

#[test]
fn more_hits_than_the_rescore_window_change_the_first_ones() {
    on_each(|engine| {
        filled(engine, "windows-rescore");
        // The rescored ten keep little of their score, so hits behind the window overtake them.
        let search = |size: usize| {
            let body = json!({"query":{"match":{"title":"shoe"}},"size":size,"rescore":{"query":{
                "rescore_query":{"match":{"colour":"red"}},"query_weight":1.0,"rescore_query_weight":0.0,"score_mode":"multiply"}}});
            engine.call("POST", "/windows-rescore/_search", &body.to_string()).ids()
        };
        assert_ne!(search(100)[..10], search(10)[..10]);
    });
}

#[test]
fn a_plain_knn_search_finds_more_when_more_is_asked() {
    on(Product::Elasticsearch, |engine| {
        let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
            "vector":{"type":"dense_vector","dims":2,"similarity":"l2_norm"}}}}"#;
        let ids: Vec<String> = (0..IDS).map(|number| number.to_string()).collect();
        engine.fill("windows-knn", definition, ids.iter().map(|id| (id.as_str(), format!("{{\"vector\":[{id},1]}}"))));
        let total = |size: usize| -> Value {
            let body = json!({"knn":{"field":"vector","query_vector":[0,1]},"size":size});
            engine.ok("POST", "/windows-knn/_search", &body.to_string())["hits"]["total"]["value"].clone()
        };
        assert_eq!((total(10), total(100)), (json!(10), json!(100)));
    });
}

#[test]
fn a_rescorer_retriever_must_not_be_smaller_than_the_page() {
    on(Product::Elasticsearch, |engine| {
        filled(engine, "windows-rescorer");
        let status = |size: usize| {
            let body = json!({"size":size,"retriever":{"rescorer":{"rescore":{"window_size":20,"query":{"rescore_query":{"match_all":{}}}},
                "retriever":{"standard":{"query":{"match":{"title":"shoe"}}}}}}});
            engine.call("POST", "/windows-rescorer/_search", &body.to_string()).status
        };
        assert_eq!((status(20), status(21)), (200, 400));
    });
}
