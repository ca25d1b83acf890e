//! What is counted of a model. The handles are made once, when it is loaded.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{
    breaker::State,
    schedule::{PassPair, Tally},
};
use crate::{rerank::Reason, telemetry::names};

/// A model's handles.
pub struct Measures {
    model: String,
    batch_tokens: f64,
    pairs: Histogram,
    fill: Histogram,
    padding: Histogram,
    seconds: Histogram,
    scored_tokens: Counter,
    scored_pairs: Counter,
    late: Counter,
    set_aside: Counter,
    restarts: Counter,
    breaker: Gauge,
}

// === impl Measures ===

impl Measures {
    /// Makes a model's handles.
    pub fn new(model: &str, batch_tokens: u32) -> Self {
        let of = || model.to_owned();
        Self {
            model: of(),
            batch_tokens: f64::from(batch_tokens),
            pairs: histogram!(names::BATCH_PAIRS, names::MODEL => of()),
            fill: histogram!(names::BATCH_FILL_RATIO, names::MODEL => of()),
            padding: histogram!(names::BATCH_PADDING_RATIO, names::MODEL => of()),
            seconds: histogram!(names::BATCH_SECONDS, names::MODEL => of()),
            scored_tokens: counter!(names::SCORED_TOKENS, names::MODEL => of()),
            scored_pairs: counter!(names::SCORED_PAIRS, names::MODEL => of()),
            late: counter!(names::LATE_SCORES, names::MODEL => of()),
            set_aside: counter!(names::PAIRS_SET_ASIDE, names::MODEL => of()),
            restarts: counter!(names::WORKER_RESTARTS, names::MODEL => of()),
            breaker: gauge!(names::BREAKER_STATE, names::MODEL => of()),
        }
    }

    /// Counts a pass.
    pub fn pass(&self, pairs: &[PassPair], tally: Tally, took: Duration) {
        let costs = || pairs.iter().map(|pair| f64::from(pair.prepared.cost()));
        let tokens: f64 = costs().sum();
        let padded = costs().fold(0.0, f64::max) * pairs.len() as f64;
        self.pairs.record(pairs.len() as f64);
        self.fill.record(tokens / self.batch_tokens);
        // Pairs of which nothing is left to compute are in no forward pass.
        if padded > 0.0 {
            self.padding.record(1.0 - tokens / padded);
        }
        self.seconds.record(took.as_secs_f64());
        self.scored_tokens.increment(tokens as u64);
        self.scored_pairs.increment(tally.scored as u64);
        self.late.increment(tally.late as u64);
        self.set_aside.increment(tally.set_aside as u64);
    }

    /// Counts scores that came from elsewhere; `late`: after their search was answered.
    pub fn remote(&self, scored: usize, late: bool) {
        self.scored_pairs.increment(scored as u64);
        if late {
            self.late.increment(scored as u64);
        }
    }

    /// Counts a search that was not begun.
    pub fn shed(&self, reason: Reason) {
        counter!(names::SEARCHES_SHED, names::MODEL => self.model.clone(), names::REASON => reason.as_str()).increment(1);
    }

    /// Counts a worker that was made ready again after the model had panicked.
    pub fn restarted(&self) {
        self.restarts.increment(1);
    }

    /// Tells where the breaker stands.
    pub fn breaker(&self, state: State) {
        self.breaker.set(match state {
            State::Closed => names::BREAKER_CLOSED,
            State::HalfOpen { .. } => names::BREAKER_HALF_OPEN,
            State::Open { .. } => names::BREAKER_OPEN,
        });
    }
}
