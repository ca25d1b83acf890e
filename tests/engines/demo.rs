//! `podium demo --engine` on real engines: the shop's searches mean the same there as on the embedded one, and nothing stays.

use std::process::{Command, Output};

use serde_json::Value;

use crate::{
    rig::engines::{Engine, Product, on, say},
    tiny_model,
};

fn demo(model: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podium"))
        .args(["demo", "--exit", "--json", "--model", model])
        .args(arguments)
        .output()
        .expect("the built binary runs")
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn indices(engine: &Engine) -> Value {
    engine.ok("GET", "/podium-demo*/_mapping", "")
}

#[test]
fn a_real_opensearch_ranks_the_shop_as_the_embedded_engine_does() {
    on(Product::OpenSearch, |engine| {
        let folder = tiny_model::write();
        let model = folder.path().to_str().expect("a path in UTF-8");
        let url = format!("http://{}", engine.address);
        let [real, embedded] = [report(&demo(model, &["--engine", &url])), report(&demo(model, &[]))];
        assert!(real["engine"]["product"].as_str().is_some_and(|product| product.starts_with("opensearch ")), "{}", real["engine"]);
        assert_eq!((&real["engine"]["embedded"], &real["ndcg_at_10"]["reranked"]), (&false.into(), &40.into()));
        let [alone, own] = [&real, &embedded].map(|report| report["ndcg_at_10"]["engine"].as_f64().expect("a number"));
        say(&format!("the shop, NDCG@10: OpenSearch {alone:.4}, the embedded engine {own:.4}"));
        assert!((alone - own).abs() < 0.01);
        assert_eq!(indices(engine), serde_json::json!({}), "the demo's index is gone");
    });
}

/// The jars of Elasticsearch that Maven Central has come without the analyzer `english`.
#[test]
fn an_engine_that_refuses_the_index_is_quoted_and_nothing_stays() {
    on(Product::Elasticsearch, |engine| {
        let folder = tiny_model::write();
        let url = format!("http://{}", engine.address);
        let output = demo(folder.path().to_str().expect("a path in UTF-8"), &["--engine", &url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
        assert!(said.contains("the engine does not create the index: 400 Bad Request: ") && said.contains("[english]"), "{said}");
        assert_eq!(indices(engine), serde_json::json!({}), "no index is left");
    });
}
