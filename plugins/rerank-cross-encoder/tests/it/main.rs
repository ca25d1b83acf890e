//! Small cross-encoders, at least one of each family, against what transformers says of them: no network, no download.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]

mod bad;
mod chunks;
mod control;
mod detect;
mod fixture;
mod parity;
mod score;
