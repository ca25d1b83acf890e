//! The sample shop: products, queries and judgments that were written for this project (`demo/shop/README.md` says how).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The body that creates the shop's index, for Elasticsearch, OpenSearch and the embedded engine.
pub const DEFINITION: &str = include_str!("../shop/definition.json");

const PRODUCTS: &str = include_str!("../shop/products.jsonl");
const QUERIES: &str = include_str!("../shop/queries.jsonl");
const JUDGMENTS: &str = include_str!("../shop/judgments.tsv");

/// One product, which is one document of the index.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Product {
    /// Four digits; the document's id, no part of the document.
    #[serde(skip_serializing)]
    pub id: String,
    /// What the shop calls it.
    pub title: String,
    /// 20 to 60 words.
    pub description: String,
    /// The department.
    pub category: String,
    /// An invented one.
    pub brand: String,
    /// In EUR.
    pub price: serde_json::Number,
    /// One or two words.
    pub colour: String,
}

/// What a shopper typed, and which products answer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// `q01` to `q40`.
    pub id: String,
    /// What was typed.
    pub text: String,
    /// 3 (exactly this), 2 (would do) or 1 (related) by product; 0 for all that are absent.
    pub grades: BTreeMap<String, u8>,
}

#[derive(Deserialize)]
struct Typed {
    id: String,
    text: String,
}

/// Returns all products, in the order of their ids.
pub fn products() -> Vec<Product> {
    PRODUCTS.lines().map(|line| serde_json::from_str(line).expect("a test reads every line")).collect()
}

/// Returns all queries with their judgments, in the order of their ids.
pub fn queries() -> Vec<Query> {
    let mut judgments = judgments();
    let typed = QUERIES.lines().map(|line| serde_json::from_str::<Typed>(line).expect("a test reads every line"));
    typed.map(|Typed { id, text }| Query { grades: judgments.remove(id.as_str()).unwrap_or_default(), id, text }).collect()
}

/// Returns the search that the shop sends for a query: BM25 over all its texts, the title counting double.
pub fn search(text: &str, size: usize) -> String {
    let fields = ["title^2", "description", "category.text", "brand.text", "colour.text"];
    serde_json::json!({
        "query": { "multi_match": { "query": text, "type": "most_fields", "fields": fields } },
        "size": size,
    })
    .to_string()
}

fn judgments() -> BTreeMap<&'static str, BTreeMap<String, u8>> {
    let mut by_query: BTreeMap<_, BTreeMap<String, u8>> = BTreeMap::new();
    for line in JUDGMENTS.lines().skip(1) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("a test reads every line");
        let (query, product, grade) = (column(), column(), column());
        match grade.parse().expect("a test reads every line") {
            0 => {} // written down because it is tempting
            grade => drop(by_query.entry(query).or_default().insert(product.to_owned(), grade)),
        }
    }
    by_query
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_at_least_400_different_products() {
        let products = products();
        let ids: BTreeSet<&str> = products.iter().map(|product| product.id.as_str()).collect();
        let titles: BTreeSet<&str> = products.iter().map(|product| product.title.as_str()).collect();
        assert!(products.len() >= 400 && ids.len() == products.len() && titles.len() == products.len(), "{}", products.len());
        assert!(ids.iter().copied().eq(products.iter().map(|product| product.id.as_str())), "the products are in the order of their ids");
    }

    #[test]
    fn a_product_is_its_document_without_the_id() {
        let first = products().swap_remove(0);
        let document = serde_json::to_string(&first).expect("a product is JSON");
        let line = PRODUCTS.lines().next().expect("a first product");
        assert_eq!(format!(r#"{{"id":"{}",{}"#, first.id, &document[1..]), line);
    }

    #[test]
    fn there_are_40_queries_each_with_a_product_that_answers_it() {
        let queries = queries();
        assert_eq!(queries.len(), 40);
        for query in &queries {
            assert!(query.grades.values().any(|grade| *grade >= 2), "{}: {}", query.id, query.text);
        }
    }

    #[test]
    fn every_judgment_is_of_a_query_and_a_product_of_the_shop_once() {
        let (products, queries) = (products(), queries());
        let mut seen = BTreeSet::new();
        for line in JUDGMENTS.lines().skip(1) {
            let [query, product, grade] = line.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
            assert!(queries.iter().any(|known| known.id == query), "{line}");
            assert!(products.iter().any(|known| known.id == product), "{line}");
            assert!(["0", "1", "2", "3"].contains(&grade), "{line}");
            assert!(seen.insert((query, product)), "{line} stands there twice");
        }
    }

    #[test]
    fn the_shop_searches_all_its_texts() {
        let search: serde_json::Value = serde_json::from_str(&search("red \"shoes\"", 10)).expect("the search is JSON");
        let definition: serde_json::Value = serde_json::from_str(DEFINITION).expect("the definition is JSON");
        assert_eq!(search["query"]["multi_match"]["query"], "red \"shoes\"");
        for field in search["query"]["multi_match"]["fields"].as_array().expect("fields") {
            let path = field.as_str().expect("a name").split('^').next().expect("a path").replace('.', "/fields/");
            assert_eq!(definition.pointer(&format!("/mappings/properties/{path}/type")).expect("a field of the index"), "text");
        }
    }
}
