//! Whole answers, kept for seconds for whoever asks the same in the same way: the same words, the same headers, the same credentials.
//!
//! Off unless a rule asks for it. What is kept was reranked whole, from an answer that was whole; errors, partial and skipped searches
//! never are. Concurrent searches for the same wait for one of them, and one that is over its time is given out once more while a
//! search with its own credentials makes the next.
//!
//! **Invariant:** an answer is found by all headers of its search but those that [`tells_nothing`] or [`IGNORED`] names, so that no
//! identity ever meets another's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use metrics::{Counter, counter};
use moka::{Expiry, sync::Cache};
use rerank_plugin::Digest128;
use tokio::sync::watch;

use crate::{
    cached::{Cached, Size},
    config::Rule,
    intercept::{asked::Asked, compute::compute, pin::tells_nothing},
    rerank::{Digester, Outcome, Reranked},
    telemetry::names,
};

/// What an entry weighs besides its bytes, and a header besides its name and value.
const OVERHEAD: usize = 600;
const HEADER_OVERHEAD: usize = 100;
/// How long nobody waits for searches of a name of which nothing was kept, and how many such names are remembered.
const BARREN: Duration = Duration::from_secs(10);
const BARREN_NAMES: u64 = 10_000;
/// An answer that is over its time is given out until it is this many times as old.
const STALE: u32 = 2;

/// Headers of the framing, that no answer depends on. `Connection` is none of them: it may name others that the engine is not to see.
const IGNORED: [HeaderName; 2] = [header::CONTENT_LENGTH, header::EXPECT];

/// The answers that one gateway keeps.
#[derive(Clone)]
pub struct Answers {
    kept: Cache<Digest128, Arc<Kept>>,
    barren: Cache<Digest128, ()>,
    flights: Arc<Mutex<Flights>>,
    emptied: Arc<AtomicU64>,
    found: Counter,
    missed: Counter,
}

/// One answer as it went out, less what is said of its own search.
#[derive(Debug)]
pub struct Kept {
    /// Its head.
    pub headers: HeaderMap,
    /// Its body, in the coding that was asked for.
    pub body: Bytes,
    /// What became of its search.
    pub outcome: Outcome,
    since: Instant,
    life: Duration,
}

/// What there is for a search.
pub enum Found {
    /// An answer.
    Kept(Arc<Kept>),
    /// An answer that is over its time: the next one is the caller's to make, when the client has this one.
    Stale(Arc<Kept>, Lead),
    /// None; what the search comes to may be kept.
    Missing(Lead),
    /// None, and somebody else's search for the same is under way that it is not worth waiting for.
    Alone,
}

/// The right to say what is kept under a name. Dropped unfinished, it goes to whoever waits.
pub struct Lead {
    name: Digest128,
    answers: Answers,
    emptied: u64,
    sender: watch::Sender<Landed>,
}

/// What came of a search, when it has come to something: an answer, or nothing that may be kept.
type Landed = Option<Option<Arc<Kept>>>;
/// Searches under way, each with how often everything had been forgotten when it began.
type Flights = HashMap<Digest128, (watch::Receiver<Landed>, u64)>;

/// Each is forgotten when it is too old.
struct Aging;

/// Returns the name of a search and of everything that its answer depends on; `None` where the client wants it made afresh, or for a
/// bug of ours.
pub fn name(digester: &Digester, rule: &Rule, asked: &Asked) -> Option<Digest128> {
    let headers = &asked.head.headers;
    if forbids(headers, header::CACHE_CONTROL, &["no-cache", "no-store"]) || forbids(headers, header::PRAGMA, &["no-cache"]) {
        return None;
    }
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let start = digester.start().piece(b"answer").piece(&rule.number.to_le_bytes()).piece(asked.head.method.as_str().as_bytes());
    // A client's certificate would belong here as well: no listener asks for any yet.
    let uri = &asked.head.uri;
    let target = [uri.authority().map_or("", |host| host.as_str()), uri.path_and_query().map_or("", |target| target.as_str())];
    let start = target.iter().fold(start, |digest, piece| digest.piece(piece.as_bytes()));
    let named = sorted.into_iter().fold(start, |digest, (name, value)| {
        // That it is there counts even so: what an engine sends back of it is there as well.
        let is_ignored = tells_nothing(name) || IGNORED.contains(name);
        digest.piece(name.as_str().as_bytes()).piece(if is_ignored { b"" } else { value.as_bytes() })
    });
    compute(asked.decoded.len(), || named.piece(&asked.decoded).finish())
}

/// Whether a header has one of these words in its list.
fn forbids(headers: &HeaderMap, name: HeaderName, words: &[&str]) -> bool {
    let values = headers.get_all(name);
    let listed = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split([',', '=']));
    listed.map(str::trim).any(|word| words.iter().any(|forbidden| word.eq_ignore_ascii_case(forbidden)))
}

// === impl Kept ===

impl Kept {
    /// Returns what may be kept of an answer with this head, if it may be kept at all.
    pub fn of(headers: &HeaderMap, body: &Bytes, outcome: &Outcome, life: Duration) -> Option<Self> {
        let is_whole = matches!(outcome, Outcome::Reranked(Reranked { late: None, .. }));
        let is_private = headers.contains_key(header::SET_COOKIE) || forbids(headers, header::CACHE_CONTROL, &["no-store", "private"]);
        (is_whole && !is_private).then(|| Self {
            headers: headers.clone(),
            // Without what its buffer has to spare.
            body: Bytes::copy_from_slice(body),
            outcome: outcome.clone(),
            since: Instant::now(),
            life,
        })
    }

    /// Returns its head for another search, whose own trace ids stand where the first one's were sent back.
    pub fn headers_for(&self, asked: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        let sent_back: Vec<&HeaderName> = self.headers.keys().filter(|name| tells_nothing(name)).collect();
        for name in sent_back {
            headers.remove(name);
            headers.extend(asked.get_all(name).iter().map(|value| (name.clone(), value.clone())));
        }
        headers
    }

    fn is_fresh(&self) -> bool {
        self.since.elapsed() < self.life
    }

    fn weight(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD);
        OVERHEAD + self.body.len() + headers.sum::<usize>()
    }
}

impl Expiry<Digest128, Arc<Kept>> for Aging {
    fn expire_after_create(&self, _: &Digest128, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.life * STALE)
    }

    fn expire_after_update(&self, _: &Digest128, kept: &Arc<Kept>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.life * STALE)
    }
}

// === impl Answers ===

impl Answers {
    /// Keeps none yet, and at most `bytes`, overhead included.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Digest128, kept: &Arc<Kept>| u32::try_from(kept.weight()).unwrap_or(u32::MAX);
        let count = |name| counter!(name, names::CACHE => names::CACHE_ANSWERS);
        Self {
            kept: Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(Aging).build(),
            barren: Cache::builder().max_capacity(BARREN_NAMES).time_to_live(BARREN).build(),
            flights: Arc::default(),
            emptied: Arc::default(),
            found: count(names::CACHE_HITS),
            missed: count(names::CACHE_MISSES),
        }
    }

    /// Looks for an answer; waits for one that somebody else has begun to make, where something is likely to come of it.
    pub async fn find(&self, name: Digest128) -> Found {
        let found = self.board(name).await;
        let count = if matches!(found, Found::Kept(_) | Found::Stale(..)) { &self.found } else { &self.missed };
        count.increment(1);
        found
    }

    /// Remembers that waiting for this answer takes too long.
    pub fn despair(&self, name: Digest128) {
        self.barren.insert(name, ());
    }

    async fn board(&self, name: Digest128) -> Found {
        // The usual way takes no lock.
        if let Some(kept) = self.kept.get(&name).filter(|kept| kept.is_fresh()) {
            return Found::Kept(kept);
        }
        loop {
            let mut flight = match self.turn(name) {
                Ok(found) => return found,
                Err(flight) => flight,
            };
            match flight.wait_for(Option::is_some).await.map(|landed| landed.clone().flatten()) {
                Ok(Some(kept)) => return Found::Kept(kept),
                Ok(None) => return Found::Alone,
                // Its client went away: it is somebody else's turn.
                Err(_) => {}
            }
        }
    }

    fn turn(&self, name: Digest128) -> Result<Found, watch::Receiver<Landed>> {
        let mut flights = self.flights();
        let kept = self.kept.get(&name);
        match (kept, flights.get(&name)) {
            (Some(kept), _) if kept.is_fresh() => Ok(Found::Kept(kept)),
            // Somebody makes the next one.
            (Some(kept), Some(_)) => Ok(Found::Kept(kept)),
            (Some(kept), None) => Ok(Found::Stale(kept, self.lead(&mut flights, name))),
            (None, Some(_)) if self.barren.contains_key(&name) => Ok(Found::Alone),
            // What was asked before everything was forgotten is for those who asked then.
            (None, Some((_, emptied))) if *emptied != self.emptied.load(Ordering::SeqCst) => Ok(Found::Alone),
            (None, Some((flight, _))) => Err(flight.clone()),
            (None, None) => Ok(Found::Missing(self.lead(&mut flights, name))),
        }
    }

    fn lead(&self, flights: &mut Flights, name: Digest128) -> Lead {
        let (sender, receiver) = watch::channel(None);
        let emptied = self.emptied.load(Ordering::SeqCst);
        flights.insert(name, (receiver, emptied));
        Lead { name, answers: self.clone(), emptied, sender }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cached for Answers {
    fn size(&self) -> Size {
        self.kept.run_pending_tasks();
        Size { entries: self.kept.entry_count(), bytes: self.kept.weighted_size() }
    }

    /// Forgets everything, what is being made included.
    fn clear(&self) {
        self.emptied.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate_all();
    }
}

// === impl Lead ===

impl Lead {
    /// Keeps what the search came to, and hands it to all who wait. Nothing: an older answer is not given out any more either.
    pub fn finish(self, made: Option<Kept>) {
        let made = made.map(Arc::new);
        let Self { name, answers, emptied, sender } = &self;
        let flights = answers.flights();
        match &made {
            // What was asked before everything was forgotten is for those alone who asked.
            Some(_) if answers.emptied.load(Ordering::SeqCst) != *emptied => {}
            Some(made) => answers.kept.insert(*name, Arc::clone(made)),
            None => {
                answers.kept.invalidate(name);
                answers.barren.insert(*name, ());
            }
        }
        sender.send_replace(Some(made));
        drop(flights);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.answers.flights().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderMap;
    use rerank_plugin::Digest128;

    use super::{Answers, Found, Kept};
    use crate::{
        cached::{Cached, Size},
        rerank::{Outcome, Reason, Reranked},
    };

    const NAME: Digest128 = Digest128(7);

    fn reranked() -> Reranked {
        Reranked { model: "m".into(), window: 9, scored: 9, cached: 0, trust: None, dropped: None, late: None }
    }

    fn answer() -> Option<Kept> {
        Kept::of(&HeaderMap::new(), &Bytes::from_static(b"{}"), &Outcome::Reranked(reranked()), Duration::from_secs(60))
    }

    #[test]
    fn only_what_was_reranked_whole_is_kept() {
        assert!(answer().is_some());
        let late = Outcome::Reranked(Reranked { late: Some(Reason::Timeout), ..reranked() });
        for outcome in [late, Outcome::Skipped(Reason::Overloaded)] {
            assert!(Kept::of(&HeaderMap::new(), &Bytes::new(), &outcome, Duration::from_secs(60)).is_none(), "{outcome}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_takes_over_when_the_first_goes_away() {
        let answers = Answers::new(1 << 20);
        let Found::Missing(lead) = answers.find(NAME).await else { panic!("the first leads") };
        let (found, ()) = tokio::join!(answers.find(NAME), async { drop(lead) });
        assert!(matches!(found, Found::Missing(_)));
    }

    #[tokio::test]
    async fn nobody_waits_twice_for_a_search_of_which_nothing_is_kept() {
        let answers = Answers::new(1 << 20);
        let Found::Missing(lead) = answers.find(NAME).await else { panic!("the first leads") };
        let (found, ()) = tokio::join!(answers.find(NAME), async { lead.finish(None) });
        assert!(matches!(found, Found::Alone));
        let Found::Missing(second) = answers.find(NAME).await else { panic!("it may be tried again") };
        assert!(matches!(answers.find(NAME).await, Found::Alone), "at once");
        second.finish(answer());
        assert!(matches!(answers.find(NAME).await, Found::Kept(_)));
    }

    #[tokio::test]
    async fn what_was_asked_before_everything_was_forgotten_is_not_kept() {
        let answers = Answers::new(1 << 20);
        let Found::Missing(lead) = answers.find(NAME).await else { panic!("the first leads") };
        answers.clear();
        assert!(matches!(answers.find(NAME).await, Found::Alone), "who asks now does not get what was asked before");
        lead.finish(answer());
        assert!(matches!(answers.find(NAME).await, Found::Missing(_)));
    }

    #[tokio::test]
    async fn answers_stay_under_their_bound() {
        let answers = Answers::new(10_000);
        for number in 0..100 {
            let Found::Missing(lead) = answers.find(Digest128(number)).await else { panic!("a new name") };
            lead.finish(answer());
        }
        let Size { entries, bytes } = answers.size();
        assert!((1..=16).contains(&entries) && bytes <= 10_000, "{entries} {bytes}");
    }
}
