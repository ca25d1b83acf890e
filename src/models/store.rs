//! The cache in which plugins keep vectors: moka, bounded by weight.

use std::sync::Arc;

use metrics::Counter;
use moka::sync::Cache;
use rerank_plugin::{Artifact, ArtifactKey, ArtifactStore};

use crate::{
    cached::{Cached, Size},
    telemetry::names,
};

/// What one entry weighs besides its artifact: key, cache node, allocations.
pub(super) const ENTRY_OVERHEAD: usize = 200;

/// A bounded, shared store.
#[derive(Clone)]
pub struct Store {
    artifacts: Cache<ArtifactKey, Artifact>,
    counters: Arc<Counters>,
}

/// What became of what was looked for. A scorer looks again for what its preparer did not find, so that looks in vain are not
/// counted, but what was computed then.
struct Counters {
    found: Counter,
    computed: Counter,
}

// === impl Store ===

impl Store {
    /// Returns an empty store of at most `bytes`, overhead included.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &ArtifactKey, artifact: &Artifact| u32::try_from(artifact.weight() + ENTRY_OVERHEAD).unwrap_or(u32::MAX);
        let counters = Counters {
            found: metrics::counter!(names::CACHE_HITS, names::CACHE => names::CACHE_VECTORS),
            computed: metrics::counter!(names::CACHE_MISSES, names::CACHE => names::CACHE_VECTORS),
        };
        Self { artifacts: Cache::builder().max_capacity(bytes).weigher(weigh).build(), counters: Arc::new(counters) }
    }

    /// Keeps what was computed at another time.
    pub(super) fn put_back(&self, key: ArtifactKey, artifact: Artifact) {
        self.artifacts.insert(key, artifact);
    }

    /// How many more bytes it can hold, about.
    pub(super) fn room(&self) -> u64 {
        self.artifacts.policy().max_capacity().unwrap_or(u64::MAX).saturating_sub(self.bytes())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.artifacts.invalidate_all();
    }

    /// How many artifacts it holds, about.
    pub fn entries(&self) -> u64 {
        self.artifacts.run_pending_tasks();
        self.artifacts.entry_count()
    }

    /// How many bytes it holds, overhead included, about.
    pub fn bytes(&self) -> u64 {
        self.artifacts.run_pending_tasks();
        self.artifacts.weighted_size()
    }
}

impl Cached for Store {
    fn size(&self) -> Size {
        Size { entries: self.entries(), bytes: self.bytes() }
    }

    fn clear(&self) {
        Self::clear(self);
    }
}

impl ArtifactStore for Store {
    fn get(&self, key: &ArtifactKey) -> Option<Artifact> {
        let found = self.artifacts.get(key);
        if found.is_some() {
            self.counters.found.increment(1);
        }
        found
    }

    fn put(&self, key: ArtifactKey, artifact: Artifact) {
        self.counters.computed.increment(1);
        self.artifacts.insert(key, artifact);
    }
}

#[cfg(test)]
mod tests {
    use rerank_plugin::{Artifact, ArtifactKey, ArtifactStore, Digest128, Fingerprint, Slot, Vector};

    use super::Store;

    fn key(number: u128) -> ArtifactKey {
        ArtifactKey { fingerprint: Fingerprint([0; 32]), slot: Slot::Document, digest: Digest128(number) }
    }

    #[test]
    fn the_store_stays_under_its_bound() {
        let store = Store::new(100_000);
        (0..1000).for_each(|number| store.put(key(number), Artifact::Vector(Vector::new(vec![0.0; 100]))));
        assert!((1..=100_000).contains(&store.bytes()), "{}", store.bytes());
        assert!((1..=166).contains(&store.entries()), "{}", store.entries());
    }

    #[test]
    fn a_store_of_no_bytes_keeps_nothing() {
        let store = Store::new(0);
        store.put(key(1), Artifact::Vector(Vector::new(vec![0.0; 4])));
        assert_eq!(store.entries(), 0);
        assert!(store.get(&key(1)).is_none());
    }

    #[test]
    fn a_store_that_was_emptied_holds_nothing_and_takes_again() {
        let store = Store::new(100_000);
        store.put(key(1), Artifact::Vector(Vector::new(vec![0.0; 4])));
        store.clear();
        assert!(store.get(&key(1)).is_none());
        assert_eq!((store.entries(), store.bytes()), (0, 0));
        store.put_back(key(2), Artifact::Vector(Vector::new(vec![0.0; 4])));
        assert!(store.get(&key(2)).is_some());
    }
}
