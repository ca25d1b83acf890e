//! What a load refuses, and what changes a model's fingerprint.

use std::fs;

use rerank_embedding::Embedding;
use rerank_plugin::{ControlTokens, Device, Family, LoadOptions, Silent, Source, testing::MapStore};
use serde_json::json;

use crate::tiny::{Tiny, config};

fn error(tiny: &Tiny, set: impl FnOnce(&mut LoadOptions)) -> String {
    tiny.try_load(set).err().expect("the load is refused").to_string()
}

#[test]
fn the_fingerprint_follows_all_that_changes_scores() {
    let tiny = Tiny::write();
    let plain = tiny.load(|_| {}).preparer.card().fingerprint;
    assert_eq!(plain, tiny.load(|options| options.batch_tokens = 7).preparer.card().fingerprint, "batches change no score");
    let mut all = vec![
        plain,
        tiny.load(|options| options.max_tokens = Some(64)).preparer.card().fingerprint,
        tiny.load(|options| options.control_tokens = ControlTokens::Parse).preparer.card().fingerprint,
        tiny.load(|options| options.dimensions = Some(8)).preparer.card().fingerprint,
        tiny.load(|options| options.half_vectors = true).preparer.card().fingerprint,
    ];
    tiny.put("sentence_bert_config.json", &json!({ "do_lower_case": true }));
    all.push(tiny.load(|_| {}).preparer.card().fingerprint);
    for (query, document) in [("query: ", ""), ("", "query: ")] {
        tiny.put("config_sentence_transformers.json", &json!({ "prompts": { "query": query, "document": document } }));
        all.push(tiny.load(|_| {}).preparer.card().fingerprint);
    }
    let mut changed = config();
    changed["layer_norm_eps"] = json!(1e-5);
    tiny.put("config.json", &changed);
    all.push(tiny.load(|_| {}).preparer.card().fingerprint);
    tiny.put("1_Pooling/config.json", &json!({ "pooling_mode": "cls" }));
    all.push(tiny.load(|_| {}).preparer.card().fingerprint);
    tiny.spoil("embeddings.LayerNorm.bias");
    all.push(tiny.load(|_| {}).preparer.card().fingerprint);
    for (place, one) in all.iter().enumerate() {
        assert!(!all[place + 1..].contains(one), "{place}");
    }
}

#[test]
fn limits_beyond_the_model_are_refused_with_the_numbers() {
    let tiny = Tiny::write();
    assert_eq!(
        error(&tiny, |options| options.max_tokens = Some(301)),
        "max-tokens is 301, and the model takes 3 to 300; set `max-tokens` to a number between these"
    );
    assert!(error(&tiny, |options| options.max_tokens = Some(2)).contains("max-tokens is 2"));
    assert_eq!(tiny.load(|options| options.max_tokens = Some(300)).preparer.card().max_tokens, 300);
    assert_eq!(tiny.load(|_| {}).preparer.card().max_tokens, 256);
    for dimensions in [0, 33] {
        assert_eq!(
            error(&tiny, |options| options.dimensions = Some(dimensions)),
            format!(
                "dimensions is {dimensions}, and the model's vectors have 32; set `dimensions` to a smaller number that the model was \
                 trained for"
            )
        );
    }
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let tiny = Tiny::write();
    assert!(error(&tiny, |options| options.devices = vec![Device::Cuda(4096)]).contains("cuda:4096"));
    let mut deeper = config();
    deeper["num_hidden_layers"] = json!(3);
    tiny.put("config.json", &deeper);
    let missing = error(&tiny, |_| {});
    assert!(missing.contains("model.safetensors") && missing.contains("encoder.layer.2"), "{missing}");
    let mut smaller = config();
    smaller["vocab_size"] = json!(20);
    tiny.put("config.json", &smaller);
    assert!(error(&tiny, |_| {}).contains("config.json says 20"));
    tiny.put("config.json", &config());

    let weights = tiny.path().join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    assert!(error(&tiny, |_| {}).contains("model.safetensors"));
    fs::remove_file(&weights).unwrap();
    assert!(error(&tiny, |_| {}).contains("model.safetensors is missing"));
    fs::write(tiny.path().join("tokenizer.json"), "{").unwrap();
    assert!(error(&tiny, |_| {}).contains("tokenizer.json"));
    fs::remove_file(tiny.path().join("config.json")).unwrap();
    assert!(error(&tiny, |_| {}).contains("config.json is missing"));
}

#[test]
fn an_endpoint_is_not_a_checkpoint() {
    let options = LoadOptions::new(std::sync::Arc::new(MapStore::default()));
    let error = Embedding.load(&Source::Endpoints(Default::default()), &options, &Silent).err().expect("refused");
    assert!(error.to_string().contains("set `source`"));
}
