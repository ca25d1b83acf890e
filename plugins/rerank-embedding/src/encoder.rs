//! Runs the body: rows of tokens in, one mean-pooled row of numbers out for each.

use candle_core::DType;
use rerank_candle::{Bert, BertShape, TypedRow, Weights};
use rerank_plugin::LoadError;

/// What checkpoints hold beside the body: positions as a table, a pooler that no vector passes through, and heads of their training.
const SPARE: [&str; 4] = ["embeddings.position_ids", "pooler.dense.", "cls.predictions.", "cls.seq_relationship."];

/// A BERT body.
pub(crate) struct Encoder(Bert);

// === impl Encoder ===

impl Encoder {
    /// Builds the body, whose tensors may stand below `bert.` or not.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when a tensor is missing, left over, or has another shape than `shape` wants.
    pub(crate) fn build(weights: &Weights, shape: &BertShape, dtype: DType) -> Result<Self, LoadError> {
        let spare = |name: &str| SPARE.iter().any(|part| name.contains(part));
        let body = weights.build(dtype, spare, |tensors| {
            let below = tensors.contains_tensor("bert.embeddings.word_embeddings.weight");
            Bert::load(&if below { tensors.pp("bert") } else { tensors }, shape)
        });
        Ok(Self(body?))
    }

    /// Returns the mean of each row's hidden states. Rows may differ in length; none is empty.
    ///
    /// # Errors
    /// Candle's, when a row is too long or the device fails.
    pub(crate) fn means(&self, rows: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>> {
        let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
        self.0.forward(&rows)?.means()?.to_dtype(DType::F32)?.to_vec2()
    }
}
