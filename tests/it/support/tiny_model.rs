//! A folder with an embedding model that needs no download: one BERT layer of 16 over single letters, its weights from a seed.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

const HIDDEN: usize = 16;
const INNER: usize = 32;
const POSITIONS: usize = 128;
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Writes the model; it goes when the folder is dropped.
pub(crate) fn write() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, value: &Value| fs::write(folder.path().join(name), value.to_string()).expect("written");
    fs::create_dir(folder.path().join("1_Pooling")).expect("written");
    put("1_Pooling/config.json", &json!({ "pooling_mode": "mean" }));
    put("modules.json", &json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")]));
    put("config.json", &config());
    put("tokenizer.json", &tokenizer());
    weights(&folder.path().join("model.safetensors"));
    folder
}

fn module(number: usize, path: &str, name: &str) -> Value {
    json!({ "idx": number, "name": number.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}") })
}

fn config() -> Value {
    json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": HIDDEN,
        "initializer_range": 0.02, "intermediate_size": INNER, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
        "num_attention_heads": 2, "num_hidden_layers": 1, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": vocabulary().len(),
    })
}

fn vocabulary() -> Vec<String> {
    let letters = ('a'..='z').chain('0'..='9').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    SPECIAL.map(String::from).into_iter().chain(letters).collect()
}

fn tokenizer() -> Value {
    let vocabulary: serde_json::Map<String, Value> = vocabulary().into_iter().zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let special = |(id, content): (usize, &str)| json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let added: Vec<Value> = SPECIAL.into_iter().enumerate().map(special).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

/// The tensors' names and shapes.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![vocabulary().len(), HIDDEN]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![POSITIONS, HIDDEN]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, HIDDEN]),
    ];
    let mut layer = |name: &str, rows: usize, columns: Option<usize>| {
        all.push((format!("{name}.weight"), [Some(rows), columns].into_iter().flatten().collect()));
        all.push((format!("{name}.bias"), vec![rows]));
    };
    layer("embeddings.LayerNorm", HIDDEN, None);
    let inside = |name: &str| format!("encoder.layer.0.{name}");
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        layer(&inside(name), HIDDEN, Some(HIDDEN));
    }
    layer(&inside("intermediate.dense"), INNER, Some(HIDDEN));
    layer(&inside("output.dense"), HIDDEN, Some(INNER));
    layer(&inside("attention.output.LayerNorm"), HIDDEN, None);
    layer(&inside("output.LayerNorm"), HIDDEN, None);
    all
}

/// Writes the tensors as safetensors: the head's length, the head in JSON, the numbers. They come from a linear congruence.
fn weights(file: &Path) {
    let (mut head, mut numbers, mut seed) = (serde_json::Map::new(), Vec::<u8>::new(), 7_u64);
    for (name, shape) in tensors() {
        let start = numbers.len();
        let is_scale = name.ends_with("LayerNorm.weight");
        for _ in 0..shape.iter().product() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (seed >> 40) as f32 / (1 << 24) as f32 - 0.5;
            let number = if is_scale { 1.0 } else { random };
            numbers.extend(number.to_le_bytes());
        }
        head.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, numbers.len()] }));
    }
    let mut head = Value::Object(head).to_string();
    // Numbers begin at a multiple of eight.
    head.extend(std::iter::repeat_n(' ', head.len().next_multiple_of(8) - head.len()));
    let length = (head.len() as u64).to_le_bytes();
    fs::write(file, [&length, head.as_bytes(), &numbers].concat()).expect("written");
}
