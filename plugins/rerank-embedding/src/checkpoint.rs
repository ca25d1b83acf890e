//! Finds out from a checkpoint's JSON files whether it is an embedding model, and whether it is one that runs right here.

use rerank_candle::BertShape;
use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const REMEDY: &str = "this version runs BERT with mean pooling, such as sentence-transformers/all-MiniLM-L6-v2";

/// An embedding model that runs right here.
pub(crate) struct Checkpoint {
    pub(crate) shape: BertShape,
    /// `config.json` and the pooling's, as they are in the folder.
    pub(crate) config: Vec<u8>,
    pub(crate) pooling: Vec<u8>,
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
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

/// Older files have a switch for each way, newer ones name it.
#[derive(Deserialize)]
struct Pooling {
    pooling_mode: Option<String>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize)]
struct Prompts {
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
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
    if !folder.has(MODULES) && kind != "bert" {
        return Err(Mismatch::Other(unsupported(format!("a {kind} without {MODULES} is not an embedding model"))));
    }
    if kind != "bert" {
        return Err(refused(format!("the model is a {kind}")));
    }
    let pooling = pooling(folder)?;
    if has_prompts(folder)? {
        return Err(refused(format!("{PROMPTS} asks for prompts before texts")));
    }
    let shape = BertShape::read(folder).map_err(Mismatch::Refused)?;
    Ok(Checkpoint { shape, config: folder.read(CONFIG).map_err(Mismatch::Refused)?, pooling })
}

/// Returns the pooling's file, after making sure that it says mean and that nothing but a normalisation follows.
fn pooling(folder: &Folder) -> Result<Vec<u8>, Mismatch> {
    if !folder.has(MODULES) {
        return Err(refused(format!("{MODULES} and 1_Pooling/config.json are missing, which say how the vectors are pooled")));
    }
    let modules: Vec<Module> = folder.json(MODULES).map_err(Mismatch::Refused)?;
    let mut path = None;
    for module in &modules {
        match module.r#type.rsplit('.').next() {
            Some("Transformer") if module.path.is_empty() => {}
            Some("Normalize") => {}
            Some("Pooling") => path = Some(format!("{}/{CONFIG}", module.path)),
            _ => return Err(refused(format!("{MODULES} has a {} in {:?}", module.r#type, module.path))),
        }
    }
    let path = path.ok_or_else(|| refused(format!("{MODULES} has no Pooling")))?;
    let pooling: Pooling = folder.json(&path).map_err(Mismatch::Refused)?;
    if !pooling.is_mean() {
        return Err(refused(format!("{path} pools otherwise than by the mean of all tokens")));
    }
    folder.read(&path).map_err(Mismatch::Refused)
}

fn has_prompts(folder: &Folder) -> Result<bool, Mismatch> {
    if !folder.has(PROMPTS) {
        return Ok(false);
    }
    let Prompts { prompts } = folder.json(PROMPTS).map_err(Mismatch::Refused)?;
    Ok(prompts.values().any(|prompt| !prompt.is_empty()))
}

// === impl Pooling ===

impl Pooling {
    fn is_mean(&self) -> bool {
        let others = self.pooling_mode_cls_token
            || self.pooling_mode_max_tokens
            || self.pooling_mode_mean_sqrt_len_tokens
            || self.pooling_mode_weightedmean_tokens
            || self.pooling_mode_lasttoken;
        match &self.pooling_mode {
            Some(mode) => mode == "mean",
            None => self.pooling_mode_mean_tokens && !others,
        }
    }
}

fn refused(reason: String) -> Mismatch {
    Mismatch::Refused(unsupported(reason))
}

fn unsupported(reason: String) -> LoadError {
    LoadError::Unsupported { reason, remedy: REMEDY.into() }
}
