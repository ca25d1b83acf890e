//! An index as it is at one moment: its documents, page by page, in a point in time of the cluster's own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    config::Field,
    es::{hit::Hit, pit},
    upstream::own::{Answer, Bounds, Call, OwnCallError, OwnCalls},
};

/// What stands in an index expression as it is.
const EXPRESSION: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b',').remove(b'*');

/// From one page to the next the point in time is kept; the model may work on one meanwhile.
const KEEP_ALIVE: &str = "10m";
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_BYTES: usize = 64 << 20;

/// Whose ways a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Elasticsearch,
    OpenSearch,
}

/// How documents are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Only the rule's fields of `_source`: it is printed anew by the engine.
    PartOfSource,
    /// The whole `_source`, as it was indexed: engines print fractions in their own way (`1.10` as `1.1`) when they cut it.
    WholeSource,
    /// `fields`, where `_source` has none of the rule's.
    Fields,
}

/// Which documents come next.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// One slice and how many there are.
    pub(super) slice: Option<(usize, usize)>,
    /// The values that the last hit was sorted by; `None` at the beginning.
    pub(super) after: Option<Vec<Value>>,
}

/// An open point in time.
pub(super) struct Index {
    calls: OwnCalls,
    product: Product,
    /// The newest one: it may change from answer to answer.
    id: Mutex<String>,
    fields: Vec<Arc<str>>,
    sort: &'static str,
}

/// What an index is, before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) documents: u64,
    product: Product,
}

/// Why a page, or the first word, did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It may come later.
    #[error("{0}")]
    Busy(String),
    /// It may come if it is asked for less.
    #[error("one document has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// It will not come.
    #[error("{0}")]
    Final(String),
}

/// Returns how many documents the index has.
pub(super) async fn count(calls: &OwnCalls, index: &str) -> Result<Counted, Refusal> {
    let target = format!("/{}/_count", utf8_percent_encode(index, EXPRESSION));
    let answer = send(calls, Method::GET, &target, "").await?;
    let is_elasticsearch = answer.headers.contains_key("x-elastic-product");
    let product = if is_elasticsearch { Product::Elasticsearch } else { Product::OpenSearch };
    let documents = parsed(&answer)["count"].as_u64().ok_or_else(|| Refusal::Final(format!("{target} answers no count")))?;
    Ok(Counted { documents, product })
}

/// Sends a call; an answer that is an error is one here, too.
async fn send(calls: &OwnCalls, method: Method, target: &str, json: &str) -> Result<Answer, Refusal> {
    let answer = calls.send(Call { method, target, json }, Bounds { bytes: MOST_BYTES, time: PATIENCE }).await;
    let answer = answer.map_err(|error| match error {
        OwnCallError::TooLarge(_) => Refusal::TooLarge,
        OwnCallError::Request(_) => Refusal::Final(error.to_string()),
        OwnCallError::Upstream(_) | OwnCallError::Broken(_) | OwnCallError::Late(_) => Refusal::Busy(error.to_string()),
    })?;
    let path = target.split('?').next().unwrap_or(target);
    let said = || format!("{path} answers {}{}", answer.status, reason(&answer));
    match answer.status {
        status if status.is_success() => Ok(answer),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Err(Refusal::Busy(said()))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !calls.has_credentials() => {
            Err(Refusal::Final(format!("{}: write upstream.credentials", said())))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Refusal::Final(format!("{}: those of upstream.credentials need to read the index and to open points in time", said())))
        }
        _ => Err(Refusal::Final(said())),
    }
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Returns the engine's own words for an error, cut short.
fn reason(answer: &Answer) -> String {
    const LONGEST: usize = 300;
    let json = parsed(answer);
    let error = &json["error"];
    // What a failed shard says is nearer to the cause.
    let said = [&error["root_cause"][0]["reason"], &error["reason"], error].into_iter().find_map(Value::as_str);
    said.map_or_else(String::new, |text| format!(": {}", text.chars().take(LONGEST).collect::<String>()))
}

// === impl Product ===

impl Product {
    /// What opens a point in time, behind the index.
    fn opening(self) -> &'static str {
        match self {
            Self::Elasticsearch => "_pit",
            Self::OpenSearch => "_search/point_in_time",
        }
    }
}

// === impl Index ===

impl Index {
    /// Opens a point in time of the index.
    pub(super) async fn open(calls: &OwnCalls, index: &str, counted: Counted, fields: &[Field]) -> Result<Self, Refusal> {
        let names = fields.iter().map(|field| Arc::clone(&field.name)).collect();
        let open = |product: Product| {
            let path = product.opening();
            let target = format!("/{}/{path}?keep_alive={KEEP_ALIVE}", utf8_percent_encode(index, EXPRESSION));
            async move { send(calls, Method::POST, &target, "").await }
        };
        let mut product = counted.product;
        let mut answer = open(product).await;
        if product == Product::OpenSearch && matches!(answer, Err(Refusal::Final(_))) {
            // Elasticsearch before 7.14 does not say what it is.
            product = Product::Elasticsearch;
            answer = open(product).await.or(answer);
        }
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::Final(said) => {
                Refusal::Final(format!("{said}; points in time need Elasticsearch 7.10, OpenSearch 2.4, or a newer one"))
            }
            other => other,
        })?;
        let id = pit::opened(&answer.body).ok_or_else(|| Refusal::Final("a point in time was opened without an id".to_owned()))?;
        Ok(Self { calls: calls.clone(), product, id: Mutex::new(id), fields: names, sort: "_shard_doc" })
    }

    /// Returns a page of so many documents, as the engine answers it.
    pub(super) async fn page(&self, from: From, place: &Place, size: usize) -> Result<Answer, Refusal> {
        let mut body = json!({
            "size": size,
            "pit": { "id": self.id(), "keep_alive": KEEP_ALIVE },
            "sort": [self.sort],
            "track_total_hits": false,
        });
        match from {
            From::PartOfSource => body["_source"] = json!({ "includes": self.fields }),
            From::WholeSource => {}
            From::Fields => {
                body["_source"] = Value::Bool(false);
                body["fields"] = json!(self.fields);
            }
        }
        if let Some((id, max)) = place.slice {
            body["slice"] = json!({ "id": id, "max": max });
        }
        if let Some(after) = &place.after {
            body["search_after"] = json!(after);
        }
        let answer = send(&self.calls, Method::POST, "/_search", &body.to_string()).await?;
        if let Some(id) = str::from_utf8(&answer.body).ok().and_then(pit::of_answer) {
            *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        }
        Ok(answer)
    }

    fn id(&self) -> String {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sorts by the place in each shard alone from now on, for engines that know no place over all shards.
    pub(super) fn sort_by_doc(&mut self) {
        self.sort = "_doc";
    }

    /// Returns where the page behind these hits begins; `None` where the engine does not say how they are sorted.
    pub(super) fn behind(&self, hits: &[Hit<'_>], before: &Place) -> Option<Place> {
        let last = sorted_by(hits.last()?)?;
        let mut values: Vec<Value> = serde_json::from_str(last).ok()?;
        // Documents of several shards share a place. The page may have ended between them: they are read once more.
        if let [only] = values.as_mut_slice()
            && self.sort == "_doc"
            && let Some(number) = only.as_i64()
        {
            *only = Value::from(number - 1);
        }
        Some(Place { slice: before.slice, after: Some(values) })
    }

    /// Whether the page behind would be the same again: all documents of it share a place.
    pub(super) fn is_stuck(&self, next: &Place, before: &Place) -> bool {
        self.sort == "_doc" && next.after == before.after
    }

    /// Gives the point in time back.
    pub(super) async fn close(&self) {
        let (target, body) = match self.product {
            Product::Elasticsearch => ("/_pit", json!({ "id": self.id() })),
            Product::OpenSearch => ("/_search/point_in_time", json!({ "pit_id": [self.id()] })),
        };
        // The cluster closes it by itself in a while.
        let _ = send(&self.calls, Method::DELETE, target, &body.to_string()).await;
    }
}

/// Returns the values that a hit was sorted by, as printed.
fn sorted_by<'a>(hit: &Hit<'a>) -> Option<&'a str> {
    let layout = hit.layout();
    layout.items().iter().find(|item| item.key == "sort").map(|item| layout.value(item))
}
