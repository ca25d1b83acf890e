//! Rows of tokens laid end to end, without padding: nothing is computed for places that hold no token, and no mask is needed
//! to keep rows apart.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::rotary_emb::rope;

use crate::kernels::{by_head, softmax};

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

/// The most scores (rows × heads × queries × keys) that are held at once: 16 MiB of them in f32.
const SCORES: usize = 4 << 20;

/// The fewest queries of a block whose keys are picked out because they are near: for fewer, it is not worth a product.
const NEAR: usize = 64;

/// Queries that are scored together: those of some rows, or some of one row.
struct Block {
    row: usize,
    rows: usize,
    start: usize,
    length: usize,
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

    /// Attends inside each row. `projected` holds queries, keys and values of all heads side by side, to which `bias` is still to be
    /// added; queries are scaled.
    pub(crate) fn attend(&self, projected: &Tensor, bias: Option<&Tensor>, attention: &Attention<'_>) -> candle_core::Result<Tensor> {
        let parts: candle_core::Result<Vec<Tensor>> = self.runs.iter().map(|run| run.attend(projected, bias, attention)).collect();
        Tensor::cat(&parts?, 0)
    }
}

// === impl Run ===

impl Run {
    /// Returns some of the rows, as many as there are from `row` on and at most `rows`.
    pub(crate) fn part(&self, row: usize, rows: usize) -> Self {
        Self { start: self.start + row * self.length, rows: rows.min(self.rows - row), length: self.length }
    }

    /// Plain products: with candle's fused kernel for processors, a whole model took twice as long (MiniLM's shape, 32 rows of 128).
    fn attend(&self, projected: &Tensor, bias: Option<&Tensor>, attention: &Attention<'_>) -> candle_core::Result<Tensor> {
        let heads = attention.heads;
        let own = by_head(&projected.narrow(0, self.start, self.rows * self.length)?, bias, (self.rows, heads))?;
        let (mut queries, mut keys, values) = (own.get(0)?, own.get(1)?, own.get(2)?);
        if let Some(rotary) = attention.rotary {
            (queries, keys) = (rotary.turn(&queries, self.length)?, rotary.turn(&keys, self.length)?);
        }
        let reach = attention.reach.filter(|reach| self.length > reach + 1);
        let found: candle_core::Result<Vec<Tensor>> =
            self.blocks(heads, reach).iter().map(|block| block.attend([&queries, &keys, &values], reach)).collect();
        Tensor::cat(&found?, 0)
    }

    /// Splits the queries, so that no more than [`SCORES`] are held at once, and that far keys are left out where most are far.
    fn blocks(&self, heads: usize, reach: Option<usize>) -> Vec<Block> {
        let near = reach.map(|reach| (2 * reach).max(NEAR)).filter(|near| self.length > 2 * near);
        let held = near.map_or(self.length, |near| self.length.min(2 * near));
        let length = near.unwrap_or(self.length).min(SCORES / (heads * held)).max(1);
        let rows = if length == self.length { (SCORES / (heads * held * held)).max(1) } else { 1 };
        let parts = |whole: usize, part: usize| (0..whole).step_by(part).map(move |start| (start, part.min(whole - start)));
        let of_rows =
            |(row, count)| parts(self.length, length).map(move |(start, queries)| Block { row, rows: count, start, length: queries });
        parts(self.rows, rows).flat_map(of_rows).collect()
    }
}

// === impl Block ===

impl Block {
    /// Returns what the queries find among the keys that they see; all three are `[rows, heads, places, head size]`.
    fn attend(&self, [queries, keys, values]: [&Tensor; 3], reach: Option<usize>) -> candle_core::Result<Tensor> {
        let (_, heads, places, size) = queries.dims4()?;
        let first = reach.map_or(0, |reach| self.start.saturating_sub(reach));
        let end = reach.map_or(places, |reach| places.min(self.start + self.length + reach));
        let seen = |all: &Tensor| all.narrow(0, self.row, self.rows)?.narrow(2, first, end - first);
        let queries = queries.narrow(0, self.row, self.rows)?.narrow(2, self.start, self.length)?;
        let mut scores = queries.matmul(&seen(keys)?.t()?)?.to_dtype(DType::F32)?;
        if let Some(reach) = reach {
            scores = scores.broadcast_add(&self.band(first..end, reach, scores.device())?)?;
        }
        let found = softmax(scores)?.to_dtype(values.dtype())?.matmul(&seen(values)?)?;
        found.transpose(1, 2)?.reshape((self.rows * self.length, heads * size))
    }

    /// Returns a matrix to add to scores: 0 for places that see each other, minus infinity for those further apart than `reach`.
    fn band(&self, keys: Range<usize>, reach: usize, device: &Device) -> candle_core::Result<Tensor> {
        let seen = |from: usize, to: usize| if from.abs_diff(to) <= reach { 0.0 } else { f32::NEG_INFINITY };
        let size = (self.length, keys.len());
        let places: Vec<f32> = (self.start..self.start + self.length).flat_map(|from| keys.clone().map(move |to| seen(from, to))).collect();
        Tensor::from_vec(places, size, device)
    }
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

    use super::{Attention, Hidden, Packed, Rotary, Run, SCORES, TypedRow};

    /// Each query by itself, in plain loops.
    fn reference(projected: &[Vec<f32>], (heads, reach): (usize, Option<usize>)) -> Vec<Vec<f32>> {
        let (width, places) = (projected[0].len() / 3, projected.len());
        let size = width / heads;
        let one = |place: usize, head: usize| {
            let part = |of: usize, kind: usize| &projected[of][kind * width + head * size..][..size];
            let seen = |other: &usize| reach.is_none_or(|reach| other.abs_diff(place) <= reach);
            let score = |other: usize| part(place, 0).iter().zip(part(other, 1)).map(|(one, other)| one * other).sum::<f32>().exp();
            let weights: Vec<(usize, f32)> = (0..places).filter(seen).map(|other| (other, score(other))).collect();
            let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
            (0..size)
                .map(move |at| weights.iter().map(|(other, weight)| weight / sum * part(*other, 2)[at]).sum::<f32>())
                .collect::<Vec<_>>()
        };
        (0..places).map(|place| (0..heads).flat_map(|head| one(place, head)).collect()).collect()
    }

    fn check(lengths: &[usize], heads: usize, reach: Option<usize>) {
        let count = lengths.iter().sum::<usize>();
        let projected = Tensor::randn(0f32, 1.0, (count, 3 * heads * 2), &Device::Cpu).unwrap();
        let rows: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
        let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
        let attention = Attention { heads, rotary: None, reach };
        let all = Packed::new(&rows).attend(&projected, None, &attention).unwrap().to_vec2::<f32>().unwrap();
        let (given, mut start) = (projected.to_vec2::<f32>().unwrap(), 0);
        for length in lengths {
            let plain = reference(&given[start..start + length], (heads, reach));
            for (found, right) in all[start..].iter().flatten().zip(plain.iter().flatten()) {
                assert!((found - right).abs() < 1e-5, "{lengths:?} {heads} {reach:?}: {found} {right}");
            }
            start += length;
        }
    }

    #[test]
    fn blocks_of_queries_find_what_each_query_finds() {
        check(&[3, 3, 3, 5, 1], 2, None);
        check(&[9, 9, 4], 3, Some(2));
        check(&[300, 131, 131, 128], 2, Some(8));
        check(&[400], 2, Some(40));
        check(&[200], 1, Some(0));
        check(&[1500], 4, None);
    }

    #[test]
    fn no_more_scores_are_held_than_agreed() {
        for (rows, length, heads, reach) in [
            (1, 8192, 12, None),
            (128, 128, 12, None),
            (1, 8192, 12, Some(64)),
            (3, 513, 16, None),
            (9, 8192, 12, Some(4096)),
            (1, 1, 1, None),
        ] {
            let blocks = Run { start: 0, rows, length }.blocks(heads, reach);
            let queries: usize = blocks.iter().map(|block| block.rows * block.length).sum();
            assert_eq!(queries, rows * length);
            for block in blocks {
                let keys = reach.map_or(length, |reach| length.min(block.length + 2 * reach));
                assert!(block.rows * block.length * heads * keys <= SCORES, "{rows} {length} {heads} {reach:?}");
            }
        }
    }

    #[test]
    fn angles_are_those_of_the_places() {
        let rotary = Rotary::new(10_000.0, 4, 3, (DType::F32, &Device::Cpu)).unwrap();
        assert_eq!(rotary.cos.dims(), [3, 2]);
        assert!((rotary.cos.to_vec2::<f32>().unwrap()[2][1] - 0.02f32.cos()).abs() < 1e-7);
    }

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
