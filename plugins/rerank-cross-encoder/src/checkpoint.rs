//! Finds out from a checkpoint's JSON files whether it is a cross-encoder, and whether it is one that runs right here.

use std::collections::BTreeMap;

use rerank_candle::{Activation, BertShape, DebertaShape, ModernBertShape};
use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;
use serde::de::IgnoredAny;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const MODULES: &str = "modules.json";
const SENTENCE_TRANSFORMERS: &str = "config_sentence_transformers.json";
const CLASSIFIER: &str = "ForSequenceClassification";
const REMEDY: &str = "this version runs BERT, XLM-RoBERTa, ModernBERT and DeBERTa-v2 with a sequence classification head of one or two \
                      labels, such as cross-encoder/ms-marco-MiniLM-L6-v2 or BAAI/bge-reranker-v2-m3";

/// What the second of two labels may be called, so that more of it means more relevant.
const RELEVANT: [&str; 6] = ["label_1", "relevant", "positive", "true", "yes", "1"];

/// A cross-encoder that runs right here.
pub(crate) struct Checkpoint {
    pub(crate) architecture: Architecture,
    pub(crate) labels: usize,
    /// Everything that was read to find this out.
    pub(crate) config: Vec<u8>,
}

/// The body, and what its head wants to know.
pub(crate) enum Architecture {
    /// Pooler and classifier.
    Bert(BertShape),
    /// A classifier of two layers.
    XlmRoberta(BertShape),
    /// A head with a norm.
    ModernBert(ModernBertShape, ModernHead),
    /// Pooler, with an activation of its own, and classifier.
    Deberta(DebertaShape, Activation),
}

/// How ModernBERT's head is made.
#[derive(Clone, Copy)]
pub(crate) struct ModernHead {
    pub(crate) means: bool,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
}

/// Why a checkpoint is not a [`Checkpoint`].
pub(crate) enum Mismatch {
    /// It is no cross-encoder.
    Other(LoadError),
    /// It is one that would run wrong.
    Refused(LoadError),
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    auto_map: Option<IgnoredAny>,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    /// Where libraries of 2025 and later say what follows the logits, and where earlier ones did.
    sentence_transformers: Option<After>,
    sbert_ce_default_activation_function: Option<String>,
}

#[derive(Default, Deserialize)]
struct After {
    activation_fn: Option<String>,
    #[serde(default)]
    prompts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

#[derive(Deserialize)]
struct ModernConfig {
    classifier_pooling: String,
    classifier_bias: bool,
    classifier_activation: String,
}

#[derive(Deserialize)]
struct DebertaConfig {
    pooler_hidden_act: Option<String>,
}

/// Returns what the folder holds.
pub(crate) fn inspect(folder: &Folder) -> Result<Checkpoint, Mismatch> {
    let config: Config = folder.json(CONFIG).map_err(Mismatch::Other)?;
    if !config.architectures.iter().any(|name| name.ends_with(CLASSIFIER)) {
        let reason = format!("{CONFIG} names {:?}, and a cross-encoder is a …{CLASSIFIER}", config.architectures);
        return Err(Mismatch::Other(unsupported(reason)));
    }
    checked(folder, &config).map_err(Mismatch::Refused)
}

fn checked(folder: &Folder, config: &Config) -> Result<Checkpoint, LoadError> {
    let expected = match config.model_type.as_str() {
        "bert" => "BertForSequenceClassification",
        "xlm-roberta" => "XLMRobertaForSequenceClassification",
        "modernbert" => "ModernBertForSequenceClassification",
        "deberta-v2" => "DebertaV2ForSequenceClassification",
        other => return Err(unsupported(format!("the model is a {other}"))),
    };
    if config.architectures != [expected] || config.auto_map.is_some() {
        return Err(unsupported(format!("{CONFIG} names {:?} or code of its own, and not {expected} alone", config.architectures)));
    }
    let labels = config.labels()?;
    check_modules(folder)?;
    let after: After = if folder.has(SENTENCE_TRANSFORMERS) { folder.json(SENTENCE_TRANSFORMERS)? } else { After::default() };
    config.check_after(&after, labels)?;
    let architecture = match expected {
        "BertForSequenceClassification" => Architecture::Bert(BertShape::read(folder)?),
        "XLMRobertaForSequenceClassification" => Architecture::XlmRoberta(BertShape::read(folder)?),
        "ModernBertForSequenceClassification" => Architecture::ModernBert(ModernBertShape::read(folder)?, modern_head(folder)?),
        _ => deberta(folder)?,
    };
    Ok(Checkpoint { architecture, labels, config: folder.read(CONFIG)? })
}

/// Makes sure that nothing follows the classifier.
fn check_modules(folder: &Folder) -> Result<(), LoadError> {
    if !folder.has(MODULES) {
        return Ok(());
    }
    let modules: Vec<Module> = folder.json(MODULES)?;
    match modules.iter().find(|module| !module.path.is_empty() || !module.r#type.ends_with(".Transformer")) {
        Some(module) => Err(unsupported(format!("{MODULES} has a {} in {:?}", module.r#type, module.path))),
        None => Ok(()),
    }
}

fn modern_head(folder: &Folder) -> Result<ModernHead, LoadError> {
    let config: ModernConfig = folder.json(CONFIG)?;
    let means = match config.classifier_pooling.as_str() {
        "mean" => true,
        "cls" => false,
        other => return Err(unsupported(format!("classifier_pooling is {other:?}"))),
    };
    let activation = Activation::named(&config.classifier_activation)
        .ok_or_else(|| unsupported(format!("classifier_activation is {:?}", config.classifier_activation)))?;
    Ok(ModernHead { means, bias: config.classifier_bias, activation })
}

/// Many a DeBERTa comes with the file of sentencepiece alone. Where nothing names the pooler's activation, it is the reference's.
fn deberta(folder: &Folder) -> Result<Architecture, LoadError> {
    if !folder.has(TOKENIZER) {
        return Err(LoadError::Unsupported {
            reason: format!("{} has no {TOKENIZER}, and spm.model is not read", folder.path().display()),
            remedy: "let transformers write one into a copy: AutoTokenizer.from_pretrained(source).save_pretrained(copy)".into(),
        });
    }
    let config: DebertaConfig = folder.json(CONFIG)?;
    let name = config.pooler_hidden_act.as_deref().unwrap_or("gelu");
    let activation = Activation::named(name).ok_or_else(|| unsupported(format!("pooler_hidden_act is {name:?}")))?;
    Ok(Architecture::Deberta(DebertaShape::read(folder)?, activation))
}

// === impl Config ===

impl Config {
    /// Returns how many labels there are. Where nothing says it, there are two.
    fn labels(&self) -> Result<usize, LoadError> {
        let named = self.id2label.as_ref();
        let labels = named.map(BTreeMap::len).or(self.num_labels).unwrap_or(2);
        let known =
            named.is_none_or(|names| labels != 2 || names.get("1").is_some_and(|name| RELEVANT.contains(&name.to_lowercase().as_str())));
        match labels {
            1 | 2 if known => Ok(labels),
            2 => Err(unsupported(format!("nothing tells which of the labels {:?} means relevant", self.id2label))),
            _ => Err(unsupported(format!("the classifier has {labels} labels"))),
        }
    }

    /// Makes sure that what follows the logits keeps their order. A logistic is what [`rerank_plugin::Score::presented`]
    /// computes of them, and the identity is [`rerank_plugin::Score::order`].
    fn check_after(&self, newer: &After, labels: usize) -> Result<(), LoadError> {
        let inside = self.sentence_transformers.as_ref();
        let older = self.sbert_ce_default_activation_function.as_ref();
        for activation in
            [inside.and_then(|inside| inside.activation_fn.as_ref()), newer.activation_fn.as_ref(), older].into_iter().flatten()
        {
            let name = activation.rsplit('.').next().unwrap_or_default();
            if name != "Identity" && name != (if labels == 1 { "Sigmoid" } else { "Softmax" }) {
                return Err(unsupported(format!("the activation {activation} follows {labels} labels")));
            }
        }
        let prompts = inside.into_iter().chain([newer]).flat_map(|after| after.prompts.values());
        if prompts.into_iter().any(|prompt| !prompt.is_empty()) {
            return Err(unsupported("prompts are asked for before texts".into()));
        }
        Ok(())
    }
}

fn unsupported(reason: String) -> LoadError {
    LoadError::Unsupported { reason, remedy: REMEDY.into() }
}

// === impl Architecture ===

impl Architecture {
    /// The longest pair of tokens.
    pub(crate) fn positions(&self) -> usize {
        match self {
            Self::Bert(shape) | Self::XlmRoberta(shape) => shape.positions(),
            Self::ModernBert(shape, _) => shape.positions(),
            Self::Deberta(shape, _) => shape.positions(),
        }
    }

    /// How many tokens there are.
    pub(crate) fn vocabulary(&self) -> usize {
        match self {
            Self::Bert(shape) | Self::XlmRoberta(shape) => shape.vocabulary(),
            Self::ModernBert(shape, _) => shape.vocabulary(),
            Self::Deberta(shape, _) => shape.vocabulary(),
        }
    }

    /// How many types of tokens the model tells apart; 1 when it does not look at them.
    pub(crate) fn types(&self) -> usize {
        match self {
            Self::Bert(shape) => shape.types(),
            Self::Deberta(shape, _) => shape.types().max(1),
            Self::XlmRoberta(_) | Self::ModernBert(..) => 1,
        }
    }
}
