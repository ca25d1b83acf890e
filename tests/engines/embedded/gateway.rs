//! Podium before the embedded engine: all that it adds to a search is understood.

use serde_json::{Value, json};

use crate::rig::{
    embedded::Embedded,
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const DOCUMENTS: usize = 60;
const WINDOW: usize = 50;
const RULES: &str = r#"
[models.reverse]
kind = "fake-reverse"

[defaults]
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }

[[rules]]
index = ["shop"]
model = "reverse"
"#;

fn fill(embedded: &Embedded) {
    let document = |number: usize| json!({"title": format!("shoe {}", "more ".repeat(number)), "colour": "red"});
    let lines: String = (0..DOCUMENTS).map(|number| format!("{{\"index\":{{\"_id\":\"{number}\"}}}}\n{}\n", document(number))).collect();
    let headers = [("Content-Type", "application/x-ndjson")];
    let filled = http::send(embedded.address, "POST", "/shop/_bulk?refresh=true", &headers, lines.as_bytes());
    assert_eq!(filled.json()["errors"], false, "{}", filled.text());
}

/// Returns the first ids with the window turned round.
fn turned_round(embedded: &Embedded, body: &Value) -> Vec<String> {
    let mut wide = body.clone();
    wide["from"] = json!(0);
    wide["size"] = json!(WINDOW);
    let reply: Reply = http::json(embedded.address, "POST", "/shop/_search", &wide.to_string());
    let mut ids = reply.ids();
    ids.reverse();
    ids
}

#[test]
fn searches_are_reranked_whatever_they_ask() {
    let embedded = Embedded::start();
    fill(&embedded);
    let gateway = Gateway::before(embedded.address, RULES);
    let query = json!({"match": {"title": "shoe"}});
    for body in [
        json!({"query": query}),
        json!({"query": query, "_source": false}),
        json!({"query": query, "_source": ["colour"], "fields": ["colour"]}),
        json!({"query": query, "from": 5, "size": 20, "track_total_hits": true}),
        json!({"query": query, "highlight": {"type": "plain", "fields": {"title": {}}}}),
        json!({"query": {"multi_match": {"query": "shoe", "fields": ["title^2"]}}}),
        json!({"query": {"bool": {"must": query, "filter": {"term": {"colour.keyword": "red"}}}}}),
    ] {
        let reply = gateway.reranked("/shop/_search", &body);
        let (from, size) = (body["from"].as_u64().unwrap_or(0), body["size"].as_u64().unwrap_or(10));
        let (from, size) = (usize::try_from(from).expect("small"), usize::try_from(size).expect("small"));
        assert_eq!(reply.ids(), turned_round(&embedded, &body)[from..from + size], "{body}");
    }
    let sent = http::send(gateway.address, "GET", "/shop/_search?q=shoe&size=3", &[("Accept-Encoding", "gzip")], b"");
    assert!(status_of(&sent).starts_with("reranked"), "{}: {}", status_of(&sent), sent.text());
    assert_eq!(sent.ids().len(), 3);
}

#[test]
fn other_requests_pass_as_they_are() {
    let embedded = Embedded::start();
    fill(&embedded);
    let gateway = Gateway::before(embedded.address, RULES);
    for (method, target, body) in [
        ("GET", "/", ""),
        ("GET", "/_cluster/health", ""),
        ("GET", "/shop/_doc/1", ""),
        ("GET", "/shop/_mapping", ""),
        ("POST", "/shop/_search", r#"{"aggs":{}}"#),
        ("POST", "/shop/_update/1", r#"{"doc":{}}"#),
        ("GET", "/nope/_search", ""),
    ] {
        let (through, direct) = (gateway.call(method, target, body), http::json(embedded.address, method, target, body));
        assert_eq!((through.status, through.text()), (direct.status, direct.text()), "{method} {target}");
    }
}
