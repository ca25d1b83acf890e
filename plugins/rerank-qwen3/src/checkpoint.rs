//! Finds out from a checkpoint's JSON files whether it is a Qwen3 reranker, and whether it is one that runs right here.

use std::{collections::BTreeMap, fs, path::PathBuf};

use rerank_candle::{DecoderShape, Gguf, Tokens};
use rerank_plugin::{ControlTokens, Folder, LoadError};
use serde::{Deserialize, de::IgnoredAny};

use crate::gguf;

const CONFIG: &str = "config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const MODULES: &str = "modules.json";
/// Where the published models tell their two answers, when no `modules.json` says otherwise.
const LOGIT_SCORE: &str = "1_LogitScore";
/// Where embedding models tell how they pool.
const POOLING: &str = "1_Pooling";
const REMEDY: &str = "this version runs Qwen/Qwen3-Reranker-0.6B, -4B, -8B and their single-logit conversions, as safetensors in f32, f16 or bf16, or as GGUF";
/// Qwen3's language models have this many tokens with padding; its rerankers have no padding.
const CHAT_VOCABULARY: usize = 151_936;

/// A reranker that runs right here.
pub(crate) struct Checkpoint {
    pub(crate) shape: DecoderShape,
    pub(crate) answers: Answers,
    /// `config.json`, and the file that tells the answers if there is one, as they are in the folder.
    pub(crate) config: Vec<u8>,
    pub(crate) logit_score: Vec<u8>,
    /// The file that holds all of it, where it is no safetensors.
    pub(crate) gguf: Option<Gguf>,
}

/// How the head answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// By the logits of two words of the vocabulary, those of the tokenizer unless the checkpoint names them.
    Words(Option<Words>),
    /// By one logit of its own.
    Logit,
    /// By two rows of its own.
    Rows { yes: usize, no: usize },
}

/// The two answers as tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Words {
    #[serde(rename = "true_token_id")]
    pub(crate) yes: u32,
    #[serde(rename = "false_token_id")]
    pub(crate) no: u32,
}

/// Why a checkpoint is not a [`Checkpoint`].
pub(crate) enum Mismatch {
    /// It is no Qwen3.
    Other(LoadError),
    /// It is one that would run wrong.
    Refused(LoadError),
}

#[derive(Deserialize)]
struct Architecture {
    model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    num_labels: Option<usize>,
    /// Where newer files tell how many there are.
    id2label: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

/// Returns what the folder holds.
pub(crate) fn inspect(folder: &Folder) -> Result<Checkpoint, Mismatch> {
    if let Some(path) = folder.gguf().map_err(Mismatch::Refused)? {
        return gguf::inspect(&path);
    }
    let architecture: Architecture = folder.json(CONFIG).map_err(Mismatch::Other)?;
    let kind = architecture.model_type.as_str();
    if !kind.starts_with("qwen3") {
        return Err(Mismatch::Other(unsupported(format!("a {kind} is no Qwen3"))));
    }
    if kind != "qwen3" {
        return Err(refused(format!("the model is a {kind}")));
    }
    let logit_score = logit_score(folder)?;
    let answers = answers(folder, &architecture, logit_score.as_deref())?;
    let shape = DecoderShape::read(folder).map_err(Mismatch::Refused)?;
    let has_safetensors = folder.has("model.safetensors") || folder.has("model.safetensors.index.json");
    if !has_safetensors && (holds(folder, "bin") || holds(folder, "pt") || holds(folder, "pth")) {
        return Err(refused("the weights are pickled, and reading them would run their code".into()));
    }
    let read = |name: &str| folder.read(name).map_err(Mismatch::Refused);
    let logit_score = logit_score.map_or(Ok(Vec::new()), |name| read(&name))?;
    Ok(Checkpoint { shape, answers, config: read(CONFIG)?, logit_score, gguf: None })
}

/// Returns the file that tells the two answers, after making sure that no module would change the score.
fn logit_score(folder: &Folder) -> Result<Option<String>, Mismatch> {
    let file = |path: &str| format!("{path}/{CONFIG}");
    if !folder.has(MODULES) {
        if folder.has(&file(POOLING)) {
            return Err(Mismatch::Other(unsupported(format!("{POOLING} says that it is an embedding model"))));
        }
        return Ok(Some(file(LOGIT_SCORE)).filter(|name| folder.has(name)));
    }
    let modules: Vec<Module> = folder.json(MODULES).map_err(Mismatch::Refused)?;
    let mut found = None;
    for module in &modules {
        match module.r#type.rsplit('.').next() {
            Some("Transformer") => {}
            Some("LogitScore") => found = Some(file(&module.path)),
            Some("Pooling") => return Err(Mismatch::Other(unsupported(format!("{MODULES} has a Pooling: it is an embedding model")))),
            _ => return Err(refused(format!("{MODULES} has a {} in {:?}", module.r#type, module.path))),
        }
    }
    Ok(found)
}

fn answers(folder: &Folder, architecture: &Architecture, logit_score: Option<&str>) -> Result<Answers, Mismatch> {
    match architecture.architectures.as_slice() {
        [name] if name == "Qwen3ForCausalLM" => {
            let words = logit_score.map(|file| folder.json(file)).transpose().map_err(Mismatch::Refused)?;
            Ok(Answers::Words(words))
        }
        [name] if name == "Qwen3ForSequenceClassification" => match architecture.labels() {
            // Where neither is said, the shape of the head tells.
            None | Some(1) => Ok(Answers::Logit),
            Some(labels) => Err(refused(format!("the model tells {labels} classes apart"))),
        },
        names => Err(refused(format!("{CONFIG} names the architectures {names:?}"))),
    }
}

/// Returns whether the folder holds a file that ends so.
fn holds(folder: &Folder, extension: &str) -> bool {
    let entries = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|own| own == extension))
}

// === impl Architecture ===

impl Architecture {
    fn labels(&self) -> Option<usize> {
        self.num_labels.or(self.id2label.as_ref().map(BTreeMap::len))
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Reads the tokenizer.
    pub(crate) fn tokens(&self, folder: &Folder, control: ControlTokens) -> Result<Tokens, LoadError> {
        self.gguf.as_ref().map_or_else(|| Tokens::read(folder, control), |gguf| Tokens::of_gguf(gguf, control))
    }

    /// Where the tokenizer stands.
    pub(crate) fn tokenizer(&self, folder: &Folder) -> PathBuf {
        self.gguf.as_ref().map_or_else(|| folder.path().join(TOKENIZER), |gguf| gguf.path().to_owned())
    }

    /// Returns why the checkpoint, which could be run, is taken for something else than a reranker.
    pub(crate) fn doubt(&self) -> Option<String> {
        let chats = self.answers == Answers::Words(None) && self.shape.vocabulary() == CHAT_VOCABULARY;
        chats.then(|| {
            let described = self.gguf.as_ref().map_or_else(|| CONFIG.to_owned(), |gguf| gguf.path().display().to_string());
            format!("{described} describes a Qwen3 language model that was not trained to rank; {REMEDY}; if it was, set kind = \"qwen3\"")
        })
    }
}

fn refused(reason: String) -> Mismatch {
    Mismatch::Refused(unsupported(reason))
}

fn unsupported(reason: String) -> LoadError {
    LoadError::Unsupported { reason, remedy: REMEDY.into() }
}
