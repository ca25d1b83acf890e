//! Checkpoints that are broken, hostile, or not what their `config.json` says: each is refused in words that name it.

use std::{fs, time::Instant};

use rerank_embedding::Embedding;
use rerank_plugin::testing::check_bad_files;
use serde_json::{Value, json};

use crate::fixture::{ALL, Changed, path, refusal, try_load};

#[test]
fn files_that_are_broken_or_hostile_are_refused_by_name() {
    for name in ALL {
        let scratch = tempfile::tempdir().unwrap();
        check_bad_files(&Embedding, &path(name), scratch.path());
    }
}

#[test]
fn shapes_that_contradict_the_configuration_are_named() {
    for (name, key, value, word) in [
        ("xlmr-mean", "hidden_size", json!(16), "shape mismatch"),
        ("xlmr-mean", "num_hidden_layers", json!(1), "is no part of the model that config.json describes"),
        ("xlmr-mean", "num_hidden_layers", json!(40), "encoder.layer."),
        ("bert-cls", "intermediate_size", json!(7), "shape mismatch"),
        ("bert-cls", "type_vocab_size", json!(7), "shape mismatch"),
        ("bert-cls", "num_attention_heads", json!(0), "0 heads"),
        ("bert-cls", "vocab_size", json!(20), "config.json says 20"),
        ("modernbert-mean", "intermediate_size", json!(7), "shape mismatch"),
        ("modernbert-mean", "num_hidden_layers", json!(1), "is no part of the model"),
        ("qwen3-last", "hidden_size", json!(16), "config.json says"),
        ("qwen3-last", "num_hidden_layers", json!(1), "does not account for the tensor"),
        ("qwen3-last", "num_key_value_heads", json!(0), "cannot share 0 for keys and values"),
    ] {
        let copy = Changed::copy(name);
        let words = refusal(copy.set("config.json", key, value).path());
        assert!(words.contains(word), "{name} {key}: {words}");
    }
}

/// Nothing is reserved for a size before a tensor of that size was seen.
#[test]
fn absurd_sizes_are_refused_at_once() {
    const SIZES: [&str; 6] =
        ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings"];
    let began = Instant::now();
    for (name, key) in ALL.iter().flat_map(|name| SIZES.map(|key| (name, key))) {
        for size in [json!(u32::MAX), json!(u64::MAX), json!(-1), json!(1.5)] {
            // Rotary positions have no tensor; nothing is computed for those that no text reaches.
            let fits = ["modernbert-mean", "qwen3-last"].contains(name) && key == "max_position_embeddings" && size.as_u64().is_some();
            let copy = Changed::copy(name);
            copy.set("config.json", key, size.clone());
            match try_load(copy.path(), |_| {}) {
                Ok(_) => assert!(fits, "{name} {key} {size}"),
                Err(error) => assert!(error.to_string().len() > 20, "{name} {key} {size}: {error}"),
            }
        }
    }
    assert!(began.elapsed().as_secs() < 120, "nothing large is reserved or filled");
}

#[test]
fn a_configuration_of_another_family_does_not_fit() {
    for (weights, config) in
        [("xlmr-mean", "bert-cls"), ("bert-cls", "modernbert-mean"), ("modernbert-mean", "qwen3-last"), ("qwen3-last", "xlmr-mean")]
    {
        let copy = Changed::copy(config);
        fs::copy(path(weights).join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
        let words = refusal(copy.path());
        assert!(words.contains("model.safetensors: "), "{weights} as {config}: {words}");
    }
}

#[test]
fn a_pooling_of_another_shape_than_a_table_is_refused() {
    let copy = Changed::copy("bert-cls");
    for wrong in [json!([]), json!("mean"), Value::Null] {
        fs::write(copy.path().join("1_Pooling/config.json"), wrong.to_string()).unwrap();
        assert!(refusal(copy.path()).contains("1_Pooling/config.json"));
    }
}
