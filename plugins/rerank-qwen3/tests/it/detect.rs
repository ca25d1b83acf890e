//! Which checkpoints are taken, refused with a reason, or left to others.

use std::fs;

use rerank_plugin::{Detection, Family};
use rerank_qwen3::Qwen3;
use serde_json::{Value, json};

use crate::tiny::Tiny;

const REMEDY: &str = "this version runs Qwen/Qwen3-Reranker-0.6B";

fn detected(set: impl FnOnce(&Tiny)) -> Detection {
    let tiny = Tiny::copy("tied");
    set(&tiny);
    Qwen3.detect(&tiny.folder())
}

fn refusal(set: impl FnOnce(&Tiny)) -> String {
    match detected(set) {
        Detection::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn modules(last: &str) -> Value {
    json!([{ "path": "", "type": "sentence_transformers.models.Transformer" }, { "path": "1_Last", "type": last }])
}

#[test]
fn what_runs_right_is_taken() {
    assert_eq!(detected(|_| {}), Detection::Yes);
    assert_eq!(Qwen3.detect(&Tiny::copy("untied").folder()), Detection::Yes);
    assert_eq!(detected(|tiny| tiny.set("architectures", json!(["Qwen3ForSequenceClassification"]))), Detection::Yes);
    let newer = detected(|tiny| {
        tiny.set("rope_theta", Value::Null);
        tiny.set("rope_parameters", json!({ "rope_type": "default", "rope_theta": 1_000_000.0 }));
        tiny.set("layer_types", json!(["full_attention", "full_attention", "full_attention"]));
    });
    assert_eq!(newer, Detection::Yes);
}

#[test]
fn what_would_run_wrong_is_refused_with_what_would_work() {
    let config = |key: &'static str, value: Value| refusal(move |tiny| tiny.set(key, value));
    for (reason, said) in [
        (config("model_type", json!("qwen3_moe")), "the model is a qwen3_moe"),
        (config("architectures", json!(["Qwen3Model"])), "names the architectures [\"Qwen3Model\"]"),
        (config("architectures", json!([])), "names the architectures []"),
        (refusal(|tiny| tiny.put("modules.json", &modules("models.Dense"))), "modules.json has a models.Dense in \"1_Last\""),
    ] {
        assert!(reason.contains(said) && reason.contains(REMEDY), "{reason}");
    }
    for (key, classes) in [("num_labels", json!(3)), ("id2label", json!({ "0": "no", "1": "maybe", "2": "yes" }))] {
        let reason = refusal(|tiny| {
            tiny.set("architectures", json!(["Qwen3ForSequenceClassification"]));
            tiny.set(key, classes);
        });
        assert!(reason.contains("tells 3 classes apart"), "{reason}");
    }
    for (reason, said) in [
        (config("use_sliding_window", json!(true)), "sliding window"),
        (config("layer_types", json!(["full_attention", "sliding_attention"])), "sliding window"),
        (config("rope_scaling", json!({ "rope_type": "yarn", "factor": 4.0 })), "scales positions by \"yarn\""),
        (config("rope_scaling", json!({ "type": "linear", "factor": 4.0 })), "scales positions by \"linear\""),
        (config("attention_bias", json!(true)), "attention_bias"),
        (config("hidden_act", json!("gelu")), "activation \"gelu\""),
        (config("quantization_config", json!({ "quant_method": "gptq" })), "quantised weights are not read"),
    ] {
        assert!(reason.contains(said) && reason.contains("as Qwen published it"), "{reason}");
    }
}

#[test]
fn a_language_model_is_not_taken_for_a_reranker_unless_asked_for() {
    let chats = |tiny: &Tiny| tiny.set("vocab_size", json!(151_936));
    let reason = refusal(chats);
    assert!(reason.contains("not trained to rank") && reason.contains("kind = \"qwen3\""), "{reason}");
    let told = detected(|tiny| {
        chats(tiny);
        tiny.put("1_LogitScore/config.json", &json!({ "true_token_id": 1, "false_token_id": 2 }));
    });
    assert_eq!(told, Detection::Yes);
}

#[test]
fn weights_that_are_not_safetensors_are_refused() {
    let instead =
        |name: &'static str| refusal(move |tiny| fs::rename(tiny.path().join("model.safetensors"), tiny.path().join(name)).unwrap());
    for name in ["pytorch_model.bin", "consolidated.pth"] {
        assert!(instead(name).contains("the weights are pickled") && instead(name).contains(REMEDY));
    }
    assert!(instead("model-Q8_0.gguf").contains("is no GGUF file"));
}

#[test]
fn what_is_no_qwen3_reranker_is_left_to_others() {
    assert_eq!(detected(|tiny| tiny.set("model_type", json!("bert"))), Detection::No);
    assert_eq!(detected(|tiny| tiny.put("modules.json", &modules("sentence_transformers.models.Pooling"))), Detection::No);
    assert_eq!(detected(|tiny| tiny.put("1_Pooling/config.json", &json!({ "pooling_mode_lasttoken": true }))), Detection::No);
    assert_eq!(detected(|tiny| fs::remove_file(tiny.path().join("config.json")).unwrap()), Detection::No);
}
