//! For tests only: rerankers with a known behaviour, and the checks that every plugin passes.

pub mod conformance;
mod fakes;
mod store;

pub use fakes::{Behaviour, Fake};
pub use store::MapStore;
