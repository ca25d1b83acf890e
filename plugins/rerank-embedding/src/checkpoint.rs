//! Finds out from a checkpoint's JSON files whether it is an embedding model, and whether it is one that runs right here.

use rerank_candle::{BertShape, DecoderShape, ModernBertShape};
use rerank_plugin::{Folder, LoadError};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    modules::{self, MODULES, Modules, Pooling},
    prompts::{self, Prompts},
};

pub(crate) const CONFIG: &str = "config.json";
const REMEDY: &str = "this version runs BERT, XLM-RoBERTa and ModernBERT with mean, CLS or last-token pooling, such as \
                      sentence-transformers/all-MiniLM-L6-v2, and Qwen3 with last-token pooling, such as Qwen/Qwen3-Embedding-0.6B";

/// An embedding model that runs right here.
pub(crate) struct Checkpoint {
    pub(crate) body: Body,
    pub(crate) modules: Modules,
    pub(crate) prompts: Prompts,
    /// `config.json` as it is in the folder.
    pub(crate) config: Vec<u8>,
}

/// What turns tokens into states.
pub(crate) enum Body {
    Bert(BertShape),
    XlmRoberta(BertShape),
    ModernBert(ModernBertShape),
    Qwen3(DecoderShape),
}

/// Why a checkpoint is not a [`Checkpoint`].
pub(crate) enum Mismatch {
    /// It is no embedding model.
    Other(LoadError),
    /// It is one that would run wrong.
    Refused(LoadError),
}

#[derive(Deserialize)]
struct Architecture {
    model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    auto_map: Option<IgnoredAny>,
}

/// Returns what the folder holds.
///
/// A checkpoint that does not say how it pools is refused: the same weights pooled another way give other vectors, and
/// nothing would tell.
pub(crate) fn inspect(folder: &Folder) -> Result<Checkpoint, Mismatch> {
    let architecture: Architecture = folder.json(CONFIG).map_err(Mismatch::Other)?;
    let kind = architecture.model_type.as_str();
    if let Some(name) = architecture.architectures.iter().find(|name| name.ends_with("ForSequenceClassification")) {
        return Err(Mismatch::Other(unsupported(format!("{name} is a classifier, not an embedding model"))));
    }
    let encoder = ["bert", "xlm-roberta", "modernbert"].contains(&kind);
    let pools = folder.has(MODULES) && modules::pools(folder).map_err(Mismatch::Refused)?;
    if !encoder && !folder.has(MODULES) {
        return Err(Mismatch::Other(unsupported(format!("a {kind} without {MODULES} is not an embedding model"))));
    }
    if kind == "qwen3" && !pools {
        return Err(Mismatch::Other(unsupported(format!("a {kind} without a Pooling in {MODULES} is not an embedding model"))));
    }
    checked(folder, &architecture).map_err(Mismatch::Refused)
}

fn checked(folder: &Folder, architecture: &Architecture) -> Result<Checkpoint, LoadError> {
    if architecture.auto_map.is_some() {
        return Err(unsupported(format!("{CONFIG} asks for code of its own (auto_map)")));
    }
    let known = match architecture.model_type.as_str() {
        "bert" | "xlm-roberta" | "modernbert" | "qwen3" => architecture.model_type.as_str(),
        other => return Err(unsupported(format!("the model is a {other}"))),
    };
    let modules = modules::read(folder)?;
    let body = match known {
        "bert" => Body::Bert(BertShape::read(folder)?),
        "xlm-roberta" => Body::XlmRoberta(BertShape::read(folder)?),
        "modernbert" => Body::ModernBert(ModernBertShape::read(folder)?),
        _ => Body::Qwen3(qwen3(folder, architecture, &modules)?),
    };
    let prompts = prompts::read(folder, &modules)?;
    Ok(Checkpoint { body, modules, prompts, config: folder.read(CONFIG)? })
}

/// A decoder's first tokens know nothing of the text, so that only the last one's state stands for it.
fn qwen3(folder: &Folder, architecture: &Architecture, modules: &Modules) -> Result<DecoderShape, LoadError> {
    let names = &architecture.architectures;
    if !matches!(names.as_slice(), [name] if name == "Qwen3ForCausalLM" || name == "Qwen3Model") {
        return Err(unsupported(format!("{CONFIG} names the architectures {names:?}")));
    }
    if modules.pooling != Pooling::Last {
        return Err(unsupported(format!("the model is a qwen3 that pools by {}", modules.pooling.name())));
    }
    DecoderShape::read(folder)
}

/// Returns the error that the model is fine, but cannot be run right here.
pub(crate) fn unsupported(reason: String) -> LoadError {
    LoadError::Unsupported { reason, remedy: REMEDY.into() }
}

// === impl Body ===

impl Body {
    /// The longest row of tokens.
    pub(crate) fn positions(&self) -> usize {
        match self {
            Self::Bert(shape) | Self::XlmRoberta(shape) => shape.positions(),
            Self::ModernBert(shape) => shape.positions(),
            Self::Qwen3(shape) => shape.positions(),
        }
    }

    /// How many tokens there are.
    pub(crate) fn vocabulary(&self) -> usize {
        match self {
            Self::Bert(shape) | Self::XlmRoberta(shape) => shape.vocabulary(),
            Self::ModernBert(shape) => shape.vocabulary(),
            Self::Qwen3(shape) => shape.vocabulary(),
        }
    }

    /// How many numbers a vector has.
    pub(crate) fn hidden(&self) -> usize {
        match self {
            Self::Bert(shape) | Self::XlmRoberta(shape) => shape.hidden(),
            Self::ModernBert(shape) => shape.hidden(),
            Self::Qwen3(shape) => shape.hidden(),
        }
    }
}
