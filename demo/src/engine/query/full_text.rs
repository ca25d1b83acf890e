//! `match` and `match_phrase`, and how the text of one field is looked for.

use serde_json::Value;
use tantivy::{
    Term,
    query::{Occur, PhraseQuery},
};

use super::{
    clause::{Clause, Group},
    compound,
    parameters::{OnField, Operator, Parameters},
    reader::Reader,
    scoring::Scored,
};
use crate::engine::{error::ApiError, mapping::Kind, schema::Presence, values};

/// How the words of a text are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub operator: Operator,
    /// Whether they have to follow each other.
    pub phrase: bool,
    /// Whether values that do not suit the field match nothing, instead of being an error.
    pub lenient: bool,
}

/// What became of a text in one field.
pub(super) enum Found {
    /// The analyzer left nothing of it.
    NoTerms,
    One(Clause),
    /// More than one word, each on its own.
    Words(Group),
}

pub(super) fn read_match(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let on_field = OnField::new("match", json, "query", &["operator", "minimum_should_match", "boost"])?;
    let parameters = on_field.parameters.as_ref();
    let operator = parameters.map_or(Ok(Operator::Or), |parameters| parameters.operator("operator"))?;
    let minimum = parameters.map_or(Ok(None), |parameters| parameters.scalar("minimum_should_match"))?;
    let found = reader.text(on_field.field, on_field.value, Wanted { operator, ..Wanted::default() })?;
    Ok(found.join(minimum.as_deref())?.unwrap_or_else(Clause::nothing).boosted(on_field.boost()?))
}

pub(super) fn read_match_phrase(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let on_field = OnField::new("match_phrase", json, "query", &["slop", "boost"])?;
    let slop = on_field.parameters.as_ref().map_or(Ok(0.0), |parameters: &Parameters<'_>| parameters.number("slop", 0.0))?;
    if slop != 0.0 {
        return Err(ApiError::unsupported("the [slop] of [match_phrase]"));
    }
    let found = reader.text(on_field.field, on_field.value, Wanted { phrase: true, ..Wanted::default() })?;
    Ok(found.join(None)?.unwrap_or_else(Clause::nothing).boosted(on_field.boost()?))
}

// === impl Reader ===

impl Reader<'_> {
    /// Looks for a text in one field: word by word where it is text, as a value elsewhere.
    pub(super) fn text(&self, field: &str, value: &Value, wanted: Wanted) -> Result<Found, ApiError> {
        let indexed = match self.schema.field(field) {
            Some(indexed) if matches!(indexed.kind, Kind::Text(_)) => indexed,
            _ => {
                return match self.term(field, value) {
                    Err(error) if wanted.lenient && error.is_on_shard() => Ok(Found::One(Clause::nothing())),
                    clause => clause.map(Found::One),
                };
            }
        };
        let mut tokens = indexed.kind.analyzer().tokens(&values::scalar(value).unwrap_or_default());
        tokens.iter().try_for_each(|_| self.count_clause())?;
        if tokens.len() <= 1 {
            return Ok(tokens.pop().map_or(Found::NoTerms, |token| Found::One(self.word(field, indexed, token.term))));
        }
        if !wanted.phrase {
            let occur = if wanted.operator == Operator::And { Occur::Must } else { Occur::Should };
            return Ok(Found::Words(tokens.into_iter().map(|token| (occur, self.word(field, indexed, token.term))).collect()));
        }
        let first = tokens.first().map_or(0, |token| token.position);
        let terms: Vec<_> = tokens.into_iter().map(|token| (token.position - first, token.term)).collect();
        let query =
            PhraseQuery::new_with_offset(terms.iter().map(|(at, term)| (*at, Term::from_field_text(indexed.field, term))).collect());
        Ok(Found::One(Clause::new(Scored::new(query, self.schema.has(field, Presence::Terms))).marking(field, terms)))
    }
}

// === impl Found ===

impl Found {
    /// Returns one clause; `minimum` counts where there is more than one word. `None` where there is none.
    pub fn join(self, minimum: Option<&str>) -> Result<Option<Clause>, ApiError> {
        match self {
            Self::NoTerms => Ok(None),
            Self::One(clause) => Ok(Some(clause)),
            Self::Words(group) => compound::combine(group, minimum).map(Some),
        }
    }
}
