//! The official Python clients against the engine of `podium demo`: what it has, they see as they see a real engine's.

use std::collections::BTreeSet;

use crate::{
    compare::{Scenario, differing, without_scores},
    programs::{self, Language, Program},
    rig::{
        embedded::Embedded,
        engines::{Product, on, skip},
    },
};

/// What the engine of the demo does not have, and says so by name.
const LACKING: [&str; 13] = [
    "mget",
    "msearch",
    "search alias",
    "aggregations",
    "scroll",
    "search_after",
    "scan helper",
    "update",
    "async aggregations",
    "async scan helper",
    "dsl aggregations",
    "dsl scan",
    "put alias",
];
const OPENSEARCH_ALONE: [&str; 2] = ["render template", "search template"];
/// The client's classes for this product ask for vectors not to be left out.
const ELASTICSEARCH_ALONE: [&str; 2] = ["dsl search typed", "dsl filter"];
/// What shows otherwise: its name, a document without the update that it lacks, and sentences.
const OTHERWISE: [&str; 7] =
    ["info", "get updated", "delete", "async get", "async search", "refused: query text", "refused: unknown query"];

fn program() -> Option<Program> {
    match programs::ready(Language::Python) {
        Ok(program) => Some(program),
        Err(missing) => {
            skip(&format!("the clients for python need what is not here: {missing}"));
            None
        }
    }
}

/// Runs the scenario on the embedded engine and checks which operations raise.
fn run(program: &Program, product: Product, lacking: &[&str]) -> Scenario {
    let embedded = Embedded::start();
    let scenario = program.run(embedded.address, product, "clients-embedded");
    let raising: BTreeSet<&str> = scenario.raising().filter(|op| !op.starts_with("refused: ")).collect();
    assert_eq!(raising, lacking.iter().copied().collect());
    scenario
}

#[test]
fn the_client_for_opensearch_sees_what_a_real_one_shows() {
    let Some(program) = program() else { return };
    let lacking = [&LACKING[..], &OPENSEARCH_ALONE].concat();
    let own = run(&program, Product::OpenSearch, &lacking);
    on(Product::OpenSearch, |engine| {
        let real = program.run(engine.address, Product::OpenSearch, "clients-embedded");
        let mut differences = differing("embedded", &without_scores(real), &without_scores(own.clone()));
        differences.retain(|difference| !lacking.contains(&difference.op.as_str()));
        let found: BTreeSet<_> = differences.iter().map(|difference| difference.op.as_str()).collect();
        let texts: Vec<_> = differences.iter().map(|difference| difference.text.as_str()).collect();
        assert_eq!(found, OTHERWISE.into(), "{}", texts.join("\n"));
    });
}

#[test]
fn the_client_for_elasticsearch_works() {
    let Some(program) = program() else { return };
    run(&program, Product::Elasticsearch, &[&LACKING[..], &ELASTICSEARCH_ALONE].concat());
}
