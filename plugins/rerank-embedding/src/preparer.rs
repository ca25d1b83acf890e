//! Turns queries and documents into tokens, or into the vector that is already known.

use std::{borrow::Cow, sync::Arc};

use rerank_candle::Tokens;
use rerank_plugin::{
    Artifact, ArtifactKey, ArtifactStore, Card, Digest128, Document, Fault, Part, Prepared, PreparedQuery, Preparer, Query, Slot, Vector,
};

/// Tokens of a text, with the model's own around them.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) document: usize,
    pub(crate) query: usize,
}

/// A query or a document on its way to a score.
pub(crate) enum Text {
    /// Its vector was in the store.
    Known(Vector),
    /// Its vector is still to be computed, and kept under `key`.
    Tokens { key: ArtifactKey, tokens: Vec<u32> },
}

/// The side of the model that needs no device.
pub(crate) struct EmbeddingPreparer {
    card: Card,
    tokens: Tokens,
    limits: Limits,
    store: Arc<dyn ArtifactStore>,
}

// === impl Text ===

impl Text {
    fn cost(&self) -> u32 {
        match self {
            Self::Known(_) => 0,
            Self::Tokens { tokens, .. } => tokens.len() as u32,
        }
    }
}

// === impl EmbeddingPreparer ===

impl EmbeddingPreparer {
    pub(crate) fn new(card: Card, tokens: Tokens, limits: Limits, store: Arc<dyn ArtifactStore>) -> Self {
        Self { card, tokens, limits, store }
    }

    fn text(&self, slot: Slot, digest: Digest128, parts: &[Part]) -> Result<Text, Fault> {
        let key = ArtifactKey { fingerprint: self.card.fingerprint, slot, digest };
        if let Some(Artifact::Vector(vector)) = self.store.get(&key) {
            return Ok(Text::Known(vector));
        }
        let limit = if slot == Slot::Query { self.limits.query } else { self.limits.document };
        Ok(Text::Tokens { key, tokens: self.tokenise(parts, limit)? })
    }

    /// Parts are tokenised one by one and put side by side: to BERT the line feed between them is white space.
    fn tokenise(&self, parts: &[Part], limit: usize) -> Result<Vec<u32>, Fault> {
        let room = limit - self.tokens.frame();
        let mut content = Vec::new();
        for part in parts {
            let Part::Text { label, text, max_tokens } = part else {
                return Err(Fault::Input("this model reads text only".into()));
            };
            let rendered = label.as_ref().map_or(Cow::Borrowed(&**text), |label| Cow::Owned(format!("{label}: {text}")));
            let own = max_tokens.map_or(usize::MAX, |own| own as usize);
            content.extend(self.tokens.first(&rendered, own.min(room - content.len()))?);
        }
        if content.is_empty() {
            return Err(Fault::Input("the text is empty after tokenising".into()));
        }
        Ok(self.tokens.framed(&content))
    }
}

impl Preparer for EmbeddingPreparer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let text = self.text(Slot::Query, query.digest, &query.parts)?;
        Ok(PreparedQuery::new(text.cost(), text))
    }

    fn document(&self, _query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let text = self.text(Slot::Document, document.digest, &document.parts)?;
        Ok(Prepared::new(text.cost(), text))
    }
}
