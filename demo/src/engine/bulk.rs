//! Many changes in one request: lines of JSON to operations, and their answers in the same order.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, value::RawValue};

use super::{
    answer::Written,
    catalog::{Catalog, not_found},
    documents::Refresh,
    error::{ApiError, Cause},
    index::{Action, Done, Index, Operation, unreadable},
    names,
    search::milliseconds,
};

/// The longest id, in bytes.
const LONGEST_ID: usize = 512;

/// One line of a bulk request with its document.
#[derive(Debug)]
struct Entry<'a> {
    /// As the client called it.
    name: &'static str,
    index: String,
    operation: Result<Operation<'a>, ApiError>,
    /// What the answer calls the document.
    id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct BulkAnswer {
    took: u64,
    errors: bool,
    items: Vec<Item>,
}

/// What became of one line: `{"index": {..}}`.
#[derive(Debug)]
struct Item {
    name: &'static str,
    body: ItemBody,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ItemBody {
    Done {
        #[serde(flatten)]
        written: Written,
        status: u16,
    },
    Failed {
        _index: String,
        _id: Option<String>,
        status: u16,
        error: Cause,
    },
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.name, &self.body)?;
        map.end()
    }
}

/// Does what the lines of `body` say. Nothing is done when a line makes no sense.
pub(super) fn run(catalog: &Catalog, default_index: Option<&str>, body: &[u8], refresh: Refresh) -> Result<BulkAnswer, ApiError> {
    let started = Instant::now();
    let entries = entries(default_index, body)?;
    // By index, because each writes its part at once; in their order within it.
    let mut parts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        parts.entry(&entry.index).or_default().push(place);
    }
    let mut items: Vec<Option<Item>> = Vec::new();
    items.resize_with(entries.len(), || None);
    for (name, places) in parts {
        let index = index_of(catalog, name, places.iter().map(|place| &entries[*place]));
        let results = part(index.as_deref(), places.iter().map(|place| &entries[*place]));
        for (place, result) in places.into_iter().zip(results) {
            items[place] = Some(Item::new(&entries[place], index.as_deref().ok(), result, refresh));
        }
        if let (Ok(index), true) = (&index, refresh.is_wanted()) {
            index.refresh();
        }
    }
    let items: Vec<Item> = items.into_iter().flatten().collect();
    let errors = items.iter().any(|item| matches!(item.body, ItemBody::Failed { .. }));
    Ok(BulkAnswer { took: milliseconds(started.elapsed()), errors, items })
}

/// Returns the index, made when something is to be written there.
fn index_of<'a, 'b: 'a>(catalog: &Catalog, name: &str, mut entries: impl Iterator<Item = &'a Entry<'b>>) -> Result<Arc<Index>, ApiError> {
    if entries.any(|entry| entry.name != "delete") {
        return catalog.get_or_create(name);
    }
    catalog.get(name)
}

/// Applies the operations of one index; those that could not be read fail with what they are.
fn part<'a, 'b: 'a>(index: Result<&Index, &ApiError>, entries: impl Iterator<Item = &'a Entry<'b>>) -> Vec<Result<Done, ApiError>> {
    let entries: Vec<&Entry<'_>> = entries.collect();
    let index = match index {
        Ok(index) => index,
        Err(error) => return entries.iter().map(|_| Err(error.clone())).collect(),
    };
    let operations: Vec<Operation<'_>> = entries.iter().filter_map(|entry| entry.operation.as_ref().ok().cloned()).collect();
    let mut applied = index.apply(&operations).into_iter();
    let results = entries.iter().map(|entry| match &entry.operation {
        Ok(_) => applied.next().unwrap_or_else(|| Err(not_found(&entry.index))),
        Err(error) => Err(error.clone()),
    });
    results.collect()
}

// === impl Item ===

impl Item {
    fn new(entry: &Entry<'_>, index: Option<&Index>, result: Result<Done, ApiError>, refresh: Refresh) -> Self {
        let body = match (result, index, &entry.operation) {
            (Ok(done), Some(index), Ok(operation)) => {
                ItemBody::Done { written: Written::new(index, &operation.id, done, refresh == Refresh::Now), status: done.outcome.status() }
            }
            (Err(error), ..) => ItemBody::Failed {
                _index: entry.index.clone(),
                _id: entry.id.clone(),
                status: error.status(),
                error: error.cause().clone(),
            },
            (Ok(_), ..) => unreachable!("only an index does something, and only with an operation that was read"),
        };
        Self { name: entry.name, body }
    }
}

/// Reads all lines.
fn entries<'a>(default_index: Option<&str>, body: &'a [u8]) -> Result<Vec<Entry<'a>>, ApiError> {
    let wrong = |reason: &str| Err(ApiError::illegal_argument(reason));
    if body.is_empty() {
        return Err(ApiError::no_body());
    }
    if !body.ends_with(b"\n") {
        return wrong("The bulk request must be terminated by a newline [\\n]");
    }
    let mut lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).enumerate();
    let mut entries = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = number + 1;
        let mut entry = action(number, line, default_index)?;
        if entry.name != "delete" {
            let Some((_, source)) = lines.next().filter(|(_, source)| !source.is_empty()) else {
                if entries.is_empty() {
                    return no_requests();
                }
                return wrong(&format!("Malformed action/metadata line [{number}], expected a document on the next line"));
            };
            attach(&mut entry, source);
        }
        entries.push(entry);
    }
    if entries.is_empty() { no_requests() } else { Ok(entries) }
}

fn no_requests<T>() -> Result<T, ApiError> {
    Err(validation("Validation Failed: 1: no requests added;"))
}

fn validation(reason: &str) -> ApiError {
    ApiError::new(400, Cause::new("action_request_validation_exception", reason))
}

/// Puts the document to its line.
fn attach<'a>(entry: &mut Entry<'a>, source: &'a [u8]) {
    match (serde_json::from_slice::<&RawValue>(source), &mut entry.operation) {
        (Ok(source), Ok(operation)) => operation.source = Some(source),
        (Err(error), operation) => *operation = Err(unreadable(&error)),
        (Ok(_), Err(_)) => {}
    }
}

/// Reads a line that says what is to be done.
fn action<'a>(number: usize, line: &[u8], default_index: Option<&str>) -> Result<Entry<'a>, ApiError> {
    let malformed = |what: String| ApiError::illegal_argument(format!("Malformed action/metadata line [{number}], {what}"));
    let json: Value = serde_json::from_slice(line).map_err(|error| malformed(format!("expected JSON: {error}")))?;
    let object = json.as_object().filter(|object| object.len() == 1);
    let (name, metadata) =
        object.and_then(|object| object.iter().next()).ok_or_else(|| malformed("expected an object with one action".to_owned()))?;
    let (name, action) = match name.as_str() {
        "index" => ("index", Action::Index),
        "create" => ("create", Action::Create),
        "delete" => ("delete", Action::Delete),
        "update" => return Err(ApiError::unsupported(format!("[update] in action/metadata line [{number}]"))),
        other => return Err(malformed(format!("expected one of [create, delete, index, update] but found [{other}]"))),
    };
    let metadata = metadata.as_object().ok_or_else(|| malformed(format!("expected START_OBJECT behind [{name}]")))?;
    let (mut index, mut id) = (default_index.map(str::to_owned), None);
    for (key, value) in metadata {
        match (key.as_str(), value) {
            ("_index", Value::String(given)) => index = Some(given.clone()),
            ("_id", Value::String(given)) => id = Some(given.clone()),
            ("_id", Value::Number(given)) => id = Some(given.to_string()),
            ("_id", Value::Null) => {}
            ("_index" | "_id", _) => return Err(malformed(format!("[{key}] must be a string"))),
            (
                "routing" | "version" | "version_type" | "if_seq_no" | "if_primary_term" | "pipeline" | "require_alias"
                | "dynamic_templates",
                _,
            ) => {
                return Err(ApiError::unsupported(format!("[{key}] in action/metadata line [{number}]")));
            }
            (key, _) => {
                return Err(ApiError::illegal_argument(format!("Action/metadata line [{number}] contains an unknown parameter [{key}]")));
            }
        }
    }
    let index = index.ok_or_else(|| validation("Validation Failed: 1: index is missing;"))?;
    if action == Action::Delete && id.is_none() {
        return Err(validation("Validation Failed: 1: id is missing;"));
    }
    let checked = id.as_deref().map_or(Ok(()), check_id);
    let operation = checked.map(|()| Operation { action, id: id.clone().unwrap_or_else(|| names::random(20)), source: None });
    Ok(Entry { name, index, operation, id })
}

/// Refuses what is no id.
pub(super) fn check_id(id: &str) -> Result<(), ApiError> {
    if id.is_empty() {
        return Err(ApiError::illegal_argument("if _id is specified it must not be empty"));
    }
    if id.len() > LONGEST_ID {
        return Err(ApiError::illegal_argument(format!("id is too long, must be no longer than {LONGEST_ID} bytes but was: {}", id.len())));
    }
    Ok(())
}
