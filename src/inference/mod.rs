//! Runs models: every search's documents are scored in time or not at all, no pair is scored twice, and what is late is kept for the
//! next search. Preparing happens where it is cheapest, scoring on a thread per device; which pairs are scored when is decided in
//! [`schedule`] alone.
//!
//! Knows neither HTTP nor Elasticsearch.

mod breaker;
mod local;
mod measures;
mod queue;
mod remote;
mod schedule;
mod score_cache;
mod unit;
mod worker;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use rerank_plugin::{Card, Deadline, Device, Digest128, Document, Fault, Loaded, Part, Query, Score};
use tracing::{info, warn};

use self::{
    breaker::{Breaker, Leave, State, Verdict},
    local::Local,
    measures::Measures,
    remote::Remote,
};
pub use self::{
    score_cache::{PairKey, QueryKey, ScoreCache},
    unit::Pairs,
};
use crate::rerank::Reason;

/// How a model is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it computes.
    pub device: Device,
    /// Token budget of one forward pass.
    pub batch_tokens: u32,
    /// Documents that may wait.
    pub max_queue: usize,
    /// Whether its unit is worth measuring: some rule fuses adaptively with it.
    pub measure_unit: bool,
    /// Where scores are kept.
    pub scores: ScoreCache,
    /// Told when the model cannot be made ready again after a panic; hung up when it is not needed any more.
    pub broken: mpsc::Sender<()>,
}

/// A model that is ready to score.
pub struct Reranker {
    name: Arc<str>,
    unit: Option<f64>,
    scores: ScoreCache,
    breaker: Mutex<Breaker>,
    measures: Arc<Measures>,
    engine: Engine,
}

enum Engine {
    Local(Local),
    Remote(Remote),
}

/// What one search wants to have scored.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What was searched for.
    pub query: Query,
    /// The hits, best first-stage hit first.
    pub documents: Vec<Document>,
    /// When the answer is worth nothing any more.
    pub deadline: Deadline,
    /// The fewest of the first documents that are worth scoring: when not even so many would be in time, none is.
    pub least: usize,
    /// Whether what is scored at the deadline is of use where not all is.
    pub partial: bool,
    /// The rule's number: one rule's searches do not starve those of another.
    pub lane: usize,
    /// Who asks, where scores are not shared between identities.
    pub scope: Option<Digest128>,
}

/// What became of a search's documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Of the first [`Scores::asked`] documents; `None` for one that the model cannot score, or that was too late.
    pub by_document: Vec<Option<Score>>,
    /// How many of the first documents were to be scored: fewer than came where not all would have been in time.
    pub asked: usize,
    /// Documents whose dear part was already there.
    pub cached: usize,
    /// Why some have no score that could have one; `None` when all was done.
    pub late: Option<Reason>,
}

/// A search that is looked up in the cache.
struct Found {
    name: QueryKey,
    scores: Vec<Option<Score>>,
    /// Of them, how many were there; later also documents of which nothing was left to compute.
    cached: usize,
}

/// What asking the model came to.
struct Answer {
    /// How many of the first documents were asked for.
    asked: usize,
    /// By place; nothing for a document that the model cannot score.
    results: Vec<(usize, Option<Score>)>,
    /// Documents of which nothing was left to compute.
    cached: usize,
    /// Whether some are missing because the time was over.
    is_late: bool,
}

/// The leave to ask the model; says that nothing is known when it is dropped without a verdict.
struct Asking<'a> {
    reranker: &'a Reranker,
    leave: Option<Leave>,
}

/// The least that can be ordered.
const LEAST: usize = 2;

// === impl Ask ===

impl Ask {
    /// Wants all documents scored, for nobody's search.
    pub fn all(query: Query, documents: Vec<Document>, deadline: Deadline) -> Self {
        Self { least: documents.len(), query, documents, deadline, partial: false, lane: Self::NO_RULE, scope: None }
    }

    /// The lane of what no rule asks for: the rerank API, checks, explanations.
    pub const NO_RULE: usize = usize::MAX;
}

// === impl Reranker ===

impl Reranker {
    /// Measures the model where asked, and starts its workers. Slow: called on the loading thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(loaded: Loaded, settings: &Settings, pairs: &Pairs) -> std::io::Result<Self> {
        let name = Arc::clone(&settings.name);
        let measures = Arc::new(Measures::new(&name, settings.batch_tokens));
        let (unit, engine) = match loaded {
            Loaded::Remote(scorer) => {
                let remote = Remote::new(Arc::clone(&name), scorer, settings.scores.clone(), Arc::clone(&measures));
                (None, Engine::Remote(remote))
            }
            Loaded::Local { preparer, mut workers } => {
                let first = workers.first_mut().filter(|_| settings.measure_unit);
                let unit = first.and_then(|scorer| unit::measure(preparer.as_ref(), scorer.as_mut(), pairs));
                if settings.measure_unit && unit.is_none() {
                    warn!(model = %name, "the model does not tell matched pairs from unmatched ones: adaptive fusion keeps the engine's order");
                }
                (unit, Engine::Local(Local::start((preparer, workers), settings, &measures)?))
            }
        };
        measures.breaker(State::Closed);
        Ok(Self { name, unit, scores: settings.scores.clone(), breaker: Mutex::new(Breaker::new()), measures, engine })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the model is.
    pub fn card(&self) -> &Card {
        match &self.engine {
            Engine::Local(local) => local.card(),
            Engine::Remote(remote) => remote.card(),
        }
    }

    /// How much higher the model scores matched pairs than unmatched ones, if that was measured and is positive.
    pub fn unit(&self) -> Option<f64> {
        self.unit
    }

    /// Whether it scores: one that could not be made ready again after a panic has only what is cached.
    pub fn is_open(&self) -> bool {
        match &self.engine {
            Engine::Local(local) => local.is_open(),
            Engine::Remote(_) => true,
        }
    }

    /// Returns how many pairs wait, and how many tokens they have.
    pub fn waiting(&self) -> (usize, u64) {
        match &self.engine {
            Engine::Local(local) => local.waiting(),
            Engine::Remote(_) => (0, 0),
        }
    }

    /// Scores documents, best first-stage hit first; answers at the deadline at the latest. What is in the cache is not scored again,
    /// and a search that needs nothing else touches no lock and no other thread.
    ///
    /// # Errors
    /// The [`Reason`] why the search keeps the engine's order. What was begun still fills the caches.
    pub async fn score(&self, ask: Ask) -> Result<Scores, Reason> {
        if ask.deadline.left().is_zero() {
            return Err(Reason::Timeout);
        }
        let name = self.scores.key(&self.card().fingerprint, ask.scope, ask.query.digest);
        let scores = self.scores.get_all(name, ask.documents.iter().map(|document| document.digest));
        let cached = scores.iter().flatten().count();
        let found = Found { name, scores, cached };
        if cached == ask.documents.len() {
            return Ok(Scores { asked: cached, by_document: found.scores, cached, late: None });
        }
        let mut asking = match self.ask_leave() {
            Some(asking) => asking,
            None => return self.fall_back(&ask, found, Reason::BreakerOpen),
        };
        let answer = match &self.engine {
            Engine::Local(local) => local.score(&ask, &found).await,
            Engine::Remote(remote) => remote.score(&ask, &found).await,
        };
        asking.tell(self.verdict(&answer));
        match answer {
            Ok(answer) => found.join(answer, &ask),
            Err(reason @ (Reason::Overloaded | Reason::QueueFull | Reason::ModelUnavailable)) => {
                // One that is gone sheds nobody.
                if reason != Reason::ModelUnavailable {
                    self.measures.shed(reason);
                }
                self.fall_back(&ask, found, reason)
            }
            Err(Reason::Timeout) if ask.partial => self.fall_back(&ask, found, Reason::Timeout),
            Err(reason) => Err(reason),
        }
    }

    /// Makes do with what is in the cache.
    fn fall_back(&self, ask: &Ask, found: Found, reason: Reason) -> Result<Scores, Reason> {
        let least = ask.least.max(LEAST);
        let Found { mut scores, cached, .. } = found;
        if ask.partial && cached >= least {
            return Ok(Scores { asked: scores.len(), by_document: scores, cached, late: Some(reason) });
        }
        let first = scores.iter().take_while(|score| score.is_some()).count();
        if first < least {
            return Err(reason);
        }
        scores.truncate(first);
        Ok(Scores { asked: first, by_document: scores, cached: first, late: None })
    }

    fn verdict(&self, answer: &Result<Answer, Reason>) -> Verdict {
        match answer {
            Ok(answer) if !answer.is_late => Verdict::Good,
            Err(Reason::ModelError) => Verdict::Bad,
            // A remote model has no lines of ours before it: what is late is its own.
            Err(Reason::Timeout) if matches!(self.engine, Engine::Remote(_)) => Verdict::Bad,
            Ok(_) | Err(_) => Verdict::Unknown,
        }
    }

    /// Returns the leave to ask the model, unless it is left alone.
    fn ask_leave(&self) -> Option<Asking<'_>> {
        let mut breaker = self.breaker();
        let before = breaker.state();
        let leave = breaker.ask(Instant::now());
        if leave.is_some() && self.hangs() {
            warn!(model = %self.name, "the model hangs: one pass takes more than ten times as long as it should");
            breaker.trip(Instant::now());
            self.told(before, breaker.state());
            return None;
        }
        self.told(before, breaker.state());
        drop(breaker);
        leave.map(|leave| Asking { reranker: self, leave: Some(leave) })
    }

    fn hangs(&self) -> bool {
        match &self.engine {
            Engine::Local(local) => local.is_hung(),
            Engine::Remote(_) => false,
        }
    }

    fn told(&self, before: State, after: State) {
        if before == after {
            return;
        }
        self.measures.breaker(after);
        match after {
            State::Open { pause, .. } => {
                warn!(model = %self.name, pause_s = pause.as_secs(), "the model fails too often: searches keep the engine's order for a while (breaker-open)");
            }
            State::Closed => info!(model = %self.name, "the model works again"),
            State::HalfOpen { .. } => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Asking ===

impl Asking<'_> {
    fn tell(&mut self, verdict: Verdict) {
        if let Some(leave) = self.leave.take() {
            let mut breaker = self.reranker.breaker();
            let before = breaker.state();
            breaker.tell(leave, verdict, Instant::now());
            self.reranker.told(before, breaker.state());
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.tell(Verdict::Unknown);
    }
}

// === impl Found ===

impl Found {
    /// Returns the documents that are to be scored, with their places.
    fn missing(&self) -> impl Iterator<Item = usize> {
        self.scores.iter().enumerate().filter(|(_, score)| score.is_none()).map(|(place, _)| place)
    }

    /// Adds what the model said.
    fn join(self, answer: Answer, ask: &Ask) -> Result<Scores, Reason> {
        let Answer { asked, results, cached, is_late } = answer;
        let mut by_document = self.scores;
        by_document.truncate(asked);
        let cached = cached + by_document.iter().flatten().count();
        for (place, score) in results {
            if let Some(own) = by_document.get_mut(place) {
                *own = score;
            }
        }
        let scored = by_document.iter().flatten().count();
        if is_late && (!ask.partial || scored < LEAST) {
            return Err(Reason::Timeout);
        }
        Ok(Scores { by_document, asked, cached, late: is_late.then_some(Reason::Timeout) })
    }
}

/// Returns the score, nothing for a document that cannot be scored, or the reason why the whole search has none.
fn accept(result: Result<Score, Fault>) -> Result<Option<Score>, Reason> {
    match result {
        Ok(score) => Ok(Some(score)),
        Err(Fault::Input(_)) => Ok(None),
        Err(fault) => Err(reason_of(&fault)),
    }
}

/// Returns what a fault of a whole search is called.
fn reason_of(fault: &Fault) -> Reason {
    match fault {
        Fault::Stopped => Reason::Timeout,
        Fault::Busy(_) => Reason::QueueFull,
        _ => Reason::ModelError,
    }
}

/// Returns how long a pass should take: the price of a search that gives up, and of one that comes next.
fn pass_time(device: Device) -> Duration {
    match device {
        Device::Cpu => Duration::from_millis(25),
        Device::Cuda(_) => Duration::from_millis(10),
    }
}

/// Returns how long texts and images are.
fn bytes(parts: &[Part]) -> usize {
    let size = |part: &Part| match part {
        Part::Text { text, .. } => text.len(),
        Part::Image(image) => image.bytes.len(),
        Part::Video(video) => video.frames.iter().map(|frame| frame.bytes.len()).sum(),
    };
    parts.iter().map(size).sum()
}

#[cfg(test)]
mod tests;
