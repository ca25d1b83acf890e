//! The cache in which plugins keep vectors: moka, bounded by weight.

use moka::sync::Cache;
use rerank_plugin::{Artifact, ArtifactKey, ArtifactStore};

/// What one entry weighs besides its artifact: key, cache node, allocations.
const ENTRY_OVERHEAD: usize = 200;

/// A bounded, shared store.
#[derive(Clone, Debug)]
pub struct Store(Cache<ArtifactKey, Artifact>);

// === impl Store ===

impl Store {
    /// Returns an empty store of at most `bytes`, overhead included.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &ArtifactKey, artifact: &Artifact| u32::try_from(artifact.weight() + ENTRY_OVERHEAD).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(bytes).weigher(weigh).build())
    }
}

impl ArtifactStore for Store {
    fn get(&self, key: &ArtifactKey) -> Option<Artifact> {
        self.0.get(key)
    }

    fn put(&self, key: ArtifactKey, artifact: Artifact) {
        self.0.insert(key, artifact);
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
        store.0.run_pending_tasks();
        assert!((1..=100_000).contains(&store.0.weighted_size()), "{}", store.0.weighted_size());
    }

    #[test]
    fn a_store_of_no_bytes_keeps_nothing() {
        let store = Store::new(0);
        store.put(key(1), Artifact::Vector(Vector::new(vec![0.0; 4])));
        store.0.run_pending_tasks();
        assert!(store.get(&key(1)).is_none());
    }
}
