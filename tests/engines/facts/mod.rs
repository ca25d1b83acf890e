//! What was seen on the engines and what a rewrite relies on; a new version that behaves otherwise fails here first.

mod answers;
mod fields;
mod refusals;
mod windows;
