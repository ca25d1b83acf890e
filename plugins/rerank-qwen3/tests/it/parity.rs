//! The scores of transformers 4.57.6 on the same files.

use rerank_plugin::{ControlTokens, Dtype, LoadOptions, Query, testing::conformance::query};
use serde_json::json;

use crate::tiny::Tiny;

/// Returns the largest distance of a probability, and of a pair of log-odds, from the reference's.
pub(crate) fn distance(tiny: &Tiny, name: &str, set: impl Fn(&mut LoadOptions)) -> (f32, f32) {
    let (mut by_score, mut by_odds) = (0f32, 0f32);
    for case in Tiny::expected(name)["cases"].as_array().unwrap() {
        let mut model = tiny.load(|options| {
            options.control_tokens = ControlTokens::Parse;
            options.max_tokens = case["max_length"].as_u64().filter(|length| *length < 2048).map(|length| length as u32);
            set(options);
        });
        let asked = Query { instruction: case["instruction"].as_str().map(Into::into), ..query(case["query"].as_str().unwrap()) };
        let documents: Vec<&str> = case["documents"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let numbers = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
        let together = model.scores(&asked, &documents);
        let alone = documents.iter().map(|document| model.scores(&asked, &[document])[0]);
        for (found, expected) in together.iter().zip(case["scores"].as_array().unwrap()) {
            by_score = by_score.max((found.presented() - numbers(expected)).abs());
        }
        for (found, expected) in alone.zip(case["logits_no_yes"].as_array().unwrap()) {
            by_odds = by_odds.max((found.order() - (numbers(&expected[1]) - numbers(&expected[0]))).abs());
        }
    }
    (by_score, by_odds)
}

#[test]
fn scores_are_those_of_transformers() {
    for name in ["tied", "untied"] {
        for (dtype, tolerance) in [(None, 1e-5), (Some(Dtype::F32), 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let (by_score, by_odds) = distance(&Tiny::copy(name), name, |options| options.dtype = dtype);
            println!("{name} {dtype:?}: {by_score:.1e} of the score, {by_odds:.1e} of the log-odds");
            assert!(by_score <= tolerance && by_odds <= 5.0 * tolerance, "{name} {dtype:?}: {by_score} {by_odds}");
        }
    }
}

#[test]
fn passes_of_any_size_give_the_same() {
    let tiny = Tiny::copy("tied");
    for batch_tokens in [1, 100, 200] {
        assert!(distance(&tiny, "tied", |options| options.batch_tokens = batch_tokens).0 <= 1e-5, "{batch_tokens}");
    }
}

#[test]
fn a_sharded_checkpoint_gives_the_same() {
    let tiny = Tiny::copy("untied");
    tiny.shard();
    assert!(distance(&tiny, "untied", |_| {}).0 <= 1e-5);
}

#[test]
fn the_answers_that_the_checkpoint_names_win() {
    let tiny = Tiny::copy("tied");
    let expected = Tiny::expected("tied");
    tiny.put(
        "modules.json",
        &json!([
            { "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer" },
            { "idx": 1, "name": "1", "path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore" },
        ]),
    );
    tiny.put("1_LogitScore/config.json", &json!({ "true_token_id": expected["yes"], "false_token_id": expected["no"] }));
    tiny.edit("tokenizer.json", |tokenizer| {
        let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let yes = words.remove("yes").unwrap();
        words.insert("sey".into(), yes);
        tokenizer["model"]["merges"].as_array_mut().unwrap().retain(|merge| !merge.to_string().contains("es"));
    });
    let mut model = tiny.load(|_| {});
    let found = model.scores(&query("What is the capital of China?"), &["Gravity"])[0];
    tiny.put("1_LogitScore/config.json", &json!({ "true_token_id": expected["no"], "false_token_id": expected["yes"] }));
    let turned = tiny.load(|_| {}).scores(&query("What is the capital of China?"), &["Gravity"])[0];
    assert!((found.order() + turned.order()).abs() < 1e-5 && found.order().abs() > 0.01, "{found:?} {turned:?}");
}

#[test]
fn a_single_logit_conversion_gives_the_same() {
    for (name, head) in [("tied", "model.embed_tokens.weight"), ("untied", "lm_head.weight")] {
        let tiny = Tiny::copy(name);
        tiny.set("architectures", json!(["Qwen3ForSequenceClassification"]));
        tiny.set("id2label", json!({ "0": "LABEL_0" }));
        let expected = Tiny::expected(name);
        let [yes, no] = ["yes", "no"].map(|word| expected[word].as_u64().unwrap() as usize);
        tiny.change(|weights| {
            let head = weights[head].to_dtype(candle_core::DType::F32).unwrap();
            let row = (head.get(yes).unwrap() - head.get(no).unwrap()).unwrap().unsqueeze(0).unwrap();
            weights.insert("score.weight".into(), row);
            weights.remove("lm_head.weight");
        });
        assert!(distance(&tiny, name, |_| {}).0 <= 1e-5, "{name}");
    }
}
