//! One hit of an answer: what reranking reads of it, beside its own bytes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    json,
    layout::{Cursor, Layout, Malformed},
};

/// A hit, as the engine printed it.
#[derive(Debug)]
pub struct Hit<'a> {
    /// `_index`, empty when there is none.
    pub index: Cow<'a, str>,
    /// `_id`, empty when there is none.
    pub id: Cow<'a, str>,
    /// `_score`, when it is a number.
    pub score: Option<f64>,
    /// `_source`
    pub source: Option<&'a RawValue>,
    /// `fields`
    pub fields: Option<&'a RawValue>,
    layout: Layout<'a>,
}

// === impl Hit ===

impl<'a> Hit<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let (mut index, mut id, mut score, mut source, mut fields) = (None, None, None, None, None);
        let layout = cursor.object(|entry, key| {
            let value = entry.value()?;
            match key {
                "_index" => index = json::string(value),
                "_id" => id = json::string(value),
                "_score" => score = number(value),
                "_source" => source = Some(value),
                "fields" => fields = Some(value),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { index: index.unwrap_or_default(), id: id.unwrap_or_default(), score, source, fields, layout })
    }

    /// Whether it carries the values that it was sorted by.
    pub fn is_sorted(&self) -> bool {
        self.layout.items().iter().any(|item| item.key == "sort")
    }

    /// The hit's own bytes.
    pub fn raw(&self) -> &'a str {
        self.layout.as_str()
    }

    /// Where its entries stand.
    pub(crate) fn layout(&self) -> &Layout<'a> {
        &self.layout
    }
}

/// Returns the number that `value` is, where it has a finite one.
pub(super) fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok().filter(|number: &f64| number.is_finite())
}
