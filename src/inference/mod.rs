//! Runs models: preparing on the blocking pool, scoring on a thread per device behind a bounded queue, answers in time.
//!
//! Knows neither HTTP nor Elasticsearch.

mod queue;
mod score_cache;
mod unit;
mod worker;

use std::sync::Arc;

use rerank_plugin::{
    Card, Deadline, Digest128, Document, Fault, Loaded, Prepared, PreparedQuery, Preparer, Query, RemoteScorer, Score, Stop,
};
use tokio::{sync::mpsc, task, time};
use tracing::warn;

use self::{
    queue::{Job, Queue},
    worker::Batch,
};
pub use self::{
    score_cache::{PairKey, QueryKey, ScoreCache},
    unit::Pairs,
};
use crate::rerank::Reason;

/// How a model is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Token budget of one forward pass.
    pub batch_tokens: u32,
    /// Documents that may wait.
    pub max_queue: usize,
    /// Whether its unit is worth measuring: some rule fuses adaptively with it.
    pub measure_unit: bool,
}

/// A model that is ready to score.
pub struct Reranker {
    name: Arc<str>,
    unit: Option<f64>,
    engine: Engine,
}

enum Engine {
    Local { preparer: Arc<dyn Preparer>, queue: Arc<Queue> },
    Remote(Arc<dyn RemoteScorer>),
}

/// What one search wants to have scored.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What was searched for.
    pub query: Query,
    /// The hits, best first-stage hit first.
    pub documents: Vec<Document>,
    /// When the answer is worth nothing any more.
    pub deadline: Deadline,
    /// The fewest of the first documents that are worth scoring: when not even so many would be in time, none is.
    pub least: usize,
    /// Whether what is scored at the deadline is of use where not all is.
    pub partial: bool,
    /// The rule's number: one rule's searches do not starve those of another.
    pub lane: usize,
    /// Who asks, where scores are not shared between identities.
    pub scope: Option<Digest128>,
}

/// What became of a search's documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Of the first [`Scores::asked`] documents; `None` for one that the model cannot score, or that was too late.
    pub by_document: Vec<Option<Score>>,
    /// How many of the first documents were to be scored: fewer than came where not all would have been in time.
    pub asked: usize,
    /// Documents whose dear part was already there.
    pub cached: usize,
    /// Why some have no score that could have one; `None` when all was done.
    pub late: Option<Reason>,
}

/// Asks the scorer to stop when it is dropped: the search was answered, or its client is gone.
struct StopOnDrop(Stop);

struct PreparedSearch {
    query: PreparedQuery,
    documents: Vec<Result<Prepared, Fault>>,
}

// === impl Ask ===

impl Ask {
    /// Wants all documents scored, for nobody's search.
    pub fn all(query: Query, documents: Vec<Document>, deadline: Deadline) -> Self {
        Self { least: documents.len(), query, documents, deadline, partial: false, lane: Self::NO_RULE, scope: None }
    }

    /// The lane of what no rule asks for: the rerank API, checks, explanations.
    pub const NO_RULE: usize = usize::MAX;
}

// === impl Reranker ===

impl Reranker {
    /// Measures the model where asked, and starts its workers. Slow: called on the loading thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(loaded: Loaded, settings: &Settings, pairs: &Pairs) -> std::io::Result<Self> {
        let name = Arc::clone(&settings.name);
        match loaded {
            Loaded::Remote(remote) => Ok(Self { name, unit: None, engine: Engine::Remote(remote) }),
            Loaded::Local { preparer, mut workers } => {
                let first = workers.first_mut().filter(|_| settings.measure_unit);
                let unit = first.and_then(|scorer| unit::measure(preparer.as_ref(), scorer.as_mut(), pairs));
                if settings.measure_unit && unit.is_none() {
                    warn!(model = %name, "the model does not tell matched pairs from unmatched ones: adaptive fusion keeps the engine's order");
                }
                let queue = Arc::new(Queue::new(settings.max_queue));
                let run = worker::Settings {
                    model: Arc::clone(&name),
                    batch_tokens: settings.batch_tokens,
                    keeps_vectors: preparer.card().keeps_vectors,
                };
                workers.into_iter().try_for_each(|scorer| worker::start(scorer, Arc::clone(&queue), run.clone()))?;
                Ok(Self { name, unit, engine: Engine::Local { preparer, queue } })
            }
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the model is.
    pub fn card(&self) -> &Card {
        match &self.engine {
            Engine::Local { preparer, .. } => preparer.card(),
            Engine::Remote(remote) => remote.card(),
        }
    }

    /// How much higher the model scores matched pairs than unmatched ones, if that was measured and is positive.
    pub fn unit(&self) -> Option<f64> {
        self.unit
    }

    /// Scores documents, best first-stage hit first; answers at the deadline at the latest.
    ///
    /// # Errors
    /// The [`Reason`] why the search keeps the engine's order. What was begun still fills the caches.
    pub async fn score(&self, ask: Ask) -> Result<Scores, Reason> {
        let Ask { query, documents, deadline, .. } = ask;
        if deadline.left().is_zero() {
            return Err(Reason::Timeout);
        }
        let answer = async {
            match &self.engine {
                Engine::Local { preparer, queue } => self.score_here(preparer, queue, query, documents).await,
                Engine::Remote(remote) => self.score_there(Arc::clone(remote), query, documents, deadline).await,
            }
        };
        time::timeout_at(deadline.0.into(), answer).await.unwrap_or(Err(Reason::Timeout))
    }

    async fn score_here(
        &self,
        preparer: &Arc<dyn Preparer>,
        queue: &Queue,
        query: Query,
        documents: Vec<Document>,
    ) -> Result<Scores, Reason> {
        let stop = StopOnDrop(Stop::default());
        let PreparedSearch { query, documents } = self.prepare(Arc::clone(preparer), query, documents, stop.0.clone()).await?;
        let mut by_document = vec![None; documents.len()];
        let mut prepared: Vec<(usize, Prepared)> = Vec::new();
        for (number, document) in documents.into_iter().enumerate() {
            match document {
                Ok(document) => prepared.push((number, document)),
                Err(fault) => by_document[number] = self.accept(Err(fault))?,
            }
        }
        let mut missing = prepared.len();
        if missing == 0 {
            return Ok(Scores { asked: by_document.len(), by_document, cached: 0, late: None });
        }
        let cached = prepared.iter().filter(|(_, document)| document.cost() == 0).count();
        let (results, mut batches) = mpsc::unbounded_channel::<Batch>();
        queue.push(Job { query, documents: prepared, stop: stop.0.clone(), results })?;
        while missing > 0 {
            // The worker lets go of a search early only when nobody waits, or when its thread has died.
            let batch = batches.recv().await.ok_or(Reason::ModelError)?;
            missing = missing.saturating_sub(batch.len());
            for (number, result) in batch {
                by_document[number] = self.accept(result)?;
            }
        }
        Ok(Scores { asked: by_document.len(), by_document, cached, late: None })
    }

    async fn prepare(
        &self,
        preparer: Arc<dyn Preparer>,
        query: Query,
        documents: Vec<Document>,
        stop: Stop,
    ) -> Result<PreparedSearch, Reason> {
        let prepare = move || {
            let query = preparer.query(&query)?;
            let prepare = |document| if stop.asked() { Err(Fault::Stopped) } else { preparer.document(&query, document) };
            let documents = documents.iter().map(prepare).collect();
            Ok(PreparedSearch { query, documents })
        };
        let prepared = task::spawn_blocking(prepare).await;
        prepared.unwrap_or_else(|_| Err(Fault::Model("the model panicked while tokenising".into()))).map_err(|fault| match fault {
            // Nothing that a client can type is the model's fault.
            Fault::Input(_) => Reason::NoQueryText,
            fault => self.accept(Err(fault)).err().unwrap_or(Reason::ModelError),
        })
    }

    async fn score_there(
        &self,
        remote: Arc<dyn RemoteScorer>,
        query: Query,
        documents: Vec<Document>,
        deadline: Deadline,
    ) -> Result<Scores, Reason> {
        let count = documents.len();
        // On a task of its own, so that a panic stays there; the set gives the task up when it is dropped.
        let mut call = task::JoinSet::new();
        call.spawn(async move { remote.score(&query, &documents, deadline).await });
        let results = call.join_next().await.and_then(Result::ok).filter(|results| results.len() == count).ok_or_else(|| {
            warn!(model = %self.name, "the remote model panicked, or the number of its scores is not the number of documents");
            Reason::ModelError
        })?;
        let by_document = results.into_iter().map(|result| self.accept(result)).collect::<Result<Vec<_>, _>>()?;
        Ok(Scores { asked: by_document.len(), by_document, cached: 0, late: None })
    }

    /// Returns the score, nothing for a document that cannot be scored, or the reason why the whole search has none.
    fn accept(&self, result: Result<Score, Fault>) -> Result<Option<Score>, Reason> {
        match result {
            Ok(score) => Ok(Some(score)),
            Err(Fault::Input(_)) => Ok(None),
            Err(Fault::Stopped) => Err(Reason::Timeout),
            Err(Fault::Busy(_)) => Err(Reason::QueueFull),
            Err(fault) => {
                warn!(model = %self.name, %fault, "the model failed");
                Err(Reason::ModelError)
            }
        }
    }
}

impl Drop for Reranker {
    fn drop(&mut self) {
        if let Engine::Local { queue, .. } = &self.engine {
            queue.close();
        }
    }
}

// === impl StopOnDrop ===

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}

#[cfg(test)]
mod tests;
