//! Checkpoints that are broken, hostile, or not what their `config.json` says: each is refused in words that name it.

use std::{fs, time::Instant};

use candle_core::{DType, Device, Tensor};
use rerank_cross_encoder::CrossEncoder;
use rerank_plugin::{
    Device as Where, Family, Fault, LoadOptions, Silent, Source,
    testing::{MapStore, check_bad_files},
};
use serde_json::json;

use crate::fixture::{ALL, Changed, load, path, refusal, try_load};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::BF16, &Device::Cpu).unwrap()
}

#[test]
fn files_that_are_broken_or_hostile_are_refused_by_name() {
    for name in ALL {
        let scratch = tempfile::tempdir().unwrap();
        check_bad_files(&CrossEncoder, &path(name), scratch.path());
    }
}

#[test]
fn tensors_that_are_missing_or_left_over_are_named() {
    for (name, missing) in [
        ("bert", "bert.pooler.dense.weight"),
        ("bert", "bert.encoder.layer.2.output.LayerNorm.bias"),
        ("xlmr", "classifier.out_proj.bias"),
        ("modernbert", "model.layers.1.attn_norm.weight"),
        ("debertav3", "pooler.dense.bias"),
        ("debertav3", "deberta.encoder.rel_embeddings.weight"),
        ("debertav3", "deberta.encoder.LayerNorm.bias"),
        ("debertav2", "deberta.encoder.layer.1.attention.self.pos_query_proj.bias"),
        ("debertav2", "deberta.encoder.conv.conv.bias"),
        ("debertav2", "deberta.embeddings.embed_proj.weight"),
    ] {
        let changed = Changed::copy(name);
        let words = refusal(changed.tensor(missing, None).path());
        assert!(words.contains("model.safetensors") && words.contains(missing), "{words}");
    }
    for name in ALL {
        let changed = Changed::copy(name);
        let words = refusal(changed.tensor("adapter.lora_A.weight", Some(zeros(&[4, 64]))).path());
        assert!(words.ends_with("the tensor adapter.lora_A.weight is no part of the model that config.json describes"), "{words}");
        let spared = Changed::copy(name);
        spared.tensor("bert.embeddings.position_ids", Some(zeros(&[1, 64])));
        assert!(try_load(spared.path(), |_| {}).is_ok(), "positions as a table are no news");
    }
    let spared = Changed::copy("debertav3");
    spared.tensor("deberta.embeddings.position_embeddings.weight", Some(zeros(&[64, 64])));
    assert!(try_load(spared.path(), |_| {}).is_ok(), "the reference leaves out positions that the model does not look at");
}

#[test]
fn shapes_that_contradict_the_configuration_are_named() {
    for (name, key, value, word) in [
        ("bert", "hidden_size", json!(32), "shape mismatch"),
        ("bert", "hidden_size", json!(63), "hidden_size 63 cannot be split over 4 heads"),
        ("bert", "intermediate_size", json!(127), "shape mismatch for bert.encoder.layer.0.intermediate.dense.weight"),
        ("bert", "max_position_embeddings", json!(65), "shape mismatch for bert.embeddings.position_embeddings.weight"),
        ("bert", "type_vocab_size", json!(1), "shape mismatch"),
        ("bert", "vocab_size", json!(20), "config.json says 20"),
        ("bert", "num_hidden_layers", json!(2), "the tensor bert.encoder.layer.2."),
        ("bert", "num_hidden_layers", json!(4), "bert.encoder.layer.3."),
        ("bert", "num_hidden_layers", json!(0), "num_hidden_layers is 0"),
        ("bert", "num_attention_heads", json!(0), "0 heads"),
        ("bert", "id2label", json!({ "0": "no", "1": "yes" }), "shape mismatch for classifier.weight"),
        ("xlmr", "pad_token_id", json!(66), "max_position_embeddings is 66"),
        ("modernbert", "num_attention_heads", json!(64), "heads are 1 wide"),
        ("modernbert", "mlp_bias", json!(true), "model.layers.0.mlp.Wi.bias"),
        ("debertav3", "position_buckets", json!(18), "shape mismatch for deberta.encoder.rel_embeddings.weight"),
        ("debertav3", "position_buckets", json!(-1), "shape mismatch for deberta.encoder.rel_embeddings.weight"),
        ("debertav3", "share_att_key", json!(null), "deberta.encoder.layer.0.attention.self.pos_"),
        ("debertav3", "norm_rel_ebd", json!(null), "the tensor deberta.encoder.LayerNorm.bias is no part"),
        ("debertav3", "position_biased_input", json!(null), "deberta.embeddings.position_embeddings.weight"),
        ("debertav3", "type_vocab_size", json!(2), "deberta.embeddings.token_type_embeddings.weight"),
        ("debertav3", "embedding_size", json!(48), "shape mismatch for deberta.embeddings.word_embeddings.weight"),
        ("debertav3", "conv_kernel_size", json!(3), "deberta.encoder.conv.conv.weight"),
        ("debertav2", "conv_kernel_size", json!(5), "shape mismatch for deberta.encoder.conv.conv.weight"),
        ("debertav2", "conv_kernel_size", json!(0), "the tensor deberta.encoder.conv.LayerNorm.bias is no part"),
        ("debertav2", "share_att_key", json!(true), "attention.self.pos_key_proj.bias is no part"),
        ("debertav2", "pos_att_type", json!("c2p"), "attention.self.pos_query_proj.bias is no part"),
        ("debertav2", "max_relative_positions", json!(25), "shape mismatch for deberta.encoder.rel_embeddings.weight"),
        ("debertav2", "type_vocab_size", json!(0), "the tensor deberta.embeddings.token_type_embeddings.weight is no part"),
    ] {
        let changed = Changed::copy(name);
        let words = refusal(changed.config(key, value).path());
        assert!(words.contains(word), "{key}: {words}");
    }
}

/// Nothing is reserved for a size before a tensor of that size was seen.
#[test]
fn absurd_sizes_are_refused_at_once() {
    const SIZES: [&str; 6] =
        ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings"];
    let began = Instant::now();
    for (name, key) in ALL.iter().flat_map(|name| SIZES.map(|key| (name, key))) {
        for size in [json!(u32::MAX), json!(u32::MAX - 3), json!(u64::MAX), json!(-1), json!(1.5)] {
            // Rotary positions have no tensor; nothing is computed for those that no text reaches.
            let fits = ["modernbert", "debertav3"].contains(name)
                && key == "max_position_embeddings"
                && size.as_u64().is_some_and(|size| u32::try_from(size).is_ok());
            let changed = Changed::copy(name);
            changed.config(key, size.clone());
            match try_load(changed.path(), |_| {}) {
                Ok(_) => assert!(fits, "{name} {key} {size}"),
                Err(error) => assert!(!fits && error.to_string().len() > 20, "{name} {key} {size}: {error}"),
            }
        }
    }
    assert!(began.elapsed().as_secs() < 60, "nothing large is reserved or filled");
}

#[test]
fn broken_weights_are_refused() {
    let whole = fs::read(path("bert").join("model.safetensors")).unwrap();
    let changed = Changed::copy("bert");
    let weights = changed.path().join("model.safetensors");
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&weights, &whole[..length]).unwrap();
        let words = refusal(changed.path());
        assert!(words.contains("model.safetensors: "), "{length}: {words}");
    }
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&weights, &lying).unwrap();
    assert!(refusal(changed.path()).contains("model.safetensors: "));
    fs::remove_file(&weights).unwrap();
    assert!(refusal(changed.path()).contains("model.safetensors is missing"));
}

#[test]
fn pickles_are_not_read() {
    let changed = Changed::copy("bert");
    fs::remove_file(changed.path().join("model.safetensors")).unwrap();
    fs::write(changed.path().join("pytorch_model.bin"), "PK").unwrap();
    let words = refusal(changed.path());
    assert!(words.contains("has pytorch_model.bin and no model.safetensors, and a pickle can run any code; convert it"), "{words}");
}

#[test]
fn shards_are_read_and_stay_in_their_folder() {
    let changed = Changed::copy("bert");
    let pair = ("what is the capital of china?", "Beijing");
    let whole = load(changed.path(), |_| {}).score(pair.0, pair.1);
    let tensors = changed.tensors();
    let mut map = serde_json::Map::new();
    for (number, shard) in ["model-1.safetensors", "model-2.safetensors"].into_iter().enumerate() {
        let own: std::collections::HashMap<_, _> =
            tensors.iter().filter(|(name, _)| name.len() % 2 == number).map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        map.extend(own.keys().map(|name| (name.clone(), json!(shard))));
        candle_core::safetensors::save(&own, changed.path().join(shard)).unwrap();
    }
    fs::remove_file(changed.path().join("model.safetensors")).unwrap();
    changed.put("model.safetensors.index.json", &json!({ "weight_map": map }));
    assert!((load(changed.path(), |_| {}).score(pair.0, pair.1) - whole).abs() < 1e-6);
    for outside in ["../model.safetensors", "/etc/model.safetensors", "a/../../model.safetensors", "weights.bin"] {
        map.insert("classifier.weight".into(), json!(outside));
        changed.put("model.safetensors.index.json", &json!({ "weight_map": map }));
        let words = refusal(changed.path());
        assert!(words.contains(&format!("{outside:?} is not the plain name of a safetensors file")), "{words}");
    }
}

#[test]
fn a_configuration_of_another_family_does_not_fit() {
    for (weights, config, word) in [
        ("xlmr", "bert", "bert.pooler"),
        ("bert", "xlmr", "classifier.dense.weight"),
        ("bert", "modernbert", "model."),
        ("bert", "debertav3", "pooler.dense.weight"),
    ] {
        let changed = Changed::copy(weights);
        for file in ["config.json", "tokenizer.json"] {
            fs::copy(path(config).join(file), changed.path().join(file)).unwrap();
        }
        let words = refusal(changed.path());
        assert!(words.contains("cannot find tensor") && words.contains(word), "{words}");
    }
}

#[test]
fn nan_is_the_models_fault() {
    for (name, tensor) in [
        ("bert", "classifier.bias"),
        ("xlmr", "classifier.out_proj.bias"),
        ("modernbert", "classifier.bias"),
        ("debertav3", "classifier.bias"),
    ] {
        let changed = Changed::copy(name);
        changed.tensor(tensor, Some(Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()));
        let scores = load(changed.path(), |_| {}).try_scores(&[("china", "Beijing")]);
        assert!(matches!(scores.as_slice(), [Err(Fault::Model(_))]), "{name}: {scores:?}");
    }
}

#[test]
fn a_tokenizer_that_is_broken_or_of_another_model_is_refused() {
    let changed = Changed::copy("bert");
    fs::write(changed.path().join("tokenizer.json"), "{").unwrap();
    assert!(refusal(changed.path()).contains("tokenizer.json: "));
    fs::copy(path("modernbert").join("tokenizer.json"), changed.path().join("tokenizer.json")).unwrap();
    assert!(refusal(changed.path()).contains("tokenizer.json: it has 389 tokens, and config.json says 146"));
    fs::remove_file(changed.path().join("tokenizer.json")).unwrap();
    assert!(refusal(changed.path()).contains("tokenizer.json is missing"));
}

#[test]
fn limits_and_devices_are_refused_with_the_numbers() {
    let words = |set: fn(&mut LoadOptions)| try_load(&path("bert"), set).err().expect("refused").to_string();
    assert_eq!(
        words(|options| options.max_tokens = Some(65)),
        "max-tokens is 65, and the model takes 5 to 64; set `max-tokens` to a number between these"
    );
    assert!(words(|options| options.max_tokens = Some(4)).contains("max-tokens is 4"));
    assert!(words(|options| options.devices = vec![Where::Cuda(4096)]).contains("cuda:4096"));
    let options = LoadOptions::new(std::sync::Arc::new(MapStore::default()));
    let endpoint = CrossEncoder.load(&Source::Endpoints(Default::default()), &options, &Silent);
    assert!(endpoint.err().expect("refused").to_string().contains("set `source`"));
}
