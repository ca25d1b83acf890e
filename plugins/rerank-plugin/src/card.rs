//! What a loaded model says of itself.

use std::fmt;

use crate::{Chunking, Placement, Scale};

/// A 256-bit hash of all that changes a model's scores.
///
/// It covers weights, tokenizer, prompt, dtype, max-tokens, truncation, chunking, pooling, activation, control-token mode and a
/// version of the plugin's own code: equal fingerprints mean interchangeable scores and vectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What a model can look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modalities {
    /// [`crate::Part::Text`].
    pub text: bool,
    /// [`crate::Part::Image`].
    pub image: bool,
    /// [`crate::Part::Video`].
    pub video: bool,
}

/// A loaded model's identity and limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Card {
    /// The family that loaded it: the `kind` of the configuration.
    pub kind: &'static str,
    /// Of everything that changes scores.
    pub fingerprint: Fingerprint,
    /// What its scores mean.
    pub scale: Scale,
    /// What it can look at.
    pub modalities: Modalities,
    /// Tokens of a document (embeddings) or of a pair (all others) that are looked at; the rest is cut. `u32::MAX` where a server that
    /// runs the model does not say.
    pub max_tokens: u32,
    /// Whether [`crate::Query::instruction`] changes its scores.
    pub takes_instruction: bool,
    /// Whether it keeps document vectors in the host's store, so that scoring ahead of time pays.
    pub keeps_vectors: bool,
    /// How it cuts long documents into chunks; `None`: it reads them up to `max_tokens` and no further.
    pub chunking: Option<Chunking>,
    /// Where it computes; `None` where it does that elsewhere, or not at all.
    pub placement: Option<Placement>,
}

// === impl Fingerprint ===

impl fmt::Display for Fingerprint {
    /// Writes the first 16 hexadecimal digits, enough to tell two models apart in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

// === impl Modalities ===

impl Modalities {
    /// Text alone.
    pub const TEXT: Self = Self { text: true, image: false, video: false };
}

// === impl Card ===

impl Card {
    /// Returns the card of a model that reads text, takes no instruction, keeps no vectors, cuts no chunks and has no placement; set the
    /// rest on it.
    pub fn new(kind: &'static str, fingerprint: Fingerprint, scale: Scale, max_tokens: u32) -> Self {
        Self {
            kind,
            fingerprint,
            scale,
            modalities: Modalities::TEXT,
            max_tokens,
            takes_instruction: false,
            keeps_vectors: false,
            chunking: None,
            placement: None,
        }
    }
}
