//! Where a plugin keeps what it has computed: the host's cache, so that sizes and evictions are decided in one place.

use std::{any::Any, sync::Arc};

use crate::{Digest128, Fingerprint, Vector};

/// What an artifact was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// A whole query.
    Query,
    /// A whole document.
    Document,
    /// One image or video.
    Media,
}

/// The name of one artifact. Different models never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArtifactKey {
    /// Of the model that computed it.
    pub fingerprint: Fingerprint,
    /// What it was computed from.
    pub slot: Slot,
    /// Of what it was computed from.
    pub digest: Digest128,
}

/// Something that is dear to compute and small enough to keep.
#[derive(Clone, Debug)]
pub enum Artifact {
    /// An embedding; the host can write it to a file and read it back.
    Vector(Vector),
    /// Anything else (keys and values of a prefix, the output of an image tower); lives in memory only.
    Opaque {
        /// Its size in bytes, for the cache's weigher.
        weight: usize,
        /// The thing itself.
        value: Arc<dyn Any + Send + Sync>,
    },
}

/// A bounded cache that may forget anything at any time.
pub trait ArtifactStore: Send + Sync {
    /// Returns what was put under `key`, if it is still there.
    fn get(&self, key: &ArtifactKey) -> Option<Artifact>;

    /// Keeps `artifact` under `key`, or drops it when it does not fit.
    fn put(&self, key: ArtifactKey, artifact: Artifact);
}

// === impl Artifact ===

impl Artifact {
    /// What the artifact weighs in a cache, in bytes, without the cache's own overhead.
    pub fn weight(&self) -> usize {
        match self {
            Self::Vector(vector) => vector.weight(),
            Self::Opaque { weight, .. } => *weight,
        }
    }
}
