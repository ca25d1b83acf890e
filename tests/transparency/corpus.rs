//! Searches and answers that others wrote: OpenSearch's documentation and the search operations of Elastic's Rally tracks.
//!
//! They lie beside the checkout, with their sources; where they are absent, tests say so and the rest runs.

use std::{
    fs,
    io::{Write, stderr},
    path::Path,
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// A search as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Where it stands.
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) target: String,
    /// Empty where there is none.
    pub(crate) body: String,
}

/// An answer, and the search that stands before it.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) search: Option<Written>,
    pub(crate) answer: String,
}

#[cfg(feature = "real-engines")]
#[derive(Deserialize)]
struct RequestLine {
    file: String,
    method: String,
    path: String,
    body: Box<RawValue>,
}

#[derive(Deserialize)]
struct PairLine {
    file: String,
    request: Option<RequestOfPair>,
    response: String,
}

#[derive(Deserialize)]
struct RequestOfPair {
    method: String,
    path: String,
    body: Option<String>,
}

#[derive(Deserialize)]
struct RallyLine {
    track: String,
    name: String,
    index: Option<String>,
    params: Option<Value>,
    body: Option<Box<RawValue>>,
}

/// Prints past the harness's capture: figures are for reading when all is well, too.
pub(crate) fn say(line: &str) {
    writeln!(stderr(), "\n{line}").expect("standard error takes a line");
}

/// Returns the lines of a file, or says that there are none here.
fn lines<T: for<'de> Deserialize<'de>>(file: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Ok(text) = fs::read_to_string(folder.join(file)) else {
        say("skipped: no ../shared");
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}: {line}"))).collect()
}

/// Some write paths without their first slash.
fn rooted(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// The searches of the documentation.
#[cfg(feature = "real-engines")]
pub(crate) fn requests() -> Vec<Written> {
    let read = lines::<RequestLine>("search-responses/requests.jsonl").into_iter().enumerate();
    read.map(|(number, line)| {
        let body = Some(line.body.get()).filter(|body| *body != "null").unwrap_or_default();
        Written { name: format!("{}#{number}", line.file), method: line.method, target: rooted(&line.path), body: body.to_owned() }
    })
    .collect()
}

/// The answers of the documentation.
pub(crate) fn pairs() -> Vec<Pair> {
    let read = lines::<PairLine>("search-responses/responses.jsonl").into_iter();
    read.map(|line| {
        let name = line.file;
        let written =
            |own: RequestOfPair| Written { name, method: own.method, target: rooted(&own.path), body: own.body.unwrap_or_default() };
        let search = line.request.map(written);
        Pair { search, answer: line.response }
    })
    .collect()
}

/// The search operations of the Rally tracks; an index of its own for each track that names none.
pub(crate) fn rally() -> Vec<Written> {
    let read = lines::<RallyLine>("rally-bodies/bodies.jsonl").into_iter();
    read.map(|line| {
        let params = line.params.as_ref().and_then(Value::as_object).into_iter().flatten();
        let query: Vec<String> = params.map(|(name, value)| format!("{name}={value}")).collect();
        let index = line.index.unwrap_or_else(|| line.track.clone());
        let mark = if query.is_empty() { "" } else { "?" };
        Written {
            name: format!("{}/{}", line.track, line.name),
            method: "POST".into(),
            target: format!("/{index}/_search{mark}{}", query.join("&")),
            body: line.body.map_or_else(String::new, |body| body.get().to_owned()),
        }
    })
    .collect()
}
