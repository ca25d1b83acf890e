//! The body of BERT and of XLM-RoBERTa, which differ in where positions begin.

use candle_core::Tensor;
use candle_nn::{LayerNorm, Module, VarBuilder};
use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

use crate::{
    layers::{Activation, AfterAttention, Projection, chosen, norm},
    packed::{Attention, Hidden, Packed, TypedRow},
    shape::{CONFIG, head_size, positive},
};

/// What `config.json` says of a BERT or an XLM-RoBERTa, checked as far as that goes without tensors.
#[derive(Clone, Debug)]
pub struct BertShape {
    written: Written,
    activation: Activation,
    /// The position of a row's first token.
    first: u32,
}

/// Numbers are no wider than 32 bits, so that products of two or three of them fit.
#[derive(Clone, Debug, Deserialize)]
struct Written {
    model_type: String,
    vocab_size: u32,
    hidden_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    intermediate_size: u32,
    hidden_act: String,
    max_position_embeddings: u32,
    type_vocab_size: u32,
    layer_norm_eps: f64,
    pad_token_id: u32,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

/// A BERT or XLM-RoBERTa body.
pub struct Bert {
    words: Tensor,
    places: Tensor,
    types: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    heads: usize,
    shape: BertShape,
}

struct Layer {
    projection: Projection,
    rest: AfterAttention,
}

// === impl BertShape ===

impl BertShape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or malformed, or says what this body cannot do.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let written: Written = folder.json(CONFIG)?;
        let refused = |reason: String| LoadError::Malformed { path: folder.path().join(CONFIG), reason };
        let sizes = [
            ("hidden_size", written.hidden_size),
            ("vocab_size", written.vocab_size),
            ("type_vocab_size", written.type_vocab_size),
            ("num_hidden_layers", written.num_hidden_layers),
            ("intermediate_size", written.intermediate_size),
        ];
        positive(&sizes).map_err(refused)?;
        head_size(written.hidden_size, written.num_attention_heads).map_err(refused)?;
        let activation =
            Activation::named(&written.hidden_act).ok_or_else(|| refused(format!("hidden_act is {:?}", written.hidden_act)))?;
        if written.position_embedding_type.as_ref().is_some_and(|kind| kind != "absolute")
            || written.is_decoder
            || written.add_cross_attention
        {
            return Err(refused(
                "position_embedding_type, is_decoder or add_cross_attention ask for another model than a plain encoder".into(),
            ));
        }
        let first = if written.model_type == "xlm-roberta" { written.pad_token_id.saturating_add(1) } else { 0 };
        if written.max_position_embeddings <= first {
            return Err(refused(format!("max_position_embeddings is {}", written.max_position_embeddings)));
        }
        Ok(Self { written, activation, first })
    }

    /// The longest row of tokens.
    pub fn positions(&self) -> usize {
        (self.written.max_position_embeddings - self.first) as usize
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.written.vocab_size as usize
    }

    /// How many kinds of texts a row may hold.
    pub fn types(&self) -> usize {
        self.written.type_vocab_size as usize
    }

    /// How many numbers the state of a token has.
    pub fn hidden(&self) -> usize {
        self.written.hidden_size as usize
    }

    /// Returns the position of each token. XLM-RoBERTa counts only tokens that are not padding, also where a text holds one.
    fn places(&self, tokens: &[u32]) -> Vec<u32> {
        if self.first == 0 {
            return (0..tokens.len() as u32).collect();
        }
        let pad = self.written.pad_token_id;
        let mut next = pad;
        let mut place = |token: &u32| {
            if *token == pad {
                pad
            } else {
                next += 1;
                next
            }
        };
        tokens.iter().map(&mut place).collect()
    }
}

// === impl Bert ===

impl Bert {
    /// Builds the body of tensors below `tensors`.
    ///
    /// # Errors
    /// Candle's, when a tensor is missing or has another shape than `shape` wants.
    pub fn load(tensors: &VarBuilder<'_>, shape: &BertShape) -> candle_core::Result<Self> {
        let (hidden, eps, written) = (shape.hidden(), shape.written.layer_norm_eps, &shape.written);
        let embeddings = tensors.pp("embeddings");
        let table = |rows: u32, name: &str| embeddings.get((rows as usize, hidden), name);
        let layer = |number| Layer::load(&tensors.pp("encoder.layer").pp(number), shape);
        Ok(Self {
            words: table(written.vocab_size, "word_embeddings.weight")?,
            places: table(written.max_position_embeddings, "position_embeddings.weight")?,
            types: table(written.type_vocab_size, "token_type_embeddings.weight")?,
            norm: norm(hidden, eps, true, &embeddings.pp("LayerNorm"))?,
            layers: (0..written.num_hidden_layers).map(layer).collect::<candle_core::Result<_>>()?,
            heads: written.num_attention_heads as usize,
            shape: shape.clone(),
        })
    }

    /// Returns the states of all tokens. Rows may differ in length; equal ones are fastest side by side.
    ///
    /// # Errors
    /// Candle's, when a row is longer than [`BertShape::positions`], a token or type is unknown, or the device fails.
    pub fn forward(&self, rows: &[TypedRow<'_>]) -> candle_core::Result<Hidden> {
        let packed = Packed::new(rows);
        let words = chosen(&self.words, rows.iter().flat_map(|row| row.tokens.iter().copied()).collect())?;
        let types = chosen(&self.types, rows.iter().flat_map(TypedRow::all_types).collect())?;
        let places = chosen(&self.places, rows.iter().flat_map(|row| self.shape.places(row.tokens)).collect())?;
        let mut states = self.norm.forward(&((words + types)? + places)?)?;
        let attention = Attention { heads: self.heads, rotary: None, reach: None };
        for layer in &self.layers {
            states = layer.forward(&states, &packed, (&attention, self.shape.activation))?;
        }
        Ok(Hidden::new(states, packed))
    }
}

// === impl Layer ===

impl Layer {
    fn load(tensors: &VarBuilder<'_>, shape: &BertShape) -> candle_core::Result<Self> {
        let (hidden, inner, eps) = (shape.hidden(), shape.written.intermediate_size as usize, shape.written.layer_norm_eps);
        let own = tensors.pp("attention.self");
        let joined = |name: &str, read: &dyn Fn(&str) -> candle_core::Result<Tensor>| {
            let parts: candle_core::Result<Vec<Tensor>> =
                ["query", "key", "value"].map(|part| read(&format!("{part}.{name}"))).into_iter().collect();
            Tensor::cat(&parts?, 0)
        };
        let weights = joined("weight", &|name| own.get((hidden, hidden), name))?;
        let biases = joined("bias", &|name| own.get(hidden, name))?;
        let scale = (hidden as f64 / f64::from(shape.written.num_attention_heads)).powf(-0.5);
        Ok(Self { projection: Projection::new(weights, Some(biases), scale)?, rest: AfterAttention::load(tensors, (hidden, inner), eps)? })
    }

    fn forward(&self, states: &Tensor, packed: &Packed, how: (&Attention<'_>, Activation)) -> candle_core::Result<Tensor> {
        let (attention, activation) = how;
        let attended = packed.attend(&self.projection.forward(states)?, self.projection.bias.as_ref(), attention)?;
        self.rest.forward(&attended, states, activation)
    }
}
