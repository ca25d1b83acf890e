//! Rerank servers that others made, asked as `kind = "remote"` does: opt-in, because they bring PyTorch with them.

#![allow(clippy::unwrap_used, reason = "all of it is tests; clippy knows only the functions that are marked")]

mod server;
#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/support/mod.rs"]
mod support;

mod infinity;
