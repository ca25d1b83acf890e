//! The parts that encoders are made of.

use candle_core::{DType, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder};

/// A function between two layers of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// By the error function, as the paper has it.
    Gelu,
    /// By the hyperbolic tangent, which comes close.
    GeluTanh,
    /// The larger of the number and 0.
    Relu,
}

// === impl Activation ===

impl Activation {
    /// Returns the activation that `config.json` calls so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
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
        }
    }
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
