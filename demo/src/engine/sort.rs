//! The `sort` of a search: what clients write, and what a hit's `sort` shows.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    error::{ApiError, Cause},
    schema::{Column, Schema},
};

/// The keys that a search may sort by.
const MOST_KEYS: usize = 32;

/// One key as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SortKey {
    /// A field, `_score` or `_doc`.
    field: String,
    descending: bool,
    missing_first: bool,
}

/// One key, bound to the columns of an index.
#[derive(Clone, Debug)]
pub(super) struct BoundKey {
    pub(super) by: By,
    pub(super) descending: bool,
    pub(super) missing_first: bool,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    Score,
    /// The order in which documents were written.
    Sequence,
    Column {
        name: String,
        holds: Column,
    },
}

/// One value that a hit was sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SortValue {
    Score(f32),
    Sequence(u64),
    Whole(i64),
    Fraction(f64),
    /// Holds an `f32`, and is shown as such.
    Single(f64),
    Text(String),
    /// The field is missing; the number that the engines show for it.
    Missing(Absent),
}

/// How the engines show a missing value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Absent {
    Null,
    Whole(i64),
    Infinite { negative: bool },
}

// === impl SortKey ===

impl SortKey {
    /// Reads the `sort` of a body. Sorting by score alone is no sorting.
    pub(super) fn parse(json: &Value) -> Result<Vec<Self>, ApiError> {
        let keys: Vec<Self> = match json {
            Value::Array(keys) => keys.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
            one => Self::read(one)?,
        };
        Self::checked(keys)
    }

    /// Reads the `sort` of a URL: `price:desc,_score`.
    pub(super) fn from_url(text: &str) -> Result<Vec<Self>, ApiError> {
        let keys = text.split(',').map(|key| match key.rsplit_once(':') {
            Some((field, order)) => Self::ordered(field, order),
            None => Ok(Self::plain(key)),
        });
        Self::checked(keys.collect::<Result<_, _>>()?)
    }

    fn checked(keys: Vec<Self>) -> Result<Vec<Self>, ApiError> {
        if keys.len() > MOST_KEYS {
            return Err(ApiError::unsupported(format!("[sort] by more than [{MOST_KEYS}] keys")));
        }
        let is_by_score = matches!(keys.as_slice(), [key] if key.field == "_score" && key.descending);
        Ok(if is_by_score { Vec::new() } else { keys })
    }

    fn read(json: &Value) -> Result<Vec<Self>, ApiError> {
        match json {
            Value::String(field) => Ok(vec![Self::plain(field)]),
            // The members of an object have no order, and a sort without one is none.
            Value::Object(object) if object.len() > 1 => {
                Err(ApiError::unsupported("more than one key in an object of [sort], instead of a list of keys,"))
            }
            Value::Object(object) => object.iter().map(|(field, options)| Self::with_options(field, options)).collect(),
            _ => {
                Err(ApiError::illegal_argument("malformed sort format, within the sort array, an object, or an actual string are allowed"))
            }
        }
    }

    fn with_options(field: &str, options: &Value) -> Result<Self, ApiError> {
        match options {
            Value::String(order) => Self::ordered(field, order),
            Value::Object(options) => Self::from_object(field, options),
            _ => Err(ApiError::parsing(format!("malformed sort of [{field}]: an order or an object is expected"))),
        }
    }

    fn from_object(field: &str, options: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut key = Self::plain(field);
        for (option, value) in options {
            match (option.as_str(), value.as_str()) {
                ("order", Some(order)) => key.descending = Self::ordered(field, order)?.descending,
                ("missing", Some("_last")) => key.missing_first = false,
                ("missing", Some("_first")) => key.missing_first = true,
                ("missing", _) => return Err(ApiError::unsupported(format!("[missing] of [{value}] in the sort by [{field}]"))),
                _ => return Err(ApiError::unsupported(format!("[{option}] in the sort by [{field}]"))),
            }
        }
        Ok(key)
    }

    fn ordered(field: &str, order: &str) -> Result<Self, ApiError> {
        let descending = match order {
            "asc" => false,
            "desc" => true,
            other => return Err(ApiError::illegal_argument(format!("Unknown SortOrder [{other}]"))),
        };
        Ok(Self { descending, ..Self::plain(field) })
    }

    fn plain(field: &str) -> Self {
        Self { field: field.to_owned(), descending: field == "_score", missing_first: false }
    }

    /// Returns what the key means in an index.
    pub(super) fn bind(&self, schema: &Schema) -> Result<BoundKey, ApiError> {
        let by = match self.field.as_str() {
            "_score" => By::Score,
            "_doc" => By::Sequence,
            field => {
                let (name, holds) = schema.column(field)?.ok_or_else(|| {
                    ApiError::on_shard(Cause::new("query_shard_exception", format!("No mapping found for [{field}] in order to sort on")))
                })?;
                By::Column { name, holds }
            }
        };
        Ok(BoundKey { by, descending: self.descending, missing_first: self.missing_first })
    }

    /// Returns whether hits have to be scored for it.
    pub(super) fn is_score(&self) -> bool {
        self.field == "_score"
    }
}

// === impl BoundKey ===

impl BoundKey {
    /// The order of a search that asks for none.
    pub(super) fn score() -> Self {
        Self { by: By::Score, descending: true, missing_first: false }
    }

    /// Returns what a hit without the field shows.
    pub(super) fn absent(&self) -> SortValue {
        let sorts_low = self.descending != self.missing_first;
        SortValue::Missing(match &self.by {
            By::Column { holds, .. } => holds.absent(sorts_low),
            By::Score | By::Sequence => Absent::Null,
        })
    }

    /// Compares two values: what comes first is less.
    pub(super) fn compare(&self, left: &SortValue, right: &SortValue) -> Ordering {
        let is_missing = |value: &SortValue| matches!(value, SortValue::Missing(_));
        match (is_missing(left), is_missing(right)) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.missing_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if self.missing_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let ascending = left.compare(right);
                if self.descending { ascending.reverse() } else { ascending }
            }
        }
    }
}

// === impl Column ===

impl Column {
    fn absent(self, sorts_low: bool) -> Absent {
        match self {
            Self::Keyword => Absent::Null,
            Self::Whole => Absent::Whole(if sorts_low { i64::MIN } else { i64::MAX }),
            Self::Fraction | Self::Single => Absent::Infinite { negative: sorts_low },
            Self::Narrow | Self::Boolean => Absent::Whole(i64::from(if sorts_low { i32::MIN } else { i32::MAX })),
        }
    }
}

// === impl SortValue ===

impl SortValue {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Score(left), Self::Score(right)) => left.total_cmp(right),
            (Self::Sequence(left), Self::Sequence(right)) => left.cmp(right),
            (Self::Whole(left), Self::Whole(right)) => left.cmp(right),
            (Self::Fraction(left) | Self::Single(left), Self::Fraction(right) | Self::Single(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            // Indices that map a field differently: numbers by value, and before words.
            (left, right) => match (left.number(), right.number()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                (left, right) => right.is_some().cmp(&left.is_some()),
            },
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Fraction(number) | Self::Single(number) => Some(*number),
            _ => None,
        }
    }
}

impl Serialize for SortValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Score(score) => serializer.serialize_f32(*score),
            Self::Sequence(number) => serializer.serialize_u64(*number),
            Self::Whole(number) | Self::Missing(Absent::Whole(number)) => serializer.serialize_i64(*number),
            Self::Fraction(number) => serializer.serialize_f64(*number),
            Self::Single(number) => serializer.serialize_f32(*number as f32),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Missing(Absent::Null) => serializer.serialize_unit(),
            Self::Missing(Absent::Infinite { negative: false }) => serializer.serialize_str("Infinity"),
            Self::Missing(Absent::Infinite { negative: true }) => serializer.serialize_str("-Infinity"),
        }
    }
}
