//! An artifact store that forgets nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Artifact, ArtifactKey, ArtifactStore};

/// An unbounded store that counts what was put.
#[derive(Debug, Default)]
pub struct MapStore(Mutex<HashMap<ArtifactKey, Artifact>>);

// === impl MapStore ===

impl MapStore {
    /// How many artifacts it holds.
    pub fn len(&self) -> usize {
        self.artifacts().len()
    }

    /// Returns whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.artifacts().clear();
    }

    fn artifacts(&self) -> MutexGuard<'_, HashMap<ArtifactKey, Artifact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArtifactStore for MapStore {
    fn get(&self, key: &ArtifactKey) -> Option<Artifact> {
        self.artifacts().get(key).cloned()
    }

    fn put(&self, key: ArtifactKey, artifact: Artifact) {
        self.artifacts().insert(key, artifact);
    }
}
