//! The values of fields: what a document or a query says, as a value of the field's type, or why it is none.

use serde_json::Value;

use super::{
    dates,
    error::Cause,
    mapping::{Kind, Width},
};

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// Of text and keyword fields.
    Text(String),
    /// Of whole numbers, and of dates the milliseconds since 1970.
    Whole(i64),
    /// Of `double` and `float`.
    Fraction(f64),
    /// Of boolean fields.
    Boolean(bool),
}

/// A number of a query: those of whole-number fields may be asked for with fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Exact.
    Whole(i64),
    /// Anything else.
    Fraction(f64),
}

/// Reads one value of a document; `None` where there is nothing to keep.
pub fn from_document(kind: Kind, json: &Value) -> Result<Option<Typed>, Cause> {
    let typed = match (kind, json) {
        (_, Value::Null) => return Ok(None),
        (Kind::Text(_) | Kind::Keyword(_), _) => {
            Typed::Text(scalar(json).ok_or_else(|| Cause::new("illegal_state_exception", format!("Can't get text on a {}", token(json))))?)
        }
        (Kind::Boolean, Value::String(text)) => match text.as_str() {
            "true" => Typed::Boolean(true),
            "false" | "" => Typed::Boolean(false),
            _ => {
                return Err(Cause::new(
                    "illegal_argument_exception",
                    format!("Failed to parse value [{text}] as only [true] or [false] are allowed."),
                ));
            }
        },
        (Kind::Boolean, Value::Bool(value)) => Typed::Boolean(*value),
        (Kind::Boolean, _) => {
            return Err(Cause::new("input_coercion_exception", format!("Current token ({}) not of boolean type", token(json))));
        }
        (Kind::Date, _) => {
            let text = scalar(json).unwrap_or_else(|| json.to_string());
            Typed::Whole(dates::parse(&text).ok_or_else(|| no_date(&text))?.first)
        }
        // The engines take an empty text for no number.
        (_, Value::String(text)) if text.is_empty() => return Ok(None),
        (_, Value::Number(_) | Value::String(_)) => return number_of_document(kind, json).map(Some),
        _ => {
            return Err(Cause::new(
                "input_coercion_exception",
                format!("Current token ({}) not numeric, cannot use numeric value accessors", token(json)),
            ));
        }
    };
    Ok(Some(typed))
}

fn number_of_document(kind: Kind, json: &Value) -> Result<Typed, Cause> {
    let number = number(json)?;
    match (kind, number) {
        (Kind::Whole(width), number) => {
            let whole = match number {
                Number::Whole(whole) => Some(whole),
                // Beyond 2^63 nothing is exact.
                Number::Fraction(fraction) if fraction.abs() < 9.2e18 => Some(fraction.trunc() as i64),
                Number::Fraction(_) => None,
            };
            whole.filter(|whole| width.holds(*whole)).map(Typed::Whole).ok_or_else(|| out_of_range(width, json))
        }
        (_, number) => {
            let fraction = number.as_fraction(kind);
            let text = scalar(json).unwrap_or_default();
            if fraction.is_finite() {
                Ok(Typed::Fraction(fraction))
            } else {
                Err(Cause::new("illegal_argument_exception", format!("[{}] supports only finite values, but got [{text}]", kind.name())))
            }
        }
    }
}

/// Reads a number of a document or a query.
pub fn number(json: &Value) -> Result<Number, Cause> {
    let text = scalar(json).unwrap_or_else(|| json.to_string());
    let whole = text.parse().ok().map(Number::Whole);
    // Rust reads `inf` and `nan` where the engines read `Infinity` and `NaN`.
    let is_number = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
        || matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
    whole
        .or_else(|| text.parse().ok().filter(|_| is_number).map(Number::Fraction))
        .ok_or_else(|| Cause::new("number_format_exception", format!("For input string: \"{text}\"")))
}

/// Reads `true` and `false` of a query.
pub fn boolean(json: &Value) -> Result<bool, Cause> {
    match scalar(json).as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        text => Err(Cause::new(
            "illegal_argument_exception",
            format!("Can't parse boolean value [{}], expected [true] or [false]", text.unwrap_or_default()),
        )),
    }
}

/// Returns a string, a number or a truth as text.
pub fn scalar(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(json.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Says that a number is too large for its field.
pub fn out_of_range(width: Width, json: &Value) -> Cause {
    let article = if width == Width::Integer { "an" } else { "a" };
    Cause::new(
        "illegal_argument_exception",
        format!("Value [{}] is out of range for {article} {}", scalar(json).unwrap_or_default(), width.name()),
    )
}

/// Says that a text is no date.
pub fn no_date(text: &str) -> Cause {
    let reason = format!("failed to parse date field [{text}] with format [{}]", dates::FORMAT);
    Cause::new("illegal_argument_exception", reason)
        .caused_by(Cause::new("date_time_parse_exception", "Failed to parse with all enclosed parsers"))
}

/// Returns the name that the engines have for the beginning of a value.
pub fn token(json: &Value) -> &'static str {
    match json {
        Value::Null => "VALUE_NULL",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

// === impl Number ===

impl Number {
    /// Returns the number as a field of the type `kind` keeps it.
    #[expect(clippy::cast_possible_truncation, reason = "a `float` field keeps what fits")]
    pub fn as_fraction(self, kind: Kind) -> f64 {
        let fraction = match self {
            Self::Whole(whole) => whole as f64,
            Self::Fraction(fraction) => fraction,
        };
        if kind == Kind::Float { f64::from(fraction as f32) } else { fraction }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Typed, from_document};
    use crate::engine::mapping::{Kind, Width};

    #[test]
    fn values_are_coerced_as_the_engines_do() {
        let long = Kind::Whole(Width::Long);
        for (kind, json, expected) in [
            (Kind::Text(None), json!(1.0), Some(Typed::Text("1.0".to_owned()))),
            (Kind::Keyword(None), json!(true), Some(Typed::Text("true".to_owned()))),
            (long, json!(1.9), Some(Typed::Whole(1))),
            (long, json!("-2"), Some(Typed::Whole(-2))),
            (long, json!(""), None),
            (long, Value::Null, None),
            (Kind::Float, json!("1.1"), Some(Typed::Fraction(f64::from(1.1_f32)))),
            (Kind::Double, json!(1.1), Some(Typed::Fraction(1.1))),
            (Kind::Boolean, json!("false"), Some(Typed::Boolean(false))),
            (Kind::Date, json!("1970-01-02"), Some(Typed::Whole(86_400_000))),
            (Kind::Date, json!(86_400_000), Some(Typed::Whole(86_400_000))),
        ] {
            assert_eq!(from_document(kind, &json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn other_values_are_refused_with_the_reason() {
        for (kind, json, reason) in [
            (Kind::Whole(Width::Long), json!("abc"), "For input string: \"abc\""),
            (Kind::Whole(Width::Byte), json!(128), "Value [128] is out of range for a byte"),
            (Kind::Whole(Width::Long), json!(1e30), "Value [1e+30] is out of range for a long"),
            (Kind::Whole(Width::Long), json!(true), "Current token (VALUE_TRUE) not numeric, cannot use numeric value accessors"),
            (Kind::Double, json!("NaN"), "[double] supports only finite values, but got [NaN]"),
            (Kind::Double, json!("nan"), "For input string: \"nan\""),
            (Kind::Float, json!(1e300), "[float] supports only finite values, but got [1e+300]"),
            (Kind::Boolean, json!("yes"), "Failed to parse value [yes] as only [true] or [false] are allowed."),
            (Kind::Boolean, json!(1), "Current token (VALUE_NUMBER_INT) not of boolean type"),
            (Kind::Date, json!("soon"), "failed to parse date field [soon] with format [strict_date_optional_time||epoch_millis]"),
            (Kind::Text(None), json!({"a": 1}), "Can't get text on a START_OBJECT"),
        ] {
            let cause = from_document(kind, &json).unwrap_err();
            assert!(cause.reason().starts_with(reason), "{json}: {}", cause.reason());
        }
    }
}
