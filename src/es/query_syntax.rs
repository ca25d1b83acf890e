//! Takes the syntax out of a query string, so that the words remain which the searcher wants to see answered.
//!
//! Fields, operators, quotes, boosts, wildcards, ranges and expressions go; so do excluded clauses (`-word`, `NOT word`), which
//! say what a hit should not be about.

use std::{iter::Peekable, str::Chars};

/// Whose syntax it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `query_string` and the URL's `q`.
    Lucene,
    /// `simple_query_string`, which knows neither fields nor ranges nor words as operators.
    Simple,
    /// `kql`, whose operators are words in any case and whose fields may be compared.
    Kql,
}

/// Returns the words of `text`, with single spaces between them.
pub fn words(text: &str, dialect: Dialect) -> String {
    let mut reader = Reader { chars: text.chars().peekable(), dialect, groups: Vec::new(), excluded: false, words: String::new() };
    while reader.step() {}
    reader.words
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    dialect: Dialect,
    /// Of each open group: whether it is excluded.
    groups: Vec<bool>,
    /// Whether the next clause is.
    excluded: bool,
    words: String,
}

// === impl Reader ===

impl Reader<'_> {
    /// Reads one operator, phrase or word; `false` at the end.
    fn step(&mut self) -> bool {
        let Some(&first) = self.chars.peek() else { return false };
        let lucene = self.dialect == Dialect::Lucene;
        let kql = self.dialect == Dialect::Kql;
        match first {
            '"' => self.phrase(),
            // Fields inside a nested one, and what is left of a comparison.
            '{' | '}' | ':' if kql => {
                self.chars.next();
            }
            '<' | '>' if kql => self.comparison(),
            '[' | '{' if lucene => self.clause_until(&[']', '}']),
            '/' if lucene => self.clause_until(&['/']),
            '(' => {
                self.chars.next();
                self.groups.push(self.is_excluded());
                self.excluded = false;
            }
            ')' => {
                self.chars.next();
                self.groups.pop();
            }
            '-' if !kql => self.exclude_next(),
            '!' if lucene => self.exclude_next(),
            '+' | '|' if !kql => {
                self.chars.next();
            }
            // Behind a phrase or a group.
            '^' | '~' if !kql => {
                self.chars.next();
                self.number();
            }
            space if space.is_whitespace() => {
                self.chars.next();
                self.excluded &= lucene || kql;
            }
            _ => self.word(),
        }
        true
    }

    fn is_excluded(&self) -> bool {
        self.excluded || self.groups.last().copied().unwrap_or(false)
    }

    fn exclude_next(&mut self) {
        self.chars.next();
        self.excluded = true;
    }

    /// Ends a clause.
    fn keep(&mut self, clause: &str) {
        if !self.is_excluded() {
            for word in clause.split_whitespace() {
                if !self.words.is_empty() {
                    self.words.push(' ');
                }
                self.words.push_str(word);
            }
        }
        self.excluded = false;
    }

    fn phrase(&mut self) {
        let text = self.enclosed(&['"']);
        self.keep(&text);
    }

    /// A range or an expression: a clause without words.
    fn clause_until(&mut self, closing: &[char]) {
        self.enclosed(closing);
        self.excluded = false;
    }

    /// Returns what stands between the next character and one of `closing`, unescaped.
    fn enclosed(&mut self, closing: &[char]) -> String {
        let mut text = String::new();
        self.chars.next();
        while let Some(next) = self.chars.next() {
            match next {
                '\\' => text.extend(self.chars.next()),
                end if closing.contains(&end) => break,
                other => text.push(other),
            }
        }
        text
    }

    fn word(&mut self) {
        let lucene = self.dialect == Dialect::Lucene;
        let kql = self.dialect == Dialect::Kql;
        let mut word = String::new();
        let ends = |next: char| {
            next.is_whitespace() || matches!(next, '(' | ')' | '"') || if kql { matches!(next, '<' | '>' | '{' | '}') } else { next == '|' }
        };
        while let Some(next) = self.chars.next_if(|next| !ends(*next)) {
            match next {
                ':' if kql => return,
                '\\' => word.extend(self.chars.next()),
                '*' => {}
                '?' if lucene => {}
                '~' if !kql => self.number(),
                '^' if lucene => self.number(),
                ':' if lucene => {
                    // A field of its own: what it holds is a name; and what is compared is no text.
                    self.excluded |= word == "_exists_" || self.chars.next_if(|sign| matches!(sign, '<' | '>')).is_some();
                    return;
                }
                other => word.push(other),
            }
        }
        match word.as_str() {
            "AND" | "OR" | "&&" if lucene => {}
            "NOT" if lucene => self.excluded = true,
            operator if kql && ["and", "or"].iter().any(|own| operator.eq_ignore_ascii_case(own)) => {}
            operator if kql && operator.eq_ignore_ascii_case("not") => self.excluded = true,
            _ if kql && self.names_a_field() => {}
            _ => self.keep(&word),
        }
    }

    /// Whether a field's sign follows, with spaces before it.
    fn names_a_field(&mut self) -> bool {
        let next = self.chars.clone().find(|next| !next.is_whitespace());
        next.is_some_and(|sign| matches!(sign, ':' | '<' | '>'))
    }

    /// A field is compared with a value: none of it is text.
    fn comparison(&mut self) {
        while self.chars.next_if(|sign| sign.is_whitespace() || matches!(sign, '<' | '>' | '=')).is_some() {}
        self.excluded = true;
    }

    /// Skips the number of `~2`, `^3.5`.
    fn number(&mut self) {
        while self.chars.next_if(|digit| digit.is_ascii_digit() || *digit == '.').is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Dialect, words};

    #[test]
    fn lucene_syntax_is_taken_out() {
        for (text, remaining) in [
            ("running shoes", "running shoes"),
            ("title:(quick OR brown) AND _exists_:price AND body:fox", "quick brown fox"),
            ("+quick -news \"brown  fox\"~2^3 NOT (lazy AND dog) jumps!", "quick brown fox jumps!"),
            ("title:\"wind turbine\"^2.5 year:[2010 TO 2020] age:>=10 name:{a TO *} end", "wind turbine end"),
            ("roam~1 te?t col*r wi-fi R&D rock&roll && x || y", "roam tet colr wi-fi R&D rock&roll x y"),
            (r"\(1\+1\)\:2 title.\*:(a (b -c) !d)", "(1+1):2 a b"),
            ("/joh?n(ath[oa]n)/ smith", "smith"),
            ("*", ""),
            ("*:*", ""),
            ("", ""),
            ("what is C++?", "what is C++"),
            ("\"open (phrase", "open (phrase"),
            ("a) b) (c", "a b c"),
        ] {
            assert_eq!(words(text, Dialect::Lucene), remaining, "{text}");
        }
    }

    #[test]
    fn simple_syntax_is_smaller() {
        for (text, remaining) in [
            ("\"fried eggs\" +(eggplant | potato) -frittata", "fried eggs eggplant potato"),
            ("ratio 3:4 NOT AND [x] shirt - blue foo* bar~2", "ratio 3:4 NOT AND [x] shirt blue foo bar"),
            ("why?", "why?"),
        ] {
            assert_eq!(words(text, Dialect::Simple), remaining, "{text}");
        }
    }

    #[test]
    fn kql_syntax_is_taken_out() {
        for (text, remaining) in [
            ("red shoes", "red shoes"),
            ("title: quick brown fox and not body: \"lazy dog\" or tag:fox", "quick brown fox fox"),
            ("title : (red OR \"blue shoes\") AND price >= 10 and year<2020 and x", "red blue shoes x"),
            ("items: { name: banana and stock > 9 } wi-fi", "banana wi-fi"),
            ("host: web* AND *", "web"),
            (r"a\:b C++ ~x", "a:b C++ ~x"),
            ("not (a or b) c", "c"),
            ("", ""),
        ] {
            assert_eq!(words(text, Dialect::Kql), remaining, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_spaces_are_single(text in "[ab:\"()\\[\\]{}/\\\\~^*?+|&!<>= -]{0,24}", dialect in 0_usize..3) {
            let read = words(&text, [Dialect::Lucene, Dialect::Simple, Dialect::Kql][dialect]);
            prop_assert_eq!(read.split_whitespace().collect::<Vec<_>>().join(" "), read);
        }
    }
}
