//! The parts that encoders are made of.

use candle_core::{DType, Tensor};
use candle_nn::{LayerNorm, Linear, Module, VarBuilder, linear};

/// A function between two layers of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// By the error function, as the paper has it.
    Gelu,
    /// By the hyperbolic tangent, which comes close.
    GeluTanh,
    /// The larger of the number and 0.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

/// What BERT and its kin do with what was attended to, each half normed when it has been added to what was there before.
pub(crate) struct AfterAttention {
    attended: Linear,
    attended_norm: LayerNorm,
    up: Linear,
    down: Linear,
    down_norm: LayerNorm,
}

// === impl Activation ===

impl Activation {
    /// Returns the activation that `config.json` calls so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// Applies it.
    ///
    /// # Errors
    /// Candle's, when the device fails.
    pub fn apply(self, states: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Gelu => states.gelu_erf(),
            Self::GeluTanh => states.gelu(),
            Self::Relu => states.relu(),
            Self::Tanh => states.tanh(),
        }
    }
}

// === impl AfterAttention ===

impl AfterAttention {
    pub(crate) fn load(tensors: &VarBuilder<'_>, (hidden, inner): (usize, usize), eps: f64) -> candle_core::Result<Self> {
        let (attended, down) = (tensors.pp("attention.output"), tensors.pp("output"));
        Ok(Self {
            attended: linear(hidden, hidden, attended.pp("dense"))?,
            attended_norm: norm(hidden, eps, true, &attended.pp("LayerNorm"))?,
            up: linear(hidden, inner, tensors.pp("intermediate.dense"))?,
            down: linear(inner, hidden, down.pp("dense"))?,
            down_norm: norm(hidden, eps, true, &down.pp("LayerNorm"))?,
        })
    }

    pub(crate) fn forward(&self, attended: &Tensor, states: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
        let states = self.attended_norm.forward(&(self.attended.forward(attended)? + states)?)?;
        let down = self.down.forward(&activation.apply(&self.up.forward(&states)?)?)?;
        self.down_norm.forward(&(down + states)?)
    }
}

/// Returns lines of a table.
///
/// # Errors
/// Candle's, when there is no such line or the device fails.
pub(crate) fn chosen(table: &Tensor, lines: Vec<u32>) -> candle_core::Result<Tensor> {
    let count = lines.len();
    table.index_select(&Tensor::from_vec(lines, count, table.device())?, 0)
}

/// Returns a layer that projects to queries, keys and values at once, and scales the queries.
pub(crate) fn projection(weights: Tensor, biases: Option<Tensor>, scale: f64) -> candle_core::Result<Linear> {
    let scaled = |tensor: Tensor| {
        let third = tensor.dim(0)? / 3;
        let queries = (tensor.narrow(0, 0, third)?.to_dtype(DType::F32)? * scale)?.to_dtype(tensor.dtype())?;
        Tensor::cat(&[queries, tensor.narrow(0, third, 2 * third)?], 0)
    };
    Ok(Linear::new(scaled(weights)?, biases.map(scaled).transpose()?))
}

/// Returns a norm; without a bias it gets one of zeros, because candle's fast kernel wants one.
///
/// # Errors
/// Candle's, when a tensor is missing or has another shape.
pub fn norm(size: usize, eps: f64, bias: bool, tensors: &VarBuilder<'_>) -> candle_core::Result<LayerNorm> {
    if bias {
        return candle_nn::layer_norm(size, eps, tensors.clone());
    }
    let weight = tensors.get(size, "weight")?;
    let zeros = weight.zeros_like()?;
    Ok(LayerNorm::new(weight, zeros, eps))
}
