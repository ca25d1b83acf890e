//! The border between the gateway and its rerankers: what a reranker is asked, what it answers, what it may cost.
//!
//! A plugin implements [`Family`]; the host calls [`Family::detect`] and [`Family::load`], and gets [`Loaded`]: either a
//! [`Preparer`] with one [`Scorer`] per device, or a [`RemoteScorer`]. Scheduling, deadlines, caches' sizes and fallbacks
//! belong to the host. Nothing here knows HTTP.

mod card;
mod family;
mod folder;
mod local;
mod placement;
mod remote;
mod score;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;

pub use card::{Card, Fingerprint, Modalities};
pub use family::{Chunking, ControlTokens, Detection, Endpoints, Family, LoadError, LoadOptions, Loaded, Progress, Silent, Source};
pub use folder::{Folder, is_gguf, is_gguf_part};
pub use local::{Pair, Prepared, PreparedQuery, Preparer, Scorer, StateId, Stop};
pub use placement::{Device, Dtype, Placement};
pub use remote::{BoxFuture, Deadline, RemoteScorer};
pub use score::{Fault, NotFinite, Scale, Score, Vector};
pub use store::{Artifact, ArtifactKey, ArtifactStore, Slot};
pub use text::{Digest128, Document, Image, Part, Query, Video};
