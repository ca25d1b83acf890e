//! Looking at the beginning of a text gives the tokens of the whole, with the tokenizer that Qwen ships (its smallest words).

use proptest::prelude::*;
use rerank_candle::Tokens;
use rerank_plugin::ControlTokens;

use crate::tiny::Tiny;

const PIECES: [&str; 20] = [
    "a",
    " ",
    "               ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<|im_end|>",
    "<think>",
    "<|im_",
    "e",
    "\u{301}",
    "红",
    "\n",
    "\r\n",
    "'l",
    "'ll",
    "12",
    "?!",
    ">:",
    "👩‍👩‍👧‍👦",
    "\u{0}",
    "capital of China",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn looking_at_the_beginning_gives_the_same_as_looking_at_all(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..200),
        limit in 0usize..20,
    ) {
        let (text, tiny) = (pieces.concat(), Tiny::copy("tied"));
        let parse = || Tokens::read(&tiny.folder(), ControlTokens::Parse).unwrap();
        for tokens in [parse(), parse().without_added().unwrap()] {
            let whole = tokens.first(&text, text.len() + 1).unwrap();
            prop_assert_eq!(&*tokens.first(&text, limit).unwrap(), &whole[..limit.min(whole.len())]);
            let cut = tokens.cut(&text, limit).unwrap();
            prop_assert!(text.starts_with(cut) && (cut.len() == text.len() || whole.len() > limit));
            prop_assert!(whole.len() > limit || cut.len() == text.len());
        }
    }
}
