//! Causal attention of rows that lie side by side: each token looks at the tokens of its own row up to itself.
//!
//! Made of matrix products, which are the same on every device; scores are held for a bounded block of queries at a time.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use super::{Asked, Halt};

/// The most scores (queries × heads × keys) that are held at once: 16 MiB of them in f32.
const SCORES: usize = 4 << 20;

/// Where one row lies.
pub(super) struct Span<'a> {
    /// Its first token among the tokens of the pass.
    pub(super) start: usize,
    /// Its tokens in this pass.
    pub(super) own: usize,
    /// How many of them, the last ones, ask; the others are only looked at.
    pub(super) asking: usize,
    /// Keys and values of what comes before, layer by layer.
    pub(super) past: Option<&'a [(Tensor, Tensor)]>,
}

/// What no query may look at: the keys after it, for all rows of a pass.
pub(super) struct Later {
    /// Of a row as long as the longest; `None` where that would be large.
    square: Option<Tensor>,
}

/// The longest row whose square of what comes later is kept: 16 MiB.
const SQUARE: usize = 2048;

/// Where the next block of queries lies.
struct Block {
    /// Among the queries.
    start: usize,
    length: usize,
    /// How many keys its last query sees.
    visible: usize,
}

// === impl Later ===

impl Later {
    /// Computes it on the device once, for rows of at most `longest` tokens.
    pub(super) fn new(longest: usize, device: &Device) -> candle_core::Result<Self> {
        let square = (longest <= SQUARE).then(|| later_keys(longest, longest, device)).transpose()?;
        Ok(Self { square })
    }

    /// Returns minus infinity where a key comes after the query, else 0. The last query sees all keys.
    fn mask(&self, queries: usize, visible: usize, device: &Device) -> candle_core::Result<Tensor> {
        match &self.square {
            Some(square) => square.narrow(0, visible - queries, queries)?.narrow(1, 0, visible)?.contiguous(),
            None => later_keys(queries, visible, device),
        }
    }
}

// === impl Span ===

impl Span<'_> {
    /// How many keys its last token sees.
    pub(super) fn total(&self) -> candle_core::Result<usize> {
        let past = self.past.and_then(|layers| layers.first()).map_or(Ok(0), |(keys, _)| keys.dim(1))?;
        Ok(past + self.own)
    }

    /// Returns all keys (or values) of the row in this layer, `[heads, tokens, head size]`, those before it included.
    pub(super) fn all(&self, of_pass: &Tensor, layer: usize, keys: bool) -> candle_core::Result<Tensor> {
        let own = of_pass.narrow(0, self.start, self.own)?.transpose(0, 1)?;
        match self.past.map(|layers| &layers[layer]) {
            Some((past_keys, past_values)) => Tensor::cat(&[if keys { past_keys } else { past_values }, &own.contiguous()?], 1),
            None => own.contiguous(),
        }
    }
}

/// Returns what each query finds, `[queries, heads × head size]`. `queries`: `[queries, heads, head size]`, those of all rows;
/// keys and values: `[tokens, key heads, head size]`, those of this pass.
pub(super) fn attend(
    queries: &Tensor,
    (keys, values): (&Tensor, &Tensor),
    (layer, spans, later): (usize, &[Span<'_>], &Later),
    asked: Asked<'_>,
) -> Result<Tensor, Halt> {
    let (_, heads, size) = queries.dims3()?;
    let scaled = (queries * (1.0 / (size as f64).sqrt()))?;
    let mut found = Vec::with_capacity(spans.len());
    let mut first = 0;
    for span in spans {
        let (keys, values) = (span.all(keys, layer, true)?, span.all(values, layer, false)?);
        let total = keys.dim(1)?;
        let rows = (SCORES / (heads * total)).max(1);
        for offset in (0..span.asking).step_by(rows) {
            if asked() {
                return Err(Halt::Stopped);
            }
            let length = rows.min(span.asking - offset);
            let block = Block { start: first + offset, length, visible: total - span.asking + offset + length };
            found.push(one_block(&scaled, (&keys, &values), (&block, later))?);
        }
        first += span.asking;
    }
    Ok(Tensor::cat(&found, 0)?)
}

fn one_block(scaled: &Tensor, (keys, values): (&Tensor, &Tensor), (block, later): (&Block, &Later)) -> candle_core::Result<Tensor> {
    let &Block { start, length, visible } = block;
    let (_, heads, size) = scaled.dims3()?;
    let key_heads = keys.dim(0)?;
    // Neighbouring heads share a key head: their queries become more rows of one product.
    let queries = scaled.narrow(0, start, length)?.transpose(0, 1)?.contiguous()?;
    let queries = queries.reshape((key_heads, heads / key_heads * length, size))?;
    let (keys, values) = (keys.narrow(1, 0, visible)?, values.narrow(1, 0, visible)?);
    let scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?.reshape((heads, length, visible))?;
    let scores = if length == 1 { scores } else { scores.broadcast_add(&later.mask(length, visible, scores.device())?)? };
    let weights = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
    let found = weights.reshape((key_heads, heads / key_heads * length, visible))?.matmul(&values)?;
    found.reshape((heads, length, size))?.transpose(0, 1)?.contiguous()?.flatten_from(D::Minus2)
}

/// Returns minus infinity where a key comes after the query, else 0. The last query sees all keys.
fn later_keys(queries: usize, visible: usize, device: &Device) -> candle_core::Result<Tensor> {
    let mut line = vec![0.0; visible];
    line.resize(visible + queries - 1, f32::NEG_INFINITY);
    let mut mask = Vec::with_capacity(queries * visible);
    (0..queries).rev().for_each(|unseen| mask.extend_from_slice(&line[unseen..unseen + visible]));
    Tensor::from_vec(mask, (queries, visible), device)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{Later, SQUARE, later_keys};

    #[test]
    fn each_query_sees_one_key_more_than_the_one_before() {
        let seen = |queries, visible| {
            let mask = later_keys(queries, visible, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            let count = |row: Vec<f32>| {
                let seen = row.iter().take_while(|cell| **cell == 0.0).count();
                assert!(row[seen..].iter().all(|cell| *cell == f32::NEG_INFINITY));
                seen
            };
            mask.into_iter().map(count).collect::<Vec<_>>()
        };
        assert_eq!(seen(3, 5), [3, 4, 5]);
        assert_eq!(seen(2, 2), [1, 2]);
    }

    #[test]
    fn what_is_cut_out_of_the_square_is_what_would_be_computed() {
        let (kept, none) = (Later::new(9, &Device::Cpu).unwrap(), Later::new(SQUARE + 1, &Device::Cpu).unwrap());
        let numbers = |mask: Tensor| mask.to_vec2::<f32>().unwrap();
        for (queries, visible) in [(9, 9), (1, 9), (4, 6), (1, 1)] {
            let [kept, computed] = [&kept, &none].map(|later| numbers(later.mask(queries, visible, &Device::Cpu).unwrap()));
            assert_eq!(kept, computed, "{queries} {visible}");
        }
    }
}
