//! Computes a query's keys and values once, and from them the log-odds of its documents, packed into passes of bounded size.

use std::collections::HashMap;

use candle_core::Tensor;
use rerank_candle::{Decoder, Halt, Past, Row, Threads};
use rerank_plugin::{Fault, Pair, Prepared, PreparedQuery, Scale, Score, Scorer, StateId, Stop, Vector};

use crate::preparer::{DocumentTokens, QueryTokens};

/// One worker. Its state of a query is the keys and values of the query's end of the prompt.
pub(crate) struct Qwen3Scorer {
    decoder: Decoder,
    /// `[hidden size, 1]`, in f32.
    answer: Tensor,
    threads: Threads,
    pass_tokens: usize,
    states: HashMap<StateId, Past>,
    next: u64,
}

/// A document that is still to be scored.
struct Waiting<'a> {
    place: usize,
    row: Row<'a>,
    stop: &'a Stop,
}

// === impl Qwen3Scorer ===

impl Qwen3Scorer {
    pub(crate) fn new(decoder: Decoder, answer: Tensor, threads: Threads, batch_tokens: u32) -> Self {
        let pass_tokens = threads.pass_tokens(batch_tokens);
        Self { decoder, answer, threads, pass_tokens, states: HashMap::new(), next: 0 }
    }

    fn begin_one(&mut self, query: &PreparedQuery, stop: &Stop) -> Result<StateId, Fault> {
        let QueryTokens(tokens) = query.inner()?;
        let row = Row { past: None, tokens };
        let past = self.threads.run(|| self.decoder.past(row, &|| stop.asked()))?;
        let state = StateId(self.next);
        self.states.insert(state, past);
        self.next += 1;
        Ok(state)
    }

    fn row<'a>(&'a self, pair: &Pair<'a>) -> Result<Row<'a>, Fault> {
        let past = self.states.get(&pair.state).ok_or(Fault::Model("the query has ended".into()))?;
        let DocumentTokens(tokens) = pair.document.inner()?;
        Ok(Row { past: Some(past), tokens })
    }

    /// Returns how many of the first rows go into one pass, at least one.
    fn pass_length(&self, waiting: &[Waiting<'_>]) -> usize {
        let mut left = self.pass_tokens;
        let fits = |document: &&Waiting<'_>| {
            let enough = document.row.tokens.len() <= left;
            left = left.saturating_sub(document.row.tokens.len());
            enough
        };
        waiting.iter().take_while(fits).count().max(1)
    }

    fn pass(&self, batch: &[Waiting<'_>]) -> Result<Vec<f32>, Halt> {
        let rows: Vec<Row<'_>> = batch.iter().map(|document| document.row).collect();
        let nobody_waits = || batch.iter().all(|document| document.stop.asked());
        self.threads.run(|| {
            let hidden = self.decoder.last(&rows, &nobody_waits)?;
            Ok(hidden.matmul(&self.answer)?.squeeze(1)?.to_vec1()?)
        })
    }
}

impl Scorer for Qwen3Scorer {
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>> {
        queries.iter().map(|query| self.begin_one(query, stop)).collect()
    }

    fn end(&mut self, state: StateId) {
        self.states.remove(&state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let mut results = vec![Err(Fault::Stopped); batch.len()];
        let mut waiting = Vec::new();
        for (place, pair) in batch.iter().enumerate() {
            match self.row(pair) {
                Ok(row) => waiting.push(Waiting { place, row, stop: pair.stop }),
                Err(fault) => results[place] = Err(fault),
            }
        }
        loop {
            waiting.retain(|document| !document.stop.asked());
            if waiting.is_empty() {
                return results;
            }
            let now: Vec<Waiting<'_>> = waiting.drain(..self.pass_length(&waiting)).collect();
            match self.pass(&now) {
                Ok(all) => {
                    for (document, log_odds) in now.iter().zip(all) {
                        results[document.place] = Score::new(log_odds, Scale::Logit).map_err(Fault::from);
                    }
                }
                Err(halt) => {
                    let fault = Fault::from(halt);
                    now.iter().for_each(|document| results[document.place] = Err(fault.clone()));
                }
            }
        }
    }

    fn encode(&mut self, _batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        None
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.states.clear();
        Ok(())
    }
}
