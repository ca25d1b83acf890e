//! Bi-encoders: the relevance of a document is the cosine of its vector and the query's, and vectors are kept.
//!
//! BERT, XLM-RoBERTa and ModernBERT with mean, CLS or last-token pooling, and Qwen3 with last-token pooling; all others are
//! refused by name.

mod checkpoint;
mod encoder;
mod family;
mod modules;
mod preparer;
mod prompts;
mod scorer;

pub use family::Embedding;
