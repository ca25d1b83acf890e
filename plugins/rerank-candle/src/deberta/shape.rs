//! What `config.json` says of a DeBERTa-v2, and what of that is not done here.

use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

use super::distance::Distances;
use crate::{
    layers::Activation,
    shape::{CONFIG, head_size, positive},
};

const REMEDY: &str = "take a checkpoint made like microsoft/deberta-v3-base, such as mixedbread-ai/mxbai-rerank-base-v1";

/// What `config.json` says of a DeBERTa-v2 or v3, checked as far as that goes without tensors.
#[derive(Clone, Debug)]
pub struct DebertaShape {
    pub(super) written: Written,
    pub(super) activation: Activation,
    pub(super) distances: Distances,
    pub(super) parts: PositionParts,
    /// Whether positions are normed before they are used.
    pub(super) normed_positions: bool,
    pub(super) neighbours: Option<Neighbours>,
}

/// What is added to the scores of contents.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PositionParts {
    /// What a query says of the distance of a key: `c2p`.
    pub(super) keys: bool,
    /// What a key says of the distance of a query: `p2c`.
    pub(super) queries: bool,
}

/// A convolution behind the first layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbours {
    /// How many tokens it sees, the one in the middle among them; odd.
    pub(super) width: usize,
    pub(super) activation: Activation,
}

/// Numbers are no wider than 32 bits, so that products of two or three of them fit. What may be absent means what it does to
/// the reference.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Written {
    pub(super) vocab_size: u32,
    pub(super) hidden_size: u32,
    pub(super) num_hidden_layers: u32,
    pub(super) num_attention_heads: u32,
    pub(super) intermediate_size: u32,
    hidden_act: String,
    pub(super) max_position_embeddings: u32,
    pub(super) layer_norm_eps: f64,
    #[serde(default)]
    pub(super) type_vocab_size: u32,
    #[serde(default)]
    relative_attention: bool,
    max_relative_positions: Option<i32>,
    position_buckets: Option<i32>,
    pos_att_type: Option<Kinds>,
    #[serde(default)]
    pub(super) share_att_key: bool,
    norm_rel_ebd: Option<String>,
    #[serde(default = "always")]
    pub(super) position_biased_input: bool,
    attention_head_size: Option<u32>,
    embedding_size: Option<u32>,
    pooler_hidden_size: Option<u32>,
    conv_kernel_size: Option<u32>,
    conv_groups: Option<u32>,
    conv_act: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

/// Names, as a list or with bars between them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Kinds {
    List(Vec<String>),
    Bars(String),
}

fn always() -> bool {
    true
}

// === impl DebertaShape ===

impl DebertaShape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or malformed, or says what this body does not do.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let written: Written = folder.json(CONFIG)?;
        written.check_sizes().map_err(|reason| LoadError::Malformed { path: folder.path().join(CONFIG), reason })?;
        let unsupported = |reason: String| LoadError::Unsupported { reason: format!("{CONFIG} says that {reason}"), remedy: REMEDY.into() };
        Self::supported(written).map_err(unsupported)
    }

    fn supported(written: Written) -> Result<Self, String> {
        if !written.relative_attention {
            return Err("relative_attention is false, which is no DeBERTa".into());
        }
        if written.is_decoder || written.add_cross_attention {
            return Err("is_decoder or add_cross_attention is true, which is no plain encoder".into());
        }
        written.check_widths()?;
        let activation = Activation::named(&written.hidden_act).ok_or_else(|| format!("hidden_act is {:?}", written.hidden_act))?;
        Ok(Self {
            activation,
            distances: written.distances()?,
            parts: written.position_parts()?,
            normed_positions: written.normed_positions()?,
            neighbours: written.neighbours()?,
            written,
        })
    }

    /// The longest row of tokens.
    pub fn positions(&self) -> usize {
        self.written.max_position_embeddings as usize
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.written.vocab_size as usize
    }

    /// How many kinds of texts a row may hold; 0 when the model does not tell them apart.
    pub fn types(&self) -> usize {
        self.written.type_vocab_size as usize
    }

    /// How many numbers the state of a token has.
    pub fn hidden(&self) -> usize {
        self.written.hidden_size as usize
    }

    /// How many numbers a token has before the first layer.
    pub(super) fn narrow(&self) -> usize {
        self.written.embedding_size.unwrap_or(self.written.hidden_size) as usize
    }

    /// What scores are multiplied with: they are sums of two or three products instead of one.
    pub(super) fn scale(&self) -> f64 {
        let size = f64::from(self.written.hidden_size) / f64::from(self.written.num_attention_heads);
        (size * f64::from(1 + u8::from(self.parts.keys) + u8::from(self.parts.queries))).powf(-0.5)
    }
}

// === impl Written ===

impl Written {
    fn check_sizes(&self) -> Result<(), String> {
        positive(&[
            ("hidden_size", self.hidden_size),
            ("vocab_size", self.vocab_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        head_size(self.hidden_size, self.num_attention_heads).map(drop)
    }

    /// Makes sure that nothing is wider or narrower than the reference could run it.
    fn check_widths(&self) -> Result<(), String> {
        let head = self.hidden_size / self.num_attention_heads;
        let widths =
            [("attention_head_size", self.attention_head_size, head), ("pooler_hidden_size", self.pooler_hidden_size, self.hidden_size)];
        match widths.into_iter().find(|(_, said, own)| said.is_some_and(|said| said != *own)) {
            Some((name, Some(said), own)) => Err(format!("{name} is {said}, where hidden_size makes it {own}")),
            _ => Ok(()),
        }
    }

    fn distances(&self) -> Result<Distances, String> {
        let given = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        let most = given(self.max_relative_positions).unwrap_or(self.max_position_embeddings);
        match given(self.position_buckets) {
            None => Ok(Distances::plain(most)),
            Some(buckets) => Distances::in_buckets(buckets, most)
                .ok_or_else(|| format!("position_buckets is {buckets}, which does not fit distances of up to {most}")),
        }
    }

    fn position_parts(&self) -> Result<PositionParts, String> {
        let names: Vec<String> = match &self.pos_att_type {
            None => Vec::new(),
            Some(Kinds::List(names)) => names.clone(),
            Some(Kinds::Bars(names)) => names.to_lowercase().split('|').map(|name| name.trim().to_owned()).collect(),
        };
        let mut parts = PositionParts::default();
        for name in &names {
            match name.as_str() {
                "c2p" => parts.keys = true,
                "p2c" => parts.queries = true,
                other => return Err(format!("pos_att_type names {other:?}, and only c2p and p2c are known")),
            }
        }
        if parts.keys || parts.queries { Ok(parts) } else { Err("pos_att_type names neither c2p nor p2c".into()) }
    }

    fn normed_positions(&self) -> Result<bool, String> {
        match self.norm_rel_ebd.as_deref().unwrap_or("none") {
            "layer_norm" => Ok(true),
            "none" => Ok(false),
            other => Err(format!("norm_rel_ebd is {other:?}, and only layer_norm and none are known")),
        }
    }

    fn neighbours(&self) -> Result<Option<Neighbours>, String> {
        let width = match self.conv_kernel_size {
            None | Some(0) => return Ok(None),
            Some(width) if width.is_multiple_of(2) => return Err(format!("conv_kernel_size is {width}, which has no middle")),
            Some(width) => width as usize,
        };
        if let Some(groups) = self.conv_groups.filter(|groups| *groups != 1) {
            return Err(format!("conv_groups is {groups}"));
        }
        let name = self.conv_act.as_deref().unwrap_or("tanh");
        let activation = Activation::named(name).ok_or_else(|| format!("conv_act is {name:?}"))?;
        Ok(Some(Neighbours { width, activation }))
    }
}
