//! What benchmarks of the running gateway stand on: a canned upstream, open-loop arrivals, the real binary, and figures of rounds.

pub mod arrivals;
pub mod podium;
pub mod report;
pub mod upstream;
