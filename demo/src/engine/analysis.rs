//! Text to terms: the `standard` and `english` analyzers of Lucene; what is done with the terms is left to `schema` and `query`.
//!
//! Two things are not as there: emoji are no words, and scripts without spaces (Thai, Lao, Khmer) fall apart into letters.

use unicode_segmentation::UnicodeSegmentation;

use super::porter;

/// Longer words are cut into pieces of this many characters, as Lucene's tokenizer does.
const LONGEST: usize = 255;
/// Lucene's English stop words.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of", "on", "or", "such",
    "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];

/// How the text of a field becomes terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Analyzer {
    /// Words in lower case.
    #[default]
    Standard,
    /// The same without stop words and endings.
    English,
    /// The whole text as one term, as a keyword field keeps it.
    Keyword,
}

/// One term of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What is looked for.
    pub term: String,
    /// Where it was read, in bytes.
    pub start: usize,
    /// Where it ended.
    pub end: usize,
    /// Which word of the text it is, stop words included.
    pub position: usize,
}

// === impl Analyzer ===

impl Analyzer {
    /// Returns the analyzer that mappings call `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            // What the engines call the analyzer of a field without one.
            "standard" | "default" => Some(Self::Standard),
            "english" => Some(Self::English),
            _ => None,
        }
    }

    /// Returns the terms of `text` in their order.
    pub fn tokens(self, text: &str) -> Vec<Token> {
        if self == Self::Keyword {
            return vec![Token { term: text.to_owned(), start: 0, end: text.len(), position: 0 }];
        }
        let words = text
            .unicode_word_indices()
            .filter(|(_, word)| !word.starts_with(is_number_form))
            .flat_map(|(start, word)| pieces(start, word))
            .enumerate();
        words
            .filter_map(|(position, (start, word))| Some(Token { term: self.term(word)?, start, end: start + word.len(), position }))
            .collect()
    }

    /// Returns the term of a word; `None` where it is too common.
    fn term(self, word: &str) -> Option<String> {
        if self == Self::Standard {
            return Some(lower_case(word));
        }
        let lower = lower_case(without_possessive(word));
        (!STOP_WORDS.contains(&lower.as_str())).then(|| porter::stem(&lower))
    }
}

/// Letter by letter, as Java does: neither the place in the word counts (final sigma) nor do accents become letters of their own.
fn lower_case(word: &str) -> String {
    word.chars().filter_map(|letter| letter.to_lowercase().next()).collect()
}

/// Raised, lowered and circled numbers and fractions: characters on their own that are no words to Unicode.
fn is_number_form(letter: char) -> bool {
    matches!(letter, '²' | '³' | '¹' | '¼'..='¾' | '\u{2070}'..='\u{2089}' | '\u{2150}'..='\u{215f}' | '\u{2460}'..='\u{249b}' | '\u{24ea}'..='\u{24ff}' | '\u{2776}'..='\u{2793}')
}

fn pieces(start: usize, word: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = (start, word);
    std::iter::from_fn(move || {
        let (offset, left) = rest;
        let cut = left.char_indices().nth(LONGEST).map_or(left.len(), |(at, _)| at);
        rest = (offset + cut, &left[cut..]);
        (!left.is_empty()).then(|| (offset, &left[..cut]))
    })
}

fn without_possessive(word: &str) -> &str {
    let shorter = word.strip_suffix(['s', 'S']).and_then(|noun| noun.strip_suffix(['\'', '\u{2019}', '\u{ff07}']));
    shorter.unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::{Analyzer, LONGEST};

    fn terms(analyzer: Analyzer, text: &str) -> String {
        analyzer.tokens(text).iter().map(|token| format!("{}:{}", token.term, token.position)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn standard_words_are_cut_where_unicode_says() {
        let text = "The QUICK-brown fox's 3.14 wi_fi R&D can\u{2019}t don't. e.g. foo@bar.com ÄPFEL 1,000 Crème";
        let expected = "the:0 quick:1 brown:2 fox's:3 3.14:4 wi_fi:5 r:6 d:7 can\u{2019}t:8 don't:9 e.g:10 foo:11 bar.com:12 äpfel:13 1,000:14 crème:15";
        assert_eq!(terms(Analyzer::Standard, text), expected);
        assert_eq!(terms(Analyzer::Standard, " -- ! ½ ① :"), "");
        assert_eq!(terms(Analyzer::Standard, "H\u{2082}O m² İSTANBUL ΣΊΣΥΦΟΣ"), "h:0 o:1 m:2 istanbul:3 σίσυφοσ:4");
    }

    #[test]
    fn english_leaves_out_what_is_common_and_keeps_its_place() {
        assert_eq!(terms(Analyzer::English, "The dog's and the FOXES are running"), "dog:1 fox:4 run:6");
        assert_eq!(terms(Analyzer::English, "O'Neil\u{2019}s technologies possibly"), "o'neil:0 technolog:1 possibl:2");
    }

    #[test]
    fn tokens_say_where_they_stood() {
        let text = "Übung, macht";
        let tokens = Analyzer::Standard.tokens(text);
        assert_eq!(tokens.iter().map(|token| &text[token.start..token.end]).collect::<Vec<_>>(), ["Übung", "macht"]);
        assert_eq!(terms(Analyzer::Keyword, "As it Is"), "As it Is:0");
    }

    #[test]
    fn long_words_are_cut() {
        let lengths: Vec<_> =
            Analyzer::Standard.tokens(&"é".repeat(LONGEST * 2 + 1)).iter().map(|token| token.term.chars().count()).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 1]);
    }
}
