//! What benchmarks of the running gateway stand on: a canned upstream, open-loop arrivals, the real binary, and figures of rounds.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub mod arrivals;
pub mod cranfield;
pub mod gateway;
pub mod machine;
pub mod measured;
pub mod model;
pub mod podium;
pub mod report;
pub mod upstream;
