//! Keeps the pages of one search in one order: the first page's window is remembered, later pages follow it, and
//! concurrent firsts share one computation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, header};
use metrics::{Counter, counter};
use moka::sync::Cache;
use rerank_plugin::{Digest128, Score};
use tokio::sync::watch;

use crate::{
    cached::{Cached, Size},
    rerank::{Digester, Digesting, Outcome},
    telemetry::names,
};

/// Bytes of all pins together, and what one weighs besides its hits.
const MOST_BYTES: u64 = 64 << 20;
const OVERHEAD: usize = 200;

/// Headers that differ between the pages of one client without telling who it is or what it may see.
const IGNORED: [HeaderName; 6] =
    [header::CONTENT_LENGTH, header::CONNECTION, header::ACCEPT_ENCODING, header::USER_AGENT, header::TE, header::EXPECT];
const IGNORED_BY_NAME: [&str; 13] = [
    "b3",
    "baggage",
    "elastic-apm-traceparent",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-elastic-client-meta",
    "x-opaque-id",
    "x-request-id",
];
const IGNORED_BY_PREFIX: [&str; 2] = ["x-b3-", "x-datadog-"];

/// One search's window as it was shown.
#[derive(Clone, Debug)]
pub struct Pin {
    /// What the first page said.
    pub outcome: Outcome,
    /// The window's hits in the order shown; empty in the engine's order.
    pub hits: Vec<PinnedHit>,
}

/// One hit of a pinned window.
#[derive(Clone, Copy, Debug)]
pub struct PinnedHit {
    /// Of its index and id.
    pub name: Digest128,
    /// Its `_score` as shown.
    pub presented: f64,
    /// The model's score, if it has one.
    pub rerank: Option<Score>,
    /// Whether it was not shown.
    pub dropped: bool,
}

/// The pins of one gateway.
#[derive(Clone)]
pub struct Pins {
    kept: Cache<Digest128, Arc<Pin>>,
    flights: Arc<Mutex<Flights>>,
    hits: Counter,
    misses: Counter,
}

type Flights = HashMap<Digest128, watch::Receiver<Option<Arc<Pin>>>>;

/// Whose part it is to compute a window.
pub enum Turn {
    /// Somebody else's: this is what came of it.
    Follow(Arc<Pin>),
    /// The caller's.
    Lead(Lead),
}

/// The right to compute a window. Dropped unfinished, it goes to whoever waits.
pub struct Lead {
    key: Digest128,
    pins: Pins,
    sender: watch::Sender<Option<Arc<Pin>>>,
}

/// Returns the name of a search: who asks, and all that it asks but the page.
pub fn name_search(digester: &Digester, headers: &HeaderMap, subject: &[u8]) -> Digest128 {
    with_identity(digester.start().piece(subject), headers).finish()
}

/// Returns the name of who asks.
pub fn name_identity(digester: &Digester, headers: &HeaderMap) -> Digest128 {
    with_identity(digester.start().piece(b"identity"), headers).finish()
}

/// Whether a header names one request and says nothing of who sends it.
pub(super) fn tells_nothing(name: &HeaderName) -> bool {
    IGNORED_BY_NAME.contains(&name.as_str()) || IGNORED_BY_PREFIX.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// Adds who asks: all headers but a few that tell nothing.
fn with_identity(start: Digesting, headers: &HeaderMap) -> Digesting {
    let telling = headers.iter().filter(|(name, _)| !IGNORED.contains(name) && !tells_nothing(name));
    let mut sorted: Vec<(&str, &[u8])> = telling.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    sorted.sort_by_key(|(name, _)| *name);
    sorted.into_iter().fold(start, |digest, (name, value)| digest.piece(name.as_bytes()).piece(value))
}

// === impl Pins ===

impl Pins {
    /// Returns no pins; each is kept for `memory`.
    pub fn new(memory: Duration) -> Self {
        let looked = |name: &'static str| counter!(name, names::CACHE => names::CACHE_PAGES);
        let weigh = |_: &Digest128, pin: &Arc<Pin>| u32::try_from(OVERHEAD + size_of_val(pin.hits.as_slice())).unwrap_or(u32::MAX);
        Self {
            kept: Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).time_to_live(memory).build(),
            flights: Arc::default(),
            hits: looked(names::CACHE_HITS),
            misses: looked(names::CACHE_MISSES),
        }
    }

    /// Returns the pin of a search, for its later pages.
    pub fn get(&self, key: Digest128) -> Option<Arc<Pin>> {
        self.kept.get(&key)
    }

    /// Keeps a first page's order.
    pub fn put(&self, key: Digest128, pin: Pin) -> Arc<Pin> {
        let pin = Arc::new(pin);
        self.kept.insert(key, Arc::clone(&pin));
        pin
    }

    /// Waits for a computation that is under way, or returns the right to compute. A first page never follows the past.
    pub async fn turn(&self, key: Digest128, first_page: bool) -> Turn {
        loop {
            let mut flight = match self.board(key, first_page) {
                Ok(turn) => return turn,
                Err(flight) => flight,
            };
            if let Ok(landed) = flight.wait_for(Option::is_some).await
                && let Some(pin) = landed.clone()
            {
                return Turn::Follow(pin);
            }
        }
    }

    fn board(&self, key: Digest128, first_page: bool) -> Result<Turn, watch::Receiver<Option<Arc<Pin>>>> {
        let mut flights = self.flights();
        if !first_page {
            if let Some(pin) = self.get(key) {
                self.hits.increment(1);
                return Ok(Turn::Follow(pin));
            }
            self.misses.increment(1);
        }
        if let Some(flight) = flights.get(&key) {
            return Err(flight.clone());
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key, receiver);
        Ok(Turn::Lead(Lead { key, pins: self.clone(), sender }))
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cached for Pins {
    fn size(&self) -> Size {
        self.kept.run_pending_tasks();
        Size { entries: self.kept.entry_count(), bytes: self.kept.weighted_size() }
    }

    fn clear(&self) {
        self.kept.invalidate_all();
    }
}

// === impl Lead ===

impl Lead {
    /// Hands the window to all who wait, and keeps it.
    pub fn finish(self, pin: Pin) -> Arc<Pin> {
        let pin = self.pins.put(self.key, pin);
        self.sender.send_replace(Some(Arc::clone(&pin)));
        pin
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.pins.flights().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};
    use rerank_plugin::Digest128;

    use super::{Pin, Pins, Turn, name_search};
    use crate::rerank::{Digester, Outcome, Reason};

    const KEY: Digest128 = Digest128(7);

    fn pin() -> Pin {
        Pin { outcome: Outcome::Skipped(Reason::Timeout), hits: Vec::new() }
    }

    fn pins() -> Pins {
        Pins::new(Duration::from_secs(60))
    }

    #[tokio::test]
    async fn concurrent_firsts_share_one_computation() {
        let pins = pins();
        let Turn::Lead(lead) = pins.turn(KEY, true).await else { panic!("the first leads") };
        let (followed, _) = tokio::join!(pins.turn(KEY, true), async { lead.finish(pin()) });
        assert!(matches!(followed, Turn::Follow(_)));
        assert!(matches!(pins.turn(KEY, true).await, Turn::Lead(_)), "a later first page is computed afresh");
    }

    #[tokio::test]
    async fn a_follower_takes_over_when_the_leader_goes_away() {
        let pins = pins();
        let Turn::Lead(lead) = pins.turn(KEY, true).await else { panic!("the first leads") };
        let (followed, ()) = tokio::join!(pins.turn(KEY, false), async { drop(lead) });
        assert!(matches!(followed, Turn::Lead(_)));
    }

    #[tokio::test]
    async fn later_pages_follow_what_was_kept() {
        let pins = pins();
        pins.put(KEY, pin());
        assert!(matches!(pins.turn(KEY, false).await, Turn::Follow(_)));
        let forgetful = Pins::new(Duration::ZERO);
        forgetful.put(KEY, pin());
        assert!(matches!(forgetful.turn(KEY, false).await, Turn::Lead(_)));
    }

    #[test]
    fn case_16_another_identity_is_another_search() {
        let digester = Digester::new();
        let named = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value))).collect();
            name_search(&digester, &headers, b"subject")
        };
        let bob = named(&[("authorization", "bob"), ("x-opaque-id", "1")]);
        assert_eq!(bob, named(&[("x-opaque-id", "2"), ("authorization", "bob")]));
        assert_ne!(bob, named(&[("authorization", "eve")]));
        assert_ne!(bob, named(&[]));
        assert_ne!(name_search(&digester, &HeaderMap::new(), b"one"), name_search(&digester, &HeaderMap::new(), b"other"));
    }
}
