//! Qwen3-Reranker: a language model is asked whether a document answers a query, and the log-odds of "yes" are the score.
//!
//! The query's part of the prompt is computed once for all its documents. Runs the models as Qwen published them and their
//! single-logit conversions (`Qwen3ForSequenceClassification`), from safetensors and GGUF files, and refuses all others by name.

mod checkpoint;
mod family;
mod gguf;
mod head;
mod preparer;
mod prompt;
mod scorer;

pub use family::Qwen3;
