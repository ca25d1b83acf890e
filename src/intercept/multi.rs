//! Takes a multi search through the gateway: each item by its own rule, all of them in one request and one time budget. The order of
//! the steps is the order of the functions below.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{Request, Response, StatusCode, header, response};
use rerank_plugin::{Deadline, Digest128};
use tracing::{Instrument, debug_span};

use crate::{
    body::Body,
    config::Rule,
    es::{
        filter_path::Empty,
        media,
        msearch::{self, MultiAnswer, MultiSearch},
        response::SearchResponse,
        url::Params,
    },
    intercept::{
        Gateway, Intercept,
        answer::{self, Answer},
        asked::{Asked, Unread},
        compute::compute,
        encoding::Coding,
        item::{Item, Planned, Ranked},
        plan,
        search::rebuild,
        serve::{Own, Served, serve},
        template::searched_path,
        widen::Widened,
    },
    rerank::{Outcome, Reason},
    respond::{self, Timing},
    route::{self, Call, Match},
    telemetry::Stage,
    upstream::UpstreamError,
};

mod templates;

/// A multi search.
pub struct Multi {
    intercept: Intercept,
    call: Call,
    started: Instant,
}

/// One item as its header and the call describe it.
struct Part {
    rule: Result<Arc<Rule>, Reason>,
    /// The parameters of the template that it was rendered from, a JSON object.
    params: Option<String>,
    /// Whether its rule lets the answer carry our headers.
    headers: bool,
    path: String,
    query: String,
    /// What was taken out of it, because it asked the engine to rerank.
    own: Option<Own>,
}

/// A multi search on its way.
struct Flight<'a> {
    asked: &'a Asked,
    /// The client's lines.
    sent: MultiSearch<'a>,
    /// The searches: these lines, or what their templates became.
    call: MultiSearch<'a>,
    parts: &'a [Part],
    /// How each item is reranked, or why it stays as it is.
    plans: Vec<Result<Planned, Reason>>,
}

/// The answer to the widened items.
struct Answered<'a> {
    head: response::Parts,
    coding: Coding,
    answer: MultiAnswer<'a>,
    engine: Duration,
}

/// One item's answer.
enum Element<'a> {
    /// It is the client's as it is.
    Own(Outcome),
    /// Its hits are to be ranked.
    Hits(SearchResponse<'a>),
    /// It is of no use: the item is to be asked again as the client wrote it.
    Refused(Reason),
}

/// What goes out for one item: other bytes, if any, and what is said of it.
type Settled = (Option<String>, Outcome);

/// Nothing that may go out came of the widened items.
enum Useless {
    /// The client's own call is to be sent.
    Refused(Reason),
    /// The cluster has too much to do, or is gone: it is not asked once more.
    Final(Box<Response<Body>>),
}

// === impl Multi ===

impl Multi {
    /// The budget starts now, when the head was read.
    pub fn new(intercept: Intercept, call: Call) -> Self {
        Self { intercept, call, started: Instant::now() }
    }

    /// Answers the call.
    pub async fn answer(self, request: Request<Body>) -> Response<Body> {
        let gateway = &self.intercept.gateway;
        let Some(patience) = gateway.rules.iter().map(|rule| rule.total_timeout).max() else {
            return self.forward(request, Reason::NoRule).await;
        };
        let asked = match Asked::read(request, gateway, patience).await {
            Ok(asked) => asked,
            Err(Unread::Forward(request, reason)) => return self.forward(*request, reason).await,
            Err(Unread::Broken) => return respond::request_body_broken(),
        };
        let (asked, owns) = self.served(&asked).unwrap_or((asked, Vec::new()));
        let read = || {
            let call = MultiSearch::read(&asked.decoded)?;
            let mut parts = self.parts(&asked, &call)?;
            parts.iter_mut().zip(owns).for_each(|(part, own)| part.own = own);
            Ok((call, parts))
        };
        match compute(asked.decoded.len(), read).ok_or(Reason::Internal).flatten() {
            Ok((sent, parts)) if self.call.is_template => self.render(&asked, sent, parts).await,
            Ok((sent, parts)) => {
                let plans = self.plan(&asked, &sent, &parts);
                self.take(Flight { asked: &asked, call: sent.clone(), sent, parts: &parts, plans }).await
            }
            Err(reason) => self.forward(asked.again(), reason).await,
        }
    }

    /// Returns what stands for the call, where there is an item that its rule serves, and what each of them said.
    fn served(&self, asked: &Asked) -> Option<(Asked, Vec<Option<Own>>)> {
        if !self.intercept.gateway.rules.iter().any(|rule| rule.serves()) {
            return None;
        }
        let lines = || {
            let call = MultiSearch::read(&asked.decoded).ok()?;
            let parts = self.parts(asked, &call).ok()?;
            let serve = |(item, part): (&msearch::Item<'_>, &Part)| serve(&part.search(item.body), part.rule.as_ref().ok()?);
            let served: Vec<Option<Served>> = call.items.iter().zip(&parts).map(serve).collect();
            let split = |one: Option<Served>| one.map_or((None, None), |one| (Some(one.instead.body), Some(one.own)));
            let (bodies, owns): (Vec<_>, Vec<_>) = served.into_iter().map(split).unzip();
            bodies.iter().any(Option::is_some).then(|| (call.with_bodies(&bodies), owns))
        };
        let (body, owns) = compute(asked.decoded.len(), lines).flatten()?;
        let target = asked.head.uri.path_and_query()?.to_string();
        Some((asked.replaced(Widened { target, content_type: None, body }, None)?, owns))
    }

    /// Finds each item's rule.
    fn parts(&self, asked: &Asked, call: &MultiSearch<'_>) -> Result<Vec<Part>, Reason> {
        media::check_lines(asked.text(header::CONTENT_TYPE), asked.text(header::ACCEPT))?;
        let params = msearch::params(asked.head.uri.query())?;
        Ok(call.items.iter().map(|item| self.part(asked, item, &params)).collect())
    }

    fn part(&self, asked: &Asked, item: &msearch::Item<'_>, params: &Params<'_>) -> Part {
        let gateway = &self.intercept.gateway;
        let left =
            |reason, headers| Part { rule: Err(reason), params: None, headers, path: String::new(), query: String::new(), own: None };
        let Ok(header) = item.header(params) else { return left(Reason::Unsupported, true) };
        let named = header.index.or_else(|| self.call.index.clone());
        let index = match item.pit().filter(|_| named.is_none()).map(|pit| gateway.points.find(&pit)) {
            None => named,
            Some(Some(index)) => Some(index.to_string()),
            Some(None) => return left(Reason::UnknownPit, gateway.headers),
        };
        let index = index.as_deref().filter(|index| !index.is_empty());
        let query = Some(header.query.as_str()).filter(|query| !query.is_empty());
        let (rule, headers) = match route::find(index.unwrap_or("*"), query, &asked.head.headers, &gateway.rules) {
            Match::Rule(rule) => (Ok(Arc::clone(&rule)), rule.headers),
            Match::NoRule => (Err(Reason::NoRule), gateway.headers),
            Match::Mixed { headers } => (Err(Reason::MixedRules), headers),
        };
        let path = index.map_or("/_search".to_owned(), |index| format!("/{index}/_search"));
        Part { rule, params: None, headers, path, query: header.query, own: None }
    }

    /// Plans each item that has a rule and a model; all answers together are to stay under the cap.
    fn plan(&self, asked: &Asked, call: &MultiSearch<'_>, parts: &[Part]) -> Vec<Result<Planned, Reason>> {
        // Each item alone may be small.
        let bytes = call.items.iter().map(|item| item.body.len()).sum();
        compute(bytes, || self.plan_each(asked, call, parts)).unwrap_or_else(|| parts.iter().map(|_| Err(Reason::Internal)).collect())
    }

    fn plan_each(&self, asked: &Asked, call: &MultiSearch<'_>, parts: &[Part]) -> Vec<Result<Planned, Reason>> {
        let gateway = &self.intercept.gateway;
        let share = gateway.max_inspected_body / call.items.len().max(1);
        let plan = |(item, part): (&msearch::Item<'_>, &Part)| {
            // What is no search alone is none here: a line without anything is no empty body.
            if item.body.trim_ascii().is_empty() {
                return Err(Reason::NotJson);
            }
            let item = part.item(gateway, asked, item.body).ok_or_else(|| part.reason())?;
            let planned = gateway.searches.of(item.rule).plan(self.started, || item.plan(share))?;
            item.check(&planned).inspect_err(|reason| item.pin_engine_order(&planned, *reason))?;
            Ok(planned)
        };
        call.items.iter().zip(parts).map(plan).collect()
    }

    /// Sends the call with its widened items and hands its answer on, or the original's when that will not do.
    async fn take(&self, flight: Flight<'_>) -> Response<Body> {
        let gateway = &self.intercept.gateway;
        let wrong = flight.plans.iter().any(|plan| matches!(plan, Err(Reason::NotJson)));
        // An item that is no JSON makes the whole call an error, whatever the others are.
        if wrong || flight.plans.iter().all(Result::is_err) || gateway.memory.is_call_refused(flight.name(gateway)) {
            return self.resend(&flight, if wrong { Reason::NotJson } else { Reason::RewriteRejected }).await;
        }
        let bytes = flight.call.items.iter().map(|item| item.body.len()).sum();
        let Some(instead) = compute(bytes, || flight.widened(gateway)).flatten() else {
            return self.resend(&flight, Reason::Internal).await;
        };
        let sent = Instant::now();
        let rewrites = self.call.is_template || flight.plans.iter().flatten().any(|planned| planned.plan.rewrites());
        let ask = async {
            let response = self.intercept.upstream.send(instead).await?;
            Ok(answer::read(response, gateway, rewrites).await)
        };
        let answered = ask.instrument(debug_span!("upstream")).await;
        flight.asked_engine(gateway, sent.elapsed());
        match answered.unwrap_or_else(|error: UpstreamError| Answer::Final(respond::upstream_error(&error))) {
            Answer::Final(answer) => self.finish(&flight, answer, Reason::UpstreamStatus),
            Answer::Refused(reason) => self.refused(&flight, reason).await,
            Answer::Hits { head, coding, decoded } => {
                let engine = sent.elapsed();
                match compute(decoded.len(), || MultiAnswer::parse(&decoded)) {
                    Some(Ok(answer)) if answer.items().len() == flight.parts.len() => {
                        self.items(&flight, Answered { head, coding, answer, engine }).await
                    }
                    Some(_) => self.refused(&flight, Reason::UpstreamAnswer).await,
                    None => self.refused(&flight, Reason::Internal).await,
                }
            }
        }
    }

    /// Has each item's hits ranked, asks again for those that were refused, and answers with all of them.
    async fn items(&self, flight: &Flight<'_>, answered: Answered<'_>) -> Response<Body> {
        let Answered { head, coding, answer, engine } = answered;
        let started = Instant::now();
        let texts: Vec<&str> = answer.items().collect();
        let read =
            || texts.iter().zip(&flight.plans).map(|(text, plan)| Element::read(text, plan, self.call.is_template)).collect::<Vec<_>>();
        let Some(elements) = compute(texts.iter().map(|text| text.len()).sum(), read) else {
            return self.refused(flight, Reason::Internal).await;
        };
        let (ranked, again) = tokio::join!(self.rank(flight, &texts, &elements), self.ask_again(flight, &elements));
        let settled = match (ranked, again) {
            (Ok(ranked), Ok(again)) => ranked.into_iter().zip(again).zip(elements).map(settle).collect::<Vec<_>>(),
            (Err(Useless::Final(response)), _) | (_, Err(Useless::Final(response))) => {
                return self.finish(flight, *response, Reason::UpstreamStatus);
            }
            (Err(Useless::Refused(reason)), _) | (_, Err(Useless::Refused(reason))) => return self.refused(flight, reason).await,
        };
        let (replaced, outcomes): (Vec<_>, Vec<_>) = settled.into_iter().unzip();
        match compute(texts.iter().map(|text| text.len()).sum(), || answer.with(replaced)) {
            Some(body) => {
                let timing = Timing { engine, rerank: started.elapsed() };
                let (head, page) = rebuild(head, coding, body, &flight.asked.head.headers);
                self.tell(flight, self.intercept.gateway.hand_out(head, page), &outcomes, Some(timing))
            }
            None => self.refused(flight, Reason::Internal).await,
        }
    }

    /// Ranks the items side by side; each has what is left of the one budget.
    async fn rank(&self, flight: &Flight<'_>, texts: &[&str], elements: &[Element<'_>]) -> Result<Vec<Option<Settled>>, Useless> {
        let elapsed = self.started.elapsed();
        let rank = |place: usize| async move {
            let (Some((item, planned)), Element::Hits(response)) = (flight.item(place, &self.intercept.gateway), &elements[place]) else {
                return Ok(None);
            };
            item.remember_size(planned, response);
            let budget = item.rule.timeout.min(item.rule.total_timeout.saturating_sub(elapsed));
            // No item has a `filter_path` of its own.
            let (metrics, bytes) = (item.gateway.searches.of(item.rule), texts[place].len());
            let rank = item.rank(planned, response, (bytes, Empty::Kept), Deadline::after(budget));
            let ranked = metrics.stage(Stage::Rerank, rank).instrument(debug_span!("item", place, rule = item.rule.number)).await;
            let Ranked { page, outcome } = ranked.map_err(Useless::Refused)?;
            metrics.moved(bytes, page.len());
            let page = String::from_utf8(page).map_err(|_| Useless::Refused(Reason::Internal))?;
            Ok(Some((Some(page), outcome)))
        };
        join_all((0..elements.len()).map(rank)).await.into_iter().collect()
    }

    /// Sends the items that were refused in their widened form once more, as the client wrote them.
    async fn ask_again(&self, flight: &Flight<'_>, elements: &[Element<'_>]) -> Result<Vec<Option<Settled>>, Useless> {
        let refused = elements.iter().enumerate().filter_map(|(place, element)| match element {
            Element::Refused(reason) => Some((place, *reason)),
            Element::Own(_) | Element::Hits(_) => None,
        });
        let refused: Vec<(usize, Reason)> = refused.collect();
        let mut settled: Vec<Option<Settled>> = elements.iter().map(|_| None).collect();
        let Some((_, first)) = refused.first().copied() else { return Ok(settled) };
        let places: Vec<usize> = refused.iter().map(|(place, _)| *place).collect();
        let instead = flight.instead(flight.sent.only(&places), Some(flight.asked.path())).ok_or(Useless::Refused(Reason::Internal))?;
        let failed = |error| Useless::Final(Box::new(respond::upstream_error(&error)));
        let response = self.intercept.upstream.send(instead).await.map_err(failed)?;
        let decoded = match answer::read(response, &self.intercept.gateway, true).await {
            Answer::Hits { decoded, .. } => decoded,
            Answer::Final(response) => return Err(Useless::Final(Box::new(response))),
            Answer::Refused(_) => return Err(Useless::Refused(first)),
        };
        let texts = compute(decoded.len(), || MultiAnswer::parse(&decoded).ok().map(|answer| answer.items().map(str::to_owned).collect()));
        let texts: Vec<String> =
            texts.flatten().filter(|texts: &Vec<String>| texts.len() == places.len()).ok_or(Useless::Refused(first))?;
        for ((place, reason), text) in refused.into_iter().zip(texts) {
            if let Some((item, planned)) = flight.item(place, &self.intercept.gateway) {
                item.pin_engine_order(planned, reason);
                if reason == Reason::RewriteRejected && fares_well(&text) {
                    item.remember_refusal(planned);
                }
            }
            settled[place] = Some((Some(text), Outcome::Skipped(reason)));
        }
        Ok(settled)
    }

    /// The engine does not take the widened call, or its answer is of no use: the client's own call decides.
    async fn refused(&self, flight: &Flight<'_>, reason: Reason) -> Response<Body> {
        let gateway = &self.intercept.gateway;
        for (item, planned) in (0..flight.parts.len()).filter_map(|place| flight.item(place, gateway)) {
            item.pin_engine_order(planned, reason);
            if reason == Reason::TooLarge {
                item.remember_too_large(planned, gateway.max_inspected_body / flight.parts.len());
            }
        }
        let response = self.resend(flight, reason).await;
        if reason == Reason::RewriteRejected && response.status() == StatusCode::OK {
            gateway.memory.remember_call_refusal(flight.name(gateway));
        }
        response
    }

    /// Sends the client's own bytes and returns the engine's own answer.
    async fn resend(&self, flight: &Flight<'_>, reason: Reason) -> Response<Body> {
        let response = self.send(flight.asked.again()).await;
        self.finish(flight, response, reason)
    }

    /// Passes on a call whose items are not known.
    async fn forward(&self, request: Request<Body>, reason: Reason) -> Response<Body> {
        let mut response = self.send(request).await;
        if self.intercept.gateway.headers {
            respond::set_status(response.headers_mut(), &Outcome::Skipped(reason), None);
        }
        response
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.intercept.upstream.send(request).await.unwrap_or_else(|error| respond::upstream_error(&error))
    }

    /// Says of each item why it is in the engine's order: its own reason, or `reason`.
    fn finish(&self, flight: &Flight<'_>, response: Response<Body>, reason: Reason) -> Response<Body> {
        let outcomes = flight.plans.iter().map(|plan| Outcome::Skipped(plan.as_ref().err().copied().unwrap_or(reason)));
        self.tell(flight, response, &outcomes.collect::<Vec<_>>(), None)
    }

    fn tell(&self, flight: &Flight<'_>, mut response: Response<Body>, outcomes: &[Outcome], timing: Option<Timing>) -> Response<Body> {
        for (part, outcome) in flight.parts.iter().zip(outcomes) {
            if let Ok(rule) = &part.rule {
                self.intercept.gateway.searches.of(rule).tell(outcome, self.started.elapsed(), timing);
            }
        }
        if flight.parts.iter().all(|part| part.headers) {
            respond::set_statuses(response.headers_mut(), outcomes, timing);
        }
        response
    }
}

// === impl Part ===

impl Part {
    /// Returns the item as a search.
    fn search<'a>(&'a self, body: &'a [u8]) -> plan::Search<'a> {
        plan::Search {
            path: &self.path,
            query: Some(self.query.as_str()).filter(|query| !query.is_empty()),
            content_type: Some("application/json"),
            accept: None,
            // A header says it of the whole call, and every item is another search.
            rerank_query: None,
            template_params: self.params.as_deref(),
            own: self.own.as_ref(),
            body,
        }
    }

    /// Returns the item as a search with a rule, if it has one.
    fn item<'a>(&'a self, gateway: &'a Gateway, asked: &'a Asked, body: &'a [u8]) -> Option<Item<'a>> {
        let rule = self.rule.as_ref().ok()?;
        Some(Item { gateway, rule, headers: &asked.head.headers, search: self.search(body), path: &self.path })
    }

    fn reason(&self) -> Reason {
        self.rule.as_ref().err().copied().unwrap_or(Reason::Internal)
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// Returns the item at this place and its plan, if it is reranked.
    fn item<'a>(&'a self, place: usize, gateway: &'a Gateway) -> Option<(Item<'a>, &'a Planned)> {
        let planned = self.plans[place].as_ref().ok()?;
        Some((self.parts[place].item(gateway, self.asked, self.call.items[place].body)?, planned))
    }

    /// Counts how long the engine took, once for each item that was planned.
    fn asked_engine(&self, gateway: &Gateway, time: Duration) {
        for rule in self.parts.iter().zip(&self.plans).filter(|(_, plan)| plan.is_ok()).flat_map(|(part, _)| &part.rule) {
            gateway.searches.of(rule).took(Stage::Upstream, time);
        }
    }

    /// Returns the call with its widened items.
    fn widened(&self, gateway: &Gateway) -> Option<Request<Body>> {
        let widen = |place| self.item(place, gateway).map(|(item, planned)| Some(item.widen(planned)?.body));
        let bodies = (0..self.parts.len()).map(|place| widen(place).map_or(Some(None), |body| body.map(Some)));
        self.instead(self.call.with_bodies(&bodies.collect::<Option<Vec<_>>>()?), None)
    }

    /// Returns the client's request with other lines: at this path, or where searches go that are no templates.
    fn instead(&self, lines: Vec<u8>, path: Option<&str>) -> Option<Request<Body>> {
        let uri = &self.asked.head.uri;
        let path = path.map_or_else(|| searched_path(uri.path()), str::to_owned);
        let target = uri.query().map_or(path.clone(), |query| format!("{path}?{query}"));
        self.asked.instead(Widened { target, content_type: None, body: lines })
    }

    /// Names the call, whoever sends it.
    fn name(&self, gateway: &Gateway) -> Digest128 {
        let Asked { head, decoded, .. } = self.asked;
        let target = [head.uri.path(), head.uri.query().unwrap_or_default()];
        let start = target.iter().fold(gateway.digester.start(), |digest, piece| digest.piece(piece.as_bytes()));
        compute(decoded.len(), || start.piece(decoded).finish()).unwrap_or(Digest128(0))
    }
}

// === impl Element ===

impl<'a> Element<'a> {
    /// Reads one answer; `was_template`: what the client wrote is another search than the one that was sent.
    fn read(text: &'a str, plan: &Result<Planned, Reason>, was_template: bool) -> Self {
        let planned = match plan {
            Ok(planned) => planned,
            Err(reason) => return Self::Own(Outcome::Skipped(*reason)),
        };
        let rewrites = was_template || planned.plan.rewrites();
        match msearch::status(text) {
            Some(200) => {}
            Some(400 | 500) if rewrites => return Self::Refused(Reason::RewriteRejected),
            Some(_) => return Self::Own(Outcome::Skipped(Reason::UpstreamStatus)),
            None => return Self::Refused(Reason::UpstreamAnswer),
        }
        match SearchResponse::parse(text.as_bytes()) {
            Ok(response) if response.failed_shards > 0 && rewrites => Self::Refused(Reason::RewriteRejected),
            Ok(response) => Self::Hits(response),
            Err(_) => Self::Refused(Reason::UpstreamAnswer),
        }
    }
}

fn settle(((ranked, again), element): ((Option<Settled>, Option<Settled>), Element<'_>)) -> Settled {
    let own = match element {
        Element::Own(outcome) => outcome,
        Element::Hits(_) => Outcome::Skipped(Reason::Internal),
        Element::Refused(reason) => Outcome::Skipped(reason),
    };
    ranked.or(again).unwrap_or((None, own))
}

/// Whether the engine has nothing against an item.
fn fares_well(text: &str) -> bool {
    msearch::status(text) == Some(200) && SearchResponse::parse(text.as_bytes()).is_ok_and(|response| response.failed_shards == 0)
}
