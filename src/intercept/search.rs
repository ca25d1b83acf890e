//! Takes one search through the gateway. The order of the steps is the order of the functions below.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    response,
};
use rerank_plugin::Deadline;
use tracing::Span;

use crate::{
    body::{self, Body, Collected, collect_metered},
    config::Rule,
    es::{filter_path::Empty, response::SearchResponse, template},
    intercept::{
        Gateway, Intercept,
        answer::{self, Answer},
        answers::Kept,
        asked::{Asked, Unread, set},
        compute::compute,
        encoding::Coding,
        explain,
        item::{Item, Planned},
        reuse::{self, Make},
    },
    rerank::{Outcome, Reason},
    respond::{self, Timing},
    telemetry::{OfRule, Stage},
    upstream::UpstreamError,
};

/// Elasticsearch's answers have it, OpenSearch's do not.
const ELASTIC_PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");
/// OpenSearch's answers have it.
const OPENSEARCH: HeaderName = HeaderName::from_static("x-opensearch-version");

/// One search that has a rule.
pub struct Search {
    intercept: Intercept,
    rule: Arc<Rule>,
    started: Instant,
    /// What may be kept of its answer.
    made: Mutex<Option<Kept>>,
    /// How long it waited for another's answer, in vain.
    waited: OnceLock<Duration>,
}

/// How a search's answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As it came.
    Own,
    /// As that of a template search.
    Template,
}

/// A search on its way: what the client sent, what is searched, and how that was planned.
struct Flight<'a> {
    asked: &'a Asked,
    item: Item<'a>,
    planned: Planned,
    shape: Shape,
}

impl Flight<'_> {
    /// Whether the search that is sent is another than the client's.
    fn rewrites(&self) -> bool {
        self.shape == Shape::Template || self.planned.plan.rewrites()
    }
}

/// The engine's answer to a widened search.
struct Answered<'a> {
    head: response::Parts,
    coding: Coding,
    response: SearchResponse<'a>,
    bytes: usize,
    engine: Duration,
}

// === impl Search ===

impl Search {
    /// The budget starts now, when the head was read.
    pub fn new(intercept: Intercept, rule: Arc<Rule>) -> Self {
        Self::since(intercept, rule, Instant::now())
    }

    /// The budget started when the head was read.
    pub fn since(intercept: Intercept, rule: Arc<Rule>, started: Instant) -> Self {
        Span::current().record("rule", rule.number);
        Self { intercept, rule, started, made: Mutex::default(), waited: OnceLock::new() }
    }

    /// Takes note of how long it waited for another's answer.
    pub fn waited(&self, long: Duration) {
        // It waits once.
        let _ = self.waited.set(long);
    }

    /// Answers the search.
    pub async fn answer(self, request: Request<Body>) -> Response<Body> {
        match Asked::read(request, &self.intercept.gateway, self.rule.total_timeout).await {
            Ok(asked) => reuse::answer(self, asked).await,
            Err(Unread::Forward(request, reason)) => self.forward(*request, reason).await,
            Err(Unread::Broken) => respond::request_body_broken(),
        }
    }

    /// Answers a search that was read; its index is remembered by `path`.
    pub async fn take(&self, asked: &Asked, path: &str) -> Response<Body> {
        let served = asked.served(&self.rule);
        let asked = served.as_ref().unwrap_or(asked);
        if explain::is_wanted(&asked.head.headers, &self.rule) {
            let told = Box::pin(self.intercept.explain_read(&self.rule, asked, path)).await;
            return respond::json(StatusCode::OK, &told);
        }
        let gateway = &self.intercept.gateway;
        let item = Item { gateway, rule: &self.rule, headers: &asked.head.headers, search: asked.search(), path };
        match self.metrics().plan(self.started, || item.plan(gateway.max_inspected_body)) {
            Ok(planned) => self.send(asked, item, planned, Shape::Own).await,
            Err(reason) => self.resend(asked, reason).await,
        }
    }

    /// Answers a request by the search that was planned for it.
    pub async fn send(&self, asked: &Asked, item: Item<'_>, planned: Planned, shape: Shape) -> Response<Body> {
        self.search(&Flight { asked, item, planned, shape }).await
    }

    /// Sends the widened search and hands its answer on, or the original's when that will not do.
    async fn search(&self, flight: &Flight<'_>) -> Response<Body> {
        let Flight { asked, item, planned, .. } = flight;
        if let Err(reason) = item.check(planned) {
            item.pin_engine_order(planned, reason);
            return self.resend(asked, reason).await;
        }
        let Some(instead) = item.widen(planned).and_then(|widened| asked.instead(widened)) else {
            return self.resend(asked, Reason::Internal).await;
        };
        let sent = Instant::now();
        let ask = async {
            let answered = self.intercept.upstream.send(instead).await?;
            Ok(answer::read(answered, &self.intercept.gateway, flight.rewrites()).await)
        };
        let answered = self.metrics().stage(Stage::Upstream, ask).await;
        match answered.unwrap_or_else(|error: UpstreamError| Answer::Final(respond::upstream_error(&error))) {
            Answer::Final(answer) => self.finish(answer, &Outcome::Skipped(Reason::UpstreamStatus), None),
            Answer::Refused(reason) => self.refused(flight, reason).await,
            Answer::Hits { head, coding, decoded } => {
                let (bytes, engine) = (decoded.len(), sent.elapsed());
                match compute(bytes, || SearchResponse::parse(&decoded)) {
                    Some(Ok(response)) => self.hits(flight, Answered { head, coding, response, bytes, engine }).await,
                    Some(Err(_)) => self.refused(flight, Reason::UpstreamAnswer).await,
                    None => self.refused(flight, Reason::Internal).await,
                }
            }
        }
    }

    /// Has the answer's hits ranked, and answers with the page.
    async fn hits(&self, flight: &Flight<'_>, answered: Answered<'_>) -> Response<Body> {
        let Flight { item, planned, shape, .. } = flight;
        let Answered { head, coding, response, bytes, engine } = answered;
        item.remember_size(planned, &response);
        if response.failed_shards > 0 && flight.rewrites() {
            return self.refused(flight, Reason::RewriteRejected).await;
        }
        let started = Instant::now();
        let waited = self.waited.get().copied().unwrap_or_default();
        let budget = self.rule.timeout.saturating_sub(waited).min(self.rule.total_timeout.saturating_sub(self.started.elapsed()));
        let empty = if head.headers.contains_key(ELASTIC_PRODUCT) { Empty::Kept } else { Empty::Dropped };
        let rank = item.rank(planned, &response, (bytes, empty), Deadline::after(budget));
        match self.metrics().stage(Stage::Rerank, rank).await {
            Ok(ranked) => {
                self.metrics().moved(bytes, ranked.page.len());
                let timing = Timing { engine, rerank: started.elapsed() };
                let page = shape.finish(ranked.page, &head);
                let (head, page) = rebuild(head, coding, page, &flight.asked.head.headers);
                let whole = planned.plan.ranked.min(response.hits.len());
                if response.is_settled && matches!(&ranked.outcome, Outcome::Reranked(reranked) if reranked.window >= whole) {
                    self.keep(&head, &page, &ranked.outcome);
                }
                self.finish(self.gateway().hand_out(head, page), &ranked.outcome, Some(timing))
            }
            Err(reason) => self.refused(flight, reason).await,
        }
    }

    /// The engine does not take the widened search, or its answer is of no use: the client's own search decides.
    async fn refused(&self, flight: &Flight<'_>, reason: Reason) -> Response<Body> {
        let Flight { asked, item, planned, .. } = flight;
        item.pin_engine_order(planned, reason);
        match reason {
            Reason::TooLarge => {
                item.remember_too_large(planned, self.intercept.gateway.max_inspected_body);
                self.resend(asked, reason).await
            }
            Reason::RewriteRejected => {
                let (response, fared_better) = self.compare(asked, reason).await;
                if fared_better {
                    item.remember_refusal(planned);
                }
                response
            }
            _ => self.resend(asked, reason).await,
        }
    }

    /// Sends the original search and returns its answer, and whether the engine had nothing against it.
    async fn compare(&self, asked: &Asked, reason: Reason) -> (Response<Body>, bool) {
        let response = self.resend(asked, reason).await;
        let coding = Coding::of(response.headers());
        let (head, body) = response.into_parts();
        let Some(coding) = coding.filter(|_| head.status == StatusCode::OK) else { return (Response::from_parts(head, body), false) };
        let cap = self.intercept.gateway.max_inspected_body;
        let mut room = self.intercept.gateway.memory().room();
        match collect_metered(body, cap, None, |bytes| room.add(bytes)).await {
            Ok(Collected::Whole(whole)) => {
                let whole = room.until_dropped(whole);
                let whole_shards = coding.decode(&whole, cap).ok().and_then(|decoded| {
                    compute(decoded.len(), || SearchResponse::parse(&decoded).is_ok_and(|read| read.failed_shards == 0))
                });
                (Response::from_parts(head, body::uncounted(whole)), whole_shards == Some(true))
            }
            Ok(Collected::TooLarge(body) | Collected::TooSlow(body)) => (Response::from_parts(head, body), true),
            Err(_) => (respond::answer_broken(), false),
        }
    }

    /// Sends the client's own bytes and returns the engine's own answer.
    pub async fn resend(&self, asked: &Asked, reason: Reason) -> Response<Body> {
        self.forward(asked.again(), reason).await
    }

    /// Sends a request that was not looked into.
    pub async fn forward(&self, request: Request<Body>, reason: Reason) -> Response<Body> {
        let answered = self.metrics().stage(Stage::Upstream, self.intercept.upstream.send(request)).await;
        self.finish(answered.unwrap_or_else(|error| respond::upstream_error(&error)), &Outcome::Skipped(reason), None)
    }

    /// Its rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What it shares with others.
    pub fn gateway(&self) -> &Gateway {
        &self.intercept.gateway
    }

    /// Remembers what may be kept of the answer.
    fn keep(&self, head: &response::Parts, page: &Bytes, outcome: &Outcome) {
        let kept = self.rule.answer_cache.and_then(|life| Kept::of(&head.headers, page, outcome, life));
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Returns what may be kept of the answer, if anything.
    pub fn take_made(&self) -> Option<Kept> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the answer that another search got, which says so.
    pub fn finish_reused(&self, mut response: Response<Body>, outcome: &Outcome) -> Response<Body> {
        self.metrics().tell(outcome, self.started.elapsed(), None);
        if self.rule.headers {
            respond::set_reused(response.headers_mut(), outcome);
        }
        response
    }

    /// Returns the answer, which says what became of the search.
    pub fn finish(&self, mut response: Response<Body>, outcome: &Outcome, timing: Option<Timing>) -> Response<Body> {
        self.metrics().tell(outcome, self.started.elapsed(), timing);
        if self.rule.headers {
            respond::set_status(response.headers_mut(), outcome, timing);
        }
        response
    }

    fn metrics(&self) -> &OfRule {
        self.intercept.gateway.searches.of(&self.rule)
    }
}

impl Make for Search {
    fn search(&self) -> &Search {
        self
    }

    fn again(&self) -> Self {
        Self::new(self.intercept.clone(), Arc::clone(&self.rule))
    }

    async fn make(&self, asked: &Asked) -> Response<Body> {
        self.take(asked, asked.path()).await
    }
}

// === impl Shape ===

impl Shape {
    fn finish(self, page: Vec<u8>, head: &response::Parts) -> Vec<u8> {
        // Elasticsearch ends both alike.
        let is_ended = self == Self::Template && head.headers.contains_key(OPENSEARCH);
        if is_ended { compute(page.len(), || template::with_status(page.clone())).unwrap_or(page) } else { page }
    }
}

/// Returns the answer with another body, in the framing that it came in, and in its coding where that can be done again.
pub(super) fn rebuild(mut head: response::Parts, coding: Coding, page: Vec<u8>, client: &HeaderMap) -> (response::Parts, Bytes) {
    let outward = coding.for_answer(client);
    let page = outward.encode(page).expect("writing to memory does not fail");
    if outward != coding {
        set(&mut head.headers, CONTENT_ENCODING, outward.header());
    }
    if head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, page.len().into());
    }
    (head, page)
}
