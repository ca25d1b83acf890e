//! Turns texts into tokens: what `tokenizer.json` says, but with lengths and control tokens as the host asks.

use rerank_plugin::{ControlTokens, Fault, Folder, LoadError};
use tokenizers::{Encoding, Tokenizer};

const FILE: &str = "tokenizer.json";

/// Bytes of a text that are looked at first for each token that is wanted.
const BYTES_PER_TOKEN: usize = 8;

/// A tokenizer that neither pads nor cuts on its own.
pub struct Tokens {
    tokenizer: Tokenizer,
    before: Vec<u32>,
    after: Vec<u32>,
    longest_added: usize,
}

// === impl Tokens ===

impl Tokens {
    /// Reads `tokenizer.json`, whose own padding and truncation are switched off.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or malformed.
    pub fn read(folder: &Folder, control_tokens: ControlTokens) -> Result<Self, LoadError> {
        let malformed = |error: tokenizers::Error| LoadError::Malformed { path: folder.path().join(FILE), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(folder.read(FILE)?).map_err(malformed)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(malformed)?;
        tokenizer.set_encode_special_tokens(control_tokens == ControlTokens::Escape);
        let added = tokenizer.get_added_tokens_decoder();
        let longest_added = added.values().map(|token| token.content.len()).max().unwrap_or_default();
        let (before, after) = frame(&tokenizer.encode("a", true).map_err(malformed)?);
        Ok(Self { tokenizer, before, after, longest_added })
    }

    /// Takes the added tokens out of the tokenizer, so that none is found in a text, whether the file calls it special or not.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] with the library's words when the tokenizer does not work without them.
    pub fn without_added(self) -> Result<Self, LoadError> {
        let mut bare = Tokenizer::new(self.tokenizer.get_model().clone());
        let normalizer = bare.with_normalizer(self.tokenizer.get_normalizer().cloned());
        normalizer.map_err(|error| LoadError::Malformed { path: FILE.into(), reason: error.to_string() })?;
        bare.with_pre_tokenizer(self.tokenizer.get_pre_tokenizer().cloned());
        bare.with_post_processor(self.tokenizer.get_post_processor().cloned());
        Ok(Self { tokenizer: bare, longest_added: 0, ..self })
    }

    /// Returns the token that is written so, an added one too.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// One more than the largest token.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest as usize + 1)
    }

    /// How many tokens the model wants around every text, such as `[CLS]` and `[SEP]`.
    pub fn frame(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Puts the tokens that the model wants around a text.
    pub fn framed(&self, content: &[u32]) -> Vec<u32> {
        [&self.before, content, &self.after].concat()
    }

    /// Returns the first tokens of a text, at most `limit`, without looking much further into it.
    ///
    /// # Errors
    /// [`Fault::Input`] when the tokenizer refuses the text.
    pub fn first(&self, text: &str, limit: usize) -> Result<Vec<u32>, Fault> {
        let (encoding, settled) = self.begun(text, limit)?;
        Ok(encoding.get_ids()[..settled.min(limit)].to_vec())
    }

    /// Returns the beginning of a text that its first tokens, at most `limit`, stand for.
    ///
    /// # Errors
    /// [`Fault::Input`] when the tokenizer refuses the text.
    pub fn cut<'t>(&self, text: &'t str, limit: usize) -> Result<&'t str, Fault> {
        let (encoding, _) = self.begun(text, limit)?;
        let behind = encoding.get_offsets().get(limit);
        Ok(behind.map_or(text, |(start, _)| &text[..text.floor_char_boundary(*start)]))
    }

    /// Returns a text's beginning as tokens, and how many of them stay as they are, however it goes on: at least `limit`, or
    /// the whole text's.
    fn begun(&self, text: &str, limit: usize) -> Result<(Encoding, usize), Fault> {
        let mut end = BYTES_PER_TOKEN * limit + self.longest_added;
        loop {
            let seen = &text[..text.floor_char_boundary(end)];
            let encoding = self.tokenizer.encode(seen, false).map_err(|error| Fault::Input(format!("not tokenised: {error}").into()))?;
            let settled = if seen.len() == text.len() { encoding.len() } else { self.settled(&encoding, seen.len()) };
            if settled >= limit || seen.len() == text.len() {
                return Ok((encoding, settled));
            }
            end *= 4;
        }
    }

    /// Returns how many tokens stay as they are, however the text goes on behind `end`: those before the last word, unless
    /// that can become part of a control token.
    fn settled(&self, encoding: &Encoding, end: usize) -> usize {
        let words = encoding.get_word_ids();
        let last = words.last().copied().flatten();
        let open = |(word, offsets): (&Option<u32>, &(usize, usize))| *word == last || offsets.1 + self.longest_added > end;
        words.iter().zip(encoding.get_offsets()).position(open).unwrap_or(words.len())
    }
}

/// Returns what the post-processor put before and after the content.
fn frame(encoding: &Encoding) -> (Vec<u32>, Vec<u32>) {
    let mask = encoding.get_special_tokens_mask();
    let before = mask.iter().take_while(|special| **special == 1).count();
    let after = mask.iter().skip(before).rev().take_while(|special| **special == 1).count();
    let ids = encoding.get_ids();
    (ids[..before].to_vec(), ids[ids.len() - after..].to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rerank_plugin::{ControlTokens, Folder};

    use super::Tokens;

    const BERT: &str = r###"{
        "version": "1.0",
        "truncation": { "max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": { "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": [
            { "id": 2, "content": "[CLS]", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false },
            { "id": 3, "content": "[SEP]", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false }
        ],
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": { "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[": 4, "]": 5, "a": 6, "##a": 7, "s": 8, "##e": 9, "##p": 10, "é": 11, "e": 12 }
        }
    }"###;

    fn tokens(control: ControlTokens) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer.json"), BERT).unwrap();
        Tokens::read(&Folder::open(folder.path()).unwrap(), control).unwrap()
    }

    #[test]
    fn the_files_own_lengths_do_not_count() {
        let tokens = tokens(ControlTokens::Escape);
        assert_eq!(tokens.first("a a a a a a aa", 99).unwrap(), [6, 6, 6, 6, 6, 6, 6, 7]);
        assert_eq!(tokens.first("a", 99).unwrap(), [6]);
        assert_eq!(tokens.framed(&[6]), [2, 6, 3]);
        assert_eq!((tokens.frame(), tokens.vocabulary()), (2, 13));
    }

    #[test]
    fn a_text_is_cut_behind_its_first_tokens() {
        let tokens = tokens(ControlTokens::Escape);
        let long = "a ".repeat(1000);
        for (text, limit, beginning) in [("a a  aaa", 3, "a a  a"), ("a a", 2, "a a"), ("a a", 9, "a a"), (&long, 2, "a a "), ("", 0, "")] {
            assert_eq!(tokens.cut(text, limit).unwrap(), beginning);
        }
    }

    #[test]
    fn control_tokens_are_escaped_or_parsed() {
        assert_eq!(tokens(ControlTokens::Escape).first("a[SEP]", 99).unwrap(), [6, 4, 8, 9, 10, 5]);
        assert_eq!(tokens(ControlTokens::Parse).first("a[SEP]", 99).unwrap(), [6, 3]);
    }

    #[test]
    fn added_tokens_are_known_but_not_found() {
        let tokens = tokens(ControlTokens::Parse);
        assert_eq!((tokens.id("[SEP]"), tokens.id("é"), tokens.id("missing")), (Some(3), Some(11), None));
        assert_eq!(tokens.without_added().unwrap().first("a[SEP]", 99).unwrap(), [6, 4, 8, 9, 10, 5]);
    }

    proptest! {
        /// Words of many letters are one unknown token, and their beginnings are many known ones.
        #[test]
        fn looking_at_the_beginning_gives_the_same_as_looking_at_all(
            pieces in prop::collection::vec(prop::sample::select(vec!["a", " ", "               ", "aaaaaaaaaaaaaaaq", "[SEP]", "[", "e", "\u{301}", "红", "\n"]), 0..300),
            limit in 0usize..20,
        ) {
            let text = pieces.concat();
            for control in [ControlTokens::Escape, ControlTokens::Parse] {
                let tokens = tokens(control);
                let mut whole = tokens.first(&text, text.len() + 1).unwrap();
                whole.truncate(limit);
                prop_assert_eq!(tokens.first(&text, limit).unwrap(), whole);
            }
        }
    }
}
