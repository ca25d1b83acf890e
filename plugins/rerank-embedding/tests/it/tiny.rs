//! Writes the tiny BERT: two layers of 32, and a tokenizer that pads and cuts at 128 as that of all-MiniLM-L6-v2 does.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use candle_core::{Device, Tensor, safetensors};
use rerank_embedding::Embedding;
use rerank_plugin::{Family, Folder, LoadError, LoadOptions, Loaded, Preparer, Scorer, Silent, Source, testing::MapStore};
use serde_json::{Value, json};
use tempfile::TempDir;

const HIDDEN: usize = 32;
const INNER: usize = 64;
const POSITIONS: usize = 300;
const WORDS: [&str; 14] =
    ["red", "shoe", "shoes", "wet", "roads", "history", "a", "the", "of", "title", "document", "number", "word", "run"];

/// A folder with the tiny checkpoint.
pub(crate) struct Tiny(TempDir);

/// The tiny model, loaded.
pub(crate) struct Model {
    pub(crate) preparer: Arc<dyn Preparer>,
    pub(crate) worker: Box<dyn Scorer>,
    pub(crate) store: Arc<MapStore>,
}

impl Tiny {
    pub(crate) fn write() -> Self {
        let tiny = Self(tempfile::tempdir().unwrap());
        tiny.put("config.json", &config());
        tiny.put("tokenizer.json", &tokenizer());
        tiny.put("modules.json", &modules(&["Transformer", "Pooling", "Normalize"]));
        fs::create_dir(tiny.path().join("1_Pooling")).unwrap();
        tiny.put("1_Pooling/config.json", &json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false }));
        safetensors::save(&weights(), tiny.path().join("model.safetensors")).unwrap();
        tiny
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::open(self.path()).unwrap()
    }

    pub(crate) fn put(&self, name: &str, value: &Value) {
        fs::write(self.path().join(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    /// Fills the tensor with NaN.
    pub(crate) fn spoil(&self, name: &str) {
        let mut weights = weights();
        let shape = weights[name].shape().clone();
        weights.insert(name.into(), Tensor::full(f32::NAN, shape, &Device::Cpu).unwrap());
        safetensors::save(&weights, self.path().join("model.safetensors")).unwrap();
    }

    pub(crate) fn try_load(&self, set: impl FnOnce(&mut LoadOptions)) -> Result<(Loaded, Arc<MapStore>), LoadError> {
        let store = Arc::new(MapStore::default());
        let mut options = LoadOptions::new(store.clone());
        set(&mut options);
        Ok((Embedding.load(&Source::Folder(self.folder()), &options, &Silent)?, store))
    }

    pub(crate) fn load(&self, set: impl FnOnce(&mut LoadOptions)) -> Model {
        let (Loaded::Local { preparer, mut workers }, store) = self.try_load(set).unwrap() else { panic!("embeddings are local") };
        Model { preparer, worker: workers.remove(0), store }
    }
}

pub(crate) fn config() -> Value {
    json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": HIDDEN,
        "initializer_range": 0.02, "intermediate_size": INNER, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
        "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": vocabulary().len(),
    })
}

pub(crate) fn modules(types: &[&str]) -> Value {
    let module = |(number, name): (usize, &&str)| {
        let path = if number == 0 { String::new() } else { format!("{number}_{name}") };
        json!({ "idx": number, "name": number.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}") })
    };
    types.iter().enumerate().map(module).collect()
}

fn vocabulary() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", ":", ","].map(String::from);
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let words = WORDS.into_iter().filter(|word| word.len() > 1).map(String::from);
    let digits = ('0'..='9').flat_map(|digit| [digit.to_string(), format!("##{digit}")]);
    special.into_iter().chain(letters).chain(digits).chain(words).collect()
}

fn tokenizer() -> Value {
    let vocabulary: HashMap<String, usize> = vocabulary().into_iter().enumerate().map(|(id, token)| (token, id)).collect();
    let special = |(id, content): (usize, &str)| json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let added: Vec<Value> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter().enumerate().map(special).collect();
    json!({
        "version": "1.0",
        "truncation": { "max_length": 128, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": {
            "strategy": { "Fixed": 128 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": added,
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

/// Numbers in -0.5..0.5 from a seed: a linear congruence, the same everywhere.
struct Seeded(u64);

impl Seeded {
    fn tensor(&mut self, shape: &[usize], scale: f32, shift: f32) -> Tensor {
        let number = |_| {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5) * scale + shift
        };
        let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }
}

fn weights() -> HashMap<String, Tensor> {
    let mut seeded = Seeded(7);
    let mut all = HashMap::new();
    let mut put = |all: &mut HashMap<String, Tensor>, name: &str, shape: &[usize], scale: f32, shift: f32| {
        all.insert(name.to_owned(), seeded.tensor(shape, scale, shift));
    };
    for (name, rows) in [("word", vocabulary().len()), ("position", POSITIONS), ("token_type", 2)] {
        put(&mut all, &format!("embeddings.{name}_embeddings.weight"), &[rows, HIDDEN], 2.0, 0.0);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let layer = format!("encoder.layer.{layer}");
        for (name, rows, columns) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INNER, HIDDEN),
            ("output.dense", HIDDEN, INNER),
        ] {
            put(&mut all, &format!("{layer}.{name}.weight"), &[rows, columns], 1.0, 0.0);
            put(&mut all, &format!("{layer}.{name}.bias"), &[rows], 0.2, 0.0);
        }
        norms.extend(["attention.output.LayerNorm", "output.LayerNorm"].map(|name| format!("{layer}.{name}")));
    }
    for norm in norms {
        put(&mut all, &format!("{norm}.weight"), &[HIDDEN], 0.2, 1.0);
        put(&mut all, &format!("{norm}.bias"), &[HIDDEN], 0.2, 0.0);
    }
    all
}
