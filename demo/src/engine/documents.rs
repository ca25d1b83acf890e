//! One document by its id: written, read and deleted.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    answer::{Answer, Written},
    bulk::check_id,
    catalog::Catalog,
    error::ApiError,
    index::{Action, Operation, unreadable},
    names,
    parameters::Parameters,
    source_filter::SourceFilter,
    store::storage,
};

/// When a change is to be visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Within a second.
    Later,
    /// When the request is answered, and the answer says so.
    Now,
    /// When the request is answered.
    WaitFor,
}

/// A document that was read.
#[derive(Debug, Serialize)]
struct Got<'a> {
    _index: &'a str,
    _id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    _version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _primary_term: Option<u64>,
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    _source: Option<Box<RawValue>>,
}

// === impl Refresh ===

impl Refresh {
    /// Reads `refresh`.
    pub(super) fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        match parameters.get("refresh") {
            None | Some("false") => Ok(Self::Later),
            Some("" | "true") => Ok(Self::Now),
            Some("wait_for") => Ok(Self::WaitFor),
            Some(other) => Err(ApiError::illegal_argument(format!("Unknown value for refresh: [{other}]."))),
        }
    }

    /// Returns whether the change has to be visible when the request is answered.
    pub(super) fn is_wanted(self) -> bool {
        self != Self::Later
    }
}

/// Writes the document in `body`.
pub(super) fn write(
    catalog: &Catalog,
    (name, id): (&str, Option<&str>),
    action: Action,
    body: &[u8],
    refresh: Refresh,
) -> Result<Answer, ApiError> {
    if body.trim_ascii().is_empty() {
        return Err(ApiError::no_body());
    }
    let source: &RawValue = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let id = id.map_or_else(|| names::random(20), str::to_owned);
    change(catalog, name, Operation { action, id, source: Some(source) }, refresh)
}

/// Deletes a document.
pub(super) fn delete(catalog: &Catalog, (name, id): (&str, &str), refresh: Refresh) -> Result<Answer, ApiError> {
    change(catalog, name, Operation { action: Action::Delete, id: id.to_owned(), source: None }, refresh)
}

fn change(catalog: &Catalog, name: &str, operation: Operation<'_>, refresh: Refresh) -> Result<Answer, ApiError> {
    check_id(&operation.id)?;
    let index = if operation.action == Action::Delete { catalog.get(name)? } else { catalog.get_or_create(name)? };
    let done = index.apply(std::slice::from_ref(&operation)).pop();
    let done = done.unwrap_or_else(|| Err(ApiError::internal("engine_exception", "nothing was applied")))?;
    if refresh.is_wanted() {
        index.refresh();
    }
    Answer::new(done.outcome.status(), &Written::new(&index, &operation.id, done, refresh == Refresh::Now))
}

/// Reads a document, refreshed or not.
pub(super) fn get(catalog: &Catalog, (name, id): (&str, &str), parameters: &Parameters) -> Result<Answer, ApiError> {
    let index = catalog.get(name)?;
    let shown = SourceFilter::from_url(parameters.get("_source"), parameters.get("_source_includes"), parameters.get("_source_excludes"))
        .unwrap_or_default();
    let view = index.latest();
    let Some(place) = view.find(id).map_err(|error| storage(&error))? else {
        let missing = Got { _index: &index.name, _id: id, _version: None, _seq_no: None, _primary_term: None, found: false, _source: None };
        return Answer::new(404, &missing);
    };
    let stored = view.read(place.address).map_err(|error| storage(&error))?;
    Answer::ok(&Got {
        _index: &index.name,
        _id: id,
        _version: Some(place.version),
        _seq_no: Some(place.sequence),
        _primary_term: Some(1),
        found: true,
        _source: shown.apply(&stored.source).map(|shown| shown.into_owned()),
    })
}
