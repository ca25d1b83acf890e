//! Podium changes nothing but the order of hits: shown on real engines, by tests that their makers wrote and by comparing answers.
//!
//! Parts that need an engine are compiled with the feature `real-engines`; the rest tests what those parts stand on.

#![allow(clippy::unwrap_used, reason = "all of it is tests; clippy knows only the functions that are marked")]

#[cfg(feature = "real-engines")]
#[allow(dead_code, reason = "shared with tests/engines, which uses all of it")]
#[path = "../engines/rig/mod.rs"]
mod rig;
#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/support/mod.rs"]
mod support;

/// What an answer through Podium may differ in, and what it may not.
mod comparator;
/// Searches that others wrote, on real engines, directly and through Podium.
#[cfg(feature = "real-engines")]
mod compare;
/// Searches and answers that others wrote.
mod corpus;
/// What may be different between two answers.
mod difference;
/// The comparator tested: answers that are wrong on purpose.
mod faults;
/// Indices in which searches that others wrote find hits.
#[cfg(feature = "real-engines")]
mod generated;
/// Recorded searches and answers, replayed without an engine.
mod golden;
/// Pages and windows.
mod page;
/// Searches that are made up, good and bad.
mod properties;
/// JSON as text.
mod raw;
/// The engines' own REST tests, in YAML, directly and through Podium.
mod yaml;
