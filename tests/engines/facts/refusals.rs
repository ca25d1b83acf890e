//! What the engines take and what they refuse.

use crate::rig::{
    engines::{Engine, Product, on_each},
    http,
};

const ONE_SHARD: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0}}"#;

fn filled(engine: &Engine, index: &str) {
    let documents = (0..5).map(|number| (["0", "1", "2", "3", "4"][number], format!("{{\"title\":\"shoe {number}\"}}")));
    engine.fill(index, ONE_SHARD, documents);
}

fn assert_refused(engine: &Engine, target: &str, body: &str) {
    let reply = engine.call("POST", target, body);
    assert_eq!(reply.status, 400, "{:?} {target} {body}: {}", engine.product, reply.text());
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    on_each(|engine| {
        filled(engine, "refused-twice");
        assert_refused(engine, "/refused-twice/_search", r#"{"size":1,"size":2}"#);
    });
}

#[test]
fn a_page_behind_ten_thousand_is_refused() {
    on_each(|engine| {
        filled(engine, "refused-deep");
        assert_refused(engine, "/refused-deep/_search", r#"{"from":9991,"size":10}"#);
        engine.ok("POST", "/refused-deep/_search", r#"{"from":9990,"size":10}"#);
    });
}

#[test]
fn unknown_keys_are_refused() {
    on_each(|engine| {
        filled(engine, "refused-unknown");
        assert_refused(engine, "/refused-unknown/_search", r#"{"uhost":"elsewhere"}"#);
        assert_refused(engine, "/refused-unknown/_search", r#"{"ext":{"rerank":{"query_context":{"query_text":"shoe"}}}}"#);
        assert_refused(engine, "/refused-unknown/_search?unknown=1", "{}");
    });
}

#[test]
fn a_body_without_its_type_is_refused() {
    on_each(|engine| {
        filled(engine, "refused-typeless");
        let reply = http::send(engine.address, "POST", "/refused-typeless/_search", &[], b"{}");
        assert_eq!(reply.status, 406, "{}", reply.text());
    });
}

#[test]
fn elasticsearch_wants_vendor_types_that_agree() {
    on_each(|engine| {
        if engine.product == Product::OpenSearch {
            return;
        }
        filled(engine, "refused-vendor");
        let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
        let ask = |content_type, accept| {
            let headers = [("Content-Type", content_type), ("Accept", accept)];
            http::send(engine.address, "POST", "/refused-vendor/_search", &headers, b"{}").status
        };
        assert_eq!(ask(vendor, vendor), 200);
        assert_eq!(ask("application/json", vendor), 400);
    });
}

#[test]
fn numbers_in_quotes_and_comments_are_taken() {
    on_each(|engine| {
        filled(engine, "taken-odd");
        let quoted = engine.call("POST", "/taken-odd/_search", r#"{"size":"3"}"#);
        assert_eq!(quoted.ids().len(), 3);
        let commented = engine.call("POST", "/taken-odd/_search", "{/* a page of */\"size\":2}");
        assert_eq!(commented.ids().len(), 2);
    });
}

#[test]
fn raw_angle_brackets_and_quotes_in_the_query_string_are_taken() {
    on_each(|engine| {
        filled(engine, "taken-raw");
        for target in ["/taken-raw/_search?q=title:<shoe>", "/taken-raw/_search?q=\"shoe\""] {
            let reply = engine.call("GET", target, "");
            assert!(reply.status == 200 || reply.text().contains("query_shard_exception"), "{target}: {} {}", reply.status, reply.text());
        }
    });
}

#[test]
fn a_red_index_answers_503_from_a_healthy_node() {
    on_each(|engine| {
        let nowhere = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0,"index.routing.allocation.require._name":"nobody"}}"#;
        engine.call("DELETE", "/refused-red", "");
        engine.ok("PUT", "/refused-red?wait_for_active_shards=0", nowhere);
        let reply = engine.call("POST", "/refused-red/_search", "{}");
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.json()["error"].is_object(), "{}", reply.text());
        engine.ok("DELETE", "/refused-red", ""); // a red index slows the other tests' health checks
    });
}

#[test]
fn an_opensearch_search_pipeline_is_refused_by_name() {
    on_each(|engine| {
        filled(engine, "refused-pipeline");
        assert_refused(engine, "/refused-pipeline/_search?search_pipeline=none-such", "{}");
    });
}
