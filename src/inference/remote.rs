//! A model that runs elsewhere: one call for what is not in the cache, on a task of its own, whose scores are kept even when they are late.

use std::{future::Future, sync::Arc};

use rerank_plugin::{Card, Document, Fault, RemoteScorer, Score};
use tokio::{task, time};
use tracing::warn;

use super::{Answer, Ask, Found, Measures, QueryKey, ScoreCache, accept, reason_of};
use crate::rerank::Reason;

/// A remote model.
pub struct Remote {
    name: Arc<str>,
    scorer: Arc<dyn RemoteScorer>,
    scores: ScoreCache,
    measures: Arc<Measures>,
}

// === impl Remote ===

impl Remote {
    pub fn new(name: Arc<str>, scorer: Arc<dyn RemoteScorer>, scores: ScoreCache, measures: Arc<Measures>) -> Self {
        Self { name, scorer, scores, measures }
    }

    pub fn card(&self) -> &Card {
        self.scorer.card()
    }

    /// Scores what was not found.
    pub async fn score(&self, ask: &Ask, found: &Found) -> Result<Answer, Reason> {
        let places: Vec<usize> = found.missing().collect();
        let documents: Vec<Document> = places.iter().map(|place| ask.documents[*place].clone()).collect();
        let call = self.call(ask, found.name, documents);
        // Given up when it is dropped where nothing is kept of it; else it ends by itself, at the deadline at the latest.
        let mut calls = task::JoinSet::new();
        let waited = if self.scores.is_on() {
            let running = tokio::spawn(call);
            time::timeout_at(ask.deadline.0.into(), running).await.map(Result::ok)
        } else {
            calls.spawn(call);
            time::timeout_at(ask.deadline.0.into(), calls.join_next()).await.map(|ended| ended.and_then(Result::ok))
        };
        let results = waited.map_err(|_| Reason::Timeout)?;
        let results = results.filter(|results| results.len() == places.len()).ok_or_else(|| {
            warn!(model = %self.name, "the remote model panicked, or the number of its scores is not the number of documents");
            Reason::ModelError
        })?;
        self.read(&places, results, ask)
    }

    /// Returns the call, which keeps what it brings.
    fn call(
        &self,
        ask: &Ask,
        name: QueryKey,
        documents: Vec<Document>,
    ) -> impl Future<Output = Vec<Result<Score, Fault>>> + Send + 'static {
        let (scorer, scores, measures) = (Arc::clone(&self.scorer), self.scores.clone(), Arc::clone(&self.measures));
        let (query, deadline) = (ask.query.clone(), ask.deadline);
        async move {
            let results = scorer.score(&query, &documents, deadline).await;
            if results.len() == documents.len() {
                let scored =
                    documents.iter().zip(&results).filter_map(|(document, result)| Some((document.digest, *result.as_ref().ok()?)));
                let count = scored.clone().count();
                scores.put_all(name, scored);
                measures.remote(count, deadline.left().is_zero());
            }
            results
        }
    }

    /// Reads results of documents at these places: those that did not come in time are late.
    fn read(&self, places: &[usize], results: Vec<Result<Score, Fault>>, ask: &Ask) -> Result<Answer, Reason> {
        let failed = results.iter().find_map(|result| match result {
            Err(Fault::Input(_) | Fault::Stopped) | Ok(_) => None,
            Err(fault) => Some(fault),
        });
        if let Some(fault) = failed {
            warn!(model = %self.name, %fault, "the model failed");
            return Err(reason_of(fault));
        }
        let is_late = results.contains(&Err(Fault::Stopped));
        if is_late && results.iter().all(Result::is_err) {
            return Err(Reason::Timeout);
        }
        let came = places.iter().zip(results).filter(|(_, result)| *result != Err(Fault::Stopped));
        let accepted = came.map(|(place, result)| Ok((*place, accept(result)?))).collect::<Result<Vec<_>, Reason>>()?;
        Ok(Answer { asked: ask.documents.len(), results: accepted, cached: 0, is_late })
    }
}
