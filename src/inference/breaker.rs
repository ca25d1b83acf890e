//! Stops asking a model that fails: while the breaker is open its searches cost nothing, and one of them tries it now and then.
//!
//! What counts is the model's own failure. A search that was shed, or late because others stood before it, says nothing of the model.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a search is remembered.
const MEMORY: Duration = Duration::from_secs(10);
/// Fewer searches than these say nothing.
const LEAST: usize = 10;
/// More are not remembered.
const MOST: usize = 1024;
/// How long the model is left alone: doubled up to the second value while it goes on failing.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A model's breaker.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// When searches ended, and whether the model failed.
    ended: VecDeque<(Instant, bool)>,
    bad: usize,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The model is asked.
    Closed,
    /// It is left alone.
    Open {
        /// Until when.
        until: Instant,
        /// How long that is in all.
        pause: Duration,
    },
    /// One search tries it.
    HalfOpen {
        /// How long it was left alone.
        pause: Duration,
        /// Whether that search is under way.
        tried: bool,
    },
}

/// How a model did on a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It scored.
    Good,
    /// It failed.
    Bad,
    /// Nothing is known of it: the search was shed, or its client went away.
    Unknown,
}

/// The leave to ask the model, whose verdict is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    tries: bool,
}

// === impl Breaker ===

impl Breaker {
    /// Returns a closed one.
    pub fn new() -> Self {
        Self { state: State::Closed, ended: VecDeque::new(), bad: 0 }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the leave to ask the model; `None` while it is left alone.
    pub fn ask(&mut self, now: Instant) -> Option<Leave> {
        if let State::Open { until, pause } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { pause, tried: false };
        }
        match &mut self.state {
            State::Closed => Some(Leave { tries: false }),
            State::HalfOpen { tried, .. } if !*tried => {
                *tried = true;
                Some(Leave { tries: true })
            }
            State::HalfOpen { .. } | State::Open { .. } => None,
        }
    }

    /// Hears how the model did.
    pub fn tell(&mut self, leave: Leave, verdict: Verdict, now: Instant) {
        match (&mut self.state, verdict) {
            (State::HalfOpen { tried, .. }, Verdict::Unknown) if leave.tries => *tried = false,
            (State::HalfOpen { .. }, Verdict::Good) if leave.tries => *self = Self::new(),
            (State::HalfOpen { .. }, Verdict::Bad) if leave.tries => self.trip(now),
            (State::Closed, Verdict::Good) => self.count(false, now),
            (State::Closed, Verdict::Bad) => self.count(true, now),
            _ => {}
        }
    }

    /// Opens: the model is known to be broken.
    pub fn trip(&mut self, now: Instant) {
        let pause = match self.state {
            State::Closed => PAUSE.0,
            State::Open { .. } => return,
            State::HalfOpen { pause, .. } => (pause * 2).min(PAUSE.1),
        };
        *self = Self { state: State::Open { until: now + pause, pause }, ..Self::new() };
    }

    fn count(&mut self, failed: bool, now: Instant) {
        self.ended.push_back((now, failed));
        self.bad += usize::from(failed);
        while let Some((at, was_bad)) = self.ended.front().copied()
            && (at + MEMORY <= now || self.ended.len() > MOST)
        {
            self.ended.pop_front();
            self.bad -= usize::from(was_bad);
        }
        if failed && self.ended.len() >= LEAST && self.bad * 2 >= self.ended.len() {
            self.trip(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Breaker, LEAST, PAUSE, State, Verdict};

    fn ended(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> bool {
        let leave = breaker.ask(now);
        leave.map(|leave| breaker.tell(leave, verdict, now)).is_some()
    }

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        (0..LEAST).for_each(|_| assert!(ended(&mut breaker, Verdict::Bad, now)));
        breaker
    }

    #[test]
    fn a_model_that_fails_on_half_of_its_searches_is_left_alone() {
        let now = Instant::now();
        assert!(open(now).ask(now).is_none());
        let mut breaker = Breaker::new();
        (0..LEAST).for_each(|turn| assert!(ended(&mut breaker, if turn % 2 == 0 { Verdict::Good } else { Verdict::Bad }, now)));
        assert!(breaker.ask(now).is_none(), "half of ten");
    }

    #[test]
    fn few_failures_old_failures_and_searches_that_were_shed_leave_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        (0..LEAST - 1).for_each(|_| assert!(ended(&mut breaker, Verdict::Bad, now)));
        let later = now + Duration::from_secs(11);
        (0..LEAST - 1).for_each(|_| assert!(ended(&mut breaker, Verdict::Bad, later)));
        (0..1000).for_each(|_| assert!(ended(&mut breaker, Verdict::Unknown, later)));
        assert_eq!(breaker.state(), State::Closed);
        (0..LEAST).for_each(|_| assert!(ended(&mut breaker, Verdict::Good, later)));
        assert!(ended(&mut breaker, Verdict::Bad, later) && breaker.ask(later).is_none(), "ten of twenty");
    }

    #[test]
    fn one_search_tries_it_and_success_closes() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + PAUSE.0;
        let leave = breaker.ask(later).expect("one may try");
        assert!(breaker.ask(later).is_none(), "and no other meanwhile");
        breaker.tell(leave, Verdict::Good, later);
        assert_eq!(breaker.state(), State::Closed);
        assert!((0..LEAST - 1).all(|_| ended(&mut breaker, Verdict::Bad, later)), "what was before is forgotten");
    }

    #[test]
    fn a_try_that_says_nothing_is_followed_by_another_and_one_that_fails_by_a_longer_pause() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        let mut pause = PAUSE.0;
        for _ in 0..8 {
            assert!(breaker.ask(now + pause - Duration::from_millis(1)).is_none());
            now += pause;
            assert!(ended(&mut breaker, Verdict::Unknown, now));
            assert!(ended(&mut breaker, Verdict::Bad, now));
            pause = (pause * 2).min(PAUSE.1);
        }
        assert_eq!(pause, PAUSE.1);
    }

    #[test]
    fn searches_that_began_before_it_opened_say_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        let early = breaker.ask(now).expect("closed");
        breaker.trip(now);
        breaker.tell(early, Verdict::Good, now);
        assert!(breaker.ask(now).is_none());
        let _tries = breaker.ask(now + PAUSE.0).expect("half open");
        breaker.tell(early, Verdict::Good, now + PAUSE.0);
        assert!(breaker.ask(now + PAUSE.0).is_none(), "only the one that tries closes it");
    }
}
