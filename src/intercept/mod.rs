//! The one middleware that is ours: plans a search, widens it, has its hits reranked, and narrows the answer to the page.
//!
//! **Invariant:** a search that the engine answered never becomes an error here. Whatever fails, the engine's own order goes
//! out, and says so.

mod answer;
mod answers;
mod asked;
mod compute;
mod encoding;
mod everywhere;
pub mod explain;
mod item;
mod memory;
mod multi;
pub mod narrow;
mod pin;
mod pit;
pub mod plan;
mod rank;
mod render;
mod reuse;
mod search;
pub mod serve;
mod template;
pub mod widen;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, response};
use rerank_plugin::Digest128;
use tower::Service;
use tracing::{Instrument, debug_span, field::Empty};

use crate::{
    admission::{Admission, Memory},
    body::{self, Body},
    cached::Cached,
    config::{Config, Rule, ScoresScope},
    models::Registry,
    rerank::{Digester, Outcome, Reason},
    respond,
    route::{Match, Route, route},
    telemetry::{Requests, Searches, Way, names},
    upstream::Upstream,
};

/// What all searches share. A request takes it once, at its head.
pub struct Gateway {
    rules: Vec<Arc<Rule>>,
    headers: bool,
    max_inspected_body: usize,
    scores_scope: ScoresScope,
    registry: Arc<Registry>,
    digester: Digester,
    memory: memory::Memory,
    pins: pin::Pins,
    points: pit::PointsInTime,
    admission: Admission,
    answers: answers::Answers,
    searches: Searches,
    requests: Requests,
}

/// The service: searches with a rule are reranked, everything else streams through.
#[derive(Clone)]
pub struct Intercept {
    upstream: Upstream,
    gateway: Arc<Gateway>,
}

/// Returns where a request goes, for whoever counts.
fn way(route: &Route) -> Way {
    match route {
        Route::Search(_) | Route::SearchEverywhere(_) => Way::Search,
        Route::Template(_) => Way::Template,
        Route::MultiSearch(_) => Way::MultiSearch,
        Route::OpenPit(_) | Route::ClosePit => Way::PointInTime,
        Route::Passthrough => Way::Passthrough,
    }
}

// === impl Gateway ===

impl Gateway {
    /// Returns the gateway of a configuration.
    pub fn new(config: &Config, registry: Arc<Registry>, digester: Digester) -> Self {
        Self {
            rules: config.rules.clone(),
            headers: config.headers,
            max_inspected_body: config.limits.max_inspected_body,
            scores_scope: config.cache.scores_scope,
            registry,
            memory: memory::Memory::new(digester.clone()),
            pins: pin::Pins::new(config.cache.page_memory),
            points: pit::PointsInTime::new(digester.clone()),
            admission: Admission::new(&config.limits),
            answers: answers::Answers::new(config.cache.answers),
            searches: Searches::new(&config.rules),
            requests: Requests::new(),
            digester,
        }
    }

    /// Returns an answer of ours; its bytes count until they are with the client.
    fn hand_out(&self, head: response::Parts, page: Bytes) -> Response<Body> {
        Response::from_parts(head, body::uncounted(self.memory().hold(page)))
    }

    /// Whether searches that go there may be looked into.
    fn may_rank(&self, route: &Route) -> bool {
        match route {
            Route::Search(matched) | Route::Template(matched) => matches!(matched, Match::Rule(_)),
            // Their bodies say which rule they have.
            Route::SearchEverywhere(_) | Route::MultiSearch(_) => !self.rules.is_empty(),
            Route::OpenPit(_) | Route::ClosePit | Route::Passthrough => false,
        }
    }

    /// The bytes that may be looked into at one time.
    pub fn memory(&self) -> &Memory {
        self.admission.memory()
    }

    /// Returns how many searches are looked into, and how many bytes of them and their answers are held.
    pub fn under_way(&self) -> (usize, usize) {
        self.admission.under_way()
    }

    /// Returns what it keeps of whole searches, by name.
    pub fn caches(&self) -> [(&'static str, Box<dyn Cached>); 2] {
        [(names::CACHE_ANSWERS, Box::new(self.answers.clone())), (names::CACHE_PAGES, Box::new(self.pins.clone()))]
    }

    /// Returns who shares the scores of a search that came with these headers; `None`: everybody.
    pub fn scope(&self, headers: &HeaderMap) -> Option<Digest128> {
        match self.scores_scope {
            ScoresScope::Shared => None,
            ScoresScope::Identity => Some(pin::name_identity(&self.digester, headers)),
        }
    }
}

// === impl Intercept ===

impl Intercept {
    /// Returns the service in front of `upstream`.
    pub fn new(upstream: Upstream, gateway: Arc<Gateway>) -> Self {
        Self { upstream, gateway }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let gateway = Arc::clone(&self.gateway);
        let uri = request.uri();
        let route = route(request.method(), uri.path(), uri.query(), request.headers(), &gateway.rules);
        let way = way(&route);
        let unanswered = gateway.requests.begin(way);
        let response = match way {
            // What streams through has no span: nothing is done with it.
            Way::Passthrough => self.forward(request, None).await,
            // Boxed: a request that streams through would otherwise carry the room of a search.
            way => Box::pin(self.take(route, request).instrument(debug_span!("request", route = way.as_str(), rule = Empty))).await,
        };
        unanswered.answered(response.status());
        response
    }

    async fn take(self, route: Route, request: Request<Body>) -> Response<Body> {
        let place = self.gateway.may_rank(&route).then(|| self.gateway.admission.enter());
        if let Some(None) = place {
            return self.shed(route, request).await;
        }
        match route {
            Route::Passthrough => self.forward(request, None).await,
            Route::OpenPit(index) => pit::open(&self, &index, request).await,
            Route::ClosePit => pit::close(&self, request).await,
            Route::MultiSearch(call) => multi::Multi::new(self, call).answer(request).await,
            Route::Template(Match::Rule(rule)) => template::Template::new(self, rule).answer(request).await,
            Route::Template(matched) => self.search(request, matched).await,
            Route::SearchEverywhere(matched) => everywhere::answer(self, matched, request).await,
            Route::Search(matched) => self.search(request, matched).await,
        }
    }

    /// Passes on a search for which there is no place.
    async fn shed(self, route: Route, request: Request<Body>) -> Response<Body> {
        match route {
            Route::Search(Match::Rule(rule)) | Route::Template(Match::Rule(rule)) | Route::SearchEverywhere(Match::Rule(rule)) => {
                search::Search::new(self, rule).forward(request, Reason::Overloaded).await
            }
            _ => self.forward(request, self.gateway.headers.then_some(Reason::Overloaded)).await,
        }
    }

    async fn search(self, request: Request<Body>, matched: Match) -> Response<Body> {
        match matched {
            Match::NoRule => self.forward(request, self.gateway.headers.then_some(Reason::NoRule)).await,
            Match::Mixed { headers } => self.forward(request, headers.then_some(Reason::MixedRules)).await,
            Match::Rule(rule) => search::Search::new(self, rule).answer(request).await,
        }
    }

    /// Streams a request and its answer; says why in a header of the answer, where a reason is given.
    async fn forward(&self, request: Request<Body>, reason: Option<Reason>) -> Response<Body> {
        let mut response = self.upstream.send(request).await.unwrap_or_else(|error| respond::upstream_error(&error));
        if let Some(reason) = reason {
            respond::set_status(response.headers_mut(), &Outcome::Skipped(reason), None);
        }
        response
    }
}

impl Service<Request<Body>> for Intercept {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let intercept = self.clone();
        Box::pin(async move { Ok(intercept.answer(request).await) })
    }
}
