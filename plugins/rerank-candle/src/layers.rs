//! The parts that encoders are made of.

use candle_core::{DType, Tensor};
use candle_nn::{LayerNorm, VarBuilder};

use crate::kernels::{Product, SumNorm};

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
    attended: Tensor,
    attended_norm: SumNorm,
    up: Tensor,
    up_bias: Tensor,
    down: Tensor,
    down_norm: SumNorm,
}

/// What projects to queries, keys and values at once, with its bias.
pub(crate) struct Projection {
    weights: Tensor,
    pub(crate) bias: Option<Tensor>,
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
        let (attended, up, down) = (tensors.pp("attention.output"), tensors.pp("intermediate.dense"), tensors.pp("output"));
        let norm_of =
            |part: &VarBuilder<'_>| SumNorm::new(part.get(hidden, "dense.bias")?, norm(hidden, eps, true, &part.pp("LayerNorm"))?);
        Ok(Self {
            attended: attended.get((hidden, hidden), "dense.weight")?,
            attended_norm: norm_of(&attended)?,
            up: up.get((inner, hidden), "weight")?,
            up_bias: up.get(inner, "bias")?,
            down: down.get((hidden, inner), "dense.weight")?,
            down_norm: norm_of(&down)?,
        })
    }

    pub(crate) fn forward(&self, attended: &Tensor, states: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
        let states = self.attended_norm.forward(Product::new(attended, &self.attended)?, states)?;
        let up = Product::new(&states, &self.up)?.activated(&self.up_bias, activation)?;
        self.down_norm.forward(Product::new(&up, &self.down)?, &states)
    }
}

// === impl Projection ===

impl Projection {
    /// Scales what makes the queries.
    pub(crate) fn new(weights: Tensor, bias: Option<Tensor>, scale: f64) -> candle_core::Result<Self> {
        let scaled = |tensor: Tensor| {
            let third = tensor.dim(0)? / 3;
            let queries = (tensor.narrow(0, 0, third)?.to_dtype(DType::F32)? * scale)?.to_dtype(tensor.dtype())?;
            Tensor::cat(&[queries, tensor.narrow(0, third, 2 * third)?], 0)
        };
        Ok(Self { weights: scaled(weights)?, bias: bias.map(scaled).transpose()? })
    }

    /// Projects; the bias is still to be added.
    pub(crate) fn forward(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        states.matmul(&self.weights.t()?)
    }

    /// Projects, and adds the bias.
    pub(crate) fn with_bias(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        let projected = self.forward(states)?;
        self.bias.as_ref().map_or_else(|| Ok(projected.clone()), |bias| projected.broadcast_add(bias))
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
