//! The embedding family on a tiny BERT whose weights come from a seed, and on the fixtures that `fixtures/make.py` wrote.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]

mod bad;
mod detect;
mod fixture;
mod load;
mod parity;
mod prompts;
mod score;
mod tiny;
