//! Turns texts into tokens: what `tokenizer.json` says, but with lengths and control tokens as the host asks.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use rerank_plugin::{ControlTokens, Fault, Folder, LoadError};
use serde::Deserialize;
use tokenizers::{AddedToken, Encoding, ModelWrapper, Tokenizer, models::unigram::Unigram};

use crate::{Gguf, PairFrame};

const FILE: &str = "tokenizer.json";

/// Bytes of a text that are looked at first for each token that is wanted.
const BYTES_PER_TOKEN: usize = 8;

/// What the names of hidden pieces begin with, and what stands for it in texts: two characters that mean nothing, equally long.
const HIDDEN: char = '\u{10ffff}';
const SEEN: &str = "\u{10fffe}";

/// A tokenizer that neither pads nor cuts on its own.
pub struct Tokens {
    tokenizer: Tokenizer,
    before: Vec<u32>,
    after: Vec<u32>,
    longest_added: usize,
    escapes: bool,
    hides: bool,
}

/// Tells the number of a Unigram's unknown piece.
type Unknown<'a> = &'a dyn Fn() -> Result<Option<usize>, LoadError>;

/// The part of `tokenizer.json` that the tokenizer does not give back.
#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    unk_id: Option<usize>,
}

// === impl Tokens ===

impl Tokens {
    /// Reads `tokenizer.json`, whose own padding and truncation are switched off.
    ///
    /// # Errors
    /// [`LoadError`] when the file is missing or malformed, or when control tokens cannot be kept out of its texts.
    pub fn read(folder: &Folder, control_tokens: ControlTokens) -> Result<Self, LoadError> {
        let path = folder.path().join(FILE);
        let tokenizer = Tokenizer::from_bytes(folder.read(FILE)?).map_err(malformed(&path))?;
        let unknown = || folder.json(FILE).map(|File { model: Model { unk_id } }| unk_id);
        Self::of(tokenizer, &path, control_tokens, &unknown)
    }

    /// Takes the tokenizer out of a GGUF file.
    ///
    /// # Errors
    /// [`LoadError`] when it is not all there, or not the tokenizer of Qwen.
    pub fn of_gguf(gguf: &Gguf, control_tokens: ControlTokens) -> Result<Self, LoadError> {
        Self::of(gguf.tokenizer()?, gguf.path(), control_tokens, &|| Ok(None))
    }

    /// `path` is where the tokenizer comes from, `unknown` tells a Unigram's piece for what it does not know.
    fn of(mut tokenizer: Tokenizer, path: &Path, control_tokens: ControlTokens, unknown: Unknown<'_>) -> Result<Self, LoadError> {
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(malformed(path))?;
        let escapes = control_tokens == ControlTokens::Escape;
        let hides = escapes && escape(&mut tokenizer, path, unknown)?;
        let added = tokenizer.get_added_tokens_decoder();
        let longest_added = added.values().map(|token| token.content.len()).max().unwrap_or_default();
        let (before, after) = frame(&tokenizer.encode("a", true).map_err(malformed(path))?);
        Ok(Self { tokenizer, before, after, longest_added, escapes, hides })
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

    /// Returns the control token that stands in a text, if one does.
    pub fn control_token_in(&self, text: &str) -> Option<String> {
        let added = self.tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content);
        added.filter(|content| !content.trim().is_empty() && text.contains(content)).min()
    }

    /// One more than the largest token.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest as usize + 1)
    }

    /// One more than the largest token that a row can hold: what is escaped is in no text, and checkpoints may leave out its
    /// row of the embeddings.
    pub fn reach(&self) -> usize {
        let added = self.tokenizer.get_added_tokens_decoder().into_iter();
        let found = added.filter(|(_, token)| !self.escapes || token.content.trim().is_empty()).map(|(id, _)| id);
        let all = self.tokenizer.get_vocab(false).into_values().chain(found).chain(self.before.iter().chain(&self.after).copied());
        all.max().map_or(0, |largest| largest as usize + 1)
    }

    /// How many tokens the model wants around every text, such as `[CLS]` and `[SEP]`.
    pub fn frame(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Returns the tokens that the model wants before and behind every text.
    pub fn sides(&self) -> (&[u32], &[u32]) {
        (&self.before, &self.after)
    }

    /// Puts the tokens that the model wants around a text.
    pub fn framed(&self, content: &[u32]) -> Vec<u32> {
        [&self.before, content, &self.after].concat()
    }

    /// Returns what the model wants around and between two texts; nothing when the tokenizer does not put one behind the other.
    pub fn pair_frame(&self) -> Option<PairFrame> {
        self.tokenizer.encode(("a", "a"), true).ok().as_ref().and_then(PairFrame::of)
    }

    /// Returns the first tokens of a text, at most `limit`, without looking much further into it.
    ///
    /// # Errors
    /// [`Fault::Input`] when the tokenizer refuses the text.
    pub fn first(&self, text: &str, limit: usize) -> Result<Vec<u32>, Fault> {
        let (encoding, settled) = self.beginning(text, limit)?;
        Ok(encoding.get_ids()[..settled.min(limit)].to_vec())
    }

    /// Returns the beginning of a text that its first tokens come from, at most `limit`.
    ///
    /// # Errors
    /// [`Fault::Input`] when the tokenizer refuses the text.
    pub fn cut<'a>(&self, text: &'a str, limit: usize) -> Result<&'a str, Fault> {
        let (encoding, settled) = self.beginning(text, limit)?;
        if settled <= limit && settled == encoding.len() {
            return Ok(text);
        }
        let end = limit.checked_sub(1).and_then(|last| encoding.get_offsets().get(last)).map_or(0, |(_, end)| *end);
        Ok(&text[..text.floor_char_boundary(end)])
    }

    /// Tokenises as much of a text as its first `limit` tokens need, and returns how many of the tokens are the text's own.
    /// All of them, where the whole text was looked at.
    fn beginning(&self, text: &str, limit: usize) -> Result<(Encoding, usize), Fault> {
        let hidden = self.hides && text.contains(HIDDEN);
        let text = if hidden { Cow::Owned(text.replace(HIDDEN, SEEN)) } else { Cow::Borrowed(text) };
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

/// Makes plain text of control tokens that stand in texts, and returns whether pieces were hidden for that. Added tokens that
/// are white space alone control nothing and stay.
fn escape(tokenizer: &mut Tokenizer, path: &Path, unknown_piece: Unknown<'_>) -> Result<bool, LoadError> {
    let malformed = malformed(path);
    let mut control: BTreeMap<u32, AddedToken> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    control.retain(|_, token| !token.content.trim().is_empty());
    // The library escapes those alone that are marked as special.
    let unmarked = control.values().filter(|token| !token.special).cloned().map(|token| AddedToken { special: true, ..token });
    tokenizer.add_special_tokens(unmarked).map_err(&malformed)?;
    tokenizer.set_encode_special_tokens(true);
    let hides = hide(tokenizer, path, &control, unknown_piece)?;
    // A character without meaning is unknown to all vocabularies, and what is unknown may be a token too.
    let unknown = tokenizer.encode(SEEN, false).map_err(&malformed)?;
    for (id, token) in &control {
        let tokens = tokenizer.encode(token.content.as_str(), false).map_err(&malformed)?;
        if tokens.get_ids().contains(id) && !unknown.get_ids().contains(id) {
            return Err(LoadError::Unsupported {
                reason: format!("{} makes a control token of {:?} in a text, however it is asked", path.display(), token.content),
                remedy: "take a tokenizer that splits texts at punctuation".into(),
            });
        }
    }
    Ok(hides)
}

/// Renames the control tokens among the pieces of a Unigram, which would find them in texts by itself: no text holds the new
/// names. Their scores stay, because the lowest of all scores says what an unknown piece costs.
fn hide(
    tokenizer: &mut Tokenizer,
    path: &Path,
    control: &BTreeMap<u32, AddedToken>,
    unknown_piece: Unknown<'_>,
) -> Result<bool, LoadError> {
    let ModelWrapper::Unigram(unigram) = tokenizer.get_model() else { return Ok(false) };
    let name = |(id, (piece, score)): (u32, &(String, f64))| {
        let piece = if control.contains_key(&id) { format!("{HIDDEN}{piece}") } else { piece.clone() };
        (piece, *score)
    };
    let pieces = (0..).zip(unigram.iter()).map(name).collect();
    let hidden = Unigram::from(pieces, unknown_piece()?, unigram.byte_fallback());
    let hidden = hidden.map_err(|error| LoadError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    tokenizer.with_model(hidden);
    Ok(true)
}

fn malformed(path: &Path) -> impl Fn(tokenizers::Error) -> LoadError {
    move |error| LoadError::Malformed { path: path.to_owned(), reason: error.to_string() }
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
        assert_eq!((tokens.frame(), tokens.vocabulary(), tokens.reach()), (2, 13, 13));
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

    #[test]
    fn what_is_escaped_is_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let added = |id: u32, content: &str| {
            format!(
                r#"{{ "id": {id}, "content": "{content}", "special": false, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false }},"#
            )
        };
        for (blank, escaped, parsed) in [(None, 13, 14), (Some("   "), 14, 15)] {
            let blank = blank.map_or_else(String::new, |blank| added(13, blank));
            let more = format!("\"added_tokens\": [{blank}{}", added(if blank.is_empty() { 13 } else { 14 }, "[TOOL]"));
            fs::write(folder.path().join("tokenizer.json"), BERT.replace("\"added_tokens\": [", &more)).unwrap();
            let read = |control| Tokens::read(&Folder::open(folder.path()).unwrap(), control).unwrap();
            assert_eq!((read(ControlTokens::Escape).reach(), read(ControlTokens::Parse).reach()), (escaped, parsed));
            assert_eq!(read(ControlTokens::Escape).control_token_in("a [TOOL]").as_deref(), Some("[TOOL]"));
            assert_eq!(read(ControlTokens::Escape).control_token_in("a [ TOOL ]"), None);
        }
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
