//! The embedding family on a tiny BERT whose weights come from a seed: no network, no fixture.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]

mod detect;
mod load;
mod score;
mod tiny;
