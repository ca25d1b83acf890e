//! What the metadata of a GGUF file says of a Qwen3 decoder, and what of it cannot be run right here.

use rerank_plugin::LoadError;

use super::DecoderShape;
use crate::Gguf;

/// The architecture, and what the names of its values begin with.
const ARCHITECTURE: &str = "qwen3";
const PREFIX: &str = "qwen3.";
const REMEDY: &str = "take a conversion of a checkpoint as Qwen published it: full attention, plain positions";

/// All that may be said of a model that runs here; what is not known could make it another one.
const KNOWN: [&str; 20] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.causal",
    "attention.sliding_window",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "expert_count",
    "expert_used_count",
    "pooling_type",
    "classifier.output_labels",
];

/// Reads one decoder's metadata.
struct Reader<'a>(&'a Gguf);

// === impl DecoderShape ===

impl DecoderShape {
    /// Reads the metadata of a file whose `general.architecture` is `qwen3`.
    ///
    /// # Errors
    /// [`LoadError`] when it contradicts itself, or asks for what is not done here.
    pub fn of_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let reader = Reader(gguf);
        if let Some(reason) = reader.not_done()? {
            return Err(LoadError::Unsupported { reason: format!("{} {reason}", gguf.path().display()), remedy: REMEDY.into() });
        }
        let shape = reader.shape()?;
        shape.checked().map_err(|reason| gguf.malformed(reason))
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn whole(&self, name: &str) -> Result<Option<usize>, LoadError> {
        self.0.metadata().whole(&format!("{PREFIX}{name}"))
    }

    fn needed(&self, name: &str) -> Result<usize, LoadError> {
        self.whole(name)?.ok_or_else(|| self.0.malformed(format!("its metadata has no {PREFIX}{name}")))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, LoadError> {
        self.0.metadata().number(&format!("{PREFIX}{name}"))
    }

    /// Returns what would be computed wrong here.
    fn not_done(&self) -> Result<Option<String>, LoadError> {
        let metadata = self.0.metadata();
        let architecture = metadata.text("general.architecture")?.unwrap_or_default();
        if architecture != ARCHITECTURE {
            return Ok(Some(format!("is of the architecture {architecture:?}")));
        }
        if let Some(kind) = metadata.text("general.type")?.filter(|kind| *kind != "model") {
            return Ok(Some(format!("is no model ({kind:?})")));
        }
        if self.0.metadata().whole("split.count")?.is_some_and(|count| count > 1) {
            return Ok(Some("is one part of a split file".into()));
        }
        if let Some(kind) = metadata.text(&format!("{PREFIX}rope.scaling.type"))?.filter(|kind| *kind != "none") {
            return Ok(Some(format!("scales positions by {kind:?}")));
        }
        if let Some(factor) = self.number("rope.scaling.factor")?.filter(|factor| ![0.0, 1.0].contains(factor)) {
            return Ok(Some(format!("scales positions by {factor}")));
        }
        if self.whole("attention.sliding_window")?.is_some_and(|window| window > 0) {
            return Ok(Some("asks for a sliding window".into()));
        }
        if self.whole("expert_count")?.is_some_and(|experts| experts > 0) {
            return Ok(Some("is a mixture of experts".into()));
        }
        if metadata.flag(&format!("{PREFIX}attention.causal"))? == Some(false) {
            return Ok(Some("looks at later tokens too (attention.causal is false)".into()));
        }
        let unknown = metadata.names(PREFIX).find(|name| !KNOWN.contains(&&name[PREFIX.len()..]));
        Ok(unknown.map(|name| format!("says {name}, which is not known here")))
    }

    fn shape(&self) -> Result<DecoderShape, LoadError> {
        let (hidden, heads) = (self.needed("embedding_length")?, self.needed("attention.head_count")?);
        let head = match self.whole("attention.key_length")? {
            Some(head) => head,
            None => hidden.checked_div(heads).unwrap_or_default(),
        };
        for other in ["attention.value_length", "rope.dimension_count"] {
            if let Some(size) = self.whole(other)?.filter(|size| *size != head) {
                return Err(self.0.malformed(format!("{PREFIX}{other} is {size}, and the heads have {head} numbers")));
            }
        }
        let embeddings = self.0.dimensions("token_embd.weight").and_then(|dimensions| dimensions.first().copied());
        let vocabulary = embeddings.ok_or_else(|| self.0.malformed("the tensor token_embd.weight is missing"))?;
        if let Some(said) = self.whole("vocab_size")?.filter(|said| *said != vocabulary) {
            return Err(self.0.malformed(format!("{PREFIX}vocab_size is {said}, and token_embd.weight has {vocabulary} rows")));
        }
        let number = |name: &str| {
            let found = self.number(name)?.map(|number| number as f32);
            found.ok_or_else(|| self.0.malformed(format!("its metadata has no {PREFIX}{name}")))
        };
        Ok(DecoderShape {
            vocabulary,
            hidden,
            inner: self.needed("feed_forward_length")?,
            layers: self.needed("block_count")?,
            heads,
            key_heads: self.needed("attention.head_count_kv")?,
            head,
            epsilon: number("attention.layer_norm_rms_epsilon")?,
            theta: number("rope.freq_base")?,
            positions: self.needed("context_length")?,
            tied: self.0.dimensions("output.weight").is_none(),
        })
    }
}
