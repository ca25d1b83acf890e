//! Which checkpoints are taken, refused with a reason, or left to others.

use rerank_plugin::Detection;
use serde_json::{Value, json};

use crate::fixture::{ALL, Changed, detect, path, refusal};

fn reason(changed: &Changed) -> String {
    let Detection::Refused { reason } = detect(changed.path()) else { panic!("it is refused") };
    assert_eq!(reason, refusal(changed.path()), "a load says the same");
    reason
}

/// Asserts that a fixture with another value in `config.json` is refused in words that hold `word`.
fn assert_refused(name: &str, (key, value): (&str, Value), word: &str) {
    let changed = Changed::copy(name);
    changed.config(key, value);
    let reason = reason(&changed);
    assert!(reason.contains(word), "{key}: {reason}");
}

#[test]
fn the_families_are_taken() {
    for name in ALL {
        assert_eq!(detect(&path(name)), Detection::Yes, "{name}");
    }
}

#[test]
fn what_is_no_classifier_is_left_to_others() {
    let changed = Changed::copy("bert");
    changed.config("architectures", json!(["BertModel"]));
    assert_eq!(detect(changed.path()), Detection::No);
    assert!(refusal(changed.path()).contains("names [\"BertModel\"], and a cross-encoder is a …ForSequenceClassification"));
    changed.config("architectures", json!(null));
    assert_eq!(detect(changed.path()), Detection::No);
    std::fs::remove_file(changed.path().join("config.json")).unwrap();
    assert_eq!(detect(changed.path()), Detection::No);
}

#[test]
fn other_classifiers_are_refused_with_what_would_work() {
    let changed = Changed::copy("bert");
    changed.config("model_type", json!("deberta")).config("architectures", json!(["DebertaForSequenceClassification"]));
    let words = reason(&changed);
    assert!(words.contains("the model is a deberta;") && words.contains("BAAI/bge-reranker-v2-m3"), "{words}");
    changed.config("model_type", json!("qwen3")).config("architectures", json!(["Qwen3ForSequenceClassification"]));
    assert!(reason(&changed).contains("the model is a qwen3"));
    assert_refused("xlmr", ("auto_map", json!({ "AutoModel": "modeling.Own" })), "code of its own");
    assert_refused("xlmr", ("architectures", json!(["RobertaForSequenceClassification"])), "not XLMRobertaForSequenceClassification alone");
}

#[test]
fn what_would_change_scores_and_is_not_done_here_is_refused() {
    for (key, value, word) in [
        ("hidden_act", json!("mish"), "hidden_act is \"mish\""),
        ("position_embedding_type", json!("relative_key"), "position_embedding_type"),
        ("is_decoder", json!(true), "is_decoder"),
        ("add_cross_attention", json!(true), "add_cross_attention"),
        ("id2label", json!({ "0": "a", "1": "b", "2": "c" }), "the classifier has 3 labels"),
        ("id2label", json!({ "0": "RELEVANT", "1": "OTHER" }), "nothing tells which of the labels"),
        (
            "sentence_transformers",
            json!({ "activation_fn": "torch.nn.modules.activation.Tanh" }),
            "the activation torch.nn.modules.activation.Tanh",
        ),
        ("sbert_ce_default_activation_function", json!("torch.nn.modules.activation.Softmax"), "Softmax follows 1 labels"),
    ] {
        assert_refused("bert", (key, value), word);
    }
    for (key, value, word) in [
        ("hidden_activation", json!("mish"), "hidden_activation is \"mish\""),
        ("classifier_activation", json!("mish"), "classifier_activation is \"mish\""),
        ("classifier_pooling", json!("max"), "classifier_pooling is \"max\""),
        ("rope_parameters", json!({ "full_attention": { "rope_type": "yarn", "rope_theta": 1e4 } }), "rotary positions"),
        ("layer_types", json!(["full_attention"]), "layer_types"),
        ("global_attn_every_n_layers", json!(0), "which layers see everything"),
    ] {
        assert_refused("modernbert", (key, value), word);
    }
    let changed = Changed::copy("bert");
    changed.put("modules.json", &json!([{ "idx": 0, "name": "0", "path": "", "type": "a.Transformer" }]));
    assert_eq!(detect(changed.path()), Detection::Yes);
    changed.put("config_sentence_transformers.json", &json!({ "prompts": { "query": "find: " } }));
    assert!(reason(&changed).contains("prompts"));
    changed.put("modules.json", &json!([{ "idx": 1, "name": "1", "path": "1_Dense", "type": "a.Dense" }]));
    assert!(reason(&changed).contains("has a a.Dense in \"1_Dense\""));
}

#[test]
fn what_a_deberta_would_do_otherwise_is_refused() {
    for (key, value, word) in [
        ("relative_attention", json!(false), "config.json says that relative_attention is false"),
        ("is_decoder", json!(true), "is_decoder"),
        ("hidden_act", json!("mish"), "hidden_act is \"mish\""),
        ("pooler_hidden_act", json!("mish"), "pooler_hidden_act is \"mish\""),
        ("pos_att_type", json!(["c2p", "p2p"]), "pos_att_type names \"p2p\""),
        ("pos_att_type", json!("c2p|p2p"), "pos_att_type names \"p2p\""),
        ("pos_att_type", json!([]), "pos_att_type names neither c2p nor p2c"),
        ("pos_att_type", json!(null), "pos_att_type names neither c2p nor p2c"),
        ("norm_rel_ebd", json!("batch_norm"), "norm_rel_ebd is \"batch_norm\""),
        ("position_buckets", json!(1), "position_buckets is 1, which does not fit distances of up to 64"),
        ("max_relative_positions", json!(9), "position_buckets is 16, which does not fit distances of up to 9"),
        ("attention_head_size", json!(32), "attention_head_size is 32, where hidden_size makes it 16"),
        ("pooler_hidden_size", json!(32), "pooler_hidden_size is 32, where hidden_size makes it 64"),
        ("conv_kernel_size", json!(4), "conv_kernel_size is 4, which has no middle"),
    ] {
        assert_refused("debertav3", (key, value), word);
    }
    assert_refused("debertav2", ("conv_groups", json!(4)), "conv_groups is 4; take a checkpoint made like microsoft/deberta-v3-base");
    let changed = Changed::copy("debertav3");
    std::fs::remove_file(changed.path().join("tokenizer.json")).unwrap();
    assert!(reason(&changed).contains("has no tokenizer.json, and spm.model is not read; let transformers write one"));
    assert_refused("debertav2", ("conv_act", json!("mish")), "conv_act is \"mish\"");
}
