//! The parameters of one query: those that are not known are refused by name.

use serde_json::{Map, Value};

use crate::engine::{
    error::{ApiError, Cause},
    values,
};

/// The parameters of the query `kind`.
pub(super) struct Parameters<'a> {
    kind: &'static str,
    members: &'a Map<String, Value>,
}

/// Whether all words are wanted or any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Operator {
    #[default]
    Or,
    And,
}

/// What a query on one field says: `{"title": "shoes"}` or `{"title": {"query": "shoes", ..}}`.
pub(super) struct OnField<'a> {
    pub field: &'a str,
    pub value: &'a Value,
    /// `None` in the short form.
    pub parameters: Option<Parameters<'a>>,
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    /// Reads an object with no other parameters than `known`.
    pub fn new(kind: &'static str, json: &'a Value, known: &[&str]) -> Result<Self, ApiError> {
        let Value::Object(members) = json else {
            return Err(ApiError::parsing(format!("[{kind}] query malformed, no start_object after query name")));
        };
        match members.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) if kind == "bool" => {
                let reason = format!("[bool] query does not support [{unknown}]");
                Err(ApiError::new(400, Cause::new("x_content_parse_exception", reason)))
            }
            Some(unknown) => Err(ApiError::parsing(format!("[{kind}] query does not support [{unknown}]"))),
            None => Ok(Self { kind, members }),
        }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key)
    }

    /// Returns the string, number or truth under `key`.
    pub fn scalar(&self, key: &str) -> Result<Option<String>, ApiError> {
        self.get(key).map(|value| values::scalar(value).ok_or_else(|| unknown_token(self.kind, value, key))).transpose()
    }

    pub fn number(&self, key: &str, default: f32) -> Result<f32, ApiError> {
        self.scalar(key)?.map_or(Ok(default), |text| number(&text))
    }

    pub fn boost(&self) -> Result<f32, ApiError> {
        let boost = self.number("boost", 1.0)?;
        if boost < 0.0 || !boost.is_finite() {
            return Err(ApiError::illegal_argument(format!("negative [boost] are not allowed in [{}], got [{boost}]", self.kind)));
        }
        Ok(boost)
    }

    pub fn operator(&self, key: &str) -> Result<Operator, ApiError> {
        self.scalar(key)?.as_deref().map_or(Ok(Operator::Or), Operator::parse)
    }
}

// === impl Operator ===

impl Operator {
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        match name.to_ascii_lowercase().as_str() {
            "or" => Ok(Self::Or),
            "and" => Ok(Self::And),
            _ => Err(ApiError::illegal_argument(format!("operator must be [and] or [or], got [{name}]"))),
        }
    }
}

// === impl OnField ===

impl<'a> OnField<'a> {
    /// Reads a query whose text is under `key` in the long form.
    pub fn new(kind: &'static str, json: &'a Value, key: &str, known: &[&str]) -> Result<Self, ApiError> {
        let (field, body) = one_field(kind, json)?;
        let Value::Object(members) = body else {
            return match body {
                Value::Array(_) => Err(ApiError::parsing(format!("[{kind}] query does not support array of values"))),
                Value::Null => Err(no_text(kind)),
                value => Ok(Self { field, value, parameters: None }),
            };
        };
        let known = [&[key], known].concat();
        let parameters = Parameters::new(kind, body, &known)?;
        match members.get(key) {
            None => Err(no_text(kind)),
            Some(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => Err(unknown_token(kind, value, key)),
            Some(value) => Ok(Self { field, value, parameters: Some(parameters) }),
        }
    }

    pub fn boost(&self) -> Result<f32, ApiError> {
        self.parameters.as_ref().map_or(Ok(1.0), Parameters::boost)
    }
}

/// Returns the only member of an object: a field and what is said about it.
pub(super) fn one_field<'a>(kind: &str, json: &'a Value) -> Result<(&'a str, &'a Value), ApiError> {
    let Value::Object(members) = json else {
        return Err(ApiError::parsing(format!("[{kind}] query malformed, no start_object after query name")));
    };
    let mut fields = members.iter();
    match (fields.next(), fields.next()) {
        (Some((field, body)), None) => Ok((field, body)),
        (Some((first, _)), Some((second, _))) => {
            Err(ApiError::parsing(format!("[{kind}] query doesn't support multiple fields, found [{first}] and [{second}]")))
        }
        (None, _) => Err(no_text(kind)),
    }
}

pub(super) fn no_text(kind: &str) -> ApiError {
    match kind {
        "match" | "match_phrase" => ApiError::parsing("No text specified for text query"),
        "multi_match" => ApiError::parsing("No text specified for multi_match query"),
        "query_string" => ApiError::parsing("[query_string] must be provided with a [query]"),
        _ => ApiError::illegal_argument("field name is null or empty"),
    }
}

pub(super) fn unknown_token(kind: &str, value: &Value, key: &str) -> ApiError {
    ApiError::parsing(format!("[{kind}] unknown token [{}] after [{key}]", values::token(value)))
}

pub(super) fn number(text: &str) -> Result<f32, ApiError> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite());
    number.ok_or_else(|| ApiError::new(400, Cause::new("number_format_exception", format!("For input string: \"{text}\""))))
}
