//! From hits to their new order: candidates, documents, scores, fusion. Pure: no HTTP, no runtime.

mod arrangement;
mod outcome;
mod ranking;

pub use arrangement::{Annotation, Arrangement};
pub use outcome::{Outcome, Reason, Reranked};
pub use ranking::Ranking;
