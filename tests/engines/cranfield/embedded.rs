//! Cranfield on the embedded engine beside OpenSearch: relevance, and searches a second.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Cranfield, ENGINE, first_page};
use crate::rig::{
    embedded::Embedded,
    engines::{Product, on, say},
    http::{self, Kept, Reply},
};

const INDEX: &str = "cranfield-embedded";
const DEFINITION: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
    "all":{"type":"text","analyzer":"english"}}}}"#;
/// How far the two may be apart.
const NEARLY: f64 = 0.01;
/// How often all queries are asked before the time is taken, and while it is.
const WARMING: usize = 3;
const ROUNDS: usize = 5;

#[test]
fn the_embedded_engine_ranks_as_opensearch_does() {
    let Some(cranfield) = Cranfield::read() else { return };
    on(Product::OpenSearch, |engine| {
        let embedded = Embedded::start();
        let target = format!("/{INDEX}/_search");
        engine.call("DELETE", &format!("/{INDEX}"), "");
        let mut reached = Vec::new();
        let mut rates = Vec::new();
        for address in [engine.address, embedded.address] {
            let lines = lines(&cranfield);
            let made = http::json(address, "PUT", &format!("/{INDEX}"), DEFINITION);
            assert_eq!(made.status, 200, "{}", made.text());
            let headers = [("Content-Type", "application/x-ndjson")];
            let filled = http::send(address, "POST", &format!("/{INDEX}/_bulk?refresh=true"), &headers, lines.as_bytes());
            assert_eq!(filled.json()["errors"], false, "{}", filled.text());
            let mut kept = Kept::connect(address);
            let mut search = |body: &str| kept.json("POST", &target, body);
            reached.push(cranfield.ndcg(&mut search));
            rates.push(rate(&cranfield, &mut search));
        }
        let [(theirs, their_rate), (ours, our_rate)] = [0, 1].map(|place| (reached[place], rates[place]));
        say(&format!("Cranfield, NDCG@10: OpenSearch {theirs:.4}, embedded {ours:.4}"));
        say(&format!(
            "Cranfield, searches a second, one client: OpenSearch {their_rate:.0}, embedded {our_rate:.0} (x{:.2})",
            our_rate / their_rate
        ));
        assert!((theirs - ENGINE).abs() <= NEARLY, "OpenSearch {theirs:.4}, which should reach {ENGINE}");
        assert!((theirs - ours).abs() <= NEARLY, "OpenSearch {theirs:.4}, embedded {ours:.4}");
    });
}

/// Title and text in one field, because the embedded engine has no `copy_to`.
fn lines(cranfield: &Cranfield) -> String {
    let line = |(id, document): &(String, String)| {
        let document: serde_json::Value = serde_json::from_str(document).expect("a document of the data set");
        let all = json!({"all": [document["title"], document["text"]]});
        format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{all}\n")
    };
    cranfield.documents.iter().map(line).collect()
}

/// Returns how many searches a second are answered, one after the other.
fn rate(cranfield: &Cranfield, search: &mut impl FnMut(&str) -> Reply) -> f64 {
    let mut round = || cranfield.queries.iter().for_each(|query| assert_eq!(search(&first_page(&query.text)).status, 200));
    (0..WARMING).for_each(|_| round());
    let started = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    let took: Duration = started.elapsed();
    (ROUNDS * cranfield.queries.len()) as f64 / took.as_secs_f64()
}
