//! Scores pairs in batches of like lengths; a document's score is that of its best chunk.

use std::{cmp::Reverse, collections::HashSet};

use rerank_candle::{Results, Threads, TypedRow, fault, smaller_pass};
use rerank_plugin::{Fault, LoadOptions, Pair, Prepared, PreparedQuery, Scale, Score, Scorer, StateId, Stop, Vector};

use crate::{
    model::Model,
    preparer::{PairRow, PairTokens},
};

/// One worker. A query has no state of its own: the model reads it anew with each document.
pub(crate) struct PairScorer {
    model: Model,
    threads: Threads,
    batch_tokens: usize,
    queries: HashSet<StateId>,
    next: u64,
}

/// A row that is to be scored, of the document at that place of the batch.
struct Waiting<'a> {
    place: usize,
    row: &'a PairRow,
    stop: &'a Stop,
}

// === impl PairScorer ===

impl PairScorer {
    pub(crate) fn new(model: Model, threads: Threads, options: &LoadOptions) -> Self {
        let batch_tokens = threads.pass_tokens(options.batch_tokens);
        Self { model, threads, batch_tokens, queries: HashSet::new(), next: 0 }
    }

    /// Takes the rows of the next forward pass: the first that wait, as many as `left` tokens have room for, and at least one, the longest
    /// first.
    fn next_batch<'a>(waiting: &mut Vec<Waiting<'a>>, mut left: usize) -> Vec<Waiting<'a>> {
        let fit = waiting.iter().take_while(|Waiting { row, .. }| {
            let fits = row.tokens.len() <= left;
            left = left.saturating_sub(row.tokens.len());
            fits
        });
        let count = fit.count().max(1);
        let mut batch: Vec<_> = waiting.drain(..count).collect();
        batch.sort_by_key(|Waiting { row, .. }| Reverse(row.tokens.len()));
        batch
    }

    fn forward(&self, batch: &[Waiting<'_>]) -> Vec<Result<Score, Fault>> {
        let rows: Vec<TypedRow<'_>> =
            batch.iter().map(|waiting| TypedRow { tokens: &waiting.row.tokens, types: &waiting.row.types }).collect();
        match self.threads.run(|| self.model.logits(&rows)) {
            Ok(logits) => logits.into_iter().map(|logit| Ok(Score::new(logit, Scale::Logit)?)).collect(),
            Err(error) => vec![Err(fault(&error)); rows.len()],
        }
    }

    fn pair<'a>(&self, pair: &Pair<'a>) -> Result<&'a PairTokens, Fault> {
        if !self.queries.contains(&pair.state) {
            return Err(Fault::Model("the query has ended".into()));
        }
        pair.document.inner()
    }
}

impl Scorer for PairScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let mut begin = |_: &&PreparedQuery| {
            let state = StateId(self.next);
            self.next += 1;
            self.queries.insert(state);
            Ok(state)
        };
        queries.iter().map(&mut begin).collect()
    }

    fn end(&mut self, state: StateId) {
        self.queries.remove(&state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let mut results = Results::new(batch.len());
        let mut documents = Vec::new();
        for (place, pair) in batch.iter().enumerate() {
            match self.pair(pair) {
                Ok(PairTokens { rows }) => {
                    results.expect(place, rows.len());
                    documents.push((place, rows, pair.stop));
                }
                Err(fault) => results.add(place, Err(fault)),
            }
        }
        // The rows of a document stay together, so that those who stop find whole documents scored.
        documents.sort_by_key(|(_, rows, _)| Reverse(rows.iter().map(|row| row.tokens.len()).max()));
        let rows = documents.into_iter().flat_map(|(place, rows, stop)| rows.iter().map(move |row| Waiting { place, row, stop }));
        let mut waiting: Vec<Waiting<'_>> = rows.collect();
        let mut most = self.batch_tokens;
        loop {
            waiting.retain(|row| !results.has_failed(row.place) && !row.stop.asked());
            if waiting.is_empty() {
                return results.finish();
            }
            let now = Self::next_batch(&mut waiting, most);
            let scored = self.forward(&now);
            if let Some(fewer) = smaller_pass(scored.iter(), now.iter().map(|row| (row.place, row.row.tokens.len()))) {
                most = fewer;
                waiting.splice(..0, now);
                continue;
            }
            for (row, result) in now.iter().zip(scored) {
                results.add(row.place, result);
            }
        }
    }

    fn encode(&mut self, _batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        None
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.queries.clear();
        Ok(())
    }
}
