//! Fills the cache of vectors ahead of the searches: reads the index page by page and lets the model see every document once.

use http::Method;
use rerank_plugin::{Deadline, Document, Part, Progress};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::{client::Client, front::Front, steps::Steps};
use crate::{
    es::{reading::Reading, response::SearchResponse},
    inference::{Ask, Reranker},
    rerank::candidates,
};

/// Hits of one page.
const PAGE: usize = 500;
/// Documents that are scored together; the bar moves after each.
const CHUNK: usize = 16;
const PATIENCE: Duration = Duration::from_secs(600);

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warmed {
    pub(super) documents: usize,
    /// Of these, how many were there already.
    pub(super) cached: usize,
    pub(super) took: Duration,
}

/// Computes the vectors of all products.
pub(super) async fn warm(engine: &Client, index: &str, front: &Front, reranker: &Reranker, steps: &Steps) -> anyhow::Result<Warmed> {
    let documents = documents(engine, index, front).await?;
    steps.count("computing the products' vectors", documents.len());
    let started = Instant::now();
    let mut warmed = Warmed { documents: documents.len(), cached: 0, took: Duration::ZERO };
    for chunk in documents.chunks(CHUNK) {
        // Any query will do: only what belongs to the documents is kept for others.
        let query = front.digester.query(None, vec![Part::text("anything")]);
        let scored = reranker.score(Ask::all(query, chunk.to_vec(), Deadline::after(PATIENCE))).await;
        let scores = scored.map_err(|reason| anyhow!("the model does not compute the products' vectors: {reason}"))?;
        warmed.cached += scores.cached;
        steps.advance(chunk.len() as u64);
    }
    Ok(Warmed { took: started.elapsed(), ..warmed })
}

/// Returns what the model sees of every document of the index.
async fn documents(engine: &Client, index: &str, front: &Front) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for page in 0.. {
        let body = format!(r#"{{"from":{},"size":{PAGE},"query":{{"match_all":{{}}}}}}"#, page * PAGE);
        let answer = engine.call(Method::POST, &format!("/{index}/_search"), &body).await?;
        answer.json().context("reading the index")?;
        let response = SearchResponse::parse(&answer.body)?;
        let candidates = candidates::select(&response.hits, &front.rule.fields, &Reading::Source, &front.digester);
        documents.extend(candidates.into_iter().map(|candidate| candidate.document));
        if response.hits.len() < PAGE {
            break;
        }
    }
    Ok(documents)
}
