//! For tests only: rerankers with a known behaviour, and the checks that every plugin passes.

pub mod conformance;
mod fakes;
mod scripted;
mod store;

pub use fakes::{Behaviour, Fake};
pub use scripted::{Script, Scripted};
pub use store::MapStore;
