//! One layer's tensors, and the products that need no other token: queries, keys, values and the inner network.

use candle_core::{DType, Tensor};
use candle_nn::{ops, rotary_emb::rope_thd};
use rerank_plugin::LoadError;

use super::{Asked, DecoderShape, Halt};
use crate::Weights;

/// How many tokens go through the inner network at once on a processor: its rows are the widest of a pass, and `asked` is heard
/// between. Other devices are through sooner than they could be asked.
const TOKENS: usize = 256;

pub(super) struct Layer {
    number: usize,
    before_attention: Tensor,
    after_attention: Tensor,
    query: Tensor,
    query_norm: Tensor,
    key: Tensor,
    key_norm: Tensor,
    value: Tensor,
    output: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

// === impl Layer ===

impl Layer {
    pub(super) fn take(weights: &mut Weights, number: usize, shape: &DecoderShape, dtype: DType) -> Result<Self, LoadError> {
        let (hidden, inner) = (shape.hidden, shape.inner);
        let (queries, keys) = (shape.heads * shape.head, shape.key_heads * shape.head);
        let mut take = |name: &str, dimensions: &[usize]| weights.take(&format!("model.layers.{number}.{name}.weight"), dimensions, dtype);
        Ok(Self {
            number,
            before_attention: take("input_layernorm", &[hidden])?,
            after_attention: take("post_attention_layernorm", &[hidden])?,
            query: take("self_attn.q_proj", &[queries, hidden])?,
            query_norm: take("self_attn.q_norm", &[shape.head])?,
            key: take("self_attn.k_proj", &[keys, hidden])?,
            key_norm: take("self_attn.k_norm", &[shape.head])?,
            value: take("self_attn.v_proj", &[keys, hidden])?,
            output: take("self_attn.o_proj", &[hidden, queries])?,
            gate: take("mlp.gate_proj", &[inner, hidden])?,
            up: take("mlp.up_proj", &[inner, hidden])?,
            down: take("mlp.down_proj", &[hidden, inner])?,
        })
    }

    /// Its place, from 0.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The weight of the norm before attention.
    pub(super) fn before_attention(&self) -> &Tensor {
        &self.before_attention
    }

    /// The weight of the norm before the inner network.
    pub(super) fn after_attention(&self) -> &Tensor {
        &self.after_attention
    }

    /// Returns each token's queries, turned to its position, `[tokens, heads, head size]`.
    pub(super) fn queries(&self, normed: &Tensor, shape: &DecoderShape, angles: &(Tensor, Tensor)) -> candle_core::Result<Tensor> {
        turned(&split(&product(normed, &self.query)?, shape.heads)?, &self.query_norm, shape, angles)
    }

    /// Returns each token's keys, turned to its position, and values, each `[tokens, heads, head size]`.
    pub(super) fn keys_values(
        &self,
        normed: &Tensor,
        shape: &DecoderShape,
        angles: &(Tensor, Tensor),
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let keys = turned(&split(&product(normed, &self.key)?, shape.key_heads)?, &self.key_norm, shape, angles)?;
        Ok((keys, split(&product(normed, &self.value)?, shape.key_heads)?))
    }

    /// Joins what the heads attended to.
    pub(super) fn joined(&self, attended: &Tensor) -> candle_core::Result<Tensor> {
        product(attended, &self.output)
    }

    /// Runs the inner network.
    pub(super) fn inner(&self, normed: &Tensor, asked: Asked<'_>) -> Result<Tensor, Halt> {
        let count = normed.dim(0)?;
        let most = if normed.device().is_cpu() { TOKENS } else { count.max(1) };
        let mut pieces = Vec::with_capacity(count.div_ceil(most));
        for start in (0..count).step_by(most) {
            if asked() {
                return Err(Halt::Stopped);
            }
            let piece = normed.narrow(0, start, most.min(count - start))?;
            let opened = (ops::silu(&product(&piece, &self.gate)?)? * product(&piece, &self.up)?)?;
            pieces.push(product(&opened, &self.down)?);
        }
        Ok(if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(&pieces, 0)? })
    }
}

fn product(rows: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    rows.matmul(&weight.t()?)
}

fn split(rows: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (count, width) = rows.dims2()?;
    rows.reshape((count, heads, width / heads))
}

fn turned(heads: &Tensor, norm: &Tensor, shape: &DecoderShape, (cosines, sines): &(Tensor, Tensor)) -> candle_core::Result<Tensor> {
    let normed = ops::rms_norm(heads, norm, shape.epsilon)?;
    rope_thd(&normed.unsqueeze(0)?, cosines, sines)?.squeeze(0)
}
