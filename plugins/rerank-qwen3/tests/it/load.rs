//! What a load refuses, and what changes a model's fingerprint.

use std::fs;

use candle_core::{DType, Device as CandleDevice, Tensor};
use rerank_plugin::{
    ControlTokens, Device, Dtype, Family, LoadOptions, Silent, Source,
    testing::{MapStore, check_bad_files},
};
use rerank_qwen3::Qwen3;
use serde_json::{Value, json};

use crate::tiny::Tiny;

/// Returns what a changed copy of the fixture is refused with.
fn error(name: &str, change: impl FnOnce(&Tiny)) -> String {
    let tiny = Tiny::copy(name);
    change(&tiny);
    tiny.error()
}

fn config(key: &str, value: Value) -> String {
    error("tied", |tiny| tiny.set(key, value))
}

fn zeros(dimensions: &[usize]) -> Tensor {
    Tensor::zeros(dimensions, DType::BF16, &CandleDevice::Cpu).unwrap()
}

#[test]
fn the_fingerprint_follows_all_that_changes_scores() {
    let tiny = Tiny::copy("tied");
    let of = |set: fn(&mut LoadOptions)| tiny.load(set).preparer.card().fingerprint;
    let plain = of(|_| {});
    assert_eq!(plain, of(|options| options.batch_tokens = 7), "batches change no score");
    assert_eq!(plain, of(|options| options.dtype = Some(Dtype::F32)), "the processor's own");
    let mut all = vec![
        plain,
        of(|options| options.max_tokens = Some(512)),
        of(|options| options.dtype = Some(Dtype::F16)),
        of(|options| options.dtype = Some(Dtype::Bf16)),
        of(|options| options.control_tokens = ControlTokens::Parse),
    ];
    tiny.set("rms_norm_eps", json!(1e-5));
    all.push(of(|_| {}));
    tiny.put("1_LogitScore/config.json", &json!({ "true_token_id": 3, "false_token_id": 4 }));
    all.push(of(|_| {}));
    tiny.edit("tokenizer.json", |tokenizer| tokenizer["decoder"] = Value::Null);
    all.push(of(|_| {}));
    tiny.change(|weights| drop(weights.insert("model.norm.weight".into(), zeros(&[64]))));
    all.push(of(|_| {}));
    for (place, one) in all.iter().enumerate() {
        assert!(!all[place + 1..].contains(one), "{place}");
    }
}

#[test]
fn the_card_says_what_the_model_takes() {
    let tiny = Tiny::copy("tied");
    let card = tiny.load(|_| {}).preparer.card().clone();
    assert!(card.kind == "qwen3" && card.takes_instruction && !card.keeps_vectors && !card.modalities.image);
    assert_eq!(card.max_tokens, 2048, "4096, and what the fixture was made for");
    tiny.set("max_position_embeddings", json!(40_960));
    assert_eq!(tiny.load(|_| {}).preparer.card().max_tokens, 4096);
    assert_eq!(tiny.load(|options| options.max_tokens = Some(32_768)).preparer.card().max_tokens, 32_768);
    let said = |asked| tiny.try_load(|options| options.max_tokens = Some(asked)).err().unwrap().to_string();
    assert_eq!(said(32_769), "max-tokens is 32769, and the model takes 64 to 32768; set `max-tokens` to a number between these");
    assert!(said(63).contains("max-tokens is 63"));
}

#[test]
fn files_that_are_broken_or_hostile_are_refused_by_name() {
    for name in ["tied", "untied"] {
        let scratch = tempfile::tempdir().unwrap();
        check_bad_files(&Qwen3, Tiny::copy(name).path(), scratch.path());
    }
}

#[test]
fn tensors_that_are_missing_left_over_or_misshapen_are_named() {
    let gate = "model.layers.1.mlp.gate_proj.weight";
    let without = |name: &'static str, tensor: &'static str| error(name, |tiny| tiny.change(|weights| drop(weights.remove(tensor))));
    assert!(without("tied", gate).contains("the tensor model.layers.1.mlp.gate_proj.weight is missing"));
    assert!(without("tied", "model.embed_tokens.weight").contains("model.embed_tokens.weight is missing"));
    assert!(without("untied", "lm_head.weight").contains("lm_head.weight is missing, and config.json says that it is not the embeddings"));
    let with = |tensor: &'static str, dimensions: &'static [usize]| {
        error("tied", |tiny| tiny.change(|weights| drop(weights.insert(tensor.into(), zeros(dimensions)))))
    };
    assert!(with(gate, &[64, 128]).contains("gate_proj.weight is [64, 128], and config.json says [128, 64]"));
    assert!(with("model.layers.3.mlp.gate_proj.weight", &[128, 64]).contains("does not account for the tensor model.layers.3"));
    assert!(
        with("model.layers.0.self_attn.q_proj.bias", &[128])
            .contains("does not account for the tensor model.layers.0.self_attn.q_proj.bias")
    );
    assert!(with("lm_head.weight", &[618, 64]).contains("tie_word_embeddings says that lm_head.weight is the embeddings, and it is not"));
    let bytes = error("tied", |tiny| {
        tiny.change(|weights| drop(weights.insert(gate.into(), Tensor::zeros((128, 64), DType::U8, &CandleDevice::Cpu).unwrap())));
    });
    assert!(bytes.contains("holds U8, and only f32, f16 and bf16 are read"), "{bytes}");
    let logit = error("tied", |tiny| tiny.set("architectures", json!(["Qwen3ForSequenceClassification"])));
    assert!(logit.contains("score.weight is missing"), "{logit}");
    let two = error("tied", |tiny| {
        tiny.set("architectures", json!(["Qwen3ForSequenceClassification"]));
        tiny.change(|weights| drop(weights.insert("score.weight".into(), zeros(&[2, 64]))));
    });
    assert!(two.contains("score.weight is [2, 64], and config.json says [1, 64]"), "{two}");
}

#[test]
fn a_head_that_repeats_the_embeddings_is_fine() {
    let tiny = Tiny::copy("tied");
    tiny.change(|weights| drop(weights.insert("lm_head.weight".into(), weights["model.embed_tokens.weight"].clone())));
    assert!(tiny.try_load(|_| {}).is_ok());
}

#[test]
fn sizes_that_contradict_the_tensors_are_refused_before_anything_is_made_of_them() {
    let huge = json!(1_u64 << 60);
    for key in ["vocab_size", "hidden_size", "intermediate_size"] {
        let said = config(key, huge.clone());
        assert!(said.contains("1152921504606846976") && said.contains("config.json says"), "{key}: {said}");
    }
    assert!(config("num_hidden_layers", huge.clone()).contains("model.layers.3.input_layernorm.weight is missing"));
    assert!(config("num_hidden_layers", json!(2)).contains("does not account for the tensor model.layers.2"));
    assert!(config("head_dim", huge.clone()).contains("q_proj.weight is [128, 64], and config.json says [4611686018427387904, 64]"));
    assert!(config("head_dim", json!(1_u64 << 62)).contains("heads of 4611686018427387904 numbers cannot be"));
    assert!(config("head_dim", json!(33)).contains("heads of 33 numbers cannot be"));
    assert!(config("head_dim", json!(16)).contains("q_proj.weight is [128, 64], and config.json says [64, 64]"));
    assert!(config("num_key_value_heads", json!(3)).contains("4 heads cannot share 3 for keys and values"));
    assert!(config("num_key_value_heads", json!(0)).contains("4 heads cannot share 0"));
    assert!(config("hidden_size", json!(0)).contains("a size is 0"));
    assert!(config("hidden_size", json!(-64)).contains("config.json"));
    assert!(config("rope_theta", Value::Null).contains("rope_theta is missing"));
    assert!(config("vocab_size", json!(100)).contains("it has 618 tokens, and config.json says 100"));
    let answers = error("tied", |tiny| tiny.put("1_LogitScore/config.json", &json!({ "true_token_id": 999, "false_token_id": 1 })));
    assert!(answers.contains("the answers are tokens 999 and 1, and config.json says 618"), "{answers}");
    let positions = Tiny::copy("tied");
    positions.set("max_position_embeddings", huge);
    assert!(positions.try_load(|_| {}).is_ok(), "only as many positions as are used are computed");
}

#[test]
fn a_tokenizer_that_lacks_what_the_prompt_needs_is_refused() {
    let without = |word: &'static str| {
        error("tied", |tiny| {
            tiny.edit("tokenizer.json", |tokenizer| {
                let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
                merges.retain(|merge| {
                    merge.as_array().map_or_else(
                        || merge.as_str().unwrap().replace(' ', ""),
                        |two| two.iter().map(|part| part.as_str().unwrap()).collect(),
                    ) != word
                });
                tokenizer["model"]["vocab"].as_object_mut().unwrap().remove(word);
            });
        })
    };
    assert!(without("yes").contains("`yes` and `no` are not one token each"));
    assert!(without("no").contains("tokenizer.json"));
    let unmarked = error("tied", |tiny| {
        tiny.edit("tokenizer.json", |tokenizer| {
            tokenizer["added_tokens"].as_array_mut().unwrap().retain(|token| token["content"] != "<think>")
        });
    });
    assert!(unmarked.contains("tokenizer.json: it has no token <think>"), "{unmarked}");
}

#[test]
fn files_that_are_missing_cut_off_or_elsewhere_are_named() {
    let cut = error("tied", |tiny| {
        let path = tiny.path().join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
    });
    assert!(cut.contains("model.safetensors"), "{cut}");
    for (file, said) in [
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "tokenizer.json is missing"),
        ("model.safetensors", "model.safetensors is missing"),
    ] {
        let gone = error("tied", |tiny| fs::remove_file(tiny.path().join(file)).unwrap());
        assert!(gone.contains(said), "{gone}");
    }
    let sharded = |edit: fn(&mut Value)| {
        error("untied", |tiny| {
            tiny.shard();
            tiny.edit("model.safetensors.index.json", edit);
        })
    };
    let outside = sharded(|index| index["weight_map"]["lm_head.weight"] = json!("../elsewhere.safetensors"));
    assert!(outside.contains("\"../elsewhere.safetensors\" is not the plain name of a safetensors file"), "{outside}");
    let gone = sharded(|index| index["weight_map"]["lm_head.weight"] = json!("model-00003-of-00002.safetensors"));
    assert!(gone.contains("model-00003-of-00002.safetensors is missing"), "{gone}");
    assert!(config("model_type", json!("bert")).contains("a bert is no Qwen3"));
}

#[test]
fn devices_and_endpoints_that_cannot_be_are_named() {
    let tiny = Tiny::copy("tied");
    let cuda = tiny.try_load(|options| options.devices = vec![Device::Cuda(4096)]).err().unwrap().to_string();
    assert!(cuda.contains("cuda:4096"), "{cuda}");
    let options = LoadOptions::new(std::sync::Arc::new(MapStore::default()));
    let endpoint = Qwen3.load(&Source::Endpoints(Default::default()), &options, &Silent).err().expect("refused");
    assert!(endpoint.to_string().contains("set `source`"));
}
