//! A search's answer taken apart as text, so that what must be the same bytes is compared as bytes.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::Reply;

/// An answer in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// All but the hits, `took` and `max_score`.
    pub(crate) outside: String,
    pub(crate) max_score: Option<String>,
    /// The hits as printed.
    pub(crate) hits: Vec<String>,
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    hits: Middle<'a>,
}

#[derive(Deserialize)]
struct Middle<'a> {
    #[serde(borrow)]
    hits: &'a RawValue,
    #[serde(borrow)]
    max_score: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_score")]
    score: Option<f64>,
}

/// Asserts that an answer of the gateway is the engine's own in every byte and header, but for how long it took.
pub(crate) fn assert_same(reply: &Reply, direct: &Reply) {
    assert_eq!((reply.status, reply.broken), (direct.status, direct.broken));
    assert_eq!(headers(reply), headers(direct));
    assert_eq!(untimed(&reply.text()), untimed(&direct.text()));
}

/// Returns the headers that the engine sent, without those whose values follow from the body's length.
pub(crate) fn headers(reply: &Reply) -> HeaderMap {
    let mut headers = reply.headers.clone();
    headers.remove("rerank-status");
    headers.remove("server-timing");
    if let Some(length) = headers.get_mut("content-length") {
        assert!(reply.broken || *length == reply.body.len().to_string());
        *length = "0".parse().unwrap();
    }
    headers
}

/// Returns a hit without its score.
pub(crate) fn unscored(hit: &str) -> String {
    without_value(hit, "\"_score\"")
}

/// Returns a text without the value of `took`.
pub(crate) fn untimed(text: &str) -> String {
    without_value(text, "\"took\"")
}

/// Leaves out the first number (or null) behind a key.
fn without_value(text: &str, key: &str) -> String {
    let Some(at) = text.find(key) else { return text.to_owned() };
    let rest = &text[at + key.len()..];
    let end = rest.find([',', '}', '\n']).unwrap();
    format!("{}{}", &text[..at + key.len()], &rest[end..])
}

// === impl Answer ===

impl Answer {
    /// Takes a reply apart.
    pub(crate) fn of(reply: &Reply) -> Self {
        let text = reply.text();
        assert_eq!(reply.status, 200, "{text}");
        let outer: Outer<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let Middle { hits, max_score } = outer.hits;
        let start = hits.get().as_ptr().addr() - text.as_ptr().addr();
        let outside = format!("{}…{}", &text[..start], &text[start + hits.get().len()..]);
        let raw: Vec<&RawValue> = serde_json::from_str(hits.get()).unwrap();
        Self {
            outside: without_value(&untimed(&outside), "\"max_score\""),
            max_score: max_score.map(|score| score.get().to_owned()),
            hits: raw.into_iter().map(|hit| hit.get().to_owned()).collect(),
        }
    }

    /// The ids in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.named().map(|named| named.id).collect()
    }

    /// The scores in order.
    pub(crate) fn scores(&self) -> Vec<Option<f64>> {
        self.named().map(|named| named.score).collect()
    }

    /// The hits without their scores.
    pub(crate) fn unscored(&self) -> Vec<String> {
        self.hits.iter().map(|hit| unscored(hit)).collect()
    }

    fn named(&self) -> impl Iterator<Item = Named> {
        self.hits.iter().map(|hit| serde_json::from_str(hit).unwrap())
    }
}
