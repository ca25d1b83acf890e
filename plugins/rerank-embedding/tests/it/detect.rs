//! Which checkpoints are taken, refused with a reason, or left to others.

use rerank_embedding::Embedding;
use rerank_plugin::{Detection, Family};
use serde_json::{Value, json};

use crate::tiny::{Tiny, config, modules};

fn refusal(tiny: &Tiny) -> String {
    match Embedding.detect(&tiny.folder()) {
        Detection::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn with(mut value: Value, key: &str, new: Value) -> Value {
    value[key] = new;
    value
}

#[test]
fn a_bert_that_pools_by_mean_first_or_last_token_is_taken() {
    let tiny = Tiny::write();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes);
    tiny.put("modules.json", &modules(&["Transformer", "Pooling"]));
    tiny.put("config_sentence_transformers.json", &json!({ "prompts": { "query": "", "document": "" } }));
    let newer = ["mean", "cls", "lasttoken"].map(|mode| json!({ "embedding_dimension": 32, "pooling_mode": mode }));
    let older = ["mean_tokens", "cls_token", "lasttoken"].map(|switch| json!({ format!("pooling_mode_{switch}"): true }));
    for pooling in newer.into_iter().chain(older).chain([json!({ "pooling_mode": ["cls"] })]) {
        tiny.put("1_Pooling/config.json", &pooling);
        assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes, "{pooling}");
    }
    let module = |name: &str, path: &str| json!({ "path": path, "type": format!("sentence_transformers.base.modules.{name}") });
    tiny.put("modules.json", &json!([module("transformer.Transformer", ""), module("pooling.Pooling", "1_Pooling")]));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes, "newer files say where a module's code is");
}

#[test]
fn other_poolings_are_refused_with_what_would_work() {
    let tiny = Tiny::write();
    let both = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true });
    for (pooling, words) in [
        (json!({ "pooling_mode_max_tokens": true }), "pools by max"),
        (json!({ "pooling_mode_weightedmean_tokens": true }), "pools by weightedmean"),
        (json!({ "pooling_mode_mean_sqrt_len_tokens": true }), "pools by mean_sqrt_len_tokens"),
        (both, "pools by cls and mean"),
        (json!({ "pooling_mode": ["mean", "max"] }), "pools by mean and max"),
        (json!({ "pooling_mode": "attention" }), "pools by attention"),
        (json!({}), "does not say how"),
    ] {
        tiny.put("1_Pooling/config.json", &pooling);
        let reason = refusal(&tiny);
        assert!(reason.contains("1_Pooling/config.json") && reason.contains(words), "{reason}");
        assert!(reason.contains("mean, CLS or last-token pooling"), "{reason}");
    }
}

#[test]
fn a_checkpoint_that_does_not_tell_its_pooling_is_refused() {
    let tiny = Tiny::write();
    std::fs::remove_file(tiny.path().join("1_Pooling/config.json")).unwrap();
    assert!(refusal(&tiny).contains("1_Pooling/config.json is missing"));
    tiny.put("modules.json", &modules(&["Transformer"]));
    assert!(refusal(&tiny).contains("no Pooling"));
    std::fs::remove_file(tiny.path().join("modules.json")).unwrap();
    assert!(refusal(&tiny).contains("modules.json and 1_Pooling/config.json are missing"));
}

#[test]
fn what_would_change_the_vectors_and_is_not_done_here_is_refused() {
    let tiny = Tiny::write();
    tiny.put("modules.json", &modules(&["Transformer", "Pooling", "Dense"]));
    assert!(refusal(&tiny).contains("Dense"));
    tiny.put("modules.json", &modules(&["Transformer", "Pooling"]));
    tiny.put("modules.json", &modules(&["Transformer", "Pooling", "Pooling"]));
    assert!(refusal(&tiny).contains("Pooling in \"2_Pooling\""));
    tiny.put("modules.json", &json!([{ "path": "", "type": "custom_st.Transformer" }, { "path": "1_Pooling", "type": "x.Pooling" }]));
    assert!(refusal(&tiny).contains("custom_st.Transformer"));
    tiny.put("modules.json", &modules(&["Transformer", "Pooling"]));
    for (told, words) in [
        (json!({ "prompts": { "search_query": "query: " } }), "search_query"),
        (json!({ "prompts": {}, "default_prompt_name": "text" }), "no prompt \"text\""),
        (json!({ "similarity_fn_name": "dot" }), "by dot"),
        (json!({ "similarity_fn_name": "manhattan" }), "by manhattan"),
    ] {
        tiny.put("config_sentence_transformers.json", &told);
        assert!(refusal(&tiny).contains(words), "{told}: {}", refusal(&tiny));
    }
    tiny.put("modules.json", &modules(&["Transformer", "Pooling", "Normalize"]));
    tiny.put("config_sentence_transformers.json", &json!({ "similarity_fn_name": "dot", "prompts": { "query": "query: " } }));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes, "of vectors of length 1 the product is the cosine");
    tiny.put("1_Pooling/config.json", &json!({ "pooling_mode": "mean", "include_prompt": false }));
    assert!(refusal(&tiny).contains("include_prompt"));
    tiny.put("1_Pooling/config.json", &json!({ "pooling_mode": "cls", "include_prompt": false }));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes, "the first token is not the prompt's");
    tiny.put("config_sentence_transformers.json", &json!({}));
    tiny.put("config.json", &with(config(), "auto_map", json!({ "AutoModel": "modeling.Model" })));
    assert!(refusal(&tiny).contains("auto_map"));
    tiny.put("config.json", &with(config(), "position_embedding_type", json!("relative_key")));
    assert!(refusal(&tiny).contains("config.json"));
    tiny.put("config.json", &with(config(), "model_type", json!("mpnet")));
    assert!(refusal(&tiny).contains("the model is a mpnet"));
}

#[test]
fn what_is_no_embedding_model_is_left_to_others() {
    let tiny = Tiny::write();
    tiny.put("config.json", &with(config(), "architectures", json!(["BertForSequenceClassification"])));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No);
    tiny.put("config.json", &with(config(), "model_type", json!("qwen3")));
    tiny.put("modules.json", &modules(&["Transformer", "LogitScore"]));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No, "a reranker");
    std::fs::remove_file(tiny.path().join("modules.json")).unwrap();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No);
    std::fs::remove_file(tiny.path().join("config.json")).unwrap();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No);
}
