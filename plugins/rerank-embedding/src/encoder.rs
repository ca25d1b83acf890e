//! Runs the body: rows of tokens in, one pooled row of numbers out for each.

use candle_core::{DType, Tensor};
use rerank_candle::{Asked, Bert, Decoder, Halt, Hidden, ModernBert, Row, TypedRow, Weights};
use rerank_plugin::LoadError;

use crate::{
    checkpoint::{Body, Checkpoint},
    modules::Pooling,
};

/// What checkpoints hold beside the body: positions as a table, a pooler that no vector passes through, and heads of their training.
const BERT_SPARE: [&str; 5] = ["embeddings.position_ids", "pooler.dense.", "cls.predictions.", "cls.seq_relationship.", "lm_head."];
const MODERN_BERT_SPARE: [&str; 2] = ["head.", "decoder."];
const DECODER: &str = "model.";
const DECODER_HEAD: &str = "lm_head.weight";

/// A body, and how its states become a vector.
pub(crate) struct Encoder {
    body: Loaded,
    pooling: Pooling,
}

enum Loaded {
    Bert(Bert),
    ModernBert(ModernBert),
    Qwen3(Decoder),
}

// === impl Encoder ===

impl Encoder {
    /// Builds the body, whose tensors may stand below the name that a model with a head gives it or not, for rows of at most
    /// `longest` tokens.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when a tensor is missing, left over, or has another shape than `config.json` says.
    pub(crate) fn build(mut weights: Weights, checkpoint: &Checkpoint, longest: usize, dtype: DType) -> Result<Self, LoadError> {
        let bert_spare = |name: &str| BERT_SPARE.iter().any(|part| name.contains(part));
        let modern_bert_spare = |name: &str| MODERN_BERT_SPARE.iter().any(|part| name.starts_with(part));
        let body = match &checkpoint.body {
            Body::Bert(shape) => weights.build(dtype, bert_spare, |tensors| {
                let below = tensors.contains_tensor("bert.embeddings.word_embeddings.weight");
                Bert::load(&if below { tensors.pp("bert") } else { tensors }, shape).map(Loaded::Bert)
            }),
            Body::XlmRoberta(shape) => weights.build(dtype, bert_spare, |tensors| {
                let below = tensors.contains_tensor("roberta.embeddings.word_embeddings.weight");
                Bert::load(&if below { tensors.pp("roberta") } else { tensors }, shape).map(Loaded::Bert)
            }),
            Body::ModernBert(shape) => weights.build(dtype, modern_bert_spare, |tensors| {
                let below = tensors.contains_tensor("model.embeddings.tok_embeddings.weight");
                ModernBert::load(&if below { tensors.pp("model") } else { tensors }, shape).map(Loaded::ModernBert)
            }),
            Body::Qwen3(shape) => {
                if weights.has("embed_tokens.weight") {
                    weights.prefix(DECODER);
                }
                let decoder = Decoder::take(&mut weights, shape.clone(), longest, dtype)?;
                if weights.has(DECODER_HEAD) {
                    weights.take(DECODER_HEAD, &[shape.vocabulary(), shape.hidden()], dtype)?;
                }
                weights.finish().map(|()| Loaded::Qwen3(decoder))
            }
        };
        Ok(Self { body: body?, pooling: checkpoint.modules.pooling })
    }

    /// Returns the pooled states of each row, in f32. Rows may differ in length; none is empty.
    ///
    /// # Errors
    /// [`Halt`], when a row is too long, the device fails, or `asked` to stop.
    pub(crate) fn vectors(&self, rows: &[&[u32]], asked: Asked<'_>) -> Result<Vec<Vec<f32>>, Halt> {
        let typed = || rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect::<Vec<_>>();
        let pooled = match &self.body {
            Loaded::Bert(body) => self.pool(&body.forward(&typed())?)?,
            Loaded::ModernBert(body) => self.pool(&body.forward(&typed())?)?,
            Loaded::Qwen3(body) => {
                let whole: Vec<Row<'_>> = rows.iter().map(|tokens| Row { past: None, tokens }).collect();
                body.last(&whole, asked)?
            }
        };
        Ok(pooled.to_dtype(DType::F32)?.to_vec2()?)
    }

    fn pool(&self, hidden: &Hidden) -> candle_core::Result<Tensor> {
        match self.pooling {
            Pooling::Mean => hidden.means(),
            Pooling::First => hidden.firsts(),
            Pooling::Last => hidden.lasts(),
        }
    }
}
