//! Lucene's BM25 on top of tantivy's: the same formula with other statistics and without a constant factor.
//!
//! Lucene averages over the documents that have the field where tantivy takes all documents, and leaves out the factor k1 + 1.

use tantivy::{
    Searcher, Term,
    query::{Bm25StatisticsProvider, BoostWeight, EnableScoring, Query, Weight},
    schema::Field,
};

/// tantivy's k1 + 1.
const FACTOR: f32 = 2.2;

/// A term or a phrase of one field whose score is Lucene's.
#[derive(Debug)]
pub(super) struct Scored {
    query: Box<dyn Query>,
    /// Finds the documents that have terms in the field.
    with_field: Term,
}

/// The statistics of one field.
struct FieldStatistics<'a> {
    searcher: &'a Searcher,
    documents: u64,
}

// === impl Scored ===

impl Scored {
    pub fn new(query: impl Query, with_field: Term) -> Self {
        Self { query: Box::new(query), with_field }
    }
}

impl Clone for Scored {
    fn clone(&self) -> Self {
        Self { query: self.query.box_clone(), with_field: self.with_field.clone() }
    }
}

impl Query for Scored {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let EnableScoring::Enabled { searcher, .. } = scoring else { return self.query.weight(scoring) };
        let statistics = FieldStatistics { searcher, documents: searcher.doc_freq(&self.with_field)? };
        let weight = self.query.weight(EnableScoring::enabled_from_statistics_provider(&statistics, searcher))?;
        Ok(Box::new(BoostWeight::new(weight, 1.0 / FACTOR)))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.query.query_terms(visitor);
    }
}

// === impl FieldStatistics ===

impl Bm25StatisticsProvider for FieldStatistics<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.searcher.total_num_tokens(field)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.documents)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        // tantivy panics where more documents have a term than there are.
        Ok(self.searcher.doc_freq(term)?.min(self.documents))
    }
}
