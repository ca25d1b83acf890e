//! One layer's tensors, and the products that need no other token: queries, keys, values and the inner network.

use candle_core::{DType, Tensor};
use candle_nn::{ops, rotary_emb::rope_thd};
use rerank_plugin::LoadError;

use super::{Asked, DecoderShape, Halt};
use crate::{
    Weights,
    matrix::{Matrix, product},
};

/// How many tokens go through the inner network at once on a processor: its rows are the widest of a pass, and `asked` is heard
/// between. Other devices are through sooner than they could be asked.
const TOKENS: usize = 256;

pub(super) struct Layer {
    number: usize,
    before_attention: Tensor,
    after_attention: Tensor,
    query: Matrix,
    query_norm: Tensor,
    key: Matrix,
    key_norm: Tensor,
    value: Matrix,
    output: Matrix,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// Takes the parts of one layer.
struct Parts<'a> {
    weights: &'a mut Weights,
    number: usize,
    dtype: DType,
}

// === impl Layer ===

impl Layer {
    pub(super) fn take(weights: &mut Weights, number: usize, shape: &DecoderShape, dtype: DType) -> Result<Self, LoadError> {
        let (hidden, inner) = (shape.hidden, shape.inner);
        let (queries, keys) = (shape.heads * shape.head, shape.key_heads * shape.head);
        let mut parts = Parts { weights, number, dtype };
        Ok(Self {
            number,
            before_attention: parts.norm("input_layernorm", hidden)?,
            after_attention: parts.norm("post_attention_layernorm", hidden)?,
            query: parts.matrix("self_attn.q_proj", queries, hidden)?,
            query_norm: parts.norm("self_attn.q_norm", shape.head)?,
            key: parts.matrix("self_attn.k_proj", keys, hidden)?,
            key_norm: parts.norm("self_attn.k_norm", shape.head)?,
            value: parts.matrix("self_attn.v_proj", keys, hidden)?,
            output: parts.matrix("self_attn.o_proj", hidden, queries)?,
            gate: parts.matrix("mlp.gate_proj", inner, hidden)?,
            up: parts.matrix("mlp.up_proj", inner, hidden)?,
            down: parts.matrix("mlp.down_proj", hidden, inner)?,
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
        turned(&split(&self.query.product(normed)?, shape.heads)?, &self.query_norm, shape, angles)
    }

    /// Returns each token's keys, turned to its position, and values, each `[tokens, heads, head size]`.
    pub(super) fn keys_values(
        &self,
        normed: &Tensor,
        shape: &DecoderShape,
        angles: &(Tensor, Tensor),
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let keys = turned(&split(&self.key.product(normed)?, shape.key_heads)?, &self.key_norm, shape, angles)?;
        Ok((keys, split(&self.value.product(normed)?, shape.key_heads)?))
    }

    /// Joins what the heads attended to.
    pub(super) fn joined(&self, attended: &Tensor) -> candle_core::Result<Tensor> {
        self.output.product(attended)
    }

    /// Runs the inner network.
    pub(super) fn inner(&self, normed: &Tensor, asked: Asked<'_>) -> Result<Tensor, Halt> {
        let count = normed.dim(0)?;
        // Once for all pieces.
        let (gate, up, down) = (self.gate.numbers()?, self.up.numbers()?, self.down.numbers()?);
        let most = if normed.device().is_cpu() { TOKENS } else { count.max(1) };
        let mut pieces = Vec::with_capacity(count.div_ceil(most));
        for start in (0..count).step_by(most) {
            if asked() {
                return Err(Halt::Stopped);
            }
            let piece = normed.narrow(0, start, most.min(count - start))?;
            let opened = (ops::silu(&product(&piece, &gate)?)? * product(&piece, &up)?)?;
            pieces.push(product(&opened, &down)?);
        }
        Ok(if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(&pieces, 0)? })
    }
}

// === impl Parts ===

impl Parts<'_> {
    fn name(&self, part: &str) -> String {
        format!("model.layers.{}.{part}.weight", self.number)
    }

    fn norm(&mut self, part: &str, size: usize) -> Result<Tensor, LoadError> {
        self.weights.take(&self.name(part), &[size], self.dtype)
    }

    fn matrix(&mut self, part: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        self.weights.take_matrix(&self.name(part), &[rows, columns], self.dtype)
    }
}

fn split(rows: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (count, width) = rows.dims2()?;
    rows.reshape((count, heads, width / heads))
}

fn turned(heads: &Tensor, norm: &Tensor, shape: &DecoderShape, (cosines, sines): &(Tensor, Tensor)) -> candle_core::Result<Tensor> {
    let normed = ops::rms_norm(heads, norm, shape.epsilon)?;
    rope_thd(&normed.unsqueeze(0)?, cosines, sines)?.squeeze(0)
}
