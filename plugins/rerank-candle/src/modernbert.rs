//! The body of ModernBERT: rotary positions, and layers of which most see only what is near.

use std::collections::BTreeMap;

use candle_core::Tensor;
use candle_nn::{LayerNorm, Linear, Module, VarBuilder, linear_b};
use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

use crate::{
    kernels::gated,
    layers::{Activation, Projection, norm},
    packed::{Attention, Hidden, Packed, Rotary, TypedRow},
    shape::{CONFIG, head_size, positive},
};

const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// What `config.json` says of a ModernBERT, checked as far as that goes without tensors.
#[derive(Clone, Debug)]
pub struct ModernBertShape {
    written: Written,
    activation: Activation,
    head: usize,
    /// Whether each layer sees only what is near.
    near: Vec<bool>,
    /// The bases of the angles in layers that see everything, and in the others.
    thetas: (f64, f64),
}

/// Numbers are no wider than 32 bits, so that products of two or three of them fit.
#[derive(Clone, Debug, Deserialize)]
struct Written {
    vocab_size: u32,
    hidden_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    intermediate_size: u32,
    hidden_activation: String,
    max_position_embeddings: u32,
    norm_eps: f64,
    norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    local_attention: u32,
    global_attn_every_n_layers: Option<u32>,
    layer_types: Option<Vec<String>>,
    global_rope_theta: Option<f64>,
    local_rope_theta: Option<f64>,
    rope_parameters: Option<BTreeMap<String, RopeParameters>>,
}

/// How newer files spell the bases of the angles.
#[derive(Clone, Debug, Deserialize)]
struct RopeParameters {
    rope_type: String,
    rope_theta: f64,
}

/// A ModernBERT body.
pub struct ModernBert {
    words: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    last_norm: LayerNorm,
    shape: ModernBertShape,
}

struct Layer {
    /// The first layer has none: the embeddings are normed already.
    norm: Option<LayerNorm>,
    projection: Projection,
    attended: Linear,
    inner_norm: LayerNorm,
    up: Linear,
    down: Linear,
    near: bool,
}

// === impl ModernBertShape ===

impl ModernBertShape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or malformed, or says what this body cannot do.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let written: Written = folder.json(CONFIG)?;
        Self::checked(written).map_err(|reason| LoadError::Malformed { path: folder.path().join(CONFIG), reason })
    }

    fn checked(written: Written) -> Result<Self, String> {
        let sizes = [
            ("hidden_size", written.hidden_size),
            ("vocab_size", written.vocab_size),
            ("num_hidden_layers", written.num_hidden_layers),
            ("intermediate_size", written.intermediate_size),
            ("max_position_embeddings", written.max_position_embeddings),
        ];
        positive(&sizes)?;
        let head = head_size(written.hidden_size, written.num_attention_heads)?;
        if !head.is_multiple_of(2) {
            return Err(format!("heads are {head} wide, which is odd"));
        }
        let activation =
            Activation::named(&written.hidden_activation).ok_or_else(|| format!("hidden_activation is {:?}", written.hidden_activation))?;
        let (near, thetas) = (written.near()?, written.thetas()?);
        Ok(Self { written, activation, head: head as usize, near, thetas })
    }

    /// The longest row of tokens.
    pub fn positions(&self) -> usize {
        self.written.max_position_embeddings as usize
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.written.vocab_size as usize
    }

    /// How many numbers the state of a token has.
    pub fn hidden(&self) -> usize {
        self.written.hidden_size as usize
    }

    /// The smallest number that a norm divides by, squared.
    pub fn norm_eps(&self) -> f64 {
        self.written.norm_eps
    }

    /// Whether norms have biases.
    pub fn norm_bias(&self) -> bool {
        self.written.norm_bias
    }
}

// === impl Written ===

impl Written {
    /// The layers are not yet known to exist, so that a list for them is made no longer than a real model's.
    fn near(&self) -> Result<Vec<bool>, String> {
        const MOST_LAYERS: u32 = 1024;
        let layers = self.num_hidden_layers;
        if layers > MOST_LAYERS {
            return Err(format!("num_hidden_layers is {layers}"));
        }
        match (&self.layer_types, self.global_attn_every_n_layers) {
            (Some(types), _) => {
                let known = types.iter().all(|kind| [FULL, SLIDING].contains(&kind.as_str()));
                if !known || types.len() != layers as usize {
                    return Err(format!("layer_types does not name {FULL} or {SLIDING} for each of {layers} layers"));
                }
                Ok(types.iter().map(|kind| kind == SLIDING).collect())
            }
            (None, Some(every)) if every > 0 => Ok((0..layers).map(|layer| !layer.is_multiple_of(every)).collect()),
            (None, _) => Err("neither layer_types nor global_attn_every_n_layers tells which layers see everything".into()),
        }
    }

    fn thetas(&self) -> Result<(f64, f64), String> {
        let (full, near) = match &self.rope_parameters {
            Some(parameters) => {
                let of = |kind: &str| parameters.get(kind).filter(|own| own.rope_type == "default").map(|own| own.rope_theta);
                (of(FULL), of(SLIDING))
            }
            None => (self.global_rope_theta, self.local_rope_theta.or(self.global_rope_theta)),
        };
        match (full, near) {
            (Some(full), Some(near)) if full > 0.0 && near > 0.0 => Ok((full, near)),
            _ => Err("neither rope_parameters of rope_type default nor global_rope_theta tells the rotary positions".into()),
        }
    }
}

// === impl ModernBert ===

impl ModernBert {
    /// Builds the body of tensors below `tensors`.
    ///
    /// # Errors
    /// Candle's, when a tensor is missing or has another shape than `shape` wants.
    pub fn load(tensors: &VarBuilder<'_>, shape: &ModernBertShape) -> candle_core::Result<Self> {
        let (hidden, written) = (shape.hidden(), &shape.written);
        let own_norm = |name: &str| norm(hidden, written.norm_eps, written.norm_bias, &tensors.pp(name));
        let layer = |(number, near): (usize, &bool)| Layer::load(&tensors.pp("layers").pp(number), (number, *near), shape);
        Ok(Self {
            words: tensors.get((shape.vocabulary(), hidden), "embeddings.tok_embeddings.weight")?,
            norm: own_norm("embeddings.norm")?,
            layers: shape.near.iter().enumerate().map(layer).collect::<candle_core::Result<_>>()?,
            last_norm: own_norm("final_norm")?,
            shape: shape.clone(),
        })
    }

    /// Returns the states of all tokens. Rows may differ in length; equal ones are fastest side by side.
    ///
    /// # Errors
    /// Candle's, when a token is unknown or the device fails.
    pub fn forward(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Hidden> {
        let packed = Packed::new(rows);
        let tokens: Vec<u32> = rows.iter().flat_map(|row| row.tokens.iter().copied()).collect();
        let count = tokens.len();
        let mut states = self.norm.forward(&self.words.index_select(&Tensor::from_vec(tokens, count, self.words.device())?, 0)?)?;
        let rotary = |theta| Rotary::new(theta, self.shape.head, packed.longest(), (self.words.dtype(), self.words.device()));
        let (full, near) = (rotary(self.shape.thetas.0)?, rotary(self.shape.thetas.1)?);
        let (heads, reach) = (self.shape.written.num_attention_heads as usize, self.shape.written.local_attention as usize / 2);
        let everything = Attention { heads, rotary: Some(&full), reach: None };
        let nearby = Attention { heads, rotary: Some(&near), reach: Some(reach) };
        for layer in &self.layers {
            let attention = if layer.near { &nearby } else { &everything };
            states = layer.forward(&states, &packed, (attention, self.shape.activation))?;
        }
        Ok(Hidden::new(self.last_norm.forward(&states)?, packed))
    }
}

// === impl Layer ===

impl Layer {
    fn load(tensors: &VarBuilder<'_>, (number, near): (usize, bool), shape: &ModernBertShape) -> candle_core::Result<Self> {
        let (hidden, inner, written) = (shape.hidden(), shape.written.intermediate_size as usize, &shape.written);
        let own_norm = |name: &str| norm(hidden, written.norm_eps, written.norm_bias, &tensors.pp(name));
        let (attention, inside) = (tensors.pp("attn"), tensors.pp("mlp"));
        let weights = attention.get((3 * hidden, hidden), "Wqkv.weight")?;
        let biases = if written.attention_bias { Some(attention.get(3 * hidden, "Wqkv.bias")?) } else { None };
        Ok(Self {
            norm: if number == 0 { None } else { Some(own_norm("attn_norm")?) },
            projection: Projection::new(weights, biases, (shape.head as f64).powf(-0.5))?,
            attended: linear_b(hidden, hidden, written.attention_bias, attention.pp("Wo"))?,
            inner_norm: own_norm("mlp_norm")?,
            up: linear_b(hidden, 2 * inner, written.mlp_bias, inside.pp("Wi"))?,
            down: linear_b(inner, hidden, written.mlp_bias, inside.pp("Wo"))?,
            near,
        })
    }

    fn forward(&self, states: &Tensor, packed: &Packed, how: (&Attention<'_>, Activation)) -> candle_core::Result<Tensor> {
        let (attention, activation) = how;
        let normed = self.norm.as_ref().map_or_else(|| Ok(states.clone()), |norm| norm.forward(states))?;
        let attended = packed.attend(&self.projection.forward(&normed)?, self.projection.bias.as_ref(), attention)?;
        let states = (self.attended.forward(&attended)? + states)?;
        let up = self.up.forward(&self.inner_norm.forward(&states)?)?;
        self.down.forward(&gated(&up, activation)?)? + states
    }
}
