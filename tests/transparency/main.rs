//! Podium changes nothing but the order of hits: shown on real engines, by tests that their makers wrote and by comparing answers.
//!
//! Parts that need an engine are compiled with the feature `real-engines`; the rest tests what those parts stand on.

#![allow(clippy::unwrap_used, reason = "all of it is tests; clippy knows only the functions that are marked")]

#[cfg(feature = "real-engines")]
#[allow(dead_code, reason = "shared with tests/engines, which uses all of it")]
#[path = "../engines/rig/mod.rs"]
mod rig;

/// The engines' own REST tests, in YAML, directly and through Podium.
mod yaml;
