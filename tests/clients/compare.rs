//! What a scenario printed, and where two of them differ.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::rig::engines::Product;

/// A scenario that has fewer operations leaves something out.
const FEWEST: usize = 20;
/// Operations that every client must have.
const NEEDED: [&str; 24] = [
    "ping",
    "info",
    "create index",
    "exists index",
    "bulk",
    "refresh",
    "count",
    "get",
    "big integer",
    "mget",
    "exists",
    "search",
    "search by url",
    "search highlighted",
    "search alias",
    "aggregations",
    "msearch",
    "pages",
    "scroll",
    "search_after",
    "zipped search",
    "update",
    "delete",
    "refused: no index",
];
/// Operations whose hits a rule reranks: each shows all its hits, best first.
const RANKED: [&str; 11] = [
    "search",
    "search typed",
    "search by url",
    "search highlighted",
    "search alias",
    "pages",
    "zipped search",
    "async search",
    "async search highlighted",
    "dsl search typed",
    "dsl highlighted",
];
/// Searches of other routes: reranked as a whole or not at all.
const RANKED_OR_NOT: [&str; 2] = ["msearch", "search template"];
/// What differs from one run to the next.
const ACCIDENTS: [&str; 7] = ["took", "_scroll_id", "pit_id", "creation_date", "creation_time", "node", "uuid"];
/// The engine's names for an index that was made anew; sentences quote them, too.
const NAMES: [&str; 1] = ["index_uuid"];
const SCORES: [&str; 3] = ["_score", "score", "max_score"];

/// What a program printed.
#[derive(Clone, Debug)]
pub(crate) struct Scenario(Vec<Operation>);

#[derive(Clone, Debug, Deserialize)]
struct Operation {
    op: String,
    result: Value,
}

/// One operation that another run shows otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) op: String,
    /// Both results, for reading.
    pub(crate) text: String,
}

/// Returns where `other` differs from `direct`, operation by operation.
pub(crate) fn differing(run: &str, direct: &Scenario, other: &Scenario) -> Vec<Difference> {
    let difference = |op: &str, how: &str| Difference { op: op.to_owned(), text: format!("{run}: {op}: {how}") };
    let shown = direct.0.iter().filter_map(|Operation { op, result }| match other.result(op) {
        Some(now) if now == result => None,
        Some(now) => Some(difference(op, &format!("\n  direct  {result}\n  through {now}"))),
        None => Some(difference(op, "missing")),
    });
    let more = other.0.iter().filter(|operation| direct.result(&operation.op).is_none());
    shown.chain(more.map(|operation| difference(&operation.op, "only through Podium"))).collect()
}

/// Returns a scenario without the hits' scores, which a reranked page has of its own.
pub(crate) fn without_scores(mut scenario: Scenario) -> Scenario {
    for operation in &mut scenario.0 {
        mask(&mut operation.result, &SCORES, &BTreeSet::new());
    }
    scenario
}

// === impl Scenario ===

impl Scenario {
    /// Reads one line of JSON for each operation and masks what differs from one run to the next, the address among it.
    pub(crate) fn read(printed: &str, address: &str) -> Result<Self, String> {
        let lines = printed.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")));
        let mut operations = lines.collect::<Result<Vec<Operation>, String>>()?;
        let mut names = BTreeSet::from([address.to_owned()]);
        for operation in &operations {
            collect_names(&operation.result, &mut names);
        }
        for operation in &mut operations {
            mask(&mut operation.result, &ACCIDENTS, &names);
        }
        Ok(Self(operations))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn result(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|operation| operation.op == name).map(|operation| &operation.result)
    }

    /// Returns the operations that ended with an exception.
    pub(crate) fn raising(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|operation| operation.result.get("raised").is_some()).map(|operation| operation.op.as_str())
    }

    /// Checks that the scenario did what it is for: on the engine itself everything works but what must be refused.
    pub(crate) fn check(&self, product: Product) {
        assert!(self.len() >= FEWEST, "only {} operations", self.len());
        let names: BTreeSet<&str> = self.0.iter().map(|operation| operation.op.as_str()).collect();
        assert_eq!(names.len(), self.len(), "an operation's name stands twice");
        let missing: Vec<_> = NEEDED.iter().filter(|name| !names.contains(*name)).collect();
        assert!(missing.is_empty(), "operations are missing: {missing:?}");
        let raising: BTreeSet<&str> = self.raising().collect();
        for Operation { op, result } in &self.0 {
            let is_refused = raising.contains(op.as_str());
            // The jars of Elasticsearch that Maven Central has come without the module that answers `GET /`.
            let may_be_refused = product == Product::Elasticsearch && ["ping", "info"].contains(&op.as_str());
            assert!(may_be_refused || is_refused == op.starts_with("refused: "), "{op}: {result}");
        }
    }

    /// Returns the scenario that a reranker which turns windows round must show, and how many operations it changes.
    pub(crate) fn turned_round(mut self, reranked: &Self) -> (Self, usize) {
        let mut count = 0;
        for operation in &mut self.0 {
            let mut other = operation.result.clone();
            turn_round(&mut other);
            let is_ranked = RANKED.contains(&operation.op.as_str());
            let is_now = RANKED_OR_NOT.contains(&operation.op.as_str()) && reranked.result(&operation.op) == Some(&other);
            if is_ranked || is_now {
                assert_ne!(operation.result, other, "{} has no hits to turn round", operation.op);
                operation.result = other;
                count += 1;
            }
        }
        (self, count)
    }
}

fn turn_round(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::Array(hits) if key == "hits" => hits.reverse(),
                    _ => turn_round(member),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(turn_round),
        _ => {}
    }
}

/// Collects the values that stand under `NAMES`.
fn collect_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if NAMES.contains(&key.as_str()) => {
                        names.insert(text.clone());
                    }
                    _ => collect_names(member, names),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|member| collect_names(member, names)),
        _ => {}
    }
}

/// Replaces the values of these keys, and these words wherever they stand.
fn mask(value: &mut Value, keys: &[&str], words: &BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::Number(_) | Value::String(_) | Value::Null if keys.contains(&key.as_str()) => *member = "…".into(),
                    _ => mask(member, keys, words),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|member| mask(member, keys, words)),
        Value::String(text) => {
            for word in words {
                if text.contains(word.as_str()) {
                    *text = text.replace(word, "…");
                }
            }
        }
        _ => {}
    }
}
