//! Scores a window: splits it into calls, shares them among the endpoints, and tries another endpoint while there is time.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use reqwest::Client;
use rerank_plugin::{BoxFuture, Card, Deadline, Document, Fault, Query, RemoteScorer, Scale, Score};

use crate::{
    call::{Failure, call},
    endpoint::{Endpoint, choose},
    protocol::{Ask, Protocol},
    render,
};

/// Calls of one search that are under way at a time.
const MOST_CALLS: usize = 16;
/// Left of the budget when the last call is given up, so that what came is not lost with it.
const MARGIN: Duration = Duration::from_millis(5);

/// A model that servers answer for.
pub(crate) struct RemoteModel {
    pub(crate) card: Card,
    pub(crate) http: Client,
    pub(crate) protocol: Protocol,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) model: Option<String>,
    pub(crate) max_tokens: Option<u32>,
    /// Whether refusals say what the server said, which may be what it was sent.
    pub(crate) tells: bool,
}

/// Documents that are asked for together: their places in the search, and their texts.
#[derive(Default)]
struct Batch {
    places: Vec<usize>,
    texts: Vec<String>,
}

/// Returns the documents of [`RemoteModel::short_ones`].
pub(crate) fn short_documents() -> [String; 2] {
    ["a red running shoe".to_owned(), "a history of shipping".to_owned()]
}

// === impl RemoteModel ===

impl RemoteModel {
    async fn score_all(&self, query: &Query, documents: &[Document], deadline: Deadline) -> Vec<Result<Score, Fault>> {
        let mut results = vec![Err(Fault::Stopped); documents.len()];
        let text = match render::query(query) {
            Ok(text) => text,
            Err(fault) => return vec![Err(fault); documents.len()],
        };
        let batches = self.batches(documents, &mut results);
        let ask = Ask {
            model: self.model.as_deref(),
            instruction: query.instruction.as_deref(),
            query: &text,
            documents: &[],
            max_tokens: self.max_tokens.filter(|_| self.protocol.cuts()),
        };
        let calls = batches.into_iter().map(|batch| async move {
            let scores = self.ask(Ask { documents: &batch.texts, ..ask }, deadline).await;
            (batch.places, scores)
        });
        let mut refused = 0;
        let mut answers = stream::iter(calls).buffer_unordered(MOST_CALLS);
        while let Some((places, scores)) = answers.next().await {
            match scores {
                Ok(scores) => {
                    for (place, score) in places.into_iter().zip(scores) {
                        refused += usize::from(score.is_none());
                        let score = score.ok_or(Fault::Input("the server takes no document of this size".into()));
                        results[place] = score.and_then(|score| Score::new(score, self.scale()).map_err(Fault::from));
                    }
                }
                Err(fault) => places.into_iter().for_each(|place| results[place] = Err(fault.clone())),
            }
        }
        // Documents that are too large, however many, are no fault of the model: that is a server which refuses short ones too.
        if refused > 0 && refused == results.len() && self.refuses_short_ones(deadline).await {
            return vec![Err(Fault::Model("the server refuses every document, short ones too (413 or 422)".into())); documents.len()];
        }
        results
    }

    /// Returns whether a server answers, in time, that it takes not even short documents.
    async fn refuses_short_ones(&self, deadline: Deadline) -> bool {
        let scores = self.ask(self.short_ones(&short_documents()), deadline).await;
        scores.is_ok_and(|scores| scores.iter().all(Option::is_none))
    }

    /// Returns what every server takes that works; of Podium's own words.
    pub(crate) fn short_ones<'a>(&'a self, documents: &'a [String]) -> Ask<'a> {
        let max_tokens = self.max_tokens.filter(|_| self.protocol.cuts());
        Ask { model: self.model.as_deref(), instruction: None, query: "red shoes", documents, max_tokens }
    }

    /// Returns the documents' texts in batches that every endpoint takes; those that have none get their fault.
    fn batches(&self, documents: &[Document], results: &mut [Result<Score, Fault>]) -> Vec<Batch> {
        let words = self.max_tokens.filter(|_| !self.protocol.cuts());
        let size = self.endpoints.iter().map(|endpoint| endpoint.batch.load(Ordering::Relaxed)).min().unwrap_or(1);
        let mut batches = vec![Batch::default()];
        for (place, document) in documents.iter().enumerate() {
            match render::document(document, words) {
                Ok(text) => {
                    if batches.last().is_some_and(|batch| batch.places.len() >= size) {
                        batches.push(Batch::default());
                    }
                    if let Some(batch) = batches.last_mut() {
                        batch.places.push(place);
                        batch.texts.push(text);
                    }
                }
                Err(fault) => results[place] = Err(fault),
            }
        }
        batches.retain(|batch| !batch.places.is_empty());
        batches
    }

    /// Asks one endpoint after the other until one answers, none is left, or the time is up. A document that the server takes in no
    /// call has no score.
    async fn ask(&self, ask: Ask<'_>, deadline: Deadline) -> Result<Vec<Option<f32>>, Fault> {
        let mut tried = Vec::new();
        let mut last = Failure::Late;
        while let Some(turn) = choose(&self.endpoints, &tried, Instant::now()) {
            let budget = deadline.left().saturating_sub(MARGIN);
            if budget.is_zero() {
                break;
            }
            let (endpoint, begun) = (turn.endpoint, Instant::now());
            match Box::pin(self.ask_one(endpoint, ask, deadline)).await {
                Ok(scores) => {
                    endpoint.worked();
                    return Ok(scores);
                }
                Err(failure @ Failure::Refused(_)) => return Err(Fault::Model(failure.to_string().into())),
                Err(failure) => {
                    endpoint.failed(begun, Instant::now());
                    last = failure;
                }
            }
            tried.push(turn.place);
        }
        Err(match last {
            Failure::Late => Fault::Stopped,
            Failure::Busy(said) | Failure::Away(said) => Fault::Busy(said.into()),
            other => Fault::Model(other.to_string().into()),
        })
    }

    /// Asks `endpoint`, in halves where it does not take as much at once.
    pub(crate) async fn ask_one(&self, endpoint: &Endpoint, ask: Ask<'_>, deadline: Deadline) -> Result<Vec<Option<f32>>, Failure> {
        let budget = deadline.left().saturating_sub(MARGIN);
        if budget.is_zero() {
            return Err(Failure::Late);
        }
        match call(&self.http, (self.protocol, endpoint), ask, (budget, self.tells)).await {
            Err(Failure::TooLarge(_)) => {
                let half = ask.documents.len() / 2;
                if half == 0 {
                    return Ok(vec![None]);
                }
                let (head, tail) = ask.documents.split_at(half);
                let mut scores = Box::pin(self.ask_one(endpoint, Ask { documents: head, ..ask }, deadline)).await?;
                scores.extend(Box::pin(self.ask_one(endpoint, Ask { documents: tail, ..ask }, deadline)).await?);
                // One document that is too large says nothing about how many may come together.
                if scores.iter().all(Option::is_some) {
                    endpoint.batch.fetch_min(half, Ordering::Relaxed);
                }
                Ok(scores)
            }
            answered => Ok(answered?.into_iter().map(Some).collect()),
        }
    }

    fn scale(&self) -> Scale {
        self.card.scale
    }
}

impl RemoteScorer for RemoteModel {
    fn card(&self) -> &Card {
        &self.card
    }

    fn score<'a>(&'a self, query: &'a Query, documents: &'a [Document], deadline: Deadline) -> BoxFuture<'a, Vec<Result<Score, Fault>>> {
        Box::pin(self.score_all(query, documents, deadline))
    }
}
