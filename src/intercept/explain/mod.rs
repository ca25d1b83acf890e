//! Explains a search instead of answering it: the same steps as [`search`](super::search), with what each of them found.
//!
//! Nothing is remembered of it: no page is pinned, no trust is learnt, no refusal believed. A search that is too slow for its rule is
//! waited for.

mod report;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request};
use rerank_plugin::Deadline;

pub use self::report::{Explanation, ModelTold, QueryText, Row, Sent, Skipped, Texts, Times, Window};
use self::report::{milliseconds, rows};
use super::{
    Intercept,
    answer::{self, Answer},
    asked::{Asked, Unread},
    compute::compute,
    item::{Item, Planned},
    plan::{Hints, SearchPlan, plan},
    rank::Ranking,
    widen::widen,
};
use crate::{
    body::Body,
    config::Rule,
    es::{reading::Reading, response::SearchResponse},
    inference::Reranker,
    rerank::Reason,
    route::{self, Match, Route, route, why},
};

const DRY_RUN: HeaderName = HeaderName::from_static("rerank-dry-run");

/// How long the model may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One search and its rule.
struct Explainer<'a> {
    intercept: &'a Intercept,
    rule: &'a Rule,
    asked: &'a Asked,
    /// By which its index is remembered.
    path: &'a str,
}

/// Returns whether a client that the rule trusts wants its search explained instead of answered.
pub(super) fn is_wanted(headers: &HeaderMap, rule: &Rule) -> bool {
    rule.trust_client && headers.get(DRY_RUN).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

// === impl Intercept ===

impl Intercept {
    /// Explains a search.
    pub async fn explain(&self, request: Request<Body>) -> Explanation {
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let (path, query) = (uri.path(), uri.query());
        let told = self.told(&uri.to_string(), path, query, &headers);
        let matched = match route(request.method(), path, query, &headers, &self.gateway.rules) {
            Route::Search(matched) | Route::SearchEverywhere(matched) => matched,
            _ => return told.fail(Reason::NoRule, "this is no search of an index".to_owned()),
        };
        let rule = match matched {
            Match::NoRule => return told.skip(Reason::NoRule),
            Match::Mixed { .. } => return told.skip(Reason::MixedRules),
            Match::Rule(rule) => rule,
        };
        match Asked::read(request, &self.gateway, rule.total_timeout).await {
            Ok(asked) => self.explain_read(&rule, &asked, path).await,
            Err(Unread::Forward(_, reason)) => told.skip(reason),
            Err(Unread::Broken) => told.fail(Reason::NotJson, "the request's body broke off".to_owned()),
        }
    }

    /// Explains a search of `rule` that was read; its index is that of `path`.
    pub(super) async fn explain_read(&self, rule: &Rule, asked: &Asked, path: &str) -> Explanation {
        let served = asked.served(rule);
        let asked = served.as_ref().unwrap_or(asked);
        let mut told = self.told(&asked.head.uri.to_string(), path, asked.head.uri.query(), &asked.head.headers);
        told.tell_rule(rule);
        let item = Item { gateway: &self.gateway, rule, headers: &asked.head.headers, search: asked.search(), path };
        let planned = match item.plan(self.gateway.max_inspected_body) {
            Ok(Planned { plan, .. }) => plan,
            Err(reason) => return told.skip(reason),
        };
        let explainer = Explainer { intercept: self, rule, asked, path };
        let told = explainer.explain(told, &planned).await;
        let lacks_text = told.skipped.as_ref().is_some_and(|skipped| skipped.reason == Reason::NoText.as_str());
        if !lacks_text || planned.reading != Reading::Source {
            return told;
        }
        // What a search learns for the next one.
        match plan(&asked.search(), rule, &Hints { read_fields: true, most_hits: None }) {
            Ok(other) => {
                let mut again = self.told(&told.search, path, asked.head.uri.query(), &asked.head.headers);
                again.tell_rule(rule);
                again.notes.push("no hit's `_source` has text: the first search keeps the engine's order (no-text), later ones ask for `fields`, as here".to_owned());
                explainer.explain(again, &other).await
            }
            Err(_) => told,
        }
    }

    fn told(&self, search: &str, path: &str, query: Option<&str>, headers: &HeaderMap) -> Explanation {
        Explanation::new(search.to_owned(), why(&route::index_of(path), query, headers, &self.gateway.rules))
    }
}

// === impl Explainer ===

impl Explainer<'_> {
    /// Asks the engine as planned, and tells what comes of it.
    async fn explain(&self, mut told: Explanation, plan: &SearchPlan) -> Explanation {
        told.tell_plan(self.rule, plan);
        let gateway = &self.intercept.gateway;
        let reranker = match gateway.registry.get(&self.rule.model) {
            Ok(reranker) => reranker,
            Err(reason) => return told.fail(reason, format!("model {}: {}", self.rule.model, reason.words().meaning)),
        };
        let widened = compute(self.asked.decoded.len(), || widen(&self.asked.search(), plan));
        let Some(widened) = widened else { return told.fail(Reason::Internal, "the search could not be rewritten".to_owned()) };
        told.tell_sent(&widened);
        let Some(mut request) = self.asked.instead(widened) else {
            return told.fail(Reason::Internal, "the rewritten search is no request".to_owned());
        };
        // Another Podium behind this one would explain it to us.
        request.headers_mut().remove(DRY_RUN);
        let sent = Instant::now();
        let response = match self.intercept.upstream.send(request).await {
            Ok(response) => response,
            Err(error) => return told.fail(Reason::UpstreamStatus, error.to_string()),
        };
        match answer::read(response, gateway, plan.rewrites()).await {
            Answer::Final(response) => told.fail(Reason::UpstreamStatus, format!("the engine answered {}", response.status())),
            Answer::Refused(reason) => told.skip(reason),
            Answer::Hits { decoded, .. } => {
                told.times.engine_ms = Some(milliseconds(sent.elapsed()));
                self.hits(told, plan, &reranker, &decoded).await
            }
        }
    }

    /// Has the answer's hits scored, and tells what became of each.
    async fn hits(&self, mut told: Explanation, plan: &SearchPlan, reranker: &Reranker, decoded: &Bytes) -> Explanation {
        let bytes = decoded.len();
        let response = match compute(bytes, || SearchResponse::parse(decoded)) {
            Some(Ok(response)) => response,
            Some(Err(error)) => return told.fail(Reason::UpstreamAnswer, error.to_string()),
            None => return told.fail(Reason::Internal, "reading the answer failed".to_owned()),
        };
        if response.failed_shards > 0 && plan.rewrites() {
            return told.skip(Reason::RewriteRejected);
        }
        let gateway = &self.intercept.gateway;
        let scope = gateway.scope(&self.asked.head.headers);
        let ranking = Ranking { gateway, rule: self.rule, plan, path: self.path, response: &response, bytes, scope };
        let candidates = ranking.candidates().unwrap_or_default();
        let started = Instant::now();
        let scored = ranking.score(reranker, Deadline::after(PATIENCE), false).await;
        told.hits = rows(ranking.window(), plan, &candidates, scored.as_ref().ok());
        match scored {
            Ok(scored) => {
                told.tell_scores(&scored, reranker.unit(), started.elapsed());
                told
            }
            Err(reason) => told.skip(reason),
        }
    }
}
