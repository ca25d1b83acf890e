//! Runs YAML REST tests over HTTP: what a suite is, how its steps become requests, what they assert.

#![cfg_attr(not(feature = "real-engines"), allow(dead_code, reason = "its user needs an engine"))]

mod answer;
mod api;
mod document;
mod files;
mod suite;
mod version;

#[cfg(feature = "real-engines")]
mod cleaning;
#[cfg(feature = "real-engines")]
mod differences;
#[cfg(feature = "real-engines")]
mod run;
#[cfg(feature = "real-engines")]
mod suites;
