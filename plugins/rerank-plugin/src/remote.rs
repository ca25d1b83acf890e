//! A reranker that runs elsewhere and is asked over a network.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use crate::{Card, Document, Fault, Query, Score};

/// A future on the heap, as an object-safe async method returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The instant after which an answer is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// A remote model. Dropping the future gives the call up.
pub trait RemoteScorer: Send + Sync {
    /// Returns what the model is, as far as the endpoint tells.
    fn card(&self) -> &Card;

    /// Scores the documents; one result per document, in their order. Splits and retries inside the deadline, and answers
    /// before it, with [`Fault::Stopped`] for what is still missing: the host drops a future that is late, and all of it is lost.
    fn score<'a>(&'a self, query: &'a Query, documents: &'a [Document], deadline: Deadline) -> BoxFuture<'a, Vec<Result<Score, Fault>>>;
}

// === impl Deadline ===

impl Deadline {
    /// Returns the deadline that lies `budget` after now; very long budgets become a century.
    pub fn after(budget: Duration) -> Self {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        Self(Instant::now() + budget.min(CENTURY))
    }

    /// The time left; zero when it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
