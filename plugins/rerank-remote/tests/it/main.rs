//! Remote models against a server that answers as it is told.

mod bad;
mod infinity;
mod score;
mod server;
