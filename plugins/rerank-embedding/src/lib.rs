//! Bi-encoders: the relevance of a document is the cosine of its vector and the query's, and vectors are kept.
//!
//! This version runs BERT bodies with mean pooling (all-MiniLM-L6-v2 and its kin) and refuses all others by name.

mod checkpoint;
mod encoder;
mod family;
mod preparer;
mod scorer;

pub use family::Embedding;
