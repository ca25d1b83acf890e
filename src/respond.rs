//! What Podium itself says to a client: errors in the engines' shape, and how a search was reranked.
//!
//! **Invariant:** an answer made here never carries an engine's product header, and never a word of the request (but the rerank API's own refusals).

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Serialize;

use crate::{
    body::{Body, full, uncounted},
    rerank::{Outcome, Outcomes},
    upstream::UpstreamError,
};

const RERANK_STATUS: HeaderName = HeaderName::from_static("rerank-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Where the time of a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the engine until its answer was there.
    pub engine: Duration,
    /// From there until the page was ready.
    pub rerank: Duration,
}

/// An error as Elasticsearch and OpenSearch write it, which their clients know how to show.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: Cause<'a>,
    status: u16,
}

#[derive(Serialize)]
struct Cause<'a> {
    r#type: &'a str,
    reason: &'a str,
}

/// Returns the answer to a request that the cluster did not answer.
pub fn upstream_error(failure: &UpstreamError) -> Response<Body> {
    let (status, kind) = match failure {
        UpstreamError::Connect(_) => (StatusCode::BAD_GATEWAY, "upstream_connect_exception"),
        UpstreamError::ConnectTimeout(_) => (StatusCode::GATEWAY_TIMEOUT, "upstream_connect_timeout_exception"),
        UpstreamError::Cut(_) => (StatusCode::BAD_GATEWAY, "upstream_cut_exception"),
        UpstreamError::Malformed(_) | UpstreamError::Ambiguous(_) => (StatusCode::BAD_GATEWAY, "upstream_answer_exception"),
        UpstreamError::RequestBody(_) => (StatusCode::BAD_REQUEST, "request_body_exception"),
        UpstreamError::Refused(_) => (StatusCode::BAD_REQUEST, "request_refused_exception"),
    };
    error(status, kind, &failure.to_string())
}

/// Returns the answer to a request that a bug of ours left without one.
pub fn internal() -> Response<Body> {
    error(StatusCode::INTERNAL_SERVER_ERROR, "internal_exception", "podium failed on this request; its log says more")
}

/// Returns the answer to a client whose request body broke off before it was whole.
pub fn request_body_broken() -> Response<Body> {
    error(StatusCode::BAD_REQUEST, "request_body_exception", "the request's body broke off")
}

/// Returns the answer to a search whose answer broke off while it was read.
pub fn answer_broken() -> Response<Body> {
    error(StatusCode::BAD_GATEWAY, "upstream_cut_exception", "the cluster's answer broke off")
}

/// Returns the answer to a request whose head is over the bound.
pub(crate) fn head_too_large() -> Response<Body> {
    error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large_exception", "the request's head is larger than max-header-bytes")
}

/// Returns the answer to a path that the admin port does not know.
pub(crate) fn not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "resource_not_found_exception", "the admin port has no such page")
}

/// Returns the answer to a call of the rerank API that has no scores.
pub(crate) fn rerank_refused(status: StatusCode, reason: &str) -> Response<Body> {
    error(status, "rerank_exception", reason)
}

/// Returns this value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("plain structures of strings and numbers are JSON");
    let length = text.len();
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// Returns the page of metrics, in the format that Prometheus reads.
pub(crate) fn metrics(page: String) -> Response<Body> {
    let length = page.len();
    let mut response = Response::new(full(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// Writes how a search was reranked, and where its time went, into its answer's head.
pub fn set_status(headers: &mut HeaderMap, outcome: &Outcome, timing: Option<Timing>) {
    write_status(headers, &outcome.to_string(), timing);
}

/// Returns an answer of the cluster's that is given out once more, with this head.
pub fn again(headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(uncounted(body));
    *response.headers_mut() = headers;
    response
}

/// Writes how the search was reranked whose answer is given out once more, and that it is.
pub fn set_reused(headers: &mut HeaderMap, outcome: &Outcome) {
    write_status(headers, &format!("{outcome}; answer=hit"), None);
}

/// Writes how the items of a multi search were reranked, and where its time went, into its answer's head.
pub fn set_statuses(headers: &mut HeaderMap, outcomes: &[Outcome], timing: Option<Timing>) {
    write_status(headers, &Outcomes(outcomes).to_string(), timing);
}

fn write_status(headers: &mut HeaderMap, status: &str, timing: Option<Timing>) {
    // A model's name is the operator's text: one that no header can hold is left out, the search is not.
    if let Ok(value) = HeaderValue::from_str(status) {
        headers.insert(RERANK_STATUS, value);
    }
    if let Some(Timing { engine, rerank }) = timing {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let value = format!("engine;dur={:.1}, rerank;dur={:.1}", millis(engine), millis(rerank));
        headers.append(SERVER_TIMING, HeaderValue::from_str(&value).expect("digits and ASCII words are a header value"));
    }
}

fn error(status: StatusCode, kind: &str, reason: &str) -> Response<Body> {
    json(status, &ErrorBody { error: Cause { r#type: kind, reason }, status: status.as_u16() })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        body::{Collected, collect_capped},
        rerank::{Reason, Reranked},
    };

    fn text(response: Response<Body>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(Collected::Whole(bytes)) = runtime.block_on(collect_capped(response.into_body().boxed_unsync(), 1000)) else {
            panic!("an error is short")
        };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn errors_have_the_engines_shape() {
        let response = upstream_error(&UpstreamError::Ambiguous("it has two lengths"));
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().len(), 2);
        let expected =
            r#"{"error":{"type":"upstream_answer_exception","reason":"the cluster's answer is refused: it has two lengths"},"status":502}"#;
        assert_eq!(response.headers()["content-length"], expected.len().to_string());
        assert_eq!(text(response), expected);
    }

    #[test]
    fn a_reranked_search_says_so() {
        let mut headers = HeaderMap::new();
        headers.insert("server-timing", "db;dur=1".parse().unwrap());
        let reranked =
            Reranked { model: "minilm".into(), window: 100, scored: 100, cached: 80, trust: Some(0.87), dropped: Some(3), late: None };
        let timing = Timing { engine: Duration::from_micros(12_140), rerank: Duration::from_micros(30_360) };
        set_status(&mut headers, &Outcome::Reranked(reranked), Some(timing));
        assert_eq!(headers["rerank-status"], "reranked; model=\"minilm\"; window=100; scored=100; cached=80; trust=0.87; dropped=3");
        let timings: Vec<_> = headers.get_all("server-timing").iter().collect();
        assert_eq!(timings, ["db;dur=1", "engine;dur=12.1, rerank;dur=30.4"]);
    }

    #[test]
    fn a_skipped_search_says_why() {
        let mut headers = HeaderMap::new();
        set_status(&mut headers, &Outcome::Skipped(Reason::NoRule), None);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["rerank-status"], "skipped; reason=no-rule");
    }
}
