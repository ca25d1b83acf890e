//! Runs the body of a BERT: rows of tokens in, one mean-pooled row of numbers out for each.

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::bert::{BertModel, Config};
use rerank_plugin::{Folder, LoadError};

use crate::Weights;

const FILE: &str = "config.json";

/// What `config.json` says of a BERT.
#[derive(Clone, Debug)]
pub struct Shape(Config);

/// A BERT body in f32.
pub struct Encoder {
    body: BertModel,
    pad: u32,
}

// === impl Shape ===

impl Shape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or says what this body cannot do.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let mut config: Config = folder.json(FILE)?;
        config.model_type = Some("bert".into());
        let heads = config.num_attention_heads;
        if heads == 0 || !config.hidden_size.is_multiple_of(heads) {
            let reason = format!("hidden_size {} cannot be split over {heads} heads", config.hidden_size);
            return Err(LoadError::Malformed { path: folder.path().join(FILE), reason });
        }
        Ok(Self(config))
    }

    /// The longest row of tokens.
    pub fn positions(&self) -> usize {
        self.0.max_position_embeddings
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.0.vocab_size
    }
}

// === impl Encoder ===

impl Encoder {
    /// Builds the body.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when a tensor is missing or has another shape than `shape` wants.
    pub fn build(weights: &Weights, shape: &Shape) -> Result<Self, LoadError> {
        let body = weights.build(DType::F32, |tensors| BertModel::load(tensors, &shape.0))?;
        Ok(Self { body, pad: u32::try_from(shape.0.pad_token_id).unwrap_or_default() })
    }

    /// Returns the mean of each row's hidden states. Rows may differ in length; none is empty.
    ///
    /// # Errors
    /// Candle's, when a row is too long or the device fails.
    pub fn means(&self, rows: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or_default();
        let (shape, device): (_, &Device) = ((rows.len(), longest), &self.body.device);
        let padded = |row: &&[u32]| row.iter().copied().chain(std::iter::repeat(self.pad)).take(longest).collect::<Vec<u32>>();
        let tokens = Tensor::from_vec(rows.iter().flat_map(padded).collect(), shape, device)?;
        let types = tokens.zeros_like()?;
        let mask = per_token(rows, longest, |_| 1.0);
        let shares = per_token(rows, longest, |length| 1.0 / length as f32);
        let hidden = self.body.forward(&tokens, &types, Some(&Tensor::from_vec(mask, shape, device)?))?;
        let shares = Tensor::from_vec(shares, (rows.len(), 1, longest), device)?;
        shares.matmul(&hidden)?.squeeze(1)?.to_vec2()
    }
}

/// Returns a number for each place of the padded rows: `value` of the row's length for a token, 0 for padding.
fn per_token(rows: &[&[u32]], longest: usize, value: impl Fn(usize) -> f32) -> Vec<f32> {
    let places = |row: &&[u32]| {
        let length = row.len();
        let own = value(length);
        (0..longest).map(move |place| if place < length { own } else { 0.0 })
    };
    rows.iter().flat_map(places).collect()
}
