//! Turns queries and documents into tokens, or into the vector that is already known.

use std::{borrow::Cow, sync::Arc};

use rerank_candle::Tokens;
use rerank_plugin::{
    Artifact, ArtifactKey, ArtifactStore, Card, Digest128, Document, Fault, LoadError, Part, Prepared, PreparedQuery, Preparer, Query,
    Slot, Vector,
};

use crate::prompts::{Prompts, prompted};

/// The most tokens of an instruction, of a model with enough positions.
const INSTRUCTION_TOKENS: usize = 256;

/// Tokens of a text, with the model's own around them.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// With its prompt.
    pub(crate) document: usize,
    /// Without its prompt.
    pub(crate) query: usize,
    /// Of any text with its prompt.
    pub(crate) positions: usize,
}

/// How texts become tokens.
pub(crate) struct Reading {
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) prompts: Prompts,
    /// Whether texts are read in lower case.
    pub(crate) lower_case: bool,
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
    reading: Reading,
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

// === impl Reading ===

impl Reading {
    /// Makes sure that behind each prompt there is room for a text.
    pub(crate) fn check_prompts(&self) -> Result<(), LoadError> {
        for (prompt, limit) in [(&self.prompts.query, self.limits.positions), (&self.prompts.document, self.limits.document)] {
            let length = self.alone(prompt).map_err(|fault| unusable(prompt, &fault.to_string()))?.len();
            if length + self.tokens.frame() >= limit {
                return Err(unusable(prompt, &format!("it has {length} tokens, and there is room for {limit} with a text")));
            }
        }
        Ok(())
    }

    fn query(&self, query: &Query) -> Result<Vec<u32>, Fault> {
        let instruction = query.instruction.as_deref();
        let instructed = instruction.map(|text| self.tokens.cut(text, INSTRUCTION_TOKENS.min(self.limits.positions / 2))).transpose()?;
        let prompt = instructed.and_then(|text| self.prompts.instructed(text)).map_or(Cow::Borrowed(&self.prompts.query), Cow::Owned);
        let prompt_tokens = self.alone(&prompt)?;
        let limit = (self.limits.query + prompt_tokens.len()).min(self.limits.positions);
        self.text((&prompt, &prompt_tokens), &query.parts, limit)
    }

    fn document(&self, document: &Document) -> Result<Vec<u32>, Fault> {
        let prompt = &self.prompts.document;
        self.text((prompt, &self.alone(prompt)?), &document.parts, self.limits.document)
    }

    /// Returns the tokens of a prompt without a text.
    fn alone(&self, prompt: &str) -> Result<Vec<u32>, Fault> {
        if prompt.is_empty() {
            return Ok(Vec::new());
        }
        self.tokens.first(&self.cased(prompted(prompt, Cow::Borrowed(""))), self.limits.positions)
    }

    /// Returns the tokens of all parts as the one text that they make behind the prompt, joined by line feeds.
    fn text(&self, (prompt, prompt_tokens): (&str, &[u32]), parts: &[Part], limit: usize) -> Result<Vec<u32>, Fault> {
        let rendered: Result<Vec<Cow<'_, str>>, Fault> = parts.iter().map(|part| self.part(part)).collect();
        let mut rendered = rendered?;
        let whole = if rendered.len() == 1 { rendered.remove(0) } else { Cow::Owned(rendered.join("\n")) };
        let content = self.tokens.first(&self.cased(prompted(prompt, whole)), limit.saturating_sub(self.tokens.frame()))?;
        if content.is_empty() || content == prompt_tokens {
            return Err(Fault::Input("the text is empty after tokenising".into()));
        }
        Ok(self.tokens.framed(&content))
    }

    /// Returns a part's text with its label, cut to its own budget.
    fn part<'a>(&self, part: &'a Part) -> Result<Cow<'a, str>, Fault> {
        let Part::Text { label, text, max_tokens } = part else {
            return Err(Fault::Input("this model reads text only".into()));
        };
        let rendered = label.as_ref().map_or(Cow::Borrowed(&**text), |label| Cow::Owned(format!("{label}: {text}")));
        let Some(own) = max_tokens else { return Ok(rendered) };
        let end = self.tokens.cut(&rendered, *own as usize)?.len();
        Ok(match rendered {
            Cow::Borrowed(whole) => Cow::Borrowed(&whole[..end]),
            Cow::Owned(mut whole) => {
                whole.truncate(end);
                Cow::Owned(whole)
            }
        })
    }

    fn cased<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.lower_case { Cow::Owned(text.to_lowercase()) } else { text }
    }
}

fn unusable(prompt: &str, reason: &str) -> LoadError {
    LoadError::Unsupported {
        reason: format!("the prompt {prompt:?} cannot stand before texts: {reason}"),
        remedy: "set `max-tokens` to a larger number, or take the prompt out of config_sentence_transformers.json".into(),
    }
}

// === impl EmbeddingPreparer ===

impl EmbeddingPreparer {
    pub(crate) fn new(card: Card, reading: Reading, store: Arc<dyn ArtifactStore>) -> Self {
        Self { card, reading, store }
    }

    /// Returns the vector that is known, or the tokens to compute it of.
    fn known_or(&self, slot: Slot, digest: Digest128, read: impl FnOnce() -> Result<Vec<u32>, Fault>) -> Result<Text, Fault> {
        let key = ArtifactKey { fingerprint: self.card.fingerprint, slot, digest };
        match self.store.get(&key) {
            Some(Artifact::Vector(vector)) => Ok(Text::Known(vector)),
            _ => Ok(Text::Tokens { key, tokens: read()? }),
        }
    }
}

impl Preparer for EmbeddingPreparer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let text = self.known_or(Slot::Query, query.digest, || self.reading.query(query))?;
        Ok(PreparedQuery::new(text.cost(), text))
    }

    fn document(&self, _query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let text = self.known_or(Slot::Document, document.digest, || self.reading.document(document))?;
        Ok(Prepared::new(text.cost(), text))
    }
}
