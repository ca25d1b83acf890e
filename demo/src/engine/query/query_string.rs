//! `query_string` and the URL's `q`: Lucene's classic syntax, read as OpenSearch does.
//!
//! Words that follow each other without an operator are one text: they are looked for together in each field.

use serde_json::Value;
use tantivy::query::Occur;

use super::{
    clause::{Clause, Group},
    full_text::{Found, Wanted},
    multi_field::Fields,
    parameters::{Operator, Parameters, no_text},
    reader::Reader,
    syntax::{Token, malformed, tokens},
};
use crate::engine::error::{ApiError, Cause};

/// The options of a query string in a URL.
#[derive(Clone, Debug, Default)]
pub struct UrlQuery<'a> {
    /// `q`
    pub text: &'a str,
    /// `df`
    pub default_field: Option<&'a str>,
    /// `default_operator`
    pub default_operator: Option<&'a str>,
}

pub(super) fn read(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let known = ["query", "default_field", "fields", "default_operator", "minimum_should_match", "boost"];
    let parameters = Parameters::new("query_string", json, &known)?;
    let Some(text) = parameters.scalar("query")? else { return Err(no_text("query_string")) };
    let default_field = parameters.scalar("default_field")?;
    let fields = match (&default_field, parameters.get("fields")) {
        (Some(_), Some(_)) => {
            let reason = "Validation Failed: 1: [query_string] cannot use [fields] parameter in conjunction with [default_field];";
            return Err(ApiError::query_shard(Cause::new("query_validation_exception", reason)));
        }
        (Some(field), None) => Fields::matching(reader, field),
        (None, fields) => Fields::read(reader, "query_string", fields)?,
    };
    let minimum = parameters.scalar("minimum_should_match")?;
    let clause = parse(reader, &text, (&fields, parameters.operator("default_operator")?), minimum.as_deref())?;
    Ok(clause.boosted(parameters.boost()?))
}

pub(super) fn read_url(reader: &Reader<'_>, query: &UrlQuery<'_>) -> Result<Clause, ApiError> {
    let fields = query.default_field.map_or_else(|| Fields::all(reader), |field| Fields::matching(reader, field));
    let operator = query.default_operator.map_or(Ok(Operator::Or), Operator::parse)?;
    parse(reader, query.text, (&fields, operator), None)
}

fn parse(reader: &Reader<'_>, text: &str, defaults: (&Fields, Operator), minimum: Option<&str>) -> Result<Clause, ApiError> {
    if text.trim().is_empty() {
        return Ok(Clause::nothing());
    }
    let (fields, operator) = defaults;
    let mut parser = Parser { reader, text, tokens: tokens(text)?, at: 0, fields, operator };
    let found = parser.query(None)?;
    if parser.peek(0).is_some() {
        return Err(parser.unexpected());
    }
    Ok(found.join(minimum)?.unwrap_or_else(Clause::nothing))
}

struct Parser<'a> {
    reader: &'a Reader<'a>,
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    fields: &'a Fields,
    operator: Operator,
}

/// What stands before a clause: `AND` or `OR`, and `+` or `-`.
#[derive(Clone, Copy, Default)]
struct Introduction {
    operator: Option<Operator>,
    sign: Option<Occur>,
}

// === impl Parser ===

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn next_if(&mut self, is_wanted: impl Fn(&Token) -> bool) -> Option<Token> {
        let token = self.tokens.get(self.at).filter(|token| is_wanted(token))?.clone();
        self.at += 1;
        Some(token)
    }

    fn unexpected(&self) -> ApiError {
        match self.peek(0) {
            Some(token) => malformed(self.text, &format!("Encountered {token:?}")),
            None => malformed(self.text, "Encountered <EOF>"),
        }
    }

    /// Reads clauses up to the end or a closing parenthesis.
    fn query(&mut self, field: Option<&str>) -> Result<Found, ApiError> {
        let mut clauses: Vec<(Occur, Found)> = Vec::new();
        let mut is_plain = true;
        let beginning = self.at;
        loop {
            if let Some(text) = self.words() {
                self.add_words(&mut clauses, field, &text)?;
            } else {
                let introduction = self.introduction(self.at == beginning)?;
                is_plain &= introduction.sign.is_none();
                let found = self.clause(field)?;
                self.add(&mut clauses, introduction, found);
            }
            if matches!(self.peek(0), None | Some(Token::Close)) {
                break;
            }
        }
        if clauses.len() <= 1 && is_plain {
            return Ok(clauses.pop().map_or(Found::NoTerms, |(_, found)| found));
        }
        let mut group = Group::new();
        for (occur, found) in clauses {
            group.extend(found.join(None)?.map(|clause| (occur, clause)));
        }
        Ok(if group.is_empty() { Found::NoTerms } else { Found::Words(group) })
    }

    /// Reads words that follow each other; the last of them must not have an operator, a boost or a colon behind it.
    fn words(&mut self) -> Option<String> {
        let belongs = |parser: &Self, ahead: usize| match (parser.peek(ahead), parser.peek(ahead + 1)) {
            (Some(Token::Term(_)), Some(Token::Colon | Token::Star | Token::Boost(_) | Token::And | Token::Or)) => false,
            (token, _) => matches!(token, Some(Token::Term(_))),
        };
        if !matches!(self.peek(0), Some(Token::Term(_))) || !belongs(self, 1) {
            return None;
        }
        let count = (1..).take_while(|ahead| belongs(self, *ahead)).count() + 1;
        let words = self.tokens[self.at..self.at + count].iter().map(|token| if let Token::Term(word) = token { word } else { "" });
        let text = words.collect::<Vec<_>>().join(" ");
        self.at += count;
        Some(text)
    }

    fn add_words(&self, clauses: &mut Vec<(Occur, Found)>, field: Option<&str>, text: &str) -> Result<(), ApiError> {
        let occur = if self.operator == Operator::And { Occur::Must } else { Occur::Should };
        match self.look_for(field, text, false)? {
            Found::NoTerms => {}
            Found::One(clause) => clauses.push((occur, Found::One(clause))),
            Found::Words(group) => clauses.extend(group.into_iter().map(|(own, clause)| (own, Found::One(clause)))),
        }
        Ok(())
    }

    fn introduction(&mut self, is_first: bool) -> Result<Introduction, ApiError> {
        let operator = self.next_if(|token| !is_first && matches!(token, Token::And | Token::Or));
        let sign = self.next_if(|token| matches!(token, Token::Plus | Token::Minus | Token::Not));
        Ok(Introduction {
            operator: operator.map(|token| if token == Token::And { Operator::And } else { Operator::Or }),
            sign: sign.map(|token| if token == Token::Plus { Occur::Must } else { Occur::MustNot }),
        })
    }

    /// Adds a clause as Lucene does: `AND` also requires the clause before it.
    fn add(&self, clauses: &mut Vec<(Occur, Found)>, introduction: Introduction, found: Found) {
        if let Some((occur, _)) = clauses.last_mut().filter(|(occur, _)| *occur != Occur::MustNot) {
            match (introduction.operator, self.operator) {
                (Some(Operator::And), _) => *occur = Occur::Must,
                (Some(Operator::Or), Operator::And) => *occur = Occur::Should,
                _ => {}
            }
        }
        let occur = introduction.sign.unwrap_or(match (introduction.operator, self.operator) {
            (Some(Operator::And), _) | (None, Operator::And) => Occur::Must,
            _ => Occur::Should,
        });
        // `+` counts for nothing behind `OR` where `AND` is the default.
        let is_optional = occur == Occur::Must && introduction.operator == Some(Operator::Or) && self.operator == Operator::And;
        if !matches!(found, Found::NoTerms) {
            clauses.push((if is_optional { Occur::Should } else { occur }, found));
        }
    }

    fn clause(&mut self, outer: Option<&str>) -> Result<Found, ApiError> {
        let named = match (self.peek(0), self.peek(1)) {
            (Some(Token::Term(name)), Some(Token::Colon)) => Some(name.clone()),
            (Some(Token::Star), Some(Token::Colon)) => Some("*".to_owned()),
            _ => None,
        };
        if named.is_some() {
            self.at += 2;
        }
        let field = named.as_deref().or(outer);
        let Some(token) = self.peek(0).cloned() else { return Err(self.unexpected()) };
        self.at += 1;
        let found = match token {
            Token::Open => {
                let reader = self.reader;
                let inner = reader.deeper(|| self.query(field))?;
                self.next_if(|next| *next == Token::Close).ok_or_else(|| self.unexpected())?;
                inner
            }
            Token::Star => self.anything(field)?,
            Token::Quoted(phrase) => self.look_for(field, &phrase, true)?,
            Token::Term(word) if field.is_some() && word.starts_with(['<', '>']) => {
                return Err(ApiError::unsupported(format!("the syntax of ranges in the query string [{}]", self.text)));
            }
            Token::Term(word) => self.look_for(field, &word, false)?,
            Token::Bare(operator) => self.look_for(field, &operator.to_string(), false)?,
            _ => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        match self.next_if(|next| matches!(next, Token::Boost(_))) {
            Some(Token::Boost(boost)) => Ok(found.join(None)?.map_or(Found::NoTerms, |clause| Found::One(clause.boosted(boost)))),
            _ => Ok(found),
        }
    }

    fn anything(&self, field: Option<&str>) -> Result<Found, ApiError> {
        Ok(Found::One(match field {
            Some(field) if field != "*" => self.reader.exists(field)?,
            _ => Clause::everything(),
        }))
    }

    fn look_for(&self, field: Option<&str>, text: &str, phrase: bool) -> Result<Found, ApiError> {
        let wanted = Wanted { operator: self.operator, phrase, lenient: self.fields.all };
        match field {
            Some("_exists_") => Ok(Found::One(self.reader.exists(text)?)),
            Some(field) => self.reader.in_fields(&Fields::matching(self.reader, field), text, wanted, (None, 0.0)),
            None => self.reader.in_fields(self.fields, text, wanted, (None, 0.0)),
        }
    }
}
