//! Counts the requests of clients by where they went and how they were answered.

use http::StatusCode;
use metrics::{Counter, counter};

use super::names;

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A search, with or without a rule.
    Search,
    /// A search by a template.
    Template,
    /// Several searches in one.
    MultiSearch,
    /// Opens or closes a point in time.
    PointInTime,
    /// Everything else.
    Passthrough,
}

/// Classes of statuses, from 1xx.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters, made once: what streams through pays one addition.
pub struct Requests([[Counter; CLASSES.len()]; Way::ALL.len()]);

// === impl Way ===

impl Way {
    const ALL: [Self; 5] = [Self::Search, Self::Template, Self::MultiSearch, Self::PointInTime, Self::Passthrough];

    /// Its word in metrics and spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Template => "template",
            Self::MultiSearch => "msearch",
            Self::PointInTime => "pit",
            Self::Passthrough => "passthrough",
        }
    }
}

// === impl Requests ===

impl Requests {
    /// Registers the counters.
    pub fn new() -> Self {
        Self(Way::ALL.map(|way| CLASSES.map(|class| counter!(names::REQUESTS, names::ROUTE => way.as_str(), names::STATUS_CLASS => class))))
    }

    /// Counts one request.
    pub fn count(&self, way: Way, status: StatusCode) {
        // There is no status outside of the classes.
        if let Some(counter) = self.0[way as usize].get(usize::from(status.as_u16() / 100).saturating_sub(1)) {
            counter.increment(1);
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}
