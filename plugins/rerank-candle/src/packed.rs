//! Rows of tokens laid end to end, without padding: nothing is computed for places that hold no token, and no mask is needed
//! to keep rows apart.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{ops::softmax_last_dim, rotary_emb::rope};

/// One row of tokens that have types.
#[derive(Clone, Copy, Debug)]
pub struct TypedRow<'a> {
    /// The tokens; never empty.
    pub tokens: &'a [u32],
    /// Which of the texts each belongs to, for models that ask; 0 where there are fewer than tokens.
    pub types: &'a [u32],
}

/// Rows side by side that are equally long: they go through attention together.
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) rows: usize,
    pub(crate) length: usize,
}

/// How rows lie in a matrix that has one line for each token.
pub(crate) struct Packed {
    runs: Vec<Run>,
}

/// What a rotary position embedding multiplies with, for places from 0.
pub(crate) struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

/// How a layer attends.
pub(crate) struct Attention<'a> {
    pub(crate) heads: usize,
    pub(crate) rotary: Option<&'a Rotary>,
    /// How many places to each side are seen; `None` for all.
    pub(crate) reach: Option<usize>,
}

/// The states of every token after the last layer.
pub struct Hidden {
    states: Tensor,
    packed: Packed,
}

// === impl TypedRow ===

impl TypedRow<'_> {
    /// The type of each token.
    pub(crate) fn all_types(&self) -> impl Iterator<Item = u32> {
        self.types.iter().copied().chain(std::iter::repeat(0)).take(self.tokens.len())
    }
}

// === impl Packed ===

impl Packed {
    pub(crate) fn new(rows: &[TypedRow<'_>]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut start = 0;
        for length in rows.iter().map(|row| row.tokens.len()) {
            match runs.last_mut() {
                Some(run) if run.length == length => run.rows += 1,
                _ => runs.push(Run { start, rows: 1, length }),
            }
            start += length;
        }
        Self { runs }
    }

    /// Rows that are equally long, in the order in which they lie.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The length of the longest row.
    pub(crate) fn longest(&self) -> usize {
        self.runs.iter().map(|run| run.length).max().unwrap_or_default()
    }

    /// Attends inside each row. `projected` holds queries, keys and values of all heads side by side; queries are scaled.
    pub(crate) fn attend(&self, projected: &Tensor, attention: &Attention<'_>) -> candle_core::Result<Tensor> {
        let parts: candle_core::Result<Vec<Tensor>> = self.runs.iter().map(|run| run.attend(projected, attention)).collect();
        Tensor::cat(&parts?, 0)
    }
}

// === impl Run ===

impl Run {
    /// Plain products: with candle's fused kernel for processors, a whole model took twice as long (MiniLM's shape, 32 rows of 128).
    fn attend(&self, projected: &Tensor, attention: &Attention<'_>) -> candle_core::Result<Tensor> {
        let (heads, dtype) = (attention.heads, projected.dtype());
        let width = projected.dim(1)? / 3;
        let own = projected.narrow(0, self.start, self.rows * self.length)?;
        let own = own.reshape((self.rows, self.length, 3, heads, width / heads))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (mut queries, mut keys, values) = (own.get(0)?, own.get(1)?, own.get(2)?);
        if let Some(rotary) = attention.rotary {
            (queries, keys) = (rotary.turn(&queries, self.length)?, rotary.turn(&keys, self.length)?);
        }
        let mut scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
        if let Some(reach) = attention.reach.filter(|reach| self.length > reach + 1) {
            scores = scores.broadcast_add(&band(self.length, reach, scores.device())?)?;
        }
        let weights = softmax_last_dim(&scores)?.to_dtype(dtype)?;
        weights.matmul(&values)?.transpose(1, 2)?.reshape((self.rows * self.length, width))
    }
}

/// Returns a matrix to add to scores: 0 for places that see each other, minus infinity for those further apart than `reach`.
fn band(length: usize, reach: usize, device: &Device) -> candle_core::Result<Tensor> {
    let seen = |from: usize, to: usize| if from.abs_diff(to) <= reach { 0.0 } else { f32::NEG_INFINITY };
    let places: Vec<f32> = (0..length).flat_map(|from| (0..length).map(move |to| seen(from, to))).collect();
    Tensor::from_vec(places, (length, length), device)
}

// === impl Rotary ===

impl Rotary {
    /// Returns the angles of heads that are `size` wide, for `length` places.
    pub(crate) fn new(theta: f64, size: usize, length: usize, (dtype, device): (DType, &Device)) -> candle_core::Result<Self> {
        let speeds: Vec<f32> = (0..size).step_by(2).map(|index| (1.0 / theta.powf(index as f64 / size as f64)) as f32).collect();
        let angles: Vec<f32> = (0..length).flat_map(|place| speeds.iter().map(move |speed| place as f32 * speed)).collect();
        let angles = Tensor::from_vec(angles, (length, size / 2), device)?;
        Ok(Self { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    fn turn(&self, states: &Tensor, length: usize) -> candle_core::Result<Tensor> {
        rope(states, &self.cos.narrow(0, 0, length)?, &self.sin.narrow(0, 0, length)?)
    }
}

// === impl Hidden ===

impl Hidden {
    pub(crate) fn new(states: Tensor, packed: Packed) -> Self {
        Self { states, packed }
    }

    /// Returns the state of each row's first token.
    ///
    /// # Errors
    /// Candle's, when the device fails.
    pub fn firsts(&self) -> candle_core::Result<Tensor> {
        self.of_each_row(|run| run.narrow(1, 0, 1)?.squeeze(1))
    }

    /// Returns the state of each row's last token.
    ///
    /// # Errors
    /// Candle's, when the device fails.
    pub fn lasts(&self) -> candle_core::Result<Tensor> {
        self.of_each_row(|run| run.narrow(1, run.dim(1)? - 1, 1)?.squeeze(1))
    }

    /// Returns the mean of each row's states.
    ///
    /// # Errors
    /// Candle's, when the device fails.
    pub fn means(&self) -> candle_core::Result<Tensor> {
        self.of_each_row(|run| run.to_dtype(DType::F32)?.mean(1)?.to_dtype(self.states.dtype()))
    }

    /// Joins what `of` makes of each run's states (row, token, width).
    fn of_each_row(&self, of: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
        let width = self.states.dim(D::Minus1)?;
        let own = |run: &Run| of(&self.states.narrow(0, run.start, run.rows * run.length)?.reshape((run.rows, run.length, width))?);
        let parts: candle_core::Result<Vec<Tensor>> = self.packed.runs.iter().map(own).collect();
        // One part alone is still a view, and CUDA's products take none whose lines lie apart.
        Tensor::cat(&parts?, 0)?.contiguous()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::{Hidden, Packed, TypedRow};

    /// CUDA multiplies nothing else.
    #[test]
    fn what_is_pooled_lies_side_by_side() {
        for lengths in [vec![4, 4], vec![4], vec![5, 3]] {
            let tokens: Vec<Vec<u32>> = lengths.iter().map(|length| vec![1; *length]).collect();
            let rows: Vec<TypedRow<'_>> = tokens.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
            let states = Tensor::ones((lengths.iter().sum::<usize>(), 8), DType::F32, &Device::Cpu).expect("states");
            let hidden = Hidden::new(states, Packed::new(&rows));
            for pooled in [hidden.firsts(), hidden.lasts(), hidden.means()] {
                assert!(pooled.expect("pooled").is_contiguous(), "{lengths:?}");
            }
        }
    }
}
