//! Runs a body with its head: rows of tokens in, one logit out for each.

use candle_core::{D, DType, IndexOp, Tensor};
use candle_nn::{LayerNorm, Linear, Module, VarBuilder, linear, linear_b};
use rerank_candle::{Activation, Bert, BertShape, Deberta, DebertaShape, Hidden, ModernBert, ModernBertShape, TypedRow, Weights, norm};
use rerank_plugin::LoadError;

use crate::checkpoint::{Architecture, Checkpoint, ModernHead};

/// A body with its head.
pub(crate) struct Model {
    body: Body,
    classifier: Linear,
}

enum Body {
    /// Dense and tanh on the first token: BERT's pooler, or XLM-RoBERTa's first layer of the head.
    Bert {
        body: Bert,
        dense: Linear,
    },
    ModernBert {
        body: ModernBert,
        dense: Linear,
        norm: LayerNorm,
        means: bool,
        activation: Activation,
    },
    /// Dense and an activation on the first token.
    Deberta {
        body: Deberta,
        dense: Linear,
        activation: Activation,
    },
}

/// What checkpoints hold beside a classifier: positions as a table, also where a DeBERTa does not look at it, and heads of their
/// training.
const SPARE: [&str; 9] = [
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "roberta.pooler.",
    "cls.predictions.",
    "cls.seq_relationship.",
    "lm_head.",
    "deberta.embeddings.position_embeddings.",
    "lm_predictions.",
    "mask_predictions.",
];

// === impl Model ===

impl Model {
    /// Builds the model.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when a tensor is missing, left over, or has another shape than `config.json` says.
    pub(crate) fn build(weights: &Weights, checkpoint: &Checkpoint, dtype: DType) -> Result<Self, LoadError> {
        let spare = |name: &str| SPARE.iter().any(|part| name.contains(part));
        let labels = checkpoint.labels;
        weights.build(dtype, spare, |tensors| match &checkpoint.architecture {
            Architecture::Bert(shape) => Self::bert(&tensors, shape, labels),
            Architecture::XlmRoberta(shape) => Self::xlm_roberta(&tensors, shape, labels),
            Architecture::ModernBert(shape, head) => Self::modern_bert(&tensors, (shape, *head), labels),
            Architecture::Deberta(shape, activation) => Self::deberta(&tensors, (shape, *activation), labels),
        })
    }

    fn bert(tensors: &VarBuilder<'_>, shape: &BertShape, labels: usize) -> candle_core::Result<Self> {
        let hidden = shape.hidden();
        let dense = linear(hidden, hidden, tensors.pp("bert.pooler.dense"))?;
        let body = Body::Bert { body: Bert::load(&tensors.pp("bert"), shape)?, dense };
        Ok(Self { body, classifier: linear(hidden, labels, tensors.pp("classifier"))? })
    }

    fn xlm_roberta(tensors: &VarBuilder<'_>, shape: &BertShape, labels: usize) -> candle_core::Result<Self> {
        let hidden = shape.hidden();
        let dense = linear(hidden, hidden, tensors.pp("classifier.dense"))?;
        let body = Body::Bert { body: Bert::load(&tensors.pp("roberta"), shape)?, dense };
        Ok(Self { body, classifier: linear(hidden, labels, tensors.pp("classifier.out_proj"))? })
    }

    fn modern_bert(tensors: &VarBuilder<'_>, how: (&ModernBertShape, ModernHead), labels: usize) -> candle_core::Result<Self> {
        let (shape, head) = how;
        let hidden = shape.hidden();
        let body = Body::ModernBert {
            body: ModernBert::load(&tensors.pp("model"), shape)?,
            dense: linear_b(hidden, hidden, head.bias, tensors.pp("head.dense"))?,
            norm: norm(hidden, shape.norm_eps(), shape.norm_bias(), &tensors.pp("head.norm"))?,
            means: head.means,
            activation: head.activation,
        };
        Ok(Self { body, classifier: linear(hidden, labels, tensors.pp("classifier"))? })
    }

    fn deberta(tensors: &VarBuilder<'_>, how: (&DebertaShape, Activation), labels: usize) -> candle_core::Result<Self> {
        let (shape, activation) = how;
        let hidden = shape.hidden();
        let dense = linear(hidden, hidden, tensors.pp("pooler.dense"))?;
        let body = Body::Deberta { body: Deberta::load(&tensors.pp("deberta"), shape)?, dense, activation };
        Ok(Self { body, classifier: linear(hidden, labels, tensors.pp("classifier"))? })
    }

    /// Returns the logit of each row: of two labels, by how much the second is ahead.
    ///
    /// # Errors
    /// Candle's, when the device fails.
    pub(crate) fn logits(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Vec<f32>> {
        let logits = self.classifier.forward(&self.pooled(rows)?)?.to_dtype(DType::F32)?;
        match logits.dim(D::Minus1)? {
            1 => logits.squeeze(1)?.to_vec1(),
            _ => (logits.i((.., 1))? - logits.i((.., 0))?)?.to_vec1(),
        }
    }

    fn pooled(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Tensor> {
        match &self.body {
            Body::Bert { body, dense } => dense.forward(&body.forward(rows)?.firsts()?)?.tanh(),
            Body::Deberta { body, dense, activation } => activation.apply(&dense.forward(&body.forward(rows)?.firsts()?)?),
            Body::ModernBert { body, dense, norm, means, activation } => {
                let pool = if *means { Hidden::means } else { Hidden::firsts };
                norm.forward(&activation.apply(&dense.forward(&pool(&body.forward(rows)?)?)?)?)
            }
        }
    }
}
