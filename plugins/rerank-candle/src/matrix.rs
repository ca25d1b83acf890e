//! The weights of a product: plain numbers, or quantised ones that become plain just before they are used.
//!
//! Candle's own product of quantised weights rounds the other side to 8 bits. It is left alone, though it takes half to two thirds
//! of the time (`examples/gguf.rs`): scores would be as far off as in bf16, and not those of the file's numbers.

use std::sync::Arc;

use candle_core::{DType, Storage, Tensor, quantized::QTensor};
use rayon::prelude::*;

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
            Self::Quantised(tensor, dtype) => plain(tensor)?.to_dtype(*dtype),
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

/// Returns plain numbers, made by all threads of this worker where it is a processor's: candle has one do it.
fn plain(tensor: &QTensor) -> candle_core::Result<Tensor> {
    let (device, threads) = (tensor.device(), rayon::current_num_threads());
    if !device.is_cpu() || threads == 1 {
        return tensor.dequantize(&device);
    }
    let (rows, columns) = tensor.shape().dims2()?;
    let mut numbers = vec![0f32; rows * columns];
    let most = rows.div_ceil(threads);
    numbers.par_chunks_mut(most * columns).zip((0..rows).into_par_iter().step_by(most)).try_for_each(|(piece, first)| {
        let places = Tensor::arange(first as u32, (first + piece.len() / columns) as u32, &device)?;
        let some = tensor.embedding(&places)?;
        match &*some.storage_and_layout().0 {
            Storage::Cpu(storage) => piece.copy_from_slice(storage.as_slice()?),
            _ => candle_core::bail!("the numbers are on another device than their weights"),
        }
        Ok::<(), candle_core::Error>(())
    })?;
    Tensor::from_vec(numbers, (rows, columns), &device)
}

/// Multiplies rows by weights.
pub(crate) fn product(rows: &Tensor, weights: &Tensor) -> candle_core::Result<Tensor> {
    rows.matmul(&weights.t()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{
        Device, Tensor,
        quantized::{GgmlDType, QTensor},
    };

    use super::plain;
    use crate::Threads;

    #[test]
    fn any_number_of_threads_makes_the_same_numbers() {
        for (rows, columns, kind) in [(1, 256, GgmlDType::Q4K), (7, 64, GgmlDType::Q8_0), (50, 256, GgmlDType::Q6K)] {
            let tensor = QTensor::quantize(&Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).unwrap(), kind).unwrap();
            let right = tensor.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            for threads in [1, 2, 3, 8] {
                let found = Threads::start(threads).unwrap().run(|| plain(&tensor)).unwrap();
                assert_eq!(found.to_vec2::<f32>().unwrap(), right, "{rows} {threads}");
            }
        }
    }
}
