//! From hits to their new order: candidates, documents, scores, fusion. Pure: no HTTP, no runtime.

mod outcome;
mod ranking;

pub use outcome::{Outcome, Reason, Reranked};
pub use ranking::Ranking;
