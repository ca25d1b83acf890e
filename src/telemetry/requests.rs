//! Counts the requests of clients by where they went and how they were answered.

use std::thread;

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

/// Classes of statuses, from 1xx; and the one of requests whose client did not wait for an answer.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
const FAILED: usize = 4;
const GONE: usize = 5;

/// The counters, made once: what streams through pays one addition.
pub struct Requests([OfWay; Way::ALL.len()]);

struct OfWay([Counter; CLASSES.len()]);

/// A request that is not answered yet. Dropped so, its client is gone, or a bug of ours has ended it.
pub struct Unanswered<'a>(Option<&'a OfWay>);

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
        let class = |way: Way, class: &'static str| counter!(names::REQUESTS, names::ROUTE => way.as_str(), names::STATUS_CLASS => class);
        Self(Way::ALL.map(|way| OfWay(CLASSES.map(|name| class(way, name)))))
    }

    /// Begins a request, which is counted when it is answered, or when it never will be.
    pub fn begin(&self, way: Way) -> Unanswered<'_> {
        Unanswered(Some(&self.0[way as usize]))
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Unanswered ===

impl Unanswered<'_> {
    /// Counts the request by its answer.
    pub fn answered(mut self, status: StatusCode) {
        // There is no status below 100; what is above 599 is an error as well.
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(FAILED);
        if let Some(way) = self.0.take() {
            way.0[class].increment(1);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(way) = self.0.take() {
            // A panic is answered further out.
            way.0[if thread::panicking() { FAILED } else { GONE }].increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use http::StatusCode;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::{Requests, Way};

    #[test]
    fn a_request_is_counted_once_however_it_ends() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let requests = metrics::with_local_recorder(&recorder, Requests::new);
        requests.begin(Way::Search).answered(StatusCode::OK);
        requests.begin(Way::Search).answered(StatusCode::from_u16(999).unwrap());
        drop(requests.begin(Way::Search));
        let bug = catch_unwind(AssertUnwindSafe(|| {
            let _unanswered = requests.begin(Way::Search);
            panic!("a bug of this test");
        }));
        assert!(bug.is_err());
        let page = page.render();
        for (class, count) in [("1xx", 0), ("2xx", 1), ("3xx", 0), ("4xx", 0), ("5xx", 2), ("none", 1)] {
            let line = format!("podium_requests_total{{route=\"search\",status_class=\"{class}\"}} {count}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }
}
