//! Cranfield (1400 abstracts, 225 judged queries) on a real OpenSearch: what its own ranking reaches, and what Podium makes of it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use podium::eval::Judgments;
use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on, say},
    http::Reply,
};

mod embedded;
#[cfg(feature = "real-model")]
mod forms;
#[cfg(feature = "real-model")]
mod reranked;

/// One `english` field holds title and text for matching.
const DEFINITION: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
    "all":{"type":"text","analyzer":"english"},
    "title":{"type":"text","index":false,"copy_to":"all"},
    "text":{"type":"text","index":false,"copy_to":"all"}}}}"#;
/// What OpenSearch 3.8.0 reaches; far from it, the index or the measure would be another.
const ENGINE: f64 = 0.517;
const QUERIES: usize = 225;

/// The judged queries.
struct Cranfield {
    documents: Vec<(String, String)>,
    queries: Vec<Query>,
}

struct Query {
    text: String,
    judged: Judgments,
}

// === impl Cranfield ===

impl Cranfield {
    /// Reads it; says aloud when it is not there, because it may not be kept in the repository.
    fn read() -> Option<Self> {
        let Some(folder) = folder() else {
            say(
                "SKIPPED: Cranfield is no part of the repository; put corpus.jsonl, queries.jsonl and qrels.tsv into shared/data/cranfield",
            );
            return None;
        };
        let mut judgments = judgments(&folder.join("qrels.tsv"));
        let documents = lines_of_json(folder.join("corpus.jsonl"))
            .map(|document| (text(&document, "_id"), json!({"title":document["title"],"text":document["text"]}).to_string()));
        let queries = lines_of_json(folder.join("queries.jsonl"))
            .map(|query| Query { text: text(&query, "text"), judged: judgments.remove(&text(&query, "_id")).expect("a judged query") });
        Some(Self { documents: documents.collect(), queries: queries.collect() })
    }

    fn fill(&self, engine: &Engine, index: &str) {
        engine.fill(index, DEFINITION, self.documents.iter().map(|(id, document)| (id.as_str(), document.clone())));
    }

    /// Returns the mean NDCG@10 of the pages that `search` answers.
    fn ndcg(&self, mut search: impl FnMut(&str) -> Reply) -> f64 {
        assert_eq!(self.queries.len(), QUERIES);
        let reached = self.queries.iter().map(|query| {
            let page = search(&first_page(&query.text));
            assert_eq!(page.status, 200, "{}", page.text());
            query.judged.ndcg_at_10(page.ids().iter().map(String::as_str)).expect("every query has a relevant document")
        });
        reached.sum::<f64>() / QUERIES as f64
    }
}

/// Returns `shared/data/cranfield` in the checkout or beside a folder that it stands in.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join("shared/data/cranfield")).find(|folder| folder.is_dir())
}

fn first_page(query: &str) -> String {
    search(query, 10)
}

fn search(query: &str, size: usize) -> String {
    json!({"query":{"match":{"all":query}},"size":size}).to_string()
}

fn judgments(file: &Path) -> HashMap<String, Judgments> {
    let mut judgments: HashMap<String, Vec<(String, f64)>> = HashMap::new();
    for line in fs::read_to_string(file).expect("a file of the data set").lines().skip(1) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("three columns");
        let (query, document, grade) = (column(), column(), column().parse().expect("a grade"));
        judgments.entry(query.to_owned()).or_default().push((document.to_owned(), grade));
    }
    judgments.into_iter().map(|(query, judged)| (query, judged.into_iter().collect())).collect()
}

fn lines_of_json(file: PathBuf) -> impl Iterator<Item = Value> {
    let text = fs::read_to_string(file).expect("a file of the data set");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect();
    lines.into_iter()
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().expect("a text").to_owned()
}

#[test]
fn the_engines_own_ranking_reaches_what_is_known_of_it() {
    let Some(cranfield) = Cranfield::read() else { return };
    on(Product::OpenSearch, |engine| {
        cranfield.fill(engine, "cranfield-engine");
        let reached = cranfield.ndcg(|body| engine.call("POST", "/cranfield-engine/_search", body));
        say(&format!("Cranfield, NDCG@10 of the engine: {reached:.4}"));
        assert!((reached - ENGINE).abs() < 0.002, "{reached}");
    });
}
