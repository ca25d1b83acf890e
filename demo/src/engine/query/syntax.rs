//! The tokens of a query string, as Lucene's classic parser cuts them; what is not supported is refused by name.

use std::{iter::Peekable, str::Chars};

use super::parameters::number;
use crate::engine::error::{ApiError, Cause};

/// A token of a query string.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Plus,
    Minus,
    Open,
    Close,
    Colon,
    Star,
    Boost(f32),
    Quoted(String),
    Term(String),
    /// An operator with a space behind it is a text.
    Bare(char),
}

/// Cuts `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ApiError> {
    let mut lexer = Lexer { text, chars: text.chars().peekable() };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

/// Says that `text` is not of the syntax.
pub(super) fn malformed(text: &str, reason: &str) -> ApiError {
    let cause = Cause::new("parse_exception", format!("Cannot parse '{text}': {reason}"));
    ApiError::on_shard(Cause::new("query_shard_exception", format!("Failed to parse query [{text}]")).caused_by(cause))
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<Chars<'a>>,
}

// === impl Lexer ===

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, ApiError> {
        while self.chars.next_if(|next| is_space(*next)).is_some() {}
        let Some(&first) = self.chars.peek() else { return Ok(None) };
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ':' => Token::Colon,
            '+' | '-' | '!' => {
                self.chars.next();
                return Ok(Some(match first {
                    _ if self.chars.peek().is_some_and(|next| is_space(*next)) => Token::Bare(first),
                    '+' => Token::Plus,
                    '-' => Token::Minus,
                    _ => Token::Not,
                }));
            }
            '"' => return self.quoted().map(Some),
            '^' => return self.boost().map(Some),
            '~' => return Err(self.unsupported("fuzzy words and near phrases (~)")),
            '[' | '{' => return Err(self.unsupported("ranges")),
            '/' => return Err(self.unsupported("regular expressions (/)")),
            ']' | '}' => return Err(malformed(self.text, &format!("Encountered \"{first}\""))),
            _ => return self.term().map(Some),
        };
        self.chars.next();
        Ok(Some(token))
    }

    fn unsupported(&self, what: &str) -> ApiError {
        ApiError::unsupported(format!("the syntax of {what} in the query string [{}]", self.text))
    }

    fn escaped(&mut self) -> Result<char, ApiError> {
        self.chars.next().ok_or_else(|| malformed(self.text, "Term can not end with escape character."))
    }

    fn quoted(&mut self) -> Result<Token, ApiError> {
        let mut phrase = String::new();
        self.chars.next();
        while let Some(next) = self.chars.next() {
            match next {
                '"' => return Ok(Token::Quoted(phrase)),
                '\\' => phrase.push(self.escaped()?),
                _ => phrase.push(next),
            }
        }
        Err(malformed(self.text, "Lexical error: a phrase does not end"))
    }

    fn boost(&mut self) -> Result<Token, ApiError> {
        let mut digits = String::new();
        self.chars.next();
        while let Some(next) = self.chars.next_if(|next| next.is_ascii_digit() || *next == '.') {
            digits.push(next);
        }
        number(&digits).map(Token::Boost).map_err(|_| malformed(self.text, "Lexical error: ^ needs a number"))
    }

    fn term(&mut self) -> Result<Token, ApiError> {
        let (mut term, mut is_plain, mut wild) = (String::new(), true, 0);
        while let Some(next) = self.chars.next_if(|next| !is_space(*next) && !"()[]{}:^\"~!/".contains(*next)) {
            match next {
                '\\' => {
                    is_plain = false;
                    term.push(self.escaped()?);
                    continue;
                }
                '*' | '?' => wild += 1,
                _ => {}
            }
            term.push(next);
        }
        match term.as_str() {
            "*" if is_plain => Ok(Token::Star),
            _ if wild > 0 => Err(self.unsupported("wildcards (* and ?)")),
            "AND" | "&&" if is_plain => Ok(Token::And),
            "OR" | "||" if is_plain => Ok(Token::Or),
            "NOT" if is_plain => Ok(Token::Not),
            _ => Ok(Token::Term(term)),
        }
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    #[test]
    fn a_query_string_is_cut() {
        use Token::{And, Bare, Boost, Close, Colon, Minus, Not, Open, Or, Plus, Quoted, Star, Term};
        let term = |text: &str| Term(text.to_owned());
        for (text, expected) in [
            ("+a -b !c NOT d", vec![Plus, term("a"), Minus, term("b"), Not, term("c"), Not, term("d")]),
            ("a AND b && c OR d || e", vec![term("a"), And, term("b"), And, term("c"), Or, term("d"), Or, term("e")]),
            ("title:(wi-fi R&D)^2.5", vec![term("title"), Colon, Open, term("wi-fi"), term("R&D"), Close, Boost(2.5)]),
            (r#""a \" b"^3 \AND c\*"#, vec![Quoted("a \" b".to_owned()), Boost(3.0), term("AND"), term("c*")]),
            ("* - a *:*", vec![Star, Bare('-'), term("a"), Star, Colon, Star]),
            ("\u{3000}", vec![]),
        ] {
            assert_eq!(tokens(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (text, part) in [
            ("fo*", "wildcards"),
            ("te?t", "wildcards"),
            ("roam~1", "fuzzy"),
            ("\"a b\"~2", "fuzzy"),
            ("[1 TO 2]", "ranges"),
            ("{1 TO 2}", "ranges"),
            ("/a/", "regular expressions"),
            ("\"open", "Failed to parse"),
            ("a^", "Failed to parse"),
            ("a^x", "Failed to parse"),
            ("a\\", "Failed to parse"),
            ("a]", "Failed to parse"),
            ("a^1.2.3", "Failed to parse"),
        ] {
            let error = tokens(text).unwrap_err();
            assert!(error.cause().reason().contains(part), "{text}: {error}");
        }
    }
}
