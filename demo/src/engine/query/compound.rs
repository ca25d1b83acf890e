//! `bool`, `match_all` and `match_none`.

use serde_json::Value;
use tantivy::query::{BooleanQuery, Occur};

use super::{
    clause::{Clause, Group},
    minimum,
    parameters::Parameters,
    reader::Reader,
};
use crate::engine::{error::ApiError, values};

pub(super) fn read_match_all(_: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    Ok(Clause::everything().boosted(Parameters::new("match_all", json, &["boost"])?.boost()?))
}

pub(super) fn read_match_none(_: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    Parameters::new("match_none", json, &["boost"])?.boost()?;
    Ok(Clause::nothing())
}

pub(super) fn read_bool(reader: &Reader<'_>, json: &Value) -> Result<Clause, ApiError> {
    let known = ["must", "should", "must_not", "filter", "minimum_should_match", "boost"];
    let parameters = Parameters::new("bool", json, &known)?;
    let mut group = Group::new();
    for (key, occur) in [("must", Occur::Must), ("filter", Occur::Must), ("should", Occur::Should), ("must_not", Occur::MustNot)] {
        let queries = match parameters.get(key) {
            None => continue,
            Some(Value::Array(queries)) => queries.as_slice(),
            Some(query @ Value::Object(_)) => std::slice::from_ref(query),
            Some(other) => {
                return Err(ApiError::parsing(format!("[bool] {key} doesn't support values of type: {}", values::token(other))));
            }
        };
        for query in queries {
            let clause = reader.deeper(|| reader.query(query))?;
            group.push((occur, if key == "filter" { clause.filtering() } else { clause }));
        }
    }
    let minimum = parameters.scalar("minimum_should_match")?;
    Ok(combine(group, minimum.as_deref())?.boosted(parameters.boost()?))
}

/// Joins clauses as Lucene does. Where none is required, one of the optional ones has to match.
pub(super) fn combine(group: Group, minimum: Option<&str>) -> Result<Clause, ApiError> {
    if group.is_empty() {
        return Ok(Clause::everything());
    }
    let count = |wanted: Occur| group.iter().filter(|(occur, _)| *occur == wanted).count();
    let (required, optional) = (count(Occur::Must), count(Occur::Should));
    let minimum = minimum.map_or(Ok(0), |specification| minimum::required(optional, specification)).map_err(ApiError::query_shard)?;
    // Where clauses only exclude, the engines forget the minimum.
    let only_excludes = required + optional == 0;
    if minimum > optional && !only_excludes {
        return Ok(Clause::nothing());
    }
    let minimum = if only_excludes { 0 } else { minimum };
    let minimum = if required == 0 && optional > 0 { minimum.max(1) } else { minimum };
    let mut queries = Vec::with_capacity(group.len() + 1);
    let mut marks = Vec::new();
    if only_excludes {
        queries.push((Occur::Must, Clause::everything().filtering().query));
    }
    for (occur, clause) in group {
        queries.push((occur, clause.query));
        if occur != Occur::MustNot {
            marks.extend(clause.marks);
        }
    }
    Ok(Clause { query: Box::new(BooleanQuery::with_minimum_required_clauses(queries, minimum)), marks })
}
