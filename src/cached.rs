//! What may be emptied and measured, whatever it keeps.

use std::sync::Arc;

use metrics::gauge;
use serde::Serialize;

use crate::telemetry::names;

/// A cache as operators see it.
pub trait Cached: Send + Sync {
    /// Measures it. Not for searches: it may look at every entry.
    fn size(&self) -> Size;

    /// Forgets everything.
    fn clear(&self);
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Scores, vectors, answers or pages.
    pub entries: u64,
    /// What they weigh, overhead included.
    pub bytes: u64,
}

/// All caches of a gateway, each by its name.
#[derive(Clone)]
pub struct Caches(Arc<[(&'static str, Box<dyn Cached>)]>);

// === impl Caches ===

impl Caches {
    /// Returns these.
    pub fn new(caches: Vec<(&'static str, Box<dyn Cached>)>) -> Self {
        Self(caches.into())
    }

    /// Returns the one of this name, or all.
    pub fn named<'a>(&'a self, name: Option<&'a str>) -> impl Iterator<Item = (&'static str, &'a dyn Cached)> {
        self.0.iter().filter(move |(own, _)| name.is_none_or(|name| name == *own)).map(|(own, cache)| (*own, cache.as_ref()))
    }

    /// Tells how much each keeps, for the page of metrics.
    pub fn measure(&self) {
        for (name, cache) in self.named(None) {
            let Size { entries, bytes } = cache.size();
            gauge!(names::CACHE_ENTRIES, names::CACHE => name).set(entries as f64);
            gauge!(names::CACHE_BYTES, names::CACHE => name).set(bytes as f64);
        }
    }
}
