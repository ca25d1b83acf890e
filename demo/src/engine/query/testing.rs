//! A small index for the tests of the queries.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use tantivy::{Index, Order, Searcher, TantivyDocument, collector::TopDocs, schema::Value as _};

use super::{Clause, UrlQuery};
use crate::engine::{error::ApiError, mapping::Mapping, schema::Schema};

/// Five documents, as they were given to OpenSearch 3.8 to learn the scores.
pub struct Shop {
    pub schema: Schema,
    searcher: Searcher,
}

// === impl Shop ===

impl Shop {
    pub fn new() -> Self {
        let mapping = json!({"properties": {
            "title": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "body": {"type": "text", "analyzer": "english"}, "tag": {"type": "keyword"}, "n": {"type": "long"}, "i": {"type": "integer"},
            "f": {"type": "float"}, "d": {"type": "double"}, "b": {"type": "boolean"}, "t": {"type": "date"},
            "o": {"properties": {"x": {"type": "keyword"}}}
        }});
        let documents = [
            r#"{"title":"The quick brown fox","body":"The foxes are running quickly over lazy dogs","tag":["a","b"],"n":1,"i":1,"f":1.1,"d":1.5,"b":true,"t":"2024-01-01","o":{"x":"p"}}"#,
            r#"{"title":"Quick quick foxes of the world","tag":"a","n":2,"f":2.5,"b":false,"t":1704067200001}"#,
            r#"{"title":"brown bread","body":"bread is baked","tag":"c","n":[3,4],"b":"true","t":"2024-01-03T10:20:30.123Z"}"#,
            r#"{"body":"nothing here, but a fox","n":"5","f":"7.25"}"#,
            r#"{"title":"","n":6}"#,
        ];
        let schema = Schema::new(Arc::new(Mapping::parse(&mapping).unwrap()));
        let index = Index::create_in_ram(schema.tantivy());
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for (sequence, document) in (0..).zip(documents) {
            let source: &RawValue = serde_json::from_str(document).unwrap();
            writer.add_document(schema.document(&(sequence + 1).to_string(), sequence, 1, source).unwrap()).unwrap();
            // Two segments: scores are those of the whole index.
            if sequence == 2 {
                writer.commit().unwrap();
            }
        }
        writer.commit().unwrap();
        Self { searcher: index.reader().unwrap().searcher(), schema }
    }

    /// Returns the names of the hits and their scores, the best first.
    pub fn search(&self, query: Value) -> Vec<(String, f32)> {
        let clause = super::parse(&query, &self.schema).unwrap_or_else(|error| panic!("{query}: {error}"));
        self.run(&clause)
    }

    pub fn search_url(&self, query: &UrlQuery<'_>) -> Vec<(String, f32)> {
        self.run(&super::parse_query_string(query, &self.schema).unwrap())
    }

    pub fn error(&self, query: Value) -> ApiError {
        super::parse(&query, &self.schema).map_or_else(|error| error, |clause| panic!("{query} is understood: {clause:?}"))
    }

    fn run(&self, clause: &Clause) -> Vec<(String, f32)> {
        let all = self
            .searcher
            .search(&tantivy::query::AllQuery, &TopDocs::with_limit(9).order_by_fast_field::<u64>("_seq_no", Order::Asc))
            .unwrap();
        let order = |address| all.iter().position(|(_, other)| *other == address);
        let mut hits = self.searcher.search(&clause.query, &TopDocs::with_limit(9).order_by_score()).unwrap();
        hits.sort_by(|(one, first), (other, second)| other.total_cmp(one).then(order(*first).cmp(&order(*second))));
        let id = |address| {
            let document: TantivyDocument = self.searcher.doc(address).unwrap();
            document.get_first(self.schema.id()).and_then(|value| value.as_str().map(str::to_owned)).unwrap()
        };
        hits.into_iter().map(|(score, address)| (id(address), score)).collect()
    }
}
