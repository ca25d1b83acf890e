//! Prompts, instructions, lower case and the room that they leave.

use rerank_plugin::{ControlTokens, Fault, testing::conformance::document};
use serde_json::json;

use crate::fixture::{Changed, asked, load, path, refusal, try_load};

const FILE: &str = "config_sentence_transformers.json";

#[test]
fn a_rules_instruction_takes_the_place_of_the_prompts() {
    let mut model = load(&path("qwen3-last"), |_| {});
    assert!(model.preparer.card().takes_instruction);
    let texts = ["gravity".to_owned()];
    let plain = model.cosines(&asked("force", None), &texts);
    let same = "Given a web search query, retrieve relevant passages that answer the query";
    assert_eq!(model.cosines(&asked("force", Some(same)), &texts), plain);
    assert_ne!(model.cosines(&asked("force", Some("Find shoes")), &texts), plain);
    for name in ["bert-cls", "xlmr-mean", "modernbert-mean"] {
        assert!(!load(&path(name), |_| {}).preparer.card().takes_instruction, "{name}");
    }
}

#[test]
fn a_long_instruction_leaves_room_for_the_query() {
    let model = load(&path("qwen3-last"), |_| {});
    let (long, prompt) = ("gravity ".repeat(5000), 18);
    let cost = model.query_cost(&asked(&long, Some(&long)));
    assert!((64 + 256..64 + 256 + prompt).contains(&cost), "{cost}");
    let copy = Changed::copy("qwen3-last");
    copy.set("config.json", "max_position_embeddings", json!(96));
    let small = load(copy.path(), |_| {});
    assert_eq!(small.query_cost(&asked(&long, Some(&long))), 96);
    assert!(small.query_cost(&asked("force", Some(&long))) < 96, "half of the positions are the instruction's");
}

#[test]
fn a_prompt_does_not_count_toward_a_querys_own_tokens() {
    let long = "gravity ".repeat(5000);
    let (with, without) = (load(&path("bert-cls"), |_| {}), Changed::copy("bert-cls"));
    without.set(FILE, "prompts", json!({}));
    let without = load(without.path(), |_| {});
    assert_eq!((without.query_cost(&asked(&long, None)), with.query_cost(&asked(&long, None))), (64, 96));
    assert_eq!(with.query_cost(&asked("gravity", None)) - without.query_cost(&asked("gravity", None)), 40);
}

#[test]
fn a_prompt_that_leaves_no_room_or_holds_a_control_token_is_refused() {
    let copy = Changed::copy("bert-cls");
    copy.set(FILE, "prompts", json!({ "query": "gravity ".repeat(100) }));
    assert!(refusal(copy.path()).contains("cannot stand before texts"));
    copy.set(FILE, "prompts", json!({ "document": "gravity: " }));
    let little = try_load(copy.path(), |options| options.max_tokens = Some(4)).err().expect("no room").to_string();
    assert!(little.contains("there is room for 4"), "{little}");
    copy.set(FILE, "prompts", json!({ "query": "a [SEP] " }));
    assert!(refusal(copy.path()).contains("holds the control token \"[SEP]\""));
    try_load(copy.path(), |options| options.control_tokens = ControlTokens::Parse).expect("then it is what the reference makes of it");
}

#[test]
fn a_text_without_tokens_is_empty_behind_its_prompt_too() {
    let model = load(&path("bert-cls"), |_| {});
    for text in [" ", "\u{0}", "\u{0}\n"] {
        assert!(matches!(model.preparer.query(&asked(text, None)), Err(Fault::Input(_))), "{text:?}");
    }
    for name in ["modernbert-mean", "qwen3-last"] {
        assert!(matches!(load(&path(name), |_| {}).preparer.query(&asked(" \n", None)), Err(Fault::Input(_))), "{name}");
    }
}

#[test]
fn texts_are_read_in_lower_case_where_the_model_says_so() {
    let copy = Changed::copy("modernbert-mean");
    let texts = ["THE CAPITAL OF CHINA".to_owned(), "the capital of china".to_owned()];
    let cosines = |folder: &std::path::Path| load(folder, |_| {}).cosines(&asked("gravity", None), &texts);
    let cased = cosines(copy.path());
    assert_ne!(cased[0], cased[1]);
    copy.set("sentence_bert_config.json", "do_lower_case", json!(true));
    let lower = cosines(copy.path());
    assert!(lower.iter().all(|cosine| (cosine - cased[1]).abs() <= 1e-5), "{lower:?} {cased:?}");
}

#[test]
fn white_space_around_texts_does_not_count() {
    let model = load(&path("qwen3-last"), |_| {});
    let cost = |text: &str| model.document_cost(&document(text));
    assert_eq!(cost("  gravity\n\n"), cost("gravity"));
}
