//! Queries for exact values: `term`, `terms`, `ids` and `exists`.

use serde_json::Value;
use tantivy::{
    Term,
    query::{BooleanQuery, Occur, Query, TermQuery, TermSetQuery},
    schema::IndexRecordOption,
};

use super::{
    clause::Clause,
    parameters::{OnField, Parameters, no_text, unknown_token},
    range,
    reader::Reader,
    scoring::Scored,
};
use crate::engine::{
    error::{ApiError, Cause},
    mapping::Kind,
    schema::{Indexed, Presence},
    values::{self, Number},
};

/// How many values `terms` may have, as in the engines.
const MOST_TERMS: usize = 65536;

pub(super) fn read_term(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let on_field = OnField::new("term", json, "value", &["boost"])?;
    Ok(reader.term(on_field.field, on_field.value)?.boosted(on_field.boost()?))
}

pub(super) fn read_terms(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let Value::Object(members) = json else {
        return Err(ApiError::parsing("[terms] query malformed, no start_object after query name"));
    };
    let mut field = None;
    for (key, value) in members {
        match value {
            Value::Array(listed) if field.is_none() => field = Some((key, listed)),
            Value::Array(_) => return Err(ApiError::parsing("[terms] query does not support multiple fields")),
            _ if key == "boost" => {}
            _ => return Err(ApiError::parsing(format!("[terms] query does not support [{key}]"))),
        }
    }
    let Some((field, listed)) = field else {
        return Err(ApiError::parsing(
            "[terms] query requires a field name, followed by array of terms or a document lookup specification",
        ));
    };
    if listed.len() > MOST_TERMS {
        let reason = format!(
            "The number of terms [{}] used in the Terms Query request has exceeded the allowed maximum of [{MOST_TERMS}].",
            listed.len()
        );
        return Err(ApiError::query_shard(Cause::new("illegal_argument_exception", reason)));
    }
    if let Some(value) = listed.iter().find(|value| values::scalar(value).is_none()) {
        return Err(unknown_token("terms", value, field));
    }
    // A field may be called so.
    let boost = if field == "boost" { 1.0 } else { Parameters::new("terms", json, &[field, "boost"])?.boost()? };
    Ok(reader.terms(field, listed)?.boosted(boost))
}

pub(super) fn read_ids(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let parameters = Parameters::new("ids", json, &["values", "boost"])?;
    let listed = match parameters.get("values") {
        None => return Err(ApiError::parsing("[ids] requires providing [values]")),
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    if let Some(value) = listed.iter().find(|value| values::scalar(value).is_none()) {
        return Err(unknown_token("ids", value, "values"));
    }
    Ok(reader.terms("_id", listed)?.boosted(parameters.boost()?))
}

pub(super) fn read_exists(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let parameters = Parameters::new("exists", json, &["field", "boost"])?;
    let Some(field) = parameters.scalar("field")? else { return Err(no_text("exists")) };
    Ok(reader.exists(&field)?.boosted(parameters.boost()?))
}

// === impl Reader ===

impl Reader<'_> {
    /// Matches documents that have a value in the field, in a field within the object, or in fields that match the pattern.
    pub(super) fn exists(&self, field: &str) -> Result<Clause, ApiError> {
        self.count_clause()?;
        self.field(field)?;
        let mut fields = self.schema.matching(field);
        fields.extend(self.schema.matching(&format!("{field}.*")));
        let present = fields.into_iter().map(|(path, _)| self.schema.has(path, Presence::Value));
        Ok(Clause::constant(TermSetQuery::new(present)))
    }

    /// Matches documents with an exact value.
    pub(super) fn term(&self, field: &str, value: &Value) -> Result<Clause, ApiError> {
        self.count_clause()?;
        let text = values::scalar(value).unwrap_or_default();
        if field == "_id" {
            return Ok(Clause::constant(self.id(&text)));
        }
        let Some(indexed) = self.field(field)? else { return Ok(Clause::nothing()) };
        match indexed.kind {
            Kind::Text(_) => Ok(self.word(field, indexed, text)),
            Kind::Boolean => {
                let truth = values::boolean(value).map_err(ApiError::query_shard)?.to_string();
                Ok(self.word(field, indexed, truth))
            }
            Kind::Keyword(_) => Ok(Clause::constant(term_query(Term::from_field_text(indexed.field, &text))).marking(field, [(0, text)])),
            Kind::Date => range::day(indexed, &text),
            _ => Ok(number_term(indexed, value)?.map_or_else(Clause::nothing, |term| Clause::constant(term_query(term)))),
        }
    }

    fn terms(&self, field: &str, listed: &[Value]) -> Result<Clause, ApiError> {
        self.count_clause()?;
        let texts = || listed.iter().filter_map(values::scalar);
        if field == "_id" {
            let ids = texts().map(|text| Term::from_field_text(self.schema.id(), &text));
            return Ok(Clause::constant(TermSetQuery::new(ids)));
        }
        let Some(indexed) = self.field(field)? else { return Ok(Clause::nothing()) };
        let mut terms = Vec::new();
        match indexed.kind {
            Kind::Boolean => {
                let mut truths = listed.iter().map(values::boolean).collect::<Result<Vec<_>, _>>().map_err(ApiError::query_shard)?;
                truths.sort_unstable();
                truths.dedup();
                if let [truth] = truths[..] {
                    return self.term(field, &Value::Bool(truth));
                }
                terms.extend(truths.iter().map(|truth| Term::from_field_text(indexed.field, &truth.to_string())));
            }
            Kind::Date => {
                let days = texts().map(|text| Ok((Occur::Should, range::day(indexed, &text)?.query)));
                return Ok(Clause::constant(BooleanQuery::new(days.collect::<Result<Vec<(Occur, Box<dyn Query>)>, ApiError>>()?)));
            }
            Kind::Text(_) | Kind::Keyword(_) => terms.extend(texts().map(|text| Term::from_field_text(indexed.field, &text))),
            _ => {
                for value in listed {
                    terms.extend(number_term(indexed, value)?);
                }
            }
        }
        let clause = Clause::constant(TermSetQuery::new(terms));
        Ok(match indexed.kind {
            Kind::Text(_) | Kind::Keyword(_) => texts().fold(clause, |clause, text| clause.marking(field, [(0, text)])),
            _ => clause,
        })
    }

    /// Matches documents with a term; its score is Lucene's.
    pub(super) fn word(&self, path: &str, indexed: Indexed, term: String) -> Clause {
        let query = TermQuery::new(Term::from_field_text(indexed.field, &term), IndexRecordOption::WithFreqs);
        Clause::new(Scored::new(query, self.schema.has(path, Presence::Terms))).marking(path, [(0, term)])
    }

    fn id(&self, text: &str) -> TermQuery {
        term_query(Term::from_field_text(self.schema.id(), text))
    }
}

fn term_query(term: Term) -> TermQuery {
    TermQuery::new(term, IndexRecordOption::Basic)
}

/// Returns the term of a number; `None` where no value of the field's type can be equal.
fn number_term(indexed: Indexed, value: &Value) -> Result<Option<Term>, ApiError> {
    let number = values::number(value).map_err(ApiError::query_shard)?;
    let Kind::Whole(width) = indexed.kind else {
        return Ok(Some(Term::from_field_f64(indexed.field, number.as_fraction(indexed.kind))));
    };
    match range::whole(number) {
        Some(whole) if width.holds(whole) => Ok(Some(Term::from_field_i64(indexed.field, whole))),
        None if matches!(number, Number::Fraction(fraction) if fraction.abs() < 9.2e18) => Ok(None),
        _ => Err(ApiError::query_shard(values::out_of_range(width, value))),
    }
}
