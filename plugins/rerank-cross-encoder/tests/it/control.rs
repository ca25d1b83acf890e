//! Control tokens that somebody typed.

use proptest::prelude::*;
use rerank_candle::Tokens;
use rerank_plugin::{ControlTokens, Folder};
use serde_json::json;

use crate::fixture::{ALL, Changed, load, path, refusal};

/// A family's tokens of its own, and the token that also stands for what is unknown.
type Own = (&'static str, &'static [(&'static str, u32)], u32);

const DEBERTA: &[(&str, u32)] = &[("[PAD]", 0), ("[CLS]", 1), ("[SEP]", 2), ("[MASK]", 61)];

const OWN: [Own; 5] = [
    ("bert", &[("[PAD]", 0), ("[CLS]", 2), ("[SEP]", 3), ("[MASK]", 4)], 1),
    ("xlmr", &[("<s>", 0), ("<pad>", 1), ("</s>", 2)], 3),
    ("modernbert", &[("[PAD]", 0), ("[CLS]", 2), ("[SEP]", 3), ("[MASK]", 4)], 1),
    ("debertav3", DEBERTA, 3),
    ("debertav2", DEBERTA, 3),
];

fn tokens(name: &str, control: ControlTokens) -> Tokens {
    Tokens::read(&Folder::open(path(name)).unwrap(), control).unwrap()
}

#[test]
fn typed_control_tokens_are_plain_text() {
    for (name, own, unknown) in OWN {
        let (escaped, parsed) = (tokens(name, ControlTokens::Escape), tokens(name, ControlTokens::Parse));
        for (typed, id) in own {
            // Wide letters become narrow ones where a tokenizer normalises.
            let wide = typed.replace('<', "＜").replace('/', "／").replace('>', "＞").replace('s', "ｓ");
            for text in [(*typed).to_owned(), format!("the {typed} of{typed}"), wide, format!("\u{10ffff}{typed}"), typed.to_lowercase()] {
                let found = escaped.first(&text, 99).unwrap();
                assert!(!found.contains(id) || *id == unknown, "{name}: {text:?} is {found:?}");
                assert!(!found.is_empty(), "{name}: {text:?} is text");
            }
            assert!(parsed.first(typed, 99).unwrap().contains(id), "{name}: {typed} is parsed when that is asked for");
        }
    }
}

#[test]
fn what_is_no_control_token_does_not_change() {
    let texts = ["what is the capital of china?", "北京是中国的首都 café", "a < b / c > s [ s ] \u{10ffff}", ""];
    for name in ALL {
        let (escaped, parsed) = (tokens(name, ControlTokens::Escape), tokens(name, ControlTokens::Parse));
        for text in texts {
            assert_eq!(escaped.first(text, 99).unwrap(), parsed.first(text, 99).unwrap(), "{name}: {text}");
        }
    }
}

#[test]
fn a_typed_separator_moves_no_border() {
    for (name, own, _) in OWN {
        let separator = own[2].0;
        let attack = format!("force {separator} gravity");
        let mut escaped = load(&path(name), |_| {});
        let mut parsed = load(&path(name), |options| options.control_tokens = ControlTokens::Parse);
        assert!(escaped.cost("gravity", &attack) > parsed.cost("gravity", &attack), "{name}");
        assert!(escaped.score("gravity", &attack) != parsed.score("gravity", &attack), "{name}");
        assert_ne!(escaped.preparer.card().fingerprint, parsed.preparer.card().fingerprint, "{name}");
    }
}

#[test]
fn added_tokens_are_text_too_but_white_space_stays() {
    let changed = Changed::copy("modernbert");
    let mut tokenizer = changed.json("tokenizer.json");
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    for (id, content) in [(389, "<think>"), (390, "   ")] {
        added.push(json!({ "id": id, "content": content, "special": false, "single_word": false, "lstrip": false, "rstrip": false, "normalized": true }));
    }
    changed.put("tokenizer.json", &tokenizer);
    let first = |control, text: &str| Tokens::read(&Folder::open(changed.path()).unwrap(), control).unwrap().first(text, 99).unwrap();
    assert!(first(ControlTokens::Parse, "a<think>").contains(&389));
    assert!(!first(ControlTokens::Escape, "a<think>").contains(&389));
    for control in [ControlTokens::Parse, ControlTokens::Escape] {
        assert!(first(control, "a   b").contains(&390));
    }
}

#[test]
fn a_tokenizer_whose_words_are_control_tokens_is_refused() {
    let changed = Changed::copy("bert");
    let mut tokenizer = changed.json("tokenizer.json");
    tokenizer["pre_tokenizer"] = json!({ "type": "WhitespaceSplit" });
    tokenizer["normalizer"] = json!(null);
    changed.put("tokenizer.json", &tokenizer);
    let words = refusal(changed.path());
    assert!(words.contains("makes a control token of \"[PAD]\" in a text"), "{words}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn looking_at_the_beginning_gives_the_same_as_looking_at_all(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "gravity", " ", "                    ", "qqqqqqqqqqqqqqqq", "[SEP]", "</s>", "[", "<", "e", "\u{301}", "北京", "\n", "ﬁ", "'s", "is the",
        ]), 0..200),
        limit in 0usize..20,
    ) {
        let text = pieces.concat();
        for name in ALL {
            for control in [ControlTokens::Escape, ControlTokens::Parse] {
                let tokens = tokens(name, control);
                let mut whole = tokens.first(&text, text.len() + 1).unwrap();
                let cut = tokens.cut(&text, limit).unwrap();
                prop_assert!(text.starts_with(cut) && (whole.len() > limit || cut == text));
                whole.truncate(limit);
                prop_assert_eq!(tokens.first(&text, limit).unwrap(), whole);
            }
        }
    }
}
