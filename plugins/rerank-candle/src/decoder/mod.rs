//! Runs a Qwen3 decoder over rows of tokens that lie side by side, without padding; what rows begin with alike is computed once.
//!
//! Prompts, and what is made of the hidden states, belong to the plugins.

mod attention;
mod gguf;
mod layer;
mod rotary;
mod shape;

use candle_core::{DType, Tensor};
use candle_nn::ops;
use rerank_plugin::{Fault, LoadError};

use self::{
    attention::{Later, Span},
    layer::Layer,
    rotary::Rotary,
};
use crate::{Weights, fault, matrix::Matrix};

pub use shape::DecoderShape;

/// A decoder's body: embeddings, layers and the last norm.
pub struct Decoder {
    embeddings: Matrix,
    layers: Vec<Layer>,
    norm: Tensor,
    rotary: Rotary,
    shape: DecoderShape,
}

/// The keys and values of the tokens that a row begins with, layer by layer, each `[heads, tokens, head size]`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Past {
    layers: Vec<(Tensor, Tensor)>,
    tokens: usize,
}

/// Tokens of one text, behind those that are computed already.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What comes before.
    pub past: Option<&'a Past>,
    /// The tokens; never empty.
    pub tokens: &'a [u32],
}

/// Why a pass through a decoder has no result.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Nobody waits for it any more.
    #[error("stopped")]
    Stopped,
    /// The device failed, or a row is too long.
    #[error(transparent)]
    Failed(#[from] candle_core::Error),
}

/// Asked between the layers, and inside long ones: whether to give up.
pub type Asked<'a> = &'a (dyn Fn() -> bool + Sync);

/// One pass: where its rows lie, their positions as angles, and whether to go on.
struct Pass<'a> {
    spans: Vec<Span<'a>>,
    angles: (Tensor, Tensor),
    later: Later,
    asked: Asked<'a>,
}

// === impl Halt ===

impl From<Halt> for Fault {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::Failed(error) => fault(&error),
        }
    }
}

// === impl Past ===

impl Past {
    /// How many tokens it stands for.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

// === impl Row ===

impl Row<'_> {
    fn before(&self) -> usize {
        self.past.map_or(0, Past::tokens)
    }
}

// === impl Pass ===

impl Pass<'_> {
    fn go_on(&self) -> Result<(), Halt> {
        if (self.asked)() { Err(Halt::Stopped) } else { Ok(()) }
    }
}

// === impl Decoder ===

impl Decoder {
    /// Takes the body's tensors out of `weights`, for rows of at most `positions` tokens.
    ///
    /// # Errors
    /// [`LoadError`] when a tensor is missing, has another shape than `shape` wants, or holds no plain numbers.
    pub fn take(weights: &mut Weights, shape: DecoderShape, positions: usize, dtype: DType) -> Result<Self, LoadError> {
        let embeddings = weights.take_matrix("model.embed_tokens.weight", &[shape.vocabulary, shape.hidden], dtype)?;
        let norm = weights.take("model.norm.weight", &[shape.hidden], dtype)?;
        // Not reserved ahead: the number comes from an untrusted file, and the first missing layer ends the loop.
        let mut layers = Vec::new();
        for number in 0..shape.layers {
            layers.push(Layer::take(weights, number, &shape, dtype)?);
        }
        let rotary = Rotary::new(&shape, positions, &norm).map_err(|error| weights.failed(&error))?;
        Ok(Self { embeddings, layers, norm, rotary, shape })
    }

    /// The row of a token in the embeddings, in f32.
    ///
    /// # Errors
    /// Candle's, when there is no such token.
    pub fn embedding(&self, token: u32) -> candle_core::Result<Tensor> {
        let place = Tensor::from_vec(vec![token], 1, self.norm.device())?;
        self.embeddings.rows(&place)?.squeeze(0)?.to_dtype(DType::F32)
    }

    /// Computes the keys and values of `row` and of what is before it.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn past(&self, row: Row<'_>, asked: Asked<'_>) -> Result<Past, Halt> {
        let pass = self.pass(&[row], asked)?;
        let mut hidden = self.embed(&[row])?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            pass.go_on()?;
            let normed = self.normed(&hidden, layer.before_attention())?;
            let (keys, values) = layer.keys_values(&normed, &self.shape, &pass.angles)?;
            layers.push((pass.spans[0].all(&keys, layer.number(), true)?, pass.spans[0].all(&values, layer.number(), false)?));
            if !self.is_last(layer) {
                let attended = self.attend(layer, &normed, (&keys, &values), &pass)?;
                hidden = self.after_attention(layer, hidden, attended, &pass)?;
            }
        }
        Ok(Past { layers, tokens: row.before() + row.tokens.len() })
    }

    /// Returns the hidden states of each row's last token, in f32, `[rows, hidden size]`.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn last(&self, rows: &[Row<'_>], asked: Asked<'_>) -> Result<Tensor, Halt> {
        let mut pass = self.pass(rows, asked)?;
        let mut hidden = self.embed(rows)?;
        for layer in &self.layers {
            pass.go_on()?;
            let mut normed = self.normed(&hidden, layer.before_attention())?;
            let (keys, values) = layer.keys_values(&normed, &self.shape, &pass.angles)?;
            if self.is_last(layer) {
                // Nobody looks at the others behind this layer.
                let ends = self.keep_ends(&mut pass)?;
                hidden = hidden.index_select(&ends, 0)?;
                normed = normed.index_select(&ends, 0)?;
            }
            let attended = self.attend(layer, &normed, (&keys, &values), &pass)?;
            hidden = self.after_attention(layer, hidden, attended, &pass)?;
        }
        Ok(self.normed(&hidden, &self.norm)?.to_dtype(DType::F32)?)
    }

    fn is_last(&self, layer: &Layer) -> bool {
        layer.number() + 1 == self.layers.len()
    }

    fn pass<'a>(&self, rows: &[Row<'a>], asked: Asked<'a>) -> candle_core::Result<Pass<'a>> {
        let mut spans = Vec::with_capacity(rows.len());
        let mut positions = Vec::new();
        for row in rows {
            let (before, own) = (row.before(), row.tokens.len());
            spans.push(Span { start: positions.len(), own, asking: own, past: row.past.map(|past| past.layers.as_slice()) });
            positions.extend(before as u32..(before + own) as u32);
        }
        let totals: candle_core::Result<Vec<usize>> = spans.iter().map(Span::total).collect();
        let later = Later::new(totals?.into_iter().max().unwrap_or_default(), self.norm.device())?;
        Ok(Pass { spans, angles: self.rotary.at(positions)?, later, asked })
    }

    fn embed(&self, rows: &[Row<'_>]) -> candle_core::Result<Tensor> {
        let tokens: Vec<u32> = rows.iter().flat_map(|row| row.tokens).copied().collect();
        let count = tokens.len();
        self.embeddings.rows(&Tensor::from_vec(tokens, count, self.norm.device())?)
    }

    /// Leaves only the last token of each row asking, and returns their places.
    fn keep_ends(&self, pass: &mut Pass<'_>) -> candle_core::Result<Tensor> {
        let ends: Vec<u32> = pass.spans.iter().map(|span| (span.start + span.own - 1) as u32).collect();
        let count = ends.len();
        let ends = Tensor::from_vec(ends, count, self.norm.device())?;
        pass.spans.iter_mut().for_each(|span| span.asking = 1);
        pass.angles = (pass.angles.0.index_select(&ends, 0)?, pass.angles.1.index_select(&ends, 0)?);
        Ok(ends)
    }

    fn attend(&self, layer: &Layer, normed: &Tensor, keys_values: (&Tensor, &Tensor), pass: &Pass<'_>) -> Result<Tensor, Halt> {
        let queries = layer.queries(normed, &self.shape, &pass.angles)?;
        let attended = attention::attend(&queries, keys_values, (layer.number(), &pass.spans, &pass.later), pass.asked)?;
        Ok(layer.joined(&attended)?)
    }

    fn after_attention(&self, layer: &Layer, hidden: Tensor, attended: Tensor, pass: &Pass<'_>) -> Result<Tensor, Halt> {
        let hidden = (hidden + attended)?;
        let inner = layer.inner(&self.normed(&hidden, layer.after_attention())?, pass.asked)?;
        Ok((hidden + inner)?)
    }

    fn normed(&self, hidden: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
        ops::rms_norm(hidden, weight, self.shape.epsilon)
    }
}
