//! Takes a search that names no index through the gateway: it is of all indices, or of those that its point in time was opened for.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::{
    body::{self, Body},
    es::{pit, request},
    intercept::{
        Intercept,
        asked::{Asked, Unread},
        compute::compute,
        encoding::Coding,
        search::Search,
    },
    rerank::Reason,
    respond,
    route::{self, Match},
};

/// An answer's first bytes, among which the id of its point in time is, need not be more.
const START: usize = 64 << 10;

/// What a search is of.
enum Searched {
    /// Everything.
    All,
    /// The indices that a point in time was opened for.
    Pit(Arc<str>),
    /// Those of a point in time that was opened elsewhere.
    Unknown,
}

/// Answers a search; `matched` is the rule of all indices.
pub async fn answer(intercept: Intercept, matched: Match, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let gateway = Arc::clone(&intercept.gateway);
    let Some(patience) = gateway.rules.iter().map(|rule| rule.total_timeout).max() else {
        return intercept.search(request, matched).await;
    };
    let asked = match Asked::read(request, &gateway, patience).await {
        Ok(asked) => asked,
        // What cannot be looked into is a search of everything, as far as anybody can tell.
        Err(Unread::Forward(request, reason)) => return pass(&intercept, &matched, *request, reason).await,
        Err(Unread::Broken) => return respond::request_body_broken(),
    };
    let (found, path, index) = match searched(&intercept, &asked) {
        Searched::All => (matched, asked.path().to_owned(), None),
        Searched::Unknown => return intercept.forward(asked.again(), gateway.headers.then_some(Reason::UnknownPit)).await,
        Searched::Pit(index) => {
            let found = route::find(&index, asked.head.uri.query(), &asked.head.headers, &gateway.rules);
            (found, format!("/{index}/_search"), Some(index))
        }
    };
    let response = match found {
        Match::Rule(rule) => Search::since(intercept.clone(), rule, started).take(&asked, &path).await,
        Match::NoRule => intercept.forward(asked.again(), gateway.headers.then_some(Reason::NoRule)).await,
        Match::Mixed { headers } => intercept.forward(asked.again(), headers.then_some(Reason::MixedRules)).await,
    };
    match index {
        Some(index) => learn(&intercept, index, response).await,
        None => response,
    }
}

/// Passes on a search that was not read: a reason of its own has one that belongs to a rule.
async fn pass(intercept: &Intercept, matched: &Match, request: Request<Body>, reason: Reason) -> Response<Body> {
    let told = match matched {
        Match::Rule(rule) => rule.headers.then_some(reason),
        Match::NoRule => intercept.gateway.headers.then_some(Reason::NoRule),
        Match::Mixed { headers } => headers.then_some(Reason::MixedRules),
    };
    intercept.forward(request, told).await
}

fn searched(intercept: &Intercept, asked: &Asked) -> Searched {
    let look = || {
        let request = request::Request::read(asked.head.uri.query(), &asked.decoded).ok()?;
        let body = request.body().ok()?;
        let pit = pit::of_search(&body)?;
        Some(intercept.gateway.points.find(&pit).map_or(Searched::Unknown, Searched::Pit))
    };
    compute(asked.decoded.len(), look).flatten().unwrap_or(Searched::All)
}

/// Learns the id under which a point in time goes on, where the answer's first bytes can be read as they come.
async fn learn(intercept: &Intercept, index: Arc<str>, response: Response<Body>) -> Response<Body> {
    if response.status() != StatusCode::OK || Coding::of(response.headers()) != Some(Coding::Identity) {
        return response;
    }
    let (head, whole) = response.into_parts();
    let (start, whole) = body::peek(whole).await;
    if let Some(id) = id_at(&start) {
        intercept.gateway.points.go_on(&id, index);
    }
    Response::from_parts(head, whole)
}

fn id_at(start: &Bytes) -> Option<String> {
    let start = &start[..start.len().min(START)];
    // A letter that is cut in two ends what can be read.
    let text = str::from_utf8(start).or_else(|error| str::from_utf8(&start[..error.valid_up_to()])).ok()?;
    pit::of_answer(text)
}
