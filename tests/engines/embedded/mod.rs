//! The engine of `podium demo` beside a real OpenSearch: the same requests, the same status, the same shape, and the same
//! values where they are no accident.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value;
use wildmatch::WildMatch;

use self::requests::{REQUESTS, Sent};
use crate::rig::{
    embedded::Embedded,
    engines::{Product, on, say},
    http::{self, Reply},
};

mod gateway;
mod requests;

/// How far two numbers may be apart.
const NEARLY: f64 = 1e-4;

/// Where values are accidents of one engine or one run; that they are there, and of which type, is compared all the same.
const ACCIDENTS: [&str; 13] = [
    "/took",
    "/responses/*/took",
    "/name",
    "/cluster_name",
    "/cluster_uuid",
    "/version/*",
    "/tagline",
    "/number_of_pending_tasks",
    "/*/settings/index/uuid",
    "/*/settings/index/creation_date",
    "/*/settings/index/version/created",
    "*/error/*index_uuid",
    "*/error/failed_shards/*/node",
];
/// Sentences are written by hand on both sides: ours name in brackets what theirs do, or more.
const SENTENCES: [&str; 2] = ["/error", "*/error/*reason"];

/// Where the embedded engine differs on purpose: the target's beginning, a part of the difference, and the reason.
const DIFFERENCES: [(&str, &str, &str); 9] = [
    ("/", "/line: missing", "bodies are read without positions; the reason names the key"),
    ("/", "/col: missing", "bodies are read without positions; the reason names the key"),
    ("/", "Unexpected end-of-input", "another parser reads the bodies, and names no source"),
    ("/", "/version/build_flavor: too much", "Elasticsearch has it, and its clients for Java insist on it"),
    ("/_cluster/health", "/discovered_master: missing", "OpenSearch alone has it, and there is nothing to discover"),
    ("/_cluster/health", "/discovered_cluster_manager: missing", "OpenSearch alone has it, and there is nothing to discover"),
    ("/same", "/settings/index/replication: missing", "OpenSearch alone has it, and nothing is replicated"),
    ("/same/_search", "/error/caused_by/caused_by/caused_by: missing", "no parser of Lucene's adds what it expected"),
    ("/same/_search", "/error/failed_shards/0/reason/caused_by/caused_by: missing", "no parser of Lucene's adds what it expected"),
];

/// Sends one request of the table.
fn send(address: SocketAddr, sent: &Sent) -> Reply {
    let is_lines = sent.target.contains("_bulk") || sent.target.contains("_msearch");
    let media = if is_lines { "application/x-ndjson" } else { "application/json" };
    let headers: &[(&str, &str)] = if sent.body.is_empty() { &[] } else { &[("Content-Type", media)] };
    http::send(address, sent.method, sent.target, headers, sent.body.as_bytes())
}

/// Collects where `ours` differs from `theirs`.
fn compare(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let path = format!("{path}/{key}");
                match (left.get(key), right.get(key)) {
                    (Some(one), Some(other)) => compare(one, other, &path, found),
                    (Some(one), None) => found.push(format!("{path}: missing, theirs is {one}")),
                    (None, Some(other)) => found.push(format!("{path}: too much, ours is {other}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                found.push(format!("{path}: {} values, theirs are {}", right.len(), left.len()));
            }
            for (place, (one, other)) in left.iter().zip(right).enumerate() {
                compare(one, other, &format!("{path}/{place}"), found);
            }
        }
        _ if is_same(theirs, ours, path) => {}
        _ => found.push(format!("{path}: {ours}, theirs is {theirs}")),
    }
}

fn is_same(theirs: &Value, ours: &Value, path: &str) -> bool {
    let is_accident = is_one_of(&ACCIDENTS, path);
    match (theirs, ours) {
        // Whole numbers and fractions differ.
        (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => {
            let apart = left.as_f64().zip(right.as_f64()).map_or(f64::MAX, |(one, other)| (one - other).abs());
            is_accident || left == right || (left.is_f64() && apart <= NEARLY)
        }
        (Value::String(left), Value::String(right)) => {
            is_accident || left == right || (is_one_of(&SENTENCES, path) && names(right).is_superset(&names(left)))
        }
        _ => theirs == ours,
    }
}

fn is_one_of(patterns: &[&str], path: &str) -> bool {
    patterns.iter().any(|pattern| WildMatch::new(pattern).matches(path))
}

/// Returns what a sentence names in brackets, one by one, without positions in a body and without the uuid behind an index.
fn names(sentence: &str) -> BTreeSet<&str> {
    let ends = sentence.match_indices(']').map(|(end, _)| &sentence[..end]);
    let named = ends.filter_map(|before| before.rsplit_once('[')).map(|(_, name)| name);
    let is_position =
        |name: &&str| name.split_once(':').is_some_and(|(line, column)| line.parse::<usize>().and(column.parse::<usize>()).is_ok());
    let listed = named.filter(|name| !is_position(name)).flat_map(|list| list.split(", "));
    listed.map(|name| name.split_once('/').map_or(name, |(index, _)| index)).collect()
}

/// Returns which of [`DIFFERENCES`] this is.
fn known(sent: &Sent, difference: &str) -> Option<usize> {
    DIFFERENCES.iter().position(|(target, path, _)| sent.target.starts_with(target) && difference.contains(path))
}

#[test]
fn the_same_requests_have_the_same_answers() {
    on(Product::OpenSearch, |engine| {
        let embedded = Embedded::start();
        for index in ["same", "same2", "life"] {
            engine.call("DELETE", &format!("/{index}"), "");
        }
        let mut wrong = Vec::new();
        let mut met = BTreeSet::new();
        for sent in REQUESTS {
            let (theirs, ours) = (send(engine.address, sent), send(embedded.address, sent));
            let mut found = Vec::new();
            if theirs.status != ours.status {
                found.push(format!("status {}, theirs is {}", ours.status, theirs.status));
            }
            if sent.method != "HEAD" {
                compare(&theirs.json(), &ours.json(), "", &mut found);
            }
            found.retain(|difference| {
                known(sent, difference).is_none_or(|place| {
                    met.insert(place);
                    false
                })
            });
            if !found.is_empty() {
                wrong.push(format!("{} {} {}\n    {}\n    {}", sent.method, sent.target, sent.body, found.join("\n    "), ours.text()));
            }
        }
        say(&format!("Embedded engine: {} requests beside OpenSearch, {} known differences", REQUESTS.len(), DIFFERENCES.len()));
        assert!(wrong.is_empty(), "{} requests differ:\n{}", wrong.len(), wrong.join("\n"));
        let gone: Vec<_> = (0..DIFFERENCES.len()).filter(|place| !met.contains(place)).map(|place| DIFFERENCES[place]).collect();
        assert!(gone.is_empty(), "no longer different: {gone:?}");
    });
}
