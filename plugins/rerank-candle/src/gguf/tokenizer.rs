//! Makes a tokenizer of what a file says of it: the byte-level BPE of Qwen, exactly as its `tokenizer.json` describes it.
//!
//! Candle has such a function too; it finds the padding of a vocabulary in texts, and calls all control tokens special.

use std::collections::HashSet;

use rerank_plugin::LoadError;
use tokenizers::{
    AddedToken, Tokenizer,
    decoders::byte_level::ByteLevel as ByteLevelDecoder,
    models::bpe::{BPE, Vocab},
    normalizers::unicode::NFC,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

use super::Gguf;

/// How Qwen2 and Qwen3 split a text before its pieces are merged.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a token is, by GGUF's numbers.
const CONTROL: u32 = 3;
const USER_DEFINED: u32 = 4;
const UNUSED: u32 = 5;

// === impl Gguf ===

impl Gguf {
    /// Returns the tokenizer; it puts nothing around a text.
    ///
    /// # Errors
    /// [`LoadError`] when a part is missing or contradicts another, or it is not the tokenizer of Qwen.
    pub fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        let metadata = self.metadata();
        for (name, wanted) in [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "qwen2")] {
            let said = metadata.text(name)?.unwrap_or("nothing");
            if said != wanted {
                return Err(LoadError::Unsupported {
                    reason: format!("{} says {name} = {said:?}, and only {wanted:?} is read", self.path().display()),
                    remedy: "take a conversion that llama.cpp made of a Qwen3 checkpoint".into(),
                });
            }
        }
        let missing = |name: &str| self.malformed(format!("its metadata has no {name}"));
        let tokens = metadata.texts("tokenizer.ggml.tokens")?.ok_or_else(|| missing("tokenizer.ggml.tokens"))?;
        let merges = metadata.texts("tokenizer.ggml.merges")?.ok_or_else(|| missing("tokenizer.ggml.merges"))?;
        let kinds = metadata.wholes("tokenizer.ggml.token_type")?.ok_or_else(|| missing("tokenizer.ggml.token_type"))?;
        if kinds.len() != tokens.len() {
            return Err(self.malformed(format!("it has {} tokens and {} token types", tokens.len(), kinds.len())));
        }
        self.unique(tokens)?;
        self.built(tokens, merges, kinds)
    }

    fn unique(&self, tokens: &[String]) -> Result<(), LoadError> {
        let mut known = HashSet::with_capacity(tokens.len());
        let twice = tokens.iter().find(|token| !known.insert(token.as_str()));
        twice.map_or(Ok(()), |token| Err(self.malformed(format!("the token {token:?} stands in it twice"))))
    }

    fn built(&self, tokens: &[String], merges: &[String], kinds: &[u32]) -> Result<Tokenizer, LoadError> {
        let wrong = |error: tokenizers::Error| self.malformed(format!("its tokenizer: {error}"));
        let (mut words, mut added) = (Vocab::default(), Vec::new());
        for ((number, token), kind) in (0..).zip(tokens).zip(kinds) {
            match *kind {
                // The library gives an added token the number that it has among the words; else it would count on from their number.
                CONTROL | USER_DEFINED => {
                    added.push(AddedToken::from(token.clone(), *kind == CONTROL).normalized(false));
                    words.insert(token.clone(), number);
                }
                UNUSED => {}
                _ => drop(words.insert(token.clone(), number)),
            }
        }
        let pair = |merge: &String| {
            let (first, second) = merge.split_once(' ')?;
            Some((first.to_owned(), second.to_owned()))
        };
        let pairs: Option<Vec<(String, String)>> = merges.iter().map(pair).collect();
        let pairs = pairs.ok_or_else(|| self.malformed("a merge is not two tokens with a space between"))?;
        let mut tokenizer = Tokenizer::new(BPE::builder().vocab_and_merges(words, pairs).build().map_err(wrong)?);
        tokenizer.with_normalizer(Some(NFC)).map_err(wrong)?;
        let split = Split::new(SplitPattern::Regex(QWEN2.into()), SplitDelimiterBehavior::Isolated, false).map_err(wrong)?;
        let pieces: Vec<PreTokenizerWrapper> = vec![split.into(), ByteLevel::new(false, false, false).into()];
        tokenizer.with_pre_tokenizer(Some(Sequence::new(pieces)));
        tokenizer.with_decoder(Some(ByteLevelDecoder::default()));
        tokenizer.add_tokens(added).map_err(wrong)?;
        Ok(tokenizer)
    }
}
