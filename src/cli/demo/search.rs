//! One search of the shop, as a client sees its answer.

use std::time::Duration;

use anyhow::Context;
use http::Method;
use podium_demo::shop;
use serde::Deserialize;

use super::{client::Client, example::BUDGET};
use crate::es::response::SearchResponse;

/// What came back.
pub(super) struct Found {
    pub(super) hits: Vec<Hit>,
    pub(super) took: Duration,
    /// `Rerank-Status`, empty from the engine itself.
    pub(super) status: String,
    /// What Podium says that reranking took.
    pub(super) rerank_ms: Option<f64>,
}

/// One hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) id: String,
    pub(super) title: String,
}

#[derive(Deserialize)]
struct Titled {
    title: String,
}

/// Sends the shop's search for `text`; `budget` chooses one of the demo's rules.
pub(super) async fn search(client: &Client, index: &str, text: &str, size: usize, budget: Option<&str>) -> anyhow::Result<Found> {
    let answer = client
        .send(Method::POST, &format!("/{index}/_search"), &shop::search(text, size), |request| {
            let request = request.header("content-type", "application/json");
            budget.into_iter().fold(request, |request, budget| request.header(BUDGET, budget))
        })
        .await?;
    let searched = || format!("searching for {text:?} at {}", client.address().url());
    answer.json().with_context(searched)?;
    let response = SearchResponse::parse(&answer.body).with_context(searched)?;
    let hits = response.hits.iter().map(|hit| {
        let source = hit.source.context("a hit has no _source")?;
        Ok(Hit { id: hit.id.to_string(), title: serde_json::from_str::<Titled>(source.get())?.title })
    });
    Ok(Found {
        hits: hits.collect::<anyhow::Result<_>>().with_context(searched)?,
        took: answer.took,
        status: answer.header("rerank-status").to_owned(),
        rerank_ms: number_after(answer.header("server-timing"), "rerank;dur="),
    })
}

/// Returns the number behind `name`, where there is one.
pub(super) fn number_after(text: &str, name: &str) -> Option<f64> {
    let (_, rest) = text.split_once(name)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

// === impl Found ===

impl Found {
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.hits.iter().map(|hit| hit.id.as_str())
    }

    pub(super) fn is_reranked(&self) -> bool {
        self.status.starts_with("reranked")
    }

    /// Returns how many hits the model scored, and how many of these it had vectors for.
    pub(super) fn scored_and_cached(&self) -> (f64, f64) {
        let number = |name| number_after(&self.status, name).unwrap_or(0.0);
        (number("scored="), number("cached="))
    }
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_are_read_out_of_headers() {
        let status = "reranked; model=\"m\"; window=100; scored=73; cached=12; trust=0.87";
        assert_eq!(number_after(status, "scored="), Some(73.0));
        assert_eq!(number_after(status, "trust="), Some(0.87));
        assert_eq!(number_after("engine;dur=12.1, rerank;dur=30.4", "rerank;dur="), Some(30.4));
        assert_eq!(number_after("skipped; reason=timeout", "scored="), None);
    }
}
