//! Scores pairs in batches of like lengths.

use std::{cmp::Reverse, collections::HashSet};

use rerank_candle::{Threads, TypedRow, fault};
use rerank_plugin::{Fault, LoadOptions, Pair, Prepared, PreparedQuery, Scale, Score, Scorer, StateId, Stop, Vector};

use crate::{model::Model, preparer::PairTokens};

/// One worker. A query has no state of its own: the model reads it anew with each document.
pub(crate) struct PairScorer {
    model: Model,
    threads: Threads,
    batch_tokens: usize,
    queries: HashSet<StateId>,
    next: u64,
}

/// A pair that is to be scored.
struct Waiting<'a> {
    place: usize,
    pair: &'a PairTokens,
    stop: &'a Stop,
}

// === impl PairScorer ===

impl PairScorer {
    pub(crate) fn new(model: Model, threads: Threads, options: &LoadOptions) -> Self {
        let batch_tokens = threads.pass_tokens(options.batch_tokens);
        Self { model, threads, batch_tokens, queries: HashSet::new(), next: 0 }
    }

    /// Takes the pairs of the next forward pass: the longest that wait, as many as fit, and at least one.
    fn next_batch<'a>(&self, waiting: &mut Vec<Waiting<'a>>) -> Vec<Waiting<'a>> {
        let mut left = self.batch_tokens;
        let fit = waiting.iter().take_while(|pair| {
            let fits = pair.pair.tokens.len() <= left;
            left = left.saturating_sub(pair.pair.tokens.len());
            fits
        });
        let count = fit.count().max(1);
        waiting.drain(..count).collect()
    }

    fn forward(&self, batch: &[Waiting<'_>]) -> Vec<Result<Score, Fault>> {
        let rows: Vec<TypedRow<'_>> =
            batch.iter().map(|waiting| TypedRow { tokens: &waiting.pair.tokens, types: &waiting.pair.types }).collect();
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
        let mut results = vec![Err(Fault::Stopped); batch.len()];
        let mut waiting = Vec::new();
        for (place, pair) in batch.iter().enumerate() {
            match self.pair(pair) {
                Ok(tokens) => waiting.push(Waiting { place, pair: tokens, stop: pair.stop }),
                Err(fault) => results[place] = Err(fault),
            }
        }
        waiting.sort_by_key(|waiting| Reverse(waiting.pair.tokens.len()));
        loop {
            waiting.retain(|pair| !pair.stop.asked());
            if waiting.is_empty() {
                return results;
            }
            let now = self.next_batch(&mut waiting);
            for (pair, result) in now.iter().zip(self.forward(&now)) {
                results[pair.place] = result;
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
