//! Turns queries and documents into the two ends of a prompt.

use rerank_candle::Chunks;
use rerank_plugin::{Card, Document, Fault, Prepared, PreparedQuery, Preparer, Query};

use crate::prompt::{INSTRUCTION, Prompt};

/// A query's end of the prompt, as tokens.
pub(crate) struct QueryTokens(pub(crate) Vec<u32>);

/// A document's end of the prompt as tokens, once for each of its chunks.
pub(crate) struct DocumentTokens(pub(crate) Vec<Vec<u32>>);

/// The side of the model that needs no device.
pub(crate) struct Qwen3Preparer {
    card: Card,
    prompt: Prompt,
    chunks: Chunks,
}

// === impl Qwen3Preparer ===

impl Qwen3Preparer {
    pub(crate) fn new(card: Card, prompt: Prompt, chunks: Chunks) -> Self {
        Self { card, prompt, chunks }
    }

    fn limit(&self) -> usize {
        self.card.max_tokens as usize
    }
}

impl Preparer for Qwen3Preparer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let instruction = query.instruction.as_deref().unwrap_or(INSTRUCTION);
        let tokens = self.prompt.query(instruction, &query.parts, self.limit())?;
        Ok(PreparedQuery::new(tokens.len() as u32, QueryTokens(tokens)))
    }

    fn document(&self, query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let QueryTokens(before) = query.inner()?;
        let rows = self.prompt.document(&document.parts, self.limit().saturating_sub(before.len()), &self.chunks)?;
        Ok(Prepared::new(rows.iter().map(|row| row.len() as u32).sum(), DocumentTokens(rows)))
    }
}
