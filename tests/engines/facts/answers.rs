//! How answers look: their framing, types and shapes.

use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on, on_each},
    http,
};

fn filled(engine: &Engine, index: &str) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0}}"#;
    engine.fill(index, definition, [("1", r#"{"title":"red shoe"}"#.to_owned()), ("2", r#"{"title":"shoe"}"#.to_owned())]);
}

#[test]
fn opensearch_says_the_length_and_elasticsearch_sends_chunks() {
    on_each(|engine| {
        filled(engine, "answers-framing");
        let reply = engine.call("POST", "/answers-framing/_search", "{}");
        match engine.product {
            Product::OpenSearch => {
                assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
                assert_eq!(reply.header("content-type"), Some("application/json; charset=UTF-8"));
                assert!(reply.header("X-OpenSearch-Version").is_some());
            }
            Product::Elasticsearch => {
                assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
                assert_eq!(reply.header("content-type"), Some("application/json"));
                assert_eq!(reply.header("X-elastic-product"), Some("Elasticsearch"));
            }
        }
    });
}

#[test]
fn elasticsearch_answers_in_the_vendor_type_that_was_asked_for() {
    on(Product::Elasticsearch, |engine| {
        filled(engine, "answers-vendor");
        let vendor = "application/vnd.elasticsearch+json;compatible-with=9";
        let headers = [("Content-Type", vendor), ("Accept", vendor)];
        let reply = http::send(engine.address, "POST", "/answers-vendor/_search", &headers, b"{}");
        assert_eq!(reply.header("content-type"), Some(vendor));
    });
}

#[test]
fn answers_are_compressed_when_asked() {
    on_each(|engine| {
        filled(engine, "answers-gzip");
        let headers = [("Content-Type", "application/json"), ("Accept-Encoding", "gzip")];
        let packed = http::send(engine.address, "POST", "/answers-gzip/_search", &headers, b"{}");
        let plain = engine.call("POST", "/answers-gzip/_search", "{}");
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(packed.json()["hits"], plain.json()["hits"]);
    });
}

#[test]
fn a_page_of_none_with_aggregations_says_terminated_early_on_opensearch() {
    on_each(|engine| {
        filled(engine, "answers-none");
        let body = r#"{"size":0,"query":{"match":{"title":"shoe"}},"aggs":{"all":{"value_count":{"field":"_index"}}}}"#;
        let answer = engine.ok("POST", "/answers-none/_search", body);
        let expected = (engine.product == Product::OpenSearch).then_some(&Value::Bool(true));
        assert_eq!(answer.get("terminated_early"), expected, "{answer}");
    });
}

#[test]
fn several_searches_are_answered_in_order_with_a_status_each() {
    on_each(|engine| {
        filled(engine, "answers-several");
        let lines = b"{\"index\":\"answers-several\"}\n{}\n{\"index\":\"answers-nowhere\"}\n{}\n";
        let reply = http::send(engine.address, "POST", "/_msearch", &[("Content-Type", "application/x-ndjson")], lines);
        let answer = reply.json();
        assert_eq!(answer["responses"][0]["status"], 200, "{answer}");
        assert_eq!(answer["responses"][1]["status"], 404, "{answer}");
        assert!(answer["responses"][1]["error"].is_object(), "{answer}");
    });
}

#[test]
fn an_opensearch_template_is_rendered_and_its_answer_ends_with_the_status() {
    on(Product::OpenSearch, |engine| {
        filled(engine, "answers-template");
        let template = r#"{"source":{"query":{"match":{"title":"{{text}}"}}},"params":{"text":"red"}}"#;
        let rendered = engine.ok("POST", "/_render/template", template);
        assert_eq!(rendered, json!({"template_output":{"query":{"match":{"title":"red"}}}}));
        let answer = engine.call("POST", "/answers-template/_search/template", template).text();
        assert!(answer.ends_with("\"status\":200}"), "{answer}");
    });
}

#[test]
fn a_point_in_time_opens_with_an_id_of_the_engines_own_name() {
    on_each(|engine| {
        filled(engine, "answers-time");
        let (path, name) = match engine.product {
            Product::OpenSearch => ("/answers-time/_search/point_in_time?keep_alive=1m", "pit_id"),
            Product::Elasticsearch => ("/answers-time/_pit?keep_alive=1m", "id"),
        };
        let opened = engine.ok("POST", path, "");
        let id = opened[name].as_str().expect("an id").to_owned();
        let answer = engine.ok("POST", "/_search", &json!({"pit":{"id":id}}).to_string());
        assert_eq!(answer["pit_id"].as_str(), Some(id.as_str()));
    });
}
