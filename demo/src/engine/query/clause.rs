//! A query that was understood: what tantivy runs, and what is marked in the hits.

use tantivy::query::{AllQuery, BoostQuery, ConstScoreQuery, EmptyQuery, Occur, Query};

/// A query that was understood.
#[derive(Debug)]
pub struct Clause {
    /// What tantivy is to run.
    pub query: Box<dyn Query>,
    /// What is to be marked in the hits.
    pub marks: Vec<Mark>,
}

/// A word or a phrase of a query, for highlighting.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The field that it is looked for in.
    pub field: String,
    /// Its terms and their positions; a word has one term.
    pub terms: Vec<(usize, String)>,
    /// What it adds to the worth of a fragment.
    pub weight: f32,
}

/// Clauses with what they are for.
pub(super) type Group = Vec<(Occur, Clause)>;

// === impl Clause ===

impl Clause {
    pub(super) fn new(query: impl Query) -> Self {
        Self { query: Box::new(query), marks: Vec::new() }
    }

    /// Matches no document.
    pub(super) fn nothing() -> Self {
        Self::new(EmptyQuery)
    }

    /// Matches every document; its score is 1.
    pub(super) fn everything() -> Self {
        Self::constant(AllQuery)
    }

    /// Matches what `query` does; its score is 1. Also keeps tantivy from leaving out scores of queries that match everything.
    pub(super) fn constant(query: impl Query) -> Self {
        Self::new(ConstScoreQuery::new(Box::new(query), 1.0))
    }

    /// Matches the same documents and adds nothing to their scores.
    pub(super) fn filtering(self) -> Self {
        Self { query: Box::new(ConstScoreQuery::new(self.query, 0.0)), ..self }
    }

    pub(super) fn boosted(mut self, boost: f32) -> Self {
        if boost == 1.0 {
            return self;
        }
        self.marks.iter_mut().for_each(|mark| mark.weight *= boost);
        Self { query: Box::new(BoostQuery::new(self.query, boost)), ..self }
    }

    pub(super) fn marking(mut self, field: &str, terms: impl IntoIterator<Item = (usize, String)>) -> Self {
        self.marks.push(Mark { field: field.to_owned(), terms: terms.into_iter().collect(), weight: 1.0 });
        self
    }
}
