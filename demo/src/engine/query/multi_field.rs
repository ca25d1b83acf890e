//! `multi_match`, and how one text is looked for in many fields.

use std::collections::BTreeMap;

use serde_json::Value;
use tantivy::query::DisjunctionMaxQuery;

use super::{
    clause::Clause,
    full_text::{Found, Wanted},
    parameters::{Parameters, no_text, number},
    reader::Reader,
};
use crate::engine::{
    error::{ApiError, Cause, refuse_long},
    values,
};

/// Fields and their boosts.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    boosts: BTreeMap<String, f32>,
    /// Whether every field is meant: what does not suit one matches nothing there.
    pub all: bool,
}

pub(super) fn read(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let known = ["query", "fields", "type", "operator", "minimum_should_match", "tie_breaker", "boost"];
    let parameters = Parameters::new("multi_match", json, &known)?;
    let Some(text) = parameters.scalar("query")? else { return Err(no_text("multi_match")) };
    let best_of_all = match parameters.scalar("type")?.as_deref() {
        None | Some("best_fields") => 0.0,
        Some("most_fields") => 1.0,
        Some(kind @ ("cross_fields" | "phrase" | "phrase_prefix" | "bool_prefix")) => {
            return Err(ApiError::unsupported(format!("the [multi_match] type [{kind}]")));
        }
        Some(kind) => {
            let reason = format!("failed to parse [multi_match] query type [{kind}]. unknown type.");
            return Err(ApiError::new(400, Cause::new("parse_exception", reason)));
        }
    };
    let fields = Fields::read(reader, "multi_match", parameters.get("fields"))?;
    let wanted = Wanted { operator: parameters.operator("operator")?, phrase: false, lenient: fields.all };
    let minimum = parameters.scalar("minimum_should_match")?;
    let tie_breaker = parameters.number("tie_breaker", best_of_all)?;
    if !(0.0..=1.0).contains(&tie_breaker) {
        return Err(ApiError::query_shard(Cause::new("illegal_argument_exception", "tieBreakerMultiplier must be in [0, 1]")));
    }
    let found = reader.in_fields(&fields, &text, wanted, (minimum.as_deref(), tie_breaker))?;
    Ok(found.join(minimum.as_deref())?.unwrap_or_else(Clause::nothing).boosted(parameters.boost()?))
}

// === impl Reader ===

impl Reader<'_> {
    /// Looks for a text in each of the fields; the score is the best one's, and the others' by the tie breaker.
    pub(super) fn in_fields(&self, fields: &Fields, text: &str, wanted: Wanted, rest: (Option<&str>, f32)) -> Result<Found, ApiError> {
        let (minimum, tie_breaker) = rest;
        let value = Value::from(text);
        if let Some((field, boost)) = fields.boosts.first_key_value()
            && fields.boosts.len() == 1
        {
            let found = self.text(field, &value, wanted)?;
            return match found.join_boosted(*boost, minimum)? {
                Some(found) => Ok(found),
                None => Ok(Found::NoTerms),
            };
        }
        let mut clauses = Vec::new();
        for (field, boost) in &fields.boosts {
            clauses.extend(self.text(field, &value, wanted)?.join(minimum)?.map(|clause| clause.boosted(*boost)));
        }
        if fields.boosts.is_empty() {
            return Ok(Found::One(Clause::nothing()));
        }
        let marks = clauses.iter_mut().flat_map(|clause| std::mem::take(&mut clause.marks)).collect();
        let mut queries: Vec<_> = clauses.into_iter().map(|clause| clause.query).collect();
        Ok(match queries.len() {
            0 => Found::NoTerms,
            1 => Found::One(Clause { query: queries.remove(0), marks }),
            _ => Found::One(Clause { query: Box::new(DisjunctionMaxQuery::with_tie_breaker(queries, tie_breaker)), marks }),
        })
    }
}

// === impl Found ===

impl Found {
    /// Keeps words apart where no boost joins them.
    fn join_boosted(self, boost: f32, minimum: Option<&str>) -> Result<Option<Self>, ApiError> {
        if boost == 1.0 { Ok(Some(self)) } else { Ok(self.join(minimum)?.map(|clause| Self::One(clause.boosted(boost)))) }
    }
}

// === impl Fields ===

impl Fields {
    /// Every field.
    pub fn all(reader: &Reader<'_>) -> Self {
        let boosts = reader.schema.matching("*").into_iter().map(|(path, _)| (path.to_owned(), 1.0)).collect();
        Self { boosts, all: true }
    }

    /// One field, or those that match a pattern.
    pub fn matching(reader: &Reader<'_>, pattern: &str) -> Self {
        if pattern == "*" {
            return Self::all(reader);
        }
        let mut fields = Self { boosts: BTreeMap::new(), all: false };
        fields.add(reader, pattern, 1.0);
        fields
    }

    /// Reads `["title^2", "body", "attributes.*"]`, or one of them.
    pub fn read(reader: &Reader<'_>, kind: &'static str, json: Option<&Value>) -> Result<Self, ApiError> {
        let listed = match json {
            None => &[],
            Some(Value::Array(listed)) => listed.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        refuse_long("fields", listed.len())?;
        let mut fields = Self { boosts: BTreeMap::new(), all: false };
        for value in listed {
            let Value::String(field) = value else {
                return Err(ApiError::parsing(format!("[{kind}] query does not support [{}] in [fields]", values::token(value))));
            };
            let (pattern, boost) =
                field.split_once('^').map_or(Ok((field.as_str(), 1.0)), |(pattern, boost)| Ok((pattern, number(boost)?)))?;
            if boost < 0.0 {
                return Err(ApiError::illegal_argument(format!("negative [boost] are not allowed in [{kind}], got [{field}]")));
            }
            fields.all |= pattern == "*";
            fields.add(reader, pattern, boost);
        }
        Ok(if listed.is_empty() { Self::all(reader) } else { fields })
    }

    fn add(&mut self, reader: &Reader<'_>, pattern: &str, boost: f32) {
        if !pattern.contains('*') {
            self.boosts.entry(pattern.to_owned()).and_modify(|sum| *sum *= boost).or_insert(boost);
            return;
        }
        for (path, _) in reader.schema.matching(pattern) {
            self.boosts.entry(path.to_owned()).and_modify(|sum| *sum *= boost).or_insert(boost);
        }
    }
}
