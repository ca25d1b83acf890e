//! `range`: values between two others.

use std::ops::Bound;

use serde_json::Value;
use tantivy::{
    Term,
    query::{InvertedIndexRangeQuery, RangeQuery},
};

use super::{
    clause::Clause,
    parameters::{Parameters, one_field, unknown_token},
    reader::Reader,
};
use crate::engine::{
    dates,
    error::{ApiError, Cause},
    mapping::Kind,
    schema::Indexed,
    values::{self, Number},
};

/// Which side of a range a value is, and whether it belongs to it.
#[derive(Clone, Copy)]
struct Side {
    lower: bool,
    included: bool,
}

const SIDES: [(&str, Side); 4] = [
    ("gt", Side { lower: true, included: false }),
    ("gte", Side { lower: true, included: true }),
    ("lt", Side { lower: false, included: false }),
    ("lte", Side { lower: false, included: true }),
];

pub(super) fn read(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    reader.count_clause()?;
    let (field, body) = one_field("range", json)?;
    let parameters = Parameters::new("range", body, &["gt", "gte", "lt", "lte", "boost"])?;
    let boost = parameters.boost()?;
    let Some(indexed) = reader.field(field)? else { return Ok(Clause::nothing()) };
    let (mut lower, mut upper) = (Bound::Unbounded, Bound::Unbounded);
    for (key, side) in SIDES {
        let Some(value) = parameters.get(key).filter(|value| !value.is_null()) else { continue };
        if values::scalar(value).is_none() {
            return Err(unknown_token("range", value, key));
        }
        let bound = bound(indexed, side, value)?;
        *(if side.lower { &mut lower } else { &mut upper }) = bound;
    }
    Ok(match (&lower, &upper) {
        (Bound::Unbounded, Bound::Unbounded) => reader.exists(field)?,
        _ => between(indexed, lower, upper),
    }
    .boosted(boost))
}

/// Matches documents with a date within what `text` stands for.
pub(super) fn day(indexed: Indexed, text: &str) -> Result<Clause, ApiError> {
    let instants = dates::parse(text).ok_or_else(|| no_date(text))?;
    let bound = |millis| Bound::Included(Term::from_field_i64(indexed.field, millis));
    Ok(between(indexed, bound(instants.first), bound(instants.last)))
}

/// Returns the whole number that `number` is, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "checked before")]
pub(super) fn whole(number: Number) -> Option<i64> {
    match number {
        Number::Whole(whole) => Some(whole),
        // Beyond 2^63 nothing is exact.
        Number::Fraction(fraction) => (fraction.fract() == 0.0 && fraction.abs() < 9.2e18).then_some(fraction as i64),
    }
}

fn between(indexed: Indexed, lower: Bound<Term>, upper: Bound<Term>) -> Clause {
    match indexed.kind {
        // Only these have a column of their terms' order.
        Kind::Text(_) | Kind::Boolean => Clause::constant(InvertedIndexRangeQuery::new(lower, upper)),
        _ => Clause::constant(RangeQuery::new(lower, upper)),
    }
}

fn bound(indexed: Indexed, side: Side, value: &Value) -> Result<Bound<Term>, ApiError> {
    let text = values::scalar(value).unwrap_or_default();
    let (term, included) = match indexed.kind {
        Kind::Text(_) | Kind::Keyword(_) => (Term::from_field_text(indexed.field, &text), side.included),
        Kind::Boolean => {
            let truth = values::boolean(value).map_err(ApiError::query_shard)?;
            (Term::from_field_text(indexed.field, &truth.to_string()), side.included)
        }
        Kind::Date => (Term::from_field_i64(indexed.field, instant(&text, side)?), side.included),
        Kind::Double | Kind::Float => {
            let number = values::number(value).map_err(ApiError::query_shard)?;
            (Term::from_field_f64(indexed.field, number.as_fraction(indexed.kind)), side.included)
        }
        Kind::Whole(width) => {
            let number = values::number(value).map_err(ApiError::query_shard)?;
            let (exact, included) = match (whole(number), number) {
                (Some(exact), _) => (Some(exact), side.included),
                // Above 1.5 begins with 2, and below it ends with 1.
                (None, Number::Fraction(fraction)) => {
                    (whole(Number::Fraction(if side.lower { fraction.ceil() } else { fraction.floor() })), true)
                }
                (None, Number::Whole(_)) => (None, true),
            };
            let exact = exact.filter(|exact| width.holds(*exact));
            let exact = exact.ok_or_else(|| ApiError::query_shard(values::out_of_range(width, value)))?;
            (Term::from_field_i64(indexed.field, exact), included)
        }
    };
    Ok(if included { Bound::Included(term) } else { Bound::Excluded(term) })
}

/// A day is wholly in or out: above it begins after its end, up to it ends there.
fn instant(text: &str, side: Side) -> Result<i64, ApiError> {
    if text.starts_with("now") || text.contains("||") {
        return Err(ApiError::unsupported(format!("date math, as in [{text}],")));
    }
    let instants = dates::parse(text).ok_or_else(|| no_date(text))?;
    Ok(if side.lower == side.included { instants.first } else { instants.last })
}

fn no_date(text: &str) -> ApiError {
    let cause = values::no_date(text);
    let reason = format!("{}: [{}]", cause.reason(), cause.reason());
    ApiError::on_shard(Cause::new("parse_exception", reason).caused_by(cause))
}
