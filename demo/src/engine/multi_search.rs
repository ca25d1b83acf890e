//! Many searches in one request.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::{
    catalog::{Catalog, Lenience},
    error::ApiError,
    parameters::{self, Parameters},
    search::{Search, SearchAnswer, milliseconds, object},
};

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct MultiSearchAnswer {
    took: u64,
    responses: Vec<Response>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Response {
    Found {
        #[serde(flatten)]
        answer: SearchAnswer,
        status: u16,
    },
    /// The error writes its status itself.
    Failed(ApiError),
}

/// Where one search is to look.
struct Head {
    index: String,
    lenience: Lenience,
}

/// Runs the searches that the lines of `body` ask for. A search that makes no sense fails them all, as in the engines; one that
/// only finds no index, or does not suit one, fails alone.
pub(super) fn run(catalog: &Catalog, default: &str, lenience: Lenience, body: &[u8]) -> Result<MultiSearchAnswer, ApiError> {
    let started = Instant::now();
    let searches = searches(default, lenience, body)?;
    let mut responses = Vec::with_capacity(searches.len());
    for (head, search) in searches {
        let found = catalog.resolve(&head.index, head.lenience).and_then(|indices| search.run(catalog, &indices));
        responses.push(match found {
            Ok(answer) => Response::Found { answer, status: 200 },
            Err(error) if fails_alone(&error) => Response::Failed(error),
            Err(error) => return Err(error),
        });
    }
    Ok(MultiSearchAnswer { took: milliseconds(started.elapsed()), responses })
}

fn fails_alone(error: &ApiError) -> bool {
    let of_its_own = ["search_phase_execution_exception", "index_not_found_exception", "invalid_index_name_exception"];
    error.status() >= 500 || of_its_own.contains(&error.cause().kind())
}

fn searches(default: &str, lenience: Lenience, body: &[u8]) -> Result<Vec<(Head, Search)>, ApiError> {
    if !body.ends_with(b"\n") && !body.is_empty() {
        return Err(ApiError::illegal_argument("The msearch request must be terminated by a newline [\n]"));
    }
    let text = body.strip_suffix(b"\n").unwrap_or_default();
    let mut lines = text.split(|byte| *byte == b'\n').zip(1..);
    let mut searches = Vec::new();
    while let Some((line, number)) = lines.next().filter(|_| !text.is_empty()) {
        let Some((asked, _)) = lines.next() else {
            return Err(ApiError::illegal_argument(format!("Malformed msearch, expected a search behind line [{number}]")));
        };
        searches.push((head(line, default, lenience)?, Search::parse(&Parameters::default(), asked)?));
    }
    if searches.is_empty() {
        let reason = "Validation Failed: 1: no requests added;";
        return Err(ApiError::new(400, super::error::Cause::new("action_request_validation_exception", reason)));
    }
    Ok(searches)
}

fn head(line: &[u8], default: &str, lenience: Lenience) -> Result<Head, ApiError> {
    let mut head = Head { index: default.to_owned(), lenience };
    for (key, value) in object(line)? {
        match (key.as_str(), &value) {
            ("index" | "indices", Value::String(index)) if index.is_empty() => {
                return Err(ApiError::illegal_argument(format!("[{key}] in the metadata section names no index")));
            }
            ("index" | "indices", Value::String(index)) => head.index.clone_from(index),
            ("index" | "indices", Value::Array(names)) if names.iter().all(Value::is_string) => {
                head.index = names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            }
            ("ignore_unavailable", Value::Bool(flag)) => head.lenience.ignore_unavailable = *flag,
            ("allow_no_indices", Value::Bool(flag)) => head.lenience.allow_no_indices = *flag,
            // One shard and no cache: these change nothing.
            ("search_type" | "preference", Value::String(text)) => parameters::check(&key, text)?,
            ("request_cache" | "ccs_minimize_roundtrips", Value::Bool(_)) => {}
            ("expand_wildcards" | "routing", _) => {
                return Err(ApiError::unsupported(format!("[{key}] in the metadata section")));
            }
            (key, _) => return Err(ApiError::illegal_argument(format!("key [{key}] is not supported in the metadata section"))),
        }
    }
    Ok(head)
}
