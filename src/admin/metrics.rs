//! Answers with the metrics, to whoever shows the token where there is one: they tell which models and indices there are.

use http::{HeaderMap, Response, StatusCode};
use tokio::task;

use super::rerank::{RerankApi, UNKNOWN};
use crate::{body::Body, respond, telemetry::MetricsPage};

/// Returns the page; written off the async threads, since what was observed since the last look is counted for it.
pub(super) async fn answer(guard: &RerankApi, page: MetricsPage, headers: &HeaderMap) -> Response<Body> {
    if !guard.knows(headers) {
        return respond::rerank_refused(StatusCode::UNAUTHORIZED, UNKNOWN);
    }
    match task::spawn_blocking(move || page.text()).await {
        Ok(text) => respond::metrics(text),
        Err(_) => respond::internal(),
    }
}
