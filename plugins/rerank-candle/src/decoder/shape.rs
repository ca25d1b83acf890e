//! What `config.json` says of a Qwen3 decoder, and what of it cannot be run right here.

use rerank_plugin::{Folder, LoadError};
use serde::{Deserialize, de::IgnoredAny};

const FILE: &str = "config.json";
/// The values of Qwen3's own configuration class where the file is silent.
const HEAD: usize = 128;
const EPSILON: f32 = 1e-6;

/// A Qwen3 decoder's sizes.
#[derive(Clone, Debug)]
pub struct DecoderShape {
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) head: usize,
    pub(super) epsilon: f32,
    pub(super) theta: f32,
    pub(super) positions: usize,
    pub(super) tied: bool,
}

#[derive(Deserialize)]
struct Written {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f32>,
    hidden_act: Option<String>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default)]
    layer_types: Vec<String>,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rope>,
    /// The newer place of both.
    rope_parameters: Option<Rope>,
    quantization_config: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
}

// === impl DecoderShape ===

impl DecoderShape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing, contradicts itself, or asks for what is not done here.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let written: Written = folder.json(FILE)?;
        if let Some(reason) = written.not_done() {
            return Err(LoadError::Unsupported {
                reason: format!("{FILE} {reason}"),
                remedy: "take a checkpoint as Qwen published it: full attention, plain positions, f32, f16 or bf16".into(),
            });
        }
        written.shape().map_err(|reason| LoadError::Malformed { path: folder.path().join(FILE), reason })
    }

    /// Returns the sizes, unless they cannot be.
    pub(super) fn checked(self) -> Result<Self, String> {
        let Self { heads, key_heads, head, theta, .. } = self;
        if [self.vocabulary, self.hidden, self.inner, self.layers, self.positions].contains(&0) {
            return Err("a size is 0".into());
        }
        if key_heads == 0 || heads == 0 || !heads.is_multiple_of(key_heads) {
            return Err(format!("{heads} heads cannot share {key_heads} for keys and values"));
        }
        if head == 0 || !head.is_multiple_of(2) || heads.checked_mul(head).is_none() {
            return Err(format!("heads of {head} numbers cannot be"));
        }
        if !self.epsilon.is_finite() || self.epsilon < 0.0 {
            return Err(format!("the norms add {}, and that must be 0 or a little more", self.epsilon));
        }
        if !theta.is_finite() || theta <= 1.0 {
            return Err(format!("the base of the positions' angles is {theta}, and must be above 1"));
        }
        Ok(self)
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The length of a hidden state.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The longest row that the model was made for.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Whether the head is the embeddings.
    pub fn tied(&self) -> bool {
        self.tied
    }
}

// === impl Written ===

impl Written {
    /// Returns what would be computed wrong here.
    fn not_done(&self) -> Option<String> {
        let scaled = [&self.rope_scaling, &self.rope_parameters].into_iter().flatten();
        if self.quantization_config.is_some() {
            return Some("has a quantization_config: quantised weights are not read".into());
        }
        if self.use_sliding_window || self.layer_types.iter().any(|kind| kind != "full_attention") {
            return Some("asks for a sliding window".into());
        }
        if let Some(kind) = scaled.filter_map(|rope| rope.rope_type.as_deref()).find(|kind| *kind != "default") {
            return Some(format!("scales positions by {kind:?}"));
        }
        if self.attention_bias {
            return Some("asks for attention_bias".into());
        }
        self.hidden_act.as_deref().filter(|name| *name != "silu").map(|name| format!("asks for the activation {name:?}"))
    }

    fn shape(self) -> Result<DecoderShape, String> {
        let theta = self.rope_theta.or(self.rope_parameters.and_then(|rope| rope.rope_theta)).ok_or("rope_theta is missing")?;
        let shape = DecoderShape {
            vocabulary: self.vocab_size,
            hidden: self.hidden_size,
            inner: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_key_value_heads,
            head: self.head_dim.unwrap_or(HEAD),
            epsilon: self.rms_norm_eps.unwrap_or(EPSILON),
            theta,
            positions: self.max_position_embeddings,
            tied: self.tie_word_embeddings,
        };
        shape.checked()
    }
}
