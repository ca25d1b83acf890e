//! The types of fields.

use serde_json::{Map, Value};

use crate::engine::analysis::Analyzer;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Words; `None` is the analyzer that a field has without one.
    Text(Option<Analyzer>),
    /// The whole text; longer ones than so many characters are not kept.
    Keyword(Option<usize>),
    /// A whole number.
    Whole(Width),
    /// `double`
    Double,
    /// `float`
    Float,
    /// `true` or `false`
    Boolean,
    /// Milliseconds since 1970.
    Date,
}

/// How large a whole number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Byte,
    Short,
    Integer,
    Long,
}

// === impl Kind ===

impl Kind {
    /// Returns the name that mappings have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Keyword(_) => "keyword",
            Self::Whole(width) => width.name(),
            Self::Double => "double",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }

    /// Returns how its texts become terms.
    pub fn analyzer(self) -> Analyzer {
        match self {
            Self::Text(analyzer) => analyzer.unwrap_or_default(),
            _ => Analyzer::Keyword,
        }
    }

    pub(super) fn to_json(self) -> Map<String, Value> {
        let mut json = Map::from_iter([("type".to_owned(), Value::from(self.name()))]);
        match self {
            Self::Text(Some(analyzer)) => drop(json.insert("analyzer".to_owned(), Value::from(analyzer_name(Some(analyzer))))),
            Self::Keyword(Some(limit)) => drop(json.insert("ignore_above".to_owned(), Value::from(limit))),
            _ => {}
        }
        json
    }
}

// === impl Width ===

impl Width {
    /// Returns the name that mappings have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::Short => "short",
            Self::Integer => "integer",
            Self::Long => "long",
        }
    }

    /// Whether `number` is one of this type.
    pub fn holds(self, number: i64) -> bool {
        match self {
            Self::Byte => i8::try_from(number).is_ok(),
            Self::Short => i16::try_from(number).is_ok(),
            Self::Integer => i32::try_from(number).is_ok(),
            Self::Long => true,
        }
    }
}

/// Returns the name that mappings have for the analyzer of a field.
pub(super) fn analyzer_name(analyzer: Option<Analyzer>) -> &'static str {
    match analyzer {
        None => "default",
        Some(Analyzer::English) => "english",
        Some(_) => "standard",
    }
}
