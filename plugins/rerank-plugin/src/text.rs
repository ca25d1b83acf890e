//! What is compared: a query and a document, each made of texts, images and video. Rendering them is the host's part.

use std::sync::Arc;

/// A 128-bit keyed hash of everything that a query or a document shows the model, computed by the host.
///
/// Two values with equal digests are the same input for every model; texts are attacker-supplied, so the key is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest128(pub u128);

/// One piece of a query or a document, in the order in which the model sees it.
#[derive(Clone, Debug)]
pub enum Part {
    /// A text, never empty.
    Text {
        /// Written before the text as `label: text` by families that have no better place for it.
        label: Option<Arc<str>>,
        /// The text itself.
        text: Arc<str>,
        /// This part's own budget in tokens of the model; the rest of it is cut on the right.
        max_tokens: Option<u32>,
    },
    /// An image, still encoded.
    Image(Arc<Image>),
    /// A video, as sampled frames.
    Video(Arc<Video>),
}

/// An encoded image, as fetched: the plugin decodes it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The file's bytes (PNG, JPEG, WebP…); untrusted.
    pub bytes: Arc<[u8]>,
    /// Keyed hash of the bytes, for caching what is computed from them.
    pub digest: Digest128,
}

/// Frames of a video in the order of time.
#[derive(Clone, Debug)]
pub struct Video {
    /// The frames.
    pub frames: Vec<Arc<Image>>,
    /// Frames per second at which they were taken.
    pub fps: f32,
}

/// What somebody searched for.
#[derive(Clone, Debug)]
pub struct Query {
    /// What the model is told to do, for models that take an instruction.
    pub instruction: Option<Arc<str>>,
    /// The query's texts and images; at least one.
    pub parts: Vec<Part>,
    /// Of the instruction and all parts.
    pub digest: Digest128,
}

/// One hit, as the model sees it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document's texts and images in the rule's order; at least one.
    pub parts: Vec<Part>,
    /// Of all parts with their labels and limits.
    pub digest: Digest128,
}

// === impl Part ===

impl Part {
    /// Returns a text without a label and without a budget of its own.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text { label: None, text: text.into(), max_tokens: None }
    }
}
