//! The endpoints of a model: which is asked next, and which is left alone for a while.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Url;

/// How long an endpoint that failed is left alone: doubled with each further failure, up to the second value.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// One server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The address that is asked.
    pub(crate) address: Url,
    /// Documents in one call, as the server was seen to take.
    pub(crate) batch: AtomicUsize,
    calls: AtomicUsize,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    /// When the last failure was seen, and until when it rests for it.
    failed: Option<Instant>,
    rests_until: Option<Instant>,
}

/// A call under way, counted until it is dropped.
pub(crate) struct Turn<'a> {
    /// The endpoint that is called.
    pub(crate) endpoint: &'a Endpoint,
    /// Its place among all.
    pub(crate) place: usize,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(address: Url, batch: usize) -> Self {
        Self { address, batch: AtomicUsize::new(batch.max(1)), calls: AtomicUsize::new(0), health: Mutex::default() }
    }

    /// Notes that it answered as it should.
    pub(crate) fn worked(&self) {
        *self.health() = Health::default();
    }

    /// Notes that a call that was begun then has failed; it rests. Calls that fail together count once.
    pub(crate) fn failed(&self, begun: Instant, now: Instant) {
        let mut health = self.health();
        if health.failed.is_some_and(|failed| begun <= failed) {
            return;
        }
        health.failed = Some(now);
        let rest = REST.0.saturating_mul(1 << health.failures.min(16)).min(REST.1);
        health.failures += 1;
        health.rests_until = Some(now + rest);
    }

    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.health().rests_until.filter(|until| *until > now)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the next endpoint to ask: of two that are awake, drawn at random, the one with fewer calls under way (power of two choices,
/// Mitzenmacher 2001). Where all that are not `tried` rest, the one that wakes first.
pub(crate) fn choose<'a>(endpoints: &'a [Endpoint], tried: &[usize], now: Instant) -> Option<Turn<'a>> {
    let left: Vec<usize> = (0..endpoints.len()).filter(|place| !tried.contains(place)).collect();
    let awake: Vec<usize> = left.iter().copied().filter(|place| endpoints[*place].rests_until(now).is_none()).collect();
    let place = match awake.as_slice() {
        [] => left.into_iter().min_by_key(|place| endpoints[*place].rests_until(now))?,
        [only] => *only,
        several => {
            let first = fastrand::usize(..several.len());
            let second = (first + fastrand::usize(1..several.len())) % several.len();
            let calls = |drawn: usize| endpoints[several[drawn]].calls.load(Ordering::Relaxed);
            several[if calls(second) < calls(first) { second } else { first }]
        }
    };
    let endpoint = &endpoints[place];
    endpoint.calls.fetch_add(1, Ordering::Relaxed);
    Some(Turn { endpoint, place })
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.endpoint.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use reqwest::Url;

    use super::{Endpoint, choose};

    fn endpoints(count: usize) -> Vec<Endpoint> {
        (0..count).map(|number| Endpoint::new(Url::parse(&format!("http://node-{number}/")).expect("an address"), 64)).collect()
    }

    #[test]
    fn of_two_the_one_with_fewer_calls_is_asked() {
        let endpoints = endpoints(2);
        let now = Instant::now();
        let turns: Vec<_> = (0..10).map(|_| choose(&endpoints, &[], now).expect("one")).collect();
        let first = turns.iter().filter(|turn| turn.place == 0).count();
        assert_eq!(first, 5, "calls that are under way are shared");
    }

    #[test]
    fn an_endpoint_that_failed_rests_longer_each_time_and_is_forgiven() {
        let endpoints = endpoints(2);
        let start = Instant::now();
        let asked = |now: Instant| choose(&endpoints, &[], now).expect("one").endpoint.address.to_string();
        let only_second = |now: Instant| (0..32).all(|_| asked(now) == "http://node-1/");
        let fail =
            |place: usize, begun: u64| endpoints[place].failed(start + Duration::from_nanos(begun), start + Duration::from_nanos(begun));
        fail(0, 0);
        fail(0, 0);
        assert!(only_second(start + Duration::from_millis(499)));
        assert!(!only_second(start + Duration::from_millis(501)), "calls that fail together count once");
        fail(0, 1);
        assert!(only_second(start + Duration::from_millis(999)));
        (2..42).for_each(|begun| fail(0, begun));
        assert!(only_second(start + Duration::from_secs(29)) && !only_second(start + Duration::from_secs(31)));
        endpoints[0].worked();
        assert!(!only_second(start));
    }

    #[test]
    fn when_all_rest_the_one_that_wakes_first_is_asked_and_none_twice() {
        let endpoints = endpoints(2);
        let start = Instant::now();
        let now = start + Duration::from_millis(2);
        endpoints[0].failed(start, start);
        endpoints[0].failed(start + Duration::from_millis(1), start + Duration::from_millis(1));
        endpoints[1].failed(start, start);
        let asked = |tried: &[usize]| choose(&endpoints, tried, now).map(|turn| turn.place);
        assert_eq!((asked(&[]), asked(&[1]), asked(&[1, 0])), (Some(1), Some(0), None));
    }
}
