//! An index that is read to its end in a point in time: both products' ways, slices, shards, and what may go wrong on the way. It also
//! answers plain searches, so that what was read ahead can be compared with what a search meets.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    fake_engine::Product,
    fake_upstream::{Act, FakeUpstream, Seen},
    fake_wire::{self, Wire},
};

/// How the index is; a test may change it.
pub(crate) struct Mood {
    pub(crate) product: Product,
    /// Each document's `_source`, byte for byte.
    pub(crate) documents: Vec<String>,
    /// Whether it knows an order over all shards.
    pub(crate) knows_shard_doc: bool,
    /// Whether hits come with their `_source`.
    pub(crate) keeps_source: bool,
    /// What it answers instead, by the number of the request for a page, from 1.
    pub(crate) trouble: Box<dyn Fn(usize) -> Option<Vec<Act>> + Send>,
    asked: usize,
    /// Pages that it answered.
    pages: usize,
    open: usize,
}

/// A running cluster with the index `products` of two shards.
#[derive(Clone)]
pub(crate) struct FakeIndex {
    pub(crate) node: FakeUpstream,
    mood: Arc<Mutex<Mood>>,
}

// === impl FakeIndex ===

impl FakeIndex {
    pub(crate) async fn start(product: Product, documents: Vec<String>) -> Self {
        let (knows_shard_doc, keeps_source) = (true, true);
        let mood = Mood { product, documents, knows_shard_doc, keeps_source, trouble: Box::new(|_| None), asked: 0, pages: 0, open: 0 };
        let mood = Arc::new(Mutex::new(mood));
        let shared = Arc::clone(&mood);
        let node = FakeUpstream::scripted(move |_, seen| answer(&mut shared.lock().unwrap(), seen)).await;
        Self { node, mood }
    }

    /// Changes how it is.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.lock().unwrap());
    }

    /// Points in time that nobody closed.
    pub(crate) fn open_points(&self) -> usize {
        self.mood.lock().unwrap().open
    }
}

fn answer(mood: &mut Mood, seen: &Seen) -> Vec<Act> {
    let wire = Wire { product: mood.product, seen, coding: None };
    let line: Vec<&str> = seen.line().split([' ', '?']).collect();
    let (method, path) = (line[0], line[1]);
    let no_index = !["/products/", "/_search", "/_pit"].iter().any(|start| path.starts_with(start)) && path != "/";
    if no_index {
        return wire
            .answer(404, br#"{"error":{"root_cause":[{"reason":"no such index"}],"type":"index_not_found_exception"},"status":404}"#);
    }
    let (opens, closes) = match mood.product {
        Product::Elasticsearch => ("/products/_pit", "/_pit"),
        Product::OpenSearch => ("/products/_search/point_in_time", "/_search/point_in_time"),
    };
    if path == "/products/_count" {
        return wire.answer(200, format!(r#"{{"count":{}}}"#, mood.documents.len()).as_bytes());
    }
    if (method, path) == ("POST", opens) {
        mood.open += 1;
        let key = if mood.product == Product::Elasticsearch { "id" } else { "pit_id" };
        return wire.answer(200, format!(r#"{{"{key}":"pit-{}"}}"#, mood.pages).as_bytes());
    }
    if (method, path) == ("DELETE", closes) {
        mood.open -= 1;
        return wire.answer(200, b"{}");
    }
    let body: Value = serde_json::from_slice(&fake_wire::body(seen)).unwrap_or_default();
    match path {
        "/products/_search" => wire.answer(200, page(mood, &body, (0..mood.documents.len()).collect()).as_bytes()),
        "/_search" => point(mood, &body, &wire),
        _ => wire.answer(400, br#"{"error":"no handler found"}"#),
    }
}

/// Answers a page of the point in time.
fn point(mood: &mut Mood, body: &Value, wire: &Wire<'_>) -> Vec<Act> {
    // Only the newest id is known.
    let id = format!("pit-{}", mood.pages);
    if body["pit"]["id"] != id.as_str() && body["slice"].is_null() {
        return wire.answer(404, br#"{"error":{"reason":"no such point in time"},"status":404}"#);
    }
    let sort = body["sort"][0].as_str().unwrap_or_default();
    if !["_doc", "_shard_doc"].contains(&sort) || (sort == "_shard_doc" && !mood.knows_shard_doc) {
        return wire.answer(400, br#"{"error":{"reason":"no mapping found for [_shard_doc] in order to sort on"},"status":400}"#);
    }
    mood.asked += 1;
    if let Some(acts) = (mood.trouble)(mood.asked) {
        return acts;
    }
    mood.pages += 1;
    let place = |document: &usize| if sort == "_doc" { document / 2 } else { *document } as i64;
    let after = body["search_after"][0].as_i64().unwrap_or(-1);
    let slice = body["slice"]["id"].as_u64().zip(body["slice"]["max"].as_u64());
    let own = |document: &usize| slice.is_none_or(|(part, parts)| *document as u64 % parts == part);
    let chosen = (0..mood.documents.len()).filter(own).filter(|document| place(document) > after).collect();
    let printed = page(mood, body, chosen);
    wire.answer(200, printed.replacen('{', &format!(r#"{{"pit_id":"pit-{}","#, mood.pages), 1).as_bytes())
}

/// Prints the first of the chosen documents.
fn page(mood: &Mood, body: &Value, chosen: Vec<usize>) -> String {
    let size = body["size"].as_u64().unwrap_or(10) as usize;
    let sort = body["sort"][0].as_str();
    let hits = chosen.iter().take(size).enumerate().map(|(rank, document)| {
        let mut hit = format!(r#"{{"_index":"products","_id":"id{document}","_score":{:?}"#, 20.0 - rank as f64 / 8.0);
        let source = &mood.documents[*document];
        match &body["_source"] {
            _ if !mood.keeps_source => {}
            Value::Bool(false) => {}
            Value::Object(filter) => hit.push_str(&format!(r#","_source":{}"#, printed_anew(source, &filter["includes"]))),
            _ => hit.push_str(&format!(r#","_source":{source}"#)),
        }
        if let Some(names) = body["fields"].as_array() {
            let all: Value = serde_json::from_str(source).unwrap();
            let named = names.iter().filter_map(|name| {
                let value = all.get(name.as_str()?)?;
                Some((name.as_str()?.to_owned(), if value.is_array() { value.clone() } else { json!([value]) }))
            });
            hit.push_str(&format!(r#","fields":{}"#, Value::Object(named.collect())));
        }
        if let Some(sort) = sort {
            hit.push_str(&format!(r#","sort":[{}]"#, if sort == "_doc" { document / 2 } else { *document }));
        }
        hit + "}"
    });
    let hits: Vec<String> = hits.collect();
    format!(r#"{{"took":1,"timed_out":false,"_shards":{{"total":2,"failed":0}},"hits":{{"max_score":20.0,"hits":[{}]}}}}"#, hits.join(","))
}

/// Prints some of a document's entries as engines do when they cut a `_source`: parsed, and in an order of their own.
fn printed_anew(source: &str, includes: &Value) -> String {
    let all: serde_json::Map<String, Value> = serde_json::from_str(source).unwrap();
    let wanted = |name: &str| includes.as_array().unwrap().iter().any(|own| own == name);
    Value::Object(all.into_iter().filter(|(name, _)| wanted(name)).collect()).to_string()
}
