//! The body of DeBERTa-v2 and v3: positions are no part of the states, but of every attention.

mod attention;
mod distance;
mod neighbours;
mod shape;

use candle_core::Tensor;
use candle_nn::{LayerNorm, Linear, Module, VarBuilder, linear_no_bias};

use self::{attention::Attention, distance::Lines, neighbours::Convolution};
use crate::{
    layers::{Activation, AfterAttention, chosen, norm},
    packed::{Hidden, Packed, Run, TypedRow},
};

pub use shape::DebertaShape;

/// A DeBERTa-v2 or v3 body.
pub struct Deberta {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    convolution: Option<Convolution>,
    shape: DebertaShape,
}

struct Embeddings {
    words: Tensor,
    places: Option<Tensor>,
    types: Option<Tensor>,
    /// From the width of these tables to that of the layers.
    widened: Option<Linear>,
    norm: LayerNorm,
}

struct Layer {
    attention: Attention,
    rest: AfterAttention,
}

// === impl Deberta ===

impl Deberta {
    /// Builds the body of tensors below `tensors`.
    ///
    /// # Errors
    /// Candle's, when a tensor is missing or has another shape than `shape` wants.
    pub fn load(tensors: &VarBuilder<'_>, shape: &DebertaShape) -> candle_core::Result<Self> {
        let (encoder, eps) = (tensors.pp("encoder"), shape.written.layer_norm_eps);
        let mut positions = encoder.get((shape.distances.lines(), shape.hidden()), "rel_embeddings.weight")?;
        if shape.normed_positions {
            positions = norm(shape.hidden(), eps, true, &encoder.pp("LayerNorm"))?.forward(&positions)?;
        }
        let layer = |number| Layer::load(&encoder.pp("layer").pp(number), &positions, shape);
        Ok(Self {
            embeddings: Embeddings::load(&tensors.pp("embeddings"), shape)?,
            layers: (0..shape.written.num_hidden_layers).map(layer).collect::<candle_core::Result<_>>()?,
            convolution: shape.neighbours.map(|own| Convolution::load(&encoder.pp("conv"), shape, own)).transpose()?,
            shape: shape.clone(),
        })
    }

    /// Returns the states of all tokens. Rows may differ in length; equal ones are fastest side by side.
    ///
    /// # Errors
    /// Candle's, when a token or type is unknown, a row is longer than [`DebertaShape::positions`] and the model counts places, or
    /// the device fails.
    pub fn forward(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Hidden> {
        let packed = Packed::new(rows);
        let states = self.layered(&self.embeddings.forward(rows)?, &packed)?;
        Ok(Hidden::new(states, packed))
    }

    fn layered(&self, embedded: &Tensor, packed: &Packed) -> candle_core::Result<Tensor> {
        let lines = |run: &Run| self.shape.distances.of_rows(run.length, embedded.device());
        let runs: Vec<(&Run, Lines)> = packed.runs().iter().map(|run| Ok((run, lines(run)?))).collect::<candle_core::Result<_>>()?;
        let mut states = embedded.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            states = layer.forward(&states, &runs, self.shape.activation)?;
            if let (0, Some(convolution)) = (number, &self.convolution) {
                states = convolution.forward(embedded, &states, packed)?;
            }
        }
        Ok(states)
    }
}

// === impl Embeddings ===

impl Embeddings {
    fn load(tensors: &VarBuilder<'_>, shape: &DebertaShape) -> candle_core::Result<Self> {
        let (narrow, hidden) = (shape.narrow(), shape.hidden());
        let table = |lines: usize, name: &str| tensors.get((lines, narrow), name);
        let places = shape.written.position_biased_input.then(|| table(shape.positions(), "position_embeddings.weight"));
        let types = (shape.types() > 0).then(|| table(shape.types(), "token_type_embeddings.weight"));
        let widened = (narrow != hidden).then(|| linear_no_bias(narrow, hidden, tensors.pp("embed_proj")));
        Ok(Self {
            words: table(shape.vocabulary(), "word_embeddings.weight")?,
            places: places.transpose()?,
            types: types.transpose()?,
            widened: widened.transpose()?,
            norm: norm(hidden, shape.written.layer_norm_eps, true, &tensors.pp("LayerNorm"))?,
        })
    }

    fn forward(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Tensor> {
        let mut states = chosen(&self.words, rows.iter().flat_map(|row| row.tokens.iter().copied()).collect())?;
        if let Some(places) = &self.places {
            states = (states + chosen(places, rows.iter().flat_map(|row| 0..row.tokens.len() as u32).collect())?)?;
        }
        if let Some(types) = &self.types {
            states = (states + chosen(types, rows.iter().flat_map(TypedRow::all_types).collect())?)?;
        }
        if let Some(widened) = &self.widened {
            states = widened.forward(&states)?;
        }
        self.norm.forward(&states)
    }
}

// === impl Layer ===

impl Layer {
    fn load(tensors: &VarBuilder<'_>, positions: &Tensor, shape: &DebertaShape) -> candle_core::Result<Self> {
        let sizes = (shape.hidden(), shape.written.intermediate_size as usize);
        Ok(Self {
            attention: Attention::load(&tensors.pp("attention.self"), positions, shape)?,
            rest: AfterAttention::load(tensors, sizes, shape.written.layer_norm_eps)?,
        })
    }

    fn forward(&self, states: &Tensor, runs: &[(&Run, Lines)], activation: Activation) -> candle_core::Result<Tensor> {
        self.rest.forward(&self.attention.forward(states, runs)?, states, activation)
    }
}
