//! Computes a query's keys and values once, and from them the log-odds of its documents, packed into passes of bounded size;
//! a document's are those of its best chunk.

use std::collections::HashMap;

use candle_core::Tensor;
use rerank_candle::{Decoder, Halt, Past, Results, Row, Threads, smaller_pass};
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

/// A row that is still to be scored, of the document at that place of the batch.
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

    fn rows<'a>(&'a self, pair: &Pair<'a>) -> Result<impl ExactSizeIterator<Item = Row<'a>>, Fault> {
        let past = self.states.get(&pair.state).ok_or(Fault::Model("the query has ended".into()))?;
        let DocumentTokens(chunks) = pair.document.inner()?;
        Ok(chunks.iter().map(move |tokens| Row { past: Some(past), tokens }))
    }

    /// Returns how many of the first rows go into a pass of so many tokens, at least one.
    fn pass_length(waiting: &[Waiting<'_>], mut left: usize) -> usize {
        let fits = |Waiting { row, .. }: &&Waiting<'_>| {
            let enough = row.tokens.len() <= left;
            left = left.saturating_sub(row.tokens.len());
            enough
        };
        waiting.iter().take_while(fits).count().max(1)
    }

    fn pass(&self, batch: &[Waiting<'_>]) -> Result<Vec<f32>, Halt> {
        let rows: Vec<Row<'_>> = batch.iter().map(|waiting| waiting.row).collect();
        let nobody_waits = || batch.iter().all(|waiting| waiting.stop.asked());
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
        let mut results = Results::new(batch.len());
        let mut waiting = Vec::new();
        for (place, pair) in batch.iter().enumerate() {
            match self.rows(pair) {
                Ok(rows) => {
                    results.expect(place, rows.len());
                    waiting.extend(rows.map(|row| Waiting { place, row, stop: pair.stop }));
                }
                Err(fault) => results.add(place, Err(fault)),
            }
        }
        let mut most = self.pass_tokens;
        loop {
            waiting.retain(|row| !results.has_failed(row.place) && !row.stop.asked());
            if waiting.is_empty() {
                return results.finish();
            }
            let now: Vec<Waiting<'_>> = waiting.drain(..Self::pass_length(&waiting, most)).collect();
            let scored: Vec<Result<Score, Fault>> = match self.pass(&now) {
                Ok(all) => all.into_iter().map(|log_odds| Score::new(log_odds, Scale::Logit).map_err(Fault::from)).collect(),
                Err(halt) => vec![Err(Fault::from(halt)); now.len()],
            };
            if let Some(fewer) = smaller_pass(scored.iter(), now.iter().map(|row| (row.place, row.row.tokens.len()))) {
                most = fewer;
                waiting.splice(..0, now);
                continue;
            }
            now.iter().zip(scored).for_each(|(row, result)| results.add(row.place, result));
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
