//! From hits to their new order: candidates, documents, fusion, arrangement. Pure: no HTTP, no runtime.

pub mod arrange;
mod arrangement;
pub mod candidates;
mod digest;
pub mod fuse;
mod outcome;
mod ranking;
mod words;

pub use arrangement::{Annotation, Arrangement};
pub use digest::{Digester, Digesting};
pub use outcome::{Outcome, Outcomes, Reason, Reranked};
pub use ranking::Ranking;
pub use words::Words;
