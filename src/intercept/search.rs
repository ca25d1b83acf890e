//! Takes one search through the gateway. The order of the steps is the order of the functions below.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    request, response,
};
use rerank_plugin::{Deadline, Digest128};
use tokio::time;
use tracing::{debug, info, warn};

use crate::{
    body::{self, Body, Collected, collect_capped, collect_patiently},
    config::Rule,
    es::{
        filter_path::{Empty, NotFiltered},
        response::SearchResponse,
    },
    intercept::{
        Intercept,
        answer::{self, Answer},
        compute::compute,
        encoding::{self, Coding, DecodeError},
        narrow::present,
        pin::{Pin, Turn, name_search},
        plan::{self, Hints, SearchPlan, Widening, plan},
        rank::Ranking,
        widen::widen,
    },
    rerank::{Arrangement, Outcome, Reason},
    respond::{self, Timing},
};

const RERANK: HeaderName = HeaderName::from_static("rerank");
/// Elasticsearch's answers have it, OpenSearch's do not.
const ELASTIC_PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");

/// One search that has a rule.
pub struct Search {
    intercept: Intercept,
    rule: Arc<Rule>,
    started: Instant,
}

/// The search as the client sent it, kept until it is certain that it is not needed any more.
struct Asked {
    head: request::Parts,
    body: Bytes,
    coding: Coding,
    /// The body without its content coding.
    decoded: Bytes,
}

/// The engine's answer to the widened search, and how it was planned.
struct Answered<'a> {
    asked: &'a Asked,
    plan: &'a SearchPlan,
    key: Digest128,
    engine: Duration,
}

// === impl Search ===

impl Search {
    /// The budget starts now, when the head was read.
    pub fn new(intercept: Intercept, rule: Arc<Rule>) -> Self {
        Self { intercept, rule, started: Instant::now() }
    }

    /// Answers the search.
    pub async fn answer(self, request: Request<Body>) -> Response<Body> {
        if request.headers().get(RERANK).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off")) {
            return self.forward(request, Reason::ClientOff).await;
        }
        let (head, body) = request.into_parts();
        let cap = self.intercept.gateway.max_inspected_body;
        let body = match collect_patiently(body, cap, self.rule.total_timeout).await {
            Ok(Collected::Whole(body)) => body,
            Ok(Collected::TooLarge(body)) => return self.forward(Request::from_parts(head, body), Reason::TooLarge).await,
            Ok(Collected::TooSlow(body)) => return self.forward(Request::from_parts(head, body), Reason::Timeout).await,
            Err(_) => return respond::request_body_broken(),
        };
        let coding = Coding::of(&head.headers);
        let decoded = decode(coding, &body, cap);
        let asked = Asked { head, body, coding: coding.unwrap_or(Coding::Identity), decoded: decoded.clone().unwrap_or_default() };
        match decoded.and_then(|_| self.plan(&asked)) {
            Ok(plan) => self.search(&asked, &plan).await,
            Err(reason) => self.resend(&asked, reason).await,
        }
    }

    /// Plans the search by what earlier answers taught, unless that leads nowhere.
    fn plan(&self, asked: &Asked) -> Result<SearchPlan, Reason> {
        let gateway = &self.intercept.gateway;
        let path = asked.path();
        let plan =
            |hints: Hints| compute(asked.decoded.len(), || plan(&asked.search(), &self.rule, &hints)).ok_or(Reason::Internal).flatten();
        let hints = Hints {
            read_fields: gateway.memory.reads_fields(path, &self.rule),
            most_hits: gateway.memory.most_hits(path, &self.rule, gateway.max_inspected_body),
        };
        let mut planned = plan(hints)?;
        // A later page needs the whole window that the first page pinned.
        if hints.most_hits.is_some() && planned.page.from > 0 && gateway.pins.get(self.key(asked, &planned)).is_some() {
            planned = plan(Hints { most_hits: None, ..hints })?;
        }
        if hints.read_fields && gateway.memory.is_refused(path, &self.rule, &planned) {
            planned = plan(Hints { read_fields: false, ..hints })?;
        }
        if gateway.memory.is_refused(path, &self.rule, &planned) { Err(Reason::RewriteRejected) } else { Ok(planned) }
    }

    /// Returns the name under which the pages of a search are pinned.
    fn key(&self, asked: &Asked, plan: &SearchPlan) -> Digest128 {
        name_search(&self.intercept.gateway.digester, &asked.head.headers, &plan.pin_subject)
    }

    /// Sends the widened search and hands its answer on, or the original's when that will not do.
    async fn search(&self, asked: &Asked, plan: &SearchPlan) -> Response<Body> {
        let gateway = &self.intercept.gateway;
        let key = self.key(asked, plan);
        let follows = plan.page.from > 0 && gateway.pins.get(key).is_some();
        if let Some(reason) = gateway.registry.get(&self.rule.model).err().filter(|_| !follows) {
            self.pin_engine_order(plan, key, reason);
            return self.resend(asked, reason).await;
        }
        let Some(widened) = widened(asked, plan) else { return self.resend(asked, Reason::Internal).await };
        let sent = Instant::now();
        let response = match self.intercept.upstream.send(widened).await {
            Ok(response) => response,
            Err(error) => return self.finish(respond::upstream_error(&error), &Outcome::Skipped(Reason::UpstreamStatus), None),
        };
        let answered = answer::read(response, gateway.max_inspected_body, plan.rewrites()).await;
        let answered_search = Answered { asked, plan, key, engine: sent.elapsed() };
        match answered {
            Answer::Final(answer) => self.finish(answer, &Outcome::Skipped(Reason::UpstreamStatus), None),
            Answer::Refused(reason) => self.refused(&answered_search, reason).await,
            Answer::Hits { head, coding, decoded } => {
                let bytes = decoded.len();
                match compute(bytes, || SearchResponse::parse(&decoded)) {
                    Some(Ok(read)) => {
                        // Hits of a page that comes alone may be laden with what others lack.
                        if !read.hits.is_empty() && plan.widening == Widening::Window {
                            let size = read.hits.iter().map(|hit| hit.raw().len()).sum::<usize>() / read.hits.len();
                            gateway.memory.remember_size(asked.path(), &self.rule, size);
                        }
                        self.hits(&answered_search, head, coding, (&read, bytes)).await
                    }
                    Some(Err(_)) => self.refused(&answered_search, Reason::UpstreamAnswer).await,
                    None => self.refused(&answered_search, Reason::Internal).await,
                }
            }
        }
    }

    /// Arranges the answer's hits: as an earlier page of the search, or by the model.
    async fn hits(
        &self,
        answered: &Answered<'_>,
        head: response::Parts,
        coding: Coding,
        read: (&SearchResponse<'_>, usize),
    ) -> Response<Body> {
        let Answered { asked, plan, key, engine } = answered;
        let (response, bytes) = read;
        if response.failed_shards > 0 && plan.rewrites() {
            return self.refused(answered, Reason::RewriteRejected).await;
        }
        let gateway = &self.intercept.gateway;
        let started = Instant::now();
        let ranking = Ranking { gateway, rule: &self.rule, plan, path: asked.path(), response, bytes };
        let budget = self.rule.timeout.min(self.rule.total_timeout.saturating_sub(self.started.elapsed()));
        let deadline = Deadline::after(budget);
        let (pin, own) = self.turn(&ranking, *key, deadline).await;
        let empty = if head.headers.contains_key(ELASTIC_PRODUCT) { Empty::Kept } else { Empty::Dropped };
        let page = || {
            let arrangement = own.unwrap_or_else(|| ranking.follow(&pin));
            present(response, plan, &self.rule, &arrangement, empty)
        };
        match compute(bytes, page) {
            Some(Err(NotFiltered)) => self.refused(answered, Reason::FilterPath).await,
            Some(Ok(page)) => {
                let timing = Timing { engine: *engine, rerank: started.elapsed() };
                let answer = rebuild(head, coding, page, &asked.head.headers);
                self.finish(answer, &pin.outcome, Some(timing))
            }
            None => self.refused(answered, Reason::Internal).await,
        }
    }

    /// Returns what an earlier page, or a like search at the same time, said of these hits; if none, what the model says.
    async fn turn(&self, ranking: &Ranking<'_>, key: Digest128, deadline: Deadline) -> (Arc<Pin>, Option<Arrangement>) {
        let gateway = &self.intercept.gateway;
        let reranker = || gateway.registry.get(&self.rule.model);
        if ranking.plan.widening == Widening::Page {
            let (pin, arrangement) = ranking.compute(reranker(), deadline).await;
            return (Arc::new(pin), Some(arrangement));
        }
        match time::timeout_at(deadline.0.into(), gateway.pins.turn(key, ranking.plan.page.from == 0)).await {
            Ok(Turn::Follow(pin)) => (pin, None),
            Ok(Turn::Lead(lead)) => {
                let (pin, arrangement) = ranking.compute(reranker(), deadline).await;
                (lead.finish(pin), Some(arrangement))
            }
            Err(_) => (Arc::new(Pin { outcome: Outcome::Skipped(Reason::Timeout), hits: Vec::new() }), None),
        }
    }

    /// The engine does not take the widened search, or its answer is of no use: the client's own search decides.
    async fn refused(&self, answered: &Answered<'_>, reason: Reason) -> Response<Body> {
        let Answered { asked, plan, key, .. } = answered;
        let gateway = &self.intercept.gateway;
        let path = asked.path();
        self.pin_engine_order(plan, *key, reason);
        match reason {
            Reason::TooLarge if plan.widening == Widening::Window => {
                // Half as many hits are asked for next time.
                gateway.memory.remember_size(path, &self.rule, gateway.max_inspected_body.saturating_mul(2) / plan.fetch.max(1));
                self.resend(asked, reason).await
            }
            Reason::RewriteRejected => {
                let (response, fared_better) = self.compare(asked, reason).await;
                if fared_better {
                    gateway.memory.remember_refusal(path, &self.rule, plan);
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
        match collect_capped(body, cap).await {
            Ok(Collected::Whole(whole)) => {
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
    async fn resend(&self, asked: &Asked, reason: Reason) -> Response<Body> {
        let request = Request::from_parts(asked.head.clone(), body::full(asked.body.clone()));
        self.forward(request, reason).await
    }

    async fn forward(&self, request: Request<Body>, reason: Reason) -> Response<Body> {
        let response = self.intercept.upstream.send(request).await.unwrap_or_else(|error| respond::upstream_error(&error));
        self.finish(response, &Outcome::Skipped(reason), None)
    }

    /// Later pages of a search whose first page, or the first that was seen, went out in the engine's order stay in it.
    fn pin_engine_order(&self, plan: &SearchPlan, key: Digest128, reason: Reason) {
        let pins = &self.intercept.gateway.pins;
        if plan.widening == Widening::Window && (plan.page.from == 0 || pins.get(key).is_none()) {
            pins.put(key, Pin { outcome: Outcome::Skipped(reason), hits: Vec::new() });
        }
    }

    fn finish(&self, mut response: Response<Body>, outcome: &Outcome, timing: Option<Timing>) -> Response<Body> {
        let rule = self.rule.number;
        match outcome {
            Outcome::Skipped(reason @ (Reason::Internal | Reason::ModelError | Reason::UpstreamAnswer)) => {
                warn!(rule, %reason, "rerank skipped")
            }
            Outcome::Skipped(reason @ (Reason::Timeout | Reason::QueueFull | Reason::RewriteRejected)) => {
                info!(rule, %reason, "rerank skipped")
            }
            outcome => debug!(rule, %outcome, "search answered"),
        }
        if self.rule.headers {
            respond::set_status(response.headers_mut(), outcome, timing);
        }
        response
    }
}

// === impl Asked ===

impl Asked {
    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn search(&self) -> plan::Search<'_> {
        let text = |name: HeaderName| self.head.headers.get(name).and_then(|value| value.to_str().ok());
        plan::Search {
            path: self.path(),
            query: self.head.uri.query(),
            content_type: text(CONTENT_TYPE),
            accept: text(ACCEPT),
            body: &self.decoded,
        }
    }
}

/// Returns a request's body without its coding. No engine reads brotli.
fn decode(coding: Option<Coding>, body: &Bytes, cap: usize) -> Result<Bytes, Reason> {
    let coding = coding.filter(|coding| *coding != Coding::Brotli).ok_or(Reason::Unsupported)?;
    coding.decode(body, cap).map_err(|error| match error {
        DecodeError::Broken => Reason::NotJson,
        DecodeError::TooLarge => Reason::TooLarge,
    })
}

/// Returns the search for more hits, asking for a coding that both we and the client read.
fn widened(asked: &Asked, plan: &SearchPlan) -> Option<Request<Body>> {
    let widened = compute(asked.decoded.len(), || widen(&asked.search(), plan))?;
    let mut head = asked.head.clone();
    head.uri = widened.target.parse().ok()?;
    // All engines read the other codings, and whether this one reads Zstandard is its own to say.
    let coding = if asked.coding == Coding::Zstd { Coding::Zstd } else { Coding::Identity };
    let rewritten = coding.encode(widened.body)?;
    set(&mut head.headers, CONTENT_ENCODING, coding.header());
    let framed = !rewritten.is_empty() || head.headers.contains_key(CONTENT_LENGTH);
    head.headers.remove(TRANSFER_ENCODING);
    set(&mut head.headers, CONTENT_LENGTH, framed.then(|| HeaderValue::from(rewritten.len())));
    if let Some(content_type) = widened.content_type {
        head.headers.insert(CONTENT_TYPE, content_type.parse().ok()?);
    }
    let codings = encoding::asked(&head.headers);
    set(&mut head.headers, ACCEPT_ENCODING, codings);
    Some(Request::from_parts(head, body::full(rewritten)))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// Returns the answer with another body, in the framing that it came in, and in its coding where that can be done again.
fn rebuild(mut head: response::Parts, coding: Coding, page: Vec<u8>, client: &HeaderMap) -> Response<Body> {
    let outward = coding.for_answer(client);
    let page = outward.encode(page).expect("writing to memory does not fail");
    if outward != coding {
        set(&mut head.headers, CONTENT_ENCODING, outward.header());
    }
    if head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
    }
    Response::from_parts(head, body::uncounted(page))
}
