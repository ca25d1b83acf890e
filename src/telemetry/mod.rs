//! What Podium says of itself: logs, and metrics, whose names stand in `names` and are explained in docs/metrics.md.
//!
//! Whoever has something to count registers it once by its name, through the `metrics` crate, and keeps the handle.

mod log;
pub mod names;
mod page;
mod requests;
mod searches;

pub use self::{
    log::{LogError, start},
    page::{MetricsPage, record, upkeep},
    requests::{Requests, Unanswered, Way},
    searches::{OfRule, Searches, Stage},
};
