//! Measures a model's unit: how much higher it scores matched than unmatched pairs. A wrong unit ruins adaptive fusion,
//! so it is measured at load and never configured.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rerank_plugin::{Document, Fault, Pair, Preparer, Query, Score, Scorer, Stop};

/// Queries, and the passage that fits each, at the same place.
pub struct Pairs {
    /// The queries.
    pub queries: Vec<Query>,
    /// The passages.
    pub documents: Vec<Document>,
}

/// Returns the mean score of matched pairs above that of unmatched ones; `None` when it is not positive or cannot be measured.
pub fn measure(preparer: &dyn Preparer, scorer: &mut dyn Scorer, pairs: &Pairs) -> Option<f64> {
    let scores = catch_unwind(AssertUnwindSafe(|| score_all(preparer, scorer, pairs))).ok()?.ok()?;
    let (mut matched, mut unmatched) = (Mean::default(), Mean::default());
    for (query, row) in scores.iter().enumerate() {
        for (document, score) in row.iter().enumerate() {
            if query == document { &mut matched } else { &mut unmatched }.add(f64::from(score.order()));
        }
    }
    Some(matched.value() - unmatched.value()).filter(|unit| *unit > 0.0)
}

fn score_all(preparer: &dyn Preparer, scorer: &mut dyn Scorer, pairs: &Pairs) -> Result<Vec<Vec<Score>>, Fault> {
    let mut rows = Vec::new();
    for query in &pairs.queries {
        let query = preparer.query(query)?;
        let documents = pairs.documents.iter().map(|document| preparer.document(&query, document)).collect::<Result<Vec<_>, _>>()?;
        let stop = Stop::default();
        let state = scorer.begin(&[&query], &stop).pop().unwrap_or(Err(Fault::Stopped))?;
        let batch: Vec<Pair<'_>> = documents.iter().map(|document| Pair { state, document, stop: &stop }).collect();
        let row: Result<Vec<Score>, Fault> = scorer.score(&batch).into_iter().collect();
        scorer.end(state);
        rows.push(row?);
    }
    Ok(rows)
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

// === impl Mean ===

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(&self) -> f64 {
        self.sum / self.count
    }
}
