//! Attention that scores what two tokens say and how far apart they are, each of the other: disentangled attention.

use candle_core::{DType, Tensor};
use candle_nn::{Module, VarBuilder, linear};

use super::{DebertaShape, distance::Lines};
use crate::{kernels::softmax, layers::Projection, packed::Run};

/// The most scores of contents (heads × rows × queries × keys) that are held at once, where a row has no more than 1024 tokens; those of
/// positions beside them are up to four times as many, so that all are some 20 MiB. Of longer rows, one head at a time.
const SCORES: usize = 1 << 20;

/// Keys and queries of every distance that there is in rows of one length, by head.
struct Tables {
    keys: Option<Tensor>,
    queries: Option<Tensor>,
}

/// The attention of one layer.
pub(super) struct Attention {
    /// Queries, scaled, keys and values of contents, side by side.
    projection: Projection,
    /// Keys of the positions, by head and line; the same for all rows, so that they are computed once.
    keys: Option<Tensor>,
    /// Queries of the positions, scaled.
    queries: Option<Tensor>,
    heads: usize,
}

// === impl Attention ===

impl Attention {
    /// Builds the attention of tensors below `tensors`, and of the table of relative positions.
    pub(super) fn load(tensors: &VarBuilder<'_>, positions: &Tensor, shape: &DebertaShape) -> candle_core::Result<Self> {
        let (hidden, heads) = (shape.hidden(), shape.written.num_attention_heads as usize);
        let part =
            |name: &str| Ok((tensors.get((hidden, hidden), &format!("{name}.weight"))?, tensors.get(hidden, &format!("{name}.bias"))?));
        let read: candle_core::Result<Vec<(Tensor, Tensor)>> = ["query_proj", "key_proj", "value_proj"].map(part).into_iter().collect();
        let (weights, biases): (Vec<Tensor>, Vec<Tensor>) = read?.into_iter().unzip();
        let projection = Projection::new(Tensor::cat(&weights, 0)?, Some(Tensor::cat(&biases, 0)?), shape.scale())?;
        let by_head = |states: Tensor| states.reshape((positions.dim(0)?, heads, hidden / heads))?.transpose(0, 1)?.contiguous();
        let (keys, queries) = if shape.written.share_att_key {
            let both = projection.with_bias(positions)?;
            (Some(both.narrow(1, hidden, hidden)?), Some(both.narrow(1, 0, hidden)?))
        } else {
            let own = |name: &str| linear(hidden, hidden, tensors.pp(name))?.forward(positions);
            let queries = shape.parts.queries.then(|| own("pos_query_proj")? * shape.scale());
            (shape.parts.keys.then(|| own("pos_key_proj")).transpose()?, queries.transpose()?)
        };
        Ok(Self {
            projection,
            keys: keys.filter(|_| shape.parts.keys).map(by_head).transpose()?,
            queries: queries.filter(|_| shape.parts.queries).map(by_head).transpose()?,
            heads,
        })
    }

    /// Attends inside each row; `runs` holds the lines of the positions with each run.
    pub(super) fn forward(&self, states: &Tensor, runs: &[(&Run, Lines)]) -> candle_core::Result<Tensor> {
        let projected = self.projection.with_bias(states)?;
        let parts: candle_core::Result<Vec<Tensor>> = runs.iter().map(|(run, lines)| self.attend(&projected, run, lines)).collect();
        Tensor::cat(&parts?, 0)
    }

    /// Some rows, or some heads of one, at a time, so that no more than [`SCORES`] are held at once; a head of one row at least.
    fn attend(&self, projected: &Tensor, run: &Run, lines: &Lines) -> candle_core::Result<Tensor> {
        let rows = (SCORES / (self.heads * run.length * run.length)).clamp(1, run.rows);
        let heads = (SCORES / (run.length * run.length)).clamp(1, self.heads);
        let tables = Tables {
            keys: self.keys.as_ref().map(|table| table.index_select(&lines.of_keys, 1)).transpose()?,
            queries: self.queries.as_ref().map(|table| table.index_select(&lines.of_queries, 1)).transpose()?,
        };
        let part = |row: usize| self.some_rows(projected, &run.part(row, rows), (&tables, heads));
        let parts: candle_core::Result<Vec<Tensor>> = (0..run.rows).step_by(rows).map(part).collect();
        Tensor::cat(&parts?, 0)
    }

    /// Heads come before rows, so that one product makes the scores of positions for all rows of a head.
    fn some_rows(&self, projected: &Tensor, run: &Run, (tables, heads): (&Tables, usize)) -> candle_core::Result<Tensor> {
        let (width, tokens) = (projected.dim(1)? / 3, run.rows * run.length);
        let own = projected.narrow(0, run.start, tokens)?.reshape((run.rows, run.length, 3, self.heads, width / self.heads))?;
        let own = own.permute((2, 3, 0, 1, 4))?.contiguous()?;
        let part = |head: usize| tables.attend(&own, (head, heads.min(self.heads - head)));
        let parts: candle_core::Result<Vec<Tensor>> = (0..self.heads).step_by(heads).map(part).collect();
        Tensor::cat(&parts?, 0)?.permute((1, 2, 0, 3))?.reshape((tokens, width))
    }
}

// === impl Tables ===

impl Tables {
    /// Returns what some heads find; `own` holds queries, keys and values, each `[heads, rows, places, head size]`.
    fn attend(&self, own: &Tensor, (first, heads): (usize, usize)) -> candle_core::Result<Tensor> {
        let of = |kind: usize| own.get(kind)?.narrow(0, first, heads);
        let (queries, keys) = (of(0)?, of(1)?);
        let mut scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
        if let Some(table) = &self.keys {
            scores = (scores + by_distance(&queries, &table.narrow(0, first, heads)?)?)?;
        }
        if let Some(table) = &self.queries {
            scores = (scores + by_distance(&keys, &table.narrow(0, first, heads)?)?.t()?)?;
        }
        softmax(scores)?.to_dtype(own.dtype())?.matmul(&of(2)?)
    }
}

/// Returns, for each token of a row and each other one, the product of its state with the line of their distance.
///
/// `table` holds a line for each distance. A token in place `p` wants the lines from `length - 1 - p` on, so that the products
/// lie as they should once each place has one product less: a cut and two other shapes, where the reference picks them one by one.
fn by_distance(states: &Tensor, table: &Tensor) -> candle_core::Result<Tensor> {
    let (heads, rows, length, size) = states.dims4()?;
    let products = states.reshape((heads, rows * length, size))?.matmul(&table.t()?)?;
    if length == 1 {
        return products.reshape((heads, rows, 1, 1))?.to_dtype(DType::F32);
    }
    let lines = 2 * length - 1;
    let cut = products.reshape((heads, rows, length * lines))?.narrow(2, length - 1, length * (lines - 1))?;
    cut.reshape((heads, rows, length, lines - 1))?.narrow(3, 0, length)?.contiguous()?.to_dtype(DType::F32)
}
