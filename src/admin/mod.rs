//! The operators' port: whether Podium runs, whether it can do its work, and its models for whoever else wants to ask them.

mod caches;
mod metrics;
mod rerank;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::net::TcpListener;
use tower::Service;

use self::caches::Order;
use crate::{body::Body, cached::Caches, config, listener, respond, telemetry::MetricsPage};

pub use rerank::RerankApi;

/// Says what is still missing before Podium can do its whole work, one line for each; empty when ready.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The paths of the rerank API: Cohere's, Jina's, and the bare one.
const RERANK: [&str; 3] = ["/v2/rerank", "/v1/rerank", "/rerank"];

/// The page that Prometheus reads.
const METRICS: &str = "/metrics";

/// The pages of the admin port.
#[derive(Clone)]
pub struct Admin {
    missing: Readiness,
    rerank: RerankApi,
    metrics: MetricsPage,
    caches: Caches,
}

#[derive(Serialize)]
struct Page {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

/// Serves the admin port until `shutdown`; open requests then end at once.
pub async fn serve(tcp: TcpListener, settings: &config::Admin, admin: Admin, shutdown: impl Future<Output = ()>) {
    // Its few clients are probes and people: small bounds do.
    let bounds = config::Listener {
        address: settings.address,
        drain_timeout: Duration::from_secs(1),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        max_header_bytes: 16 << 10,
        max_connections: 100,
    };
    listener::serve(tcp, &bounds, admin, shutdown).await;
}

// === impl Admin ===

impl Admin {
    /// Makes the pages; `missing` is asked at each look at `/ready`.
    pub fn new(missing: Readiness, rerank: RerankApi, metrics: MetricsPage, caches: Caches) -> Self {
        Self { missing, rerank, metrics, caches }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/health") => respond::json(StatusCode::OK, &Page { status: "ok", missing: Vec::new() }),
            (&Method::GET | &Method::HEAD, "/ready") => match (self.missing)() {
                missing if missing.is_empty() => respond::json(StatusCode::OK, &Page { status: "ok", missing }),
                missing => respond::json(StatusCode::SERVICE_UNAVAILABLE, &Page { status: "unavailable", missing }),
            },
            _ => respond::not_found(),
        }
    }
}

impl Service<Request<Body>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() == Method::POST && RERANK.contains(&request.uri().path()) {
            let rerank = self.rerank.clone();
            return Box::pin(async move { Ok(rerank.answer(request).await) });
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == METRICS {
            let (rerank, metrics) = (self.rerank.clone(), self.metrics.clone());
            return Box::pin(async move { Ok(metrics::answer(&rerank, metrics, request.headers()).await) });
        }
        if let Some(order) = Order::of(request.method(), request.uri().path()) {
            let (rerank, caches) = (self.rerank.clone(), self.caches.clone());
            return Box::pin(async move { Ok(order.answer(&rerank, caches, request.headers()).await) });
        }
        let answer = self.answer(request.method(), request.uri().path());
        Box::pin(async move { Ok(answer) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::Admission,
        body::{Collected, collect_capped},
        rerank::Digester,
    };

    async fn page(missing: Vec<String>, method: Method, path: &str) -> (u16, String) {
        let limits = config::Limits { max_inspected_body: 1000, inspected_memory: 1000, max_concurrent_searches: 1 };
        let memory = Admission::new(&limits).memory().clone();
        let rerank = RerankApi::new(Arc::default(), Digester::new(), (1000, &memory), None);
        let mut admin = Admin::new(Arc::new(move || missing.clone()), rerank, MetricsPage::new(|| ()), Caches::new(Vec::new()));
        let request = Request::builder().method(method).uri(path).body(crate::body::empty()).unwrap();
        let Ok(response) = admin.call(request).await;
        let status = response.status().as_u16();
        let Ok(Collected::Whole(bytes)) = collect_capped(response.into_body(), 1000).await else { panic!("a page is short") };
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_is_fine_while_running() {
        assert_eq!(page(vec!["model a: loading".into()], Method::GET, "/health").await, (200, r#"{"status":"ok"}"#.into()));
    }

    #[tokio::test]
    async fn ready_names_what_is_missing() {
        assert_eq!(page(vec![], Method::GET, "/ready").await, (200, r#"{"status":"ok"}"#.into()));
        let expected = r#"{"status":"unavailable","missing":["model a: loading"]}"#;
        assert_eq!(page(vec!["model a: loading".into()], Method::GET, "/ready?x=1").await, (503, expected.into()));
    }

    #[tokio::test]
    async fn anything_else_is_not_there() {
        for (method, path) in [(Method::GET, "/"), (Method::POST, "/health"), (Method::GET, "/_search")] {
            let (status, body) = page(vec![], method, path).await;
            assert_eq!(status, 404);
            assert!(body.starts_with(r#"{"error":{"type":"resource_not_found_exception""#), "{body}");
        }
    }
}
