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
fn a_bert_with_mean_pooling_is_taken() {
    let tiny = Tiny::write();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes);
    tiny.put("modules.json", &modules(&["Transformer", "Pooling"]));
    tiny.put("1_Pooling/config.json", &json!({ "embedding_dimension": 32, "pooling_mode": "mean" }));
    tiny.put("config_sentence_transformers.json", &json!({ "prompts": { "query": "", "document": "" } }));
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::Yes);
}

#[test]
fn other_poolings_are_refused_with_what_would_work() {
    let tiny = Tiny::write();
    let cls = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false });
    let both = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true });
    for pooling in [cls, both, json!({ "pooling_mode": "cls" }), json!({})] {
        tiny.put("1_Pooling/config.json", &pooling);
        let reason = refusal(&tiny);
        assert!(reason.contains("1_Pooling/config.json") && reason.contains("BERT with mean pooling"), "{reason}");
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
    tiny.put("config_sentence_transformers.json", &json!({ "prompts": { "query": "query: " } }));
    assert!(refusal(&tiny).contains("prompts"));
    tiny.put("config_sentence_transformers.json", &json!({}));
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
    std::fs::remove_file(tiny.path().join("modules.json")).unwrap();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No);
    std::fs::remove_file(tiny.path().join("config.json")).unwrap();
    assert_eq!(Embedding.detect(&tiny.folder()), Detection::No);
}
