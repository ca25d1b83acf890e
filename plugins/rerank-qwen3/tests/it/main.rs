//! The family on two tiny rerankers whose scores transformers computed (`tests/fixtures/script`): no network.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]

mod chunks;
mod detect;
mod gguf;
mod load;
mod parity;
mod score;
mod tiny;
mod tokens;
