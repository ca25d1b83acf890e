//! The weights of a product: plain numbers, or quantised ones that become plain just before they are used.
//!
//! Candle's own product of quantised weights rounds the other side to 8 bits. It is left alone: the scores would be off by a
//! thousand times what is promised, and only passes of a few tokens would be faster (`benches/quantised.rs`).

use std::sync::Arc;

use candle_core::{DType, Tensor, quantized::QTensor};

/// A tensor as a file holds it.
#[derive(Clone)]
pub(crate) enum Stored {
    Plain(Tensor),
    Quantised(Arc<QTensor>),
}

/// Weights, `[outputs, inputs]`.
pub(crate) enum Matrix {
    Plain(Tensor),
    /// What is held, and what it is computed in.
    Quantised(Arc<QTensor>, DType),
}

// === impl Stored ===

impl Stored {
    pub(crate) fn dims(&self) -> &[usize] {
        match self {
            Self::Plain(tensor) => tensor.dims(),
            Self::Quantised(tensor) => tensor.shape().dims(),
        }
    }

    /// Returns plain numbers.
    pub(crate) fn plain(self, dtype: DType) -> candle_core::Result<Tensor> {
        match self {
            Self::Plain(tensor) => tensor.to_dtype(dtype),
            Self::Quantised(tensor) => tensor.dequantize(&tensor.device())?.to_dtype(dtype),
        }
    }

    pub(crate) fn matrix(self, dtype: DType) -> candle_core::Result<Matrix> {
        match self {
            Self::Plain(tensor) => Ok(Matrix::Plain(tensor.to_dtype(dtype)?)),
            Self::Quantised(tensor) => Ok(Matrix::Quantised(tensor, dtype)),
        }
    }
}

// === impl Matrix ===

impl Matrix {
    /// Returns the weights as plain numbers; those of quantised ones go when nobody holds them any more.
    pub(crate) fn numbers(&self) -> candle_core::Result<Tensor> {
        match self {
            Self::Plain(tensor) => Ok(tensor.clone()),
            Self::Quantised(tensor, dtype) => tensor.dequantize(&tensor.device())?.to_dtype(*dtype),
        }
    }

    /// Multiplies rows by the weights.
    pub(crate) fn product(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        product(rows, &self.numbers()?)
    }

    /// Returns some rows of the weights.
    pub(crate) fn rows(&self, places: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Plain(tensor) => tensor.index_select(places, 0),
            Self::Quantised(tensor, dtype) => tensor.embedding(places)?.to_dtype(*dtype),
        }
    }
}

/// Multiplies rows by weights.
pub(crate) fn product(rows: &Tensor, weights: &Tensor) -> candle_core::Result<Tensor> {
    rows.matmul(&weights.t()?)
}
