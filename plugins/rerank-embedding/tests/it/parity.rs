//! Cosines of the reference, and the same from every way to ask.

use rerank_embedding::Embedding;
use rerank_plugin::{
    ControlTokens, Detection, Dtype, LoadOptions,
    testing::conformance::{self, Tolerance},
};
use serde_json::json;

use crate::fixture::{ALL, Changed, detect, load, path, reference, refusal, try_load};

/// The largest difference from the reference, of all documents in one batch and of each alone.
pub(crate) fn worst(folder: &std::path::Path, name: &str, set: impl Fn(&mut LoadOptions)) -> f32 {
    let reference = reference(name);
    let mut worst = 0.0_f32;
    for case in &reference.cases {
        let mut model = load(folder, |options| {
            options.dimensions = case.dimensions;
            set(options);
        });
        let together = model.cosines(&case.asked(), &reference.documents);
        model.store.clear();
        let alone = reference.documents.iter().flat_map(|text| model.cosines(&case.asked(), std::slice::from_ref(text)));
        for (cosine, expected) in together.into_iter().chain(alone).zip(case.cosines.iter().cycle()) {
            worst = worst.max((cosine - expected).abs());
        }
    }
    worst
}

#[test]
fn cosines_are_those_of_the_reference() {
    for name in ALL {
        assert_eq!(detect(&path(name)), Detection::Yes, "{name}");
        for (dtype, tolerance) in [(None, 1e-5), (Some(Dtype::F32), 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let off = worst(&path(name), name, |options| options.dtype = dtype);
            println!("{name} {dtype:?}: at most {off:.1e} off");
            assert!(off <= tolerance, "{name} {dtype:?}: {off}");
        }
        let off = worst(&path(name), name, |options| options.half_vectors = true);
        println!("{name} vectors kept in f16: at most {off:.1e} off");
        assert!(off > 0.0 && off <= 1e-3, "{name}: {off}");
    }
}

/// As many as the reference's; that they are the same, its cosines tell.
#[test]
fn texts_have_as_many_tokens_as_those_of_the_reference() {
    for name in ALL {
        let reference = reference(name);
        let model = load(&path(name), |_| {});
        for case in &reference.cases {
            assert_eq!(model.query_cost(&case.asked()) as usize, case.query_ids.len(), "{name}: {}", case.query);
            for (text, tokens) in reference.documents.iter().zip(&case.document_ids) {
                assert_eq!(model.document_cost(&conformance::document(text)) as usize, tokens.len(), "{name}: {text}");
            }
        }
    }
}

#[test]
fn they_conform() {
    for name in ALL {
        for (threads, batch_tokens, half) in [(1, 16384, false), (2, 150, true), (1, 1, false)] {
            let set = |options: &mut LoadOptions| {
                (options.threads, options.batch_tokens, options.half_vectors) = (threads, batch_tokens, half);
            };
            let (loaded, _) = try_load(&path(name), set).unwrap();
            conformance::check(loaded, if half { Tolerance(1e-3) } else { Tolerance::F32 });
        }
    }
}

#[test]
fn fingerprints_follow_the_options_that_change_scores() {
    for name in ALL {
        conformance::check_fingerprints(&Embedding, |set| try_load(&path(name), set).unwrap().0, 64);
    }
}

#[test]
fn tensors_may_stand_below_the_name_that_a_model_with_a_head_gives_the_body() {
    for (name, prefix, head, dimensions) in [
        ("xlmr-mean", "roberta.", "lm_head.bias", vec![63]),
        ("bert-cls", "bert.", "cls.predictions.bias", vec![146]),
        ("modernbert-mean", "model.", "decoder.bias", vec![389]),
        ("qwen3-last", "model.", "lm_head.weight", vec![618, 32]),
    ] {
        let copy = Changed::copy(name);
        copy.below(prefix);
        assert!(worst(copy.path(), name, |_| {}) <= 1e-5, "{name}");
        copy.tensor(head, &dimensions);
        assert!(worst(copy.path(), name, |_| {}) <= 1e-5, "{name}");
        copy.tensor("adapter.weight", &[1]);
        assert!(refusal(copy.path()).contains("adapter.weight"), "{name}");
    }
}

/// As Qwen3-Embedding-4B and -8B are published: 151669 tokens and 151665 embeddings.
#[test]
fn escaped_control_tokens_need_no_embeddings() {
    let copy = Changed::copy("qwen3-last");
    copy.set("config.json", "vocab_size", json!(614)).cut_rows("embed_tokens.weight", 614);
    assert!(worst(copy.path(), "qwen3-last", |_| {}) <= 1e-5);
    let parsed = try_load(copy.path(), |options| options.control_tokens = ControlTokens::Parse).err().expect("refused").to_string();
    assert!(parsed.contains("it has 618 tokens, and config.json says 614"), "{parsed}");
}

#[test]
fn a_decoder_pools_by_its_last_token_alone() {
    let copy = Changed::copy("qwen3-last");
    for mode in ["mean", "cls"] {
        copy.set("1_Pooling/config.json", "pooling_mode", json!(mode));
        assert!(refusal(copy.path()).contains(&format!("a qwen3 that pools by {mode}")));
        assert!(matches!(detect(copy.path()), Detection::Refused { .. }));
    }
    copy.set("1_Pooling/config.json", "pooling_mode", json!("lasttoken"));
    copy.set("tokenizer.json", "post_processor", serde_json::Value::Null);
    assert!(refusal(copy.path()).contains("it puts no token of the model's own behind texts, which the pooling lasttoken wants"));
    copy.set("config.json", "architectures", json!(["Qwen3ForTokenClassification"]));
    assert!(refusal(copy.path()).contains("Qwen3ForTokenClassification"));

    let first = Changed::copy("bert-cls");
    first.set("tokenizer.json", "post_processor", serde_json::Value::Null);
    assert!(refusal(first.path()).contains("before texts"));
}

#[test]
fn what_was_just_computed_and_what_was_kept_score_the_same() {
    for half in [false, true] {
        let reference = reference("qwen3-last");
        let mut model = load(&path("qwen3-last"), |options| options.half_vectors = half);
        let cold = model.cosines(&reference.cases[0].asked(), &reference.documents);
        let kept = model.store.len();
        assert_eq!(kept, 6);
        assert_eq!(model.cosines(&reference.cases[0].asked(), &reference.documents), cold);
        assert_eq!(model.store.len(), kept);
    }
}
