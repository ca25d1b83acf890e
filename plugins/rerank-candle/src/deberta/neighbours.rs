//! The convolution of DeBERTa-v2 XL: what stands next to a token, added behind the first layer.

use candle_core::Tensor;
use candle_nn::{LayerNorm, Linear, Module, VarBuilder};

use super::{DebertaShape, shape::Neighbours};
use crate::{layers::norm, packed::Packed};

/// A convolution over the embeddings, as one product of each token and those around it.
pub(super) struct Convolution {
    linear: Linear,
    norm: LayerNorm,
    neighbours: Neighbours,
}

// === impl Convolution ===

impl Convolution {
    pub(super) fn load(tensors: &VarBuilder<'_>, shape: &DebertaShape, neighbours: Neighbours) -> candle_core::Result<Self> {
        let (hidden, width) = (shape.hidden(), neighbours.width);
        let weights = tensors.get((hidden, hidden, width), "conv.weight")?.transpose(1, 2)?.reshape((hidden, width * hidden))?;
        Ok(Self {
            linear: Linear::new(weights, Some(tensors.get(hidden, "conv.bias")?)),
            norm: norm(hidden, shape.written.layer_norm_eps, true, &tensors.pp("LayerNorm"))?,
            neighbours,
        })
    }

    /// Adds to `states` what the embeddings around each token make. Zeros stand around a row.
    pub(super) fn forward(&self, embedded: &Tensor, states: &Tensor, packed: &Packed) -> candle_core::Result<Tensor> {
        let (hidden, width) = (embedded.dim(1)?, self.neighbours.width);
        let mut around = Vec::new();
        for run in packed.runs() {
            let own = embedded.narrow(0, run.start, run.rows * run.length)?.reshape((run.rows, run.length, hidden))?;
            let padded = own.pad_with_zeros(1, width / 2, width / 2)?;
            let shifted: candle_core::Result<Vec<Tensor>> = (0..width).map(|by| padded.narrow(1, by, run.length)).collect();
            around.push(Tensor::cat(&shifted?, 2)?.reshape((run.rows * run.length, width * hidden))?);
        }
        let seen = self.linear.forward(&Tensor::cat(&around, 0)?)?;
        self.norm.forward(&(self.neighbours.activation.apply(&seen)? + states)?)
    }
}
