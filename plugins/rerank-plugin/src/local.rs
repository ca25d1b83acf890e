//! A reranker that runs in this process: preparing (tokenising) on any thread, scoring on one thread per device.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Card, Document, Fault, Query, Score, Vector};

/// A query, tokenised; opaque to the host. Cheap to clone.
#[derive(Clone)]
pub struct PreparedQuery {
    cost: u32,
    inner: Arc<dyn Any + Send + Sync>,
}

/// A document, tokenised for one query; opaque to the host. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    cost: u32,
    inner: Arc<dyn Any + Send + Sync>,
}

/// The name of a query's state (prefix keys and values, query vector) inside one [`Scorer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateId(pub u64);

/// One document to be scored for one query that was begun. A batch may mix queries.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The query's state, from [`Scorer::begin`].
    pub state: StateId,
    /// The document, prepared for that query.
    pub document: &'a Prepared,
    /// Asked when nobody waits for this pair any more.
    pub stop: &'a Stop,
}

/// Tells a scorer that nobody waits for a pair any more. Cheap to clone; once asked, never taken back.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicU64>);

/// What a [`Stop`] holds that nobody asked: how many more looks at it find nothing.
const ENDLESS: u64 = u64::MAX;

/// The side of a local model that needs no device: shared by all threads.
pub trait Preparer: Send + Sync {
    /// Returns what the model is.
    fn card(&self) -> &Card;

    /// Returns the query ready for [`Scorer::begin`].
    ///
    /// # Errors
    /// [`Fault::Input`] when this query can never be scored.
    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault>;

    /// Returns the document ready for [`Scorer::score`], cut to the model's limit. Models that keep vectors
    /// ([`Card::keeps_vectors`]) do not look at the query, so that documents can be prepared before there is one.
    ///
    /// # Errors
    /// [`Fault::Input`] when this document can never be scored.
    fn document(&self, query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault>;
}

/// One device's copy of a local model; lives on one thread.
pub trait Scorer: Send {
    /// Computes the states that the documents of each query share, and returns their names; one result per query, in order.
    /// Each is freed by [`Scorer::end`]; nothing is left to be freed for a fault.
    ///
    /// [`Fault::Batch`] says that there is no room for so many states: end some, or begin fewer at a time.
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>>;

    /// Frees a query's state. An unknown name is ignored.
    fn end(&mut self, state: StateId);

    /// Scores documents of one or several queries; one result per pair, in the order of `batch`.
    ///
    /// The plugin sorts and splits inside as it likes, looks at each pair's `stop` between forward passes, and answers
    /// [`Fault::Stopped`] for those that it left. A pair's result does not depend on the rest of the batch.
    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>>;

    /// Computes the documents' vectors and puts them into the host's store, for models that have vectors.
    ///
    /// One result per document, in the order of `batch`; `None` for models without vectors.
    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>>;

    /// Drops all states and whatever a panic may have left half done; called after one, before the next use.
    ///
    /// # Errors
    /// [`Fault::Model`] when the device's copy cannot be used again.
    fn reset(&mut self) -> Result<(), Fault>;
}

// === impl PreparedQuery ===

impl PreparedQuery {
    /// Wraps a plugin's own type. `cost`: tokens still to compute in [`Scorer::begin`].
    pub fn new<T: Any + Send + Sync>(cost: u32, inner: T) -> Self {
        Self { cost, inner: Arc::new(inner) }
    }

    /// Tokens still to compute in [`Scorer::begin`]; 0 when the state is already known.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Returns the plugin's own type.
    ///
    /// # Errors
    /// [`Fault::Model`] when another plugin prepared it: a bug of the host.
    pub fn inner<T: Any>(&self) -> Result<&T, Fault> {
        self.inner.downcast_ref().ok_or(Fault::Model("the query was prepared by another plugin".into()))
    }
}

impl fmt::Debug for PreparedQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PreparedQuery").field("cost", &self.cost).finish_non_exhaustive()
    }
}

// === impl Prepared ===

impl Prepared {
    /// Wraps a plugin's own type. `cost`: tokens still to compute in [`Scorer::score`].
    pub fn new<T: Any + Send + Sync>(cost: u32, inner: T) -> Self {
        Self { cost, inner: Arc::new(inner) }
    }

    /// Tokens still to compute in [`Scorer::score`]; 0 for a cached vector.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Returns the plugin's own type.
    ///
    /// # Errors
    /// [`Fault::Model`] when another plugin prepared it: a bug of the host.
    pub fn inner<T: Any>(&self) -> Result<&T, Fault> {
        self.inner.downcast_ref().ok_or(Fault::Model("the document was prepared by another plugin".into()))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Prepared").field("cost", &self.cost).finish_non_exhaustive()
    }
}

// === impl Stop ===

impl Stop {
    /// Returns one that asks by itself after so many looks at it.
    #[cfg(feature = "testing")]
    pub fn after(looks: u64) -> Self {
        Self(Arc::new(AtomicU64::new(looks)))
    }

    /// How many more looks at one of [`Stop::after`] find that nobody asked.
    #[cfg(feature = "testing")]
    pub fn looks_left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the scorer to stop at the next chance.
    pub fn ask(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Returns whether somebody asked.
    pub fn asked(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            ENDLESS => false,
            0 => true,
            _ => self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err(),
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(ENDLESS)))
    }
}
