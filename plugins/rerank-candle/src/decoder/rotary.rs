//! Tells where a token stands: its position as angles, computed in f32 whatever the model's own numbers are.

use candle_core::Tensor;

use super::DecoderShape;

/// Cosines and sines of every position that a row can have, each `[positions, head size / 2]`.
pub(super) struct Rotary {
    cosines: Tensor,
    sines: Tensor,
}

// === impl Rotary ===

impl Rotary {
    /// Computes the tables on the device and in the numbers of `like`.
    pub(super) fn new(shape: &DecoderShape, positions: usize, like: &Tensor) -> candle_core::Result<Self> {
        let half = shape.head / 2;
        let frequency = |pair: usize| 1.0 / shape.theta.powf((2 * pair) as f32 / shape.head as f32);
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles: Vec<f32> = (0..positions).flat_map(|position| frequencies.iter().map(move |each| position as f32 * each)).collect();
        let table = |of: fn(f32) -> f32| {
            let numbers: Vec<f32> = angles.iter().map(|angle| of(*angle)).collect();
            Tensor::from_vec(numbers, (positions, half), like.device())?.to_dtype(like.dtype())
        };
        Ok(Self { cosines: table(f32::cos)?, sines: table(f32::sin)? })
    }

    /// Returns the cosines and sines of these positions, in their order.
    pub(super) fn at(&self, positions: Vec<u32>) -> candle_core::Result<(Tensor, Tensor)> {
        let count = positions.len();
        let places = Tensor::from_vec(positions, count, self.cosines.device())?;
        Ok((self.cosines.index_select(&places, 0)?, self.sines.index_select(&places, 0)?))
    }
}
