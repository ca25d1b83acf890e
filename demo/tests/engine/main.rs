//! The embedded engine over loopback HTTP, as clients meet it.

#![expect(clippy::unwrap_used, reason = "a rig that fails fails its test")]

mod rig;

mod bulk;
mod documents;
mod indices;
mod refusals;
mod robustness;
mod searches;
