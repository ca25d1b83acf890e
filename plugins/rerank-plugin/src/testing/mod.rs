//! For tests only: rerankers with a known behaviour, and the checks that every plugin passes.

mod bad_files;
pub mod conformance;
mod fakes;
mod scripted;
mod store;

pub use bad_files::check_bad_files;
pub use fakes::{Behaviour, Fake};
pub use scripted::{Script, Scripted};
pub use store::MapStore;
